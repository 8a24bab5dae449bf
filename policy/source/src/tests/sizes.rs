//! Bounds that are reached, and policies as large as they may be.

use std::fmt::Write;

use super::{BASE, codes, has_errors, load_text};
use crate::bounds::{OVERLAPS_REPORTED_MAX, SOURCE_BYTES_MAX};
use crate::{Severity, render};

/// A policy of `agents` agents with a token and a key each, and `routes` routes.
fn large(agents: usize, routes: usize) -> String {
    let mut text = BASE.replace("routes = [\"read\"]", "routes = [\"read\", ROUTES]");
    let names: Vec<String> = (0..routes).map(|n| format!("\"r{n}\"")).collect();
    text = text.replace("ROUTES", &names.join(", "));
    for n in 0..routes {
        let (service, kind) = (n % 500, n / 500);
        let _ = write!(
            text,
            "[[route]]\nname = \"r{n}\"\nhost = \"s{service}.example\"\nmethods = [\"GET\", \"POST\"]\npath = \"/k{kind}/{{id}}/items/{{item}}\"\norigin = \"orders\"\n"
        );
    }
    for n in 0..agents {
        let _ = write!(
            text,
            "[[agent]]\nname = \"agent-{n}\"\nidentity = [{{ token = {{ issuer = \"corp\", subject = \"s{n}\" }}, api_key = [\"k{n}\"] }}]\nscopes = [\"orders:read\"]\nlimits = [\"60/minute\", \"1000/hour quota\"]\n[[api_key]]\nid = \"k{n}\"\nsha256 = \"{n:064x}\"\n"
        );
    }
    text
}

#[test]
fn a_large_policy_loads() {
    let text = large(100_000, 10_000);
    let loaded = load_text(&text);
    assert!(!has_errors(&loaded), "{}", render(&loaded.diagnostics[..1], "p", &text, false));
    let policy = loaded.policy.unwrap();
    assert_eq!((policy.agents.len(), policy.routes.len()), (100_003, 10_001));
}

#[test]
fn a_source_that_is_too_large_is_refused() {
    assert_eq!(codes(&load_text(&" ".repeat(SOURCE_BYTES_MAX + 1))), ["input-too-large"]);
}

#[test]
fn too_many_scopes_are_refused() {
    let mut text = BASE.to_owned();
    for n in 0..4_096 {
        let _ = write!(text, "[[scope]]\nname = \"s{n}\"\nroutes = [\"read\"]\n");
    }
    assert!(codes(&load_text(&text)).contains(&"too-many"));
}

#[test]
fn too_many_methods_are_refused() {
    let methods = |from: usize| (from..from + 40).map(|n| format!("\"M{n}\"")).collect::<Vec<_>>().join(", ");
    let text = BASE.replace("methods = [\"GET\"]", &format!("methods = [{}]", methods(0)));
    assert!(codes(&load_text(&text)).is_empty());
    let more = format!(
        "{text}\n[[route]]\nname = \"more\"\nhost = \"*\"\nmethods = [{}]\npath = \"/\"\norigin = \"orders\"\n",
        methods(40)
    );
    assert_eq!(codes(&load_text(&more)), ["too-many"]);
}

#[test]
fn a_file_full_of_mistakes_is_checked_quickly() {
    let text = large(20_000, 10).replace("\"orders:read\"]\nlimits", "\"orders:reed\"]\nlimits");
    let loaded = load_text(&text);
    let last = loaded.diagnostics.last().unwrap();
    assert_eq!(last.code, "too-many-diagnostics");
    assert_eq!(loaded.diagnostics.len(), 1_001);
    assert!(loaded.policy.is_none());
}

#[test]
fn crossing_routes_are_counted_not_compared_for_ever() {
    let mut text = BASE.replace("routes = [\"read\"]", "routes = [\"read\", ROUTES]");
    let mut names = Vec::new();
    for n in 0..2_000 {
        for (name, path) in [(format!("a{n}"), format!("/{{x}}/a{n}")), (format!("b{n}"), format!("/b{n}/{{y}}"))] {
            let _ = write!(
                text,
                "[[route]]\nname = \"{name}\"\nhost = \"x.example\"\nmethods = [\"GET\"]\npath = \"{path}\"\norigin = \"orders\"\n"
            );
            names.push(format!("\"{name}\""));
        }
    }
    let loaded = load_text(&text.replace("ROUTES", &names.join(", ")));
    assert!(loaded.diagnostics.iter().all(|found| found.severity == Severity::Warning));
    let ambiguous = loaded.diagnostics.iter().filter(|found| found.code == "ambiguous-routes").count();
    assert_eq!(ambiguous, OVERLAPS_REPORTED_MAX);
    assert!(codes(&loaded).contains(&"overlap-unchecked"));
}
