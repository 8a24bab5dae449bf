//! Every kind of diagnostic at its place, and what they look like.

use std::collections::BTreeSet;

use super::mistakes::{self, Mistake};
use super::{BASE, clean, codes, load_text};
use crate::{CODES, Loaded, Severity, Span, load, render, to_json};

/// The base policy with a mistake in it, and the marked place.
fn made(mistake: &Mistake) -> (String, Option<Span>) {
    let (_, from, to) = mistake;
    let marked = match *from {
        "" => format!("{BASE}\n{to}"),
        from => {
            assert_eq!(BASE.matches(from).count(), 1, "`{from}` must stand once in the base policy");
            BASE.replacen(from, to, 1)
        }
    };
    let start = marked.find('«');
    let end = marked.find('»').map(|end| end - '«'.len_utf8());
    let text = marked.replace(['«', '»'], "");
    (text, start.zip(end).map(|(start, end)| Span { start, end }))
}

#[test]
fn the_base_policy_is_right() {
    clean(BASE);
}

#[test]
fn every_mistake_is_found_at_its_place() {
    let mut failures = Vec::new();
    for mistake in mistakes::all() {
        let (text, place) = made(mistake);
        let loaded = load_text(&text);
        let rendered = render(&loaded.diagnostics, "policy.toml", &text, false);
        let (wanted, _, to) = *mistake;
        let first = wanted.split(' ').next().unwrap();
        let mut wanted: Vec<&str> = wanted.split(' ').collect();
        wanted.sort_unstable();
        // What stands nowhere any more after an error is not reported as unused.
        let errors = loaded.diagnostics.iter().any(|found| found.severity == Severity::Error);
        wanted.retain(|code| !(errors && *code == "unused"));
        let found = loaded.diagnostics.iter().find(|found| found.code == first);
        let at_place = place.is_none_or(|place| found.is_some_and(|found| found.span == place));
        let line_and_column = place.is_none_or(|place| {
            let before = &text[..place.start];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            rendered.contains(&format!("policy.toml:{line}:{column}\n"))
                && found.is_some_and(|found| (found.line, found.column) == (line, column))
        });
        if codes(&loaded) != wanted || !at_place || !line_and_column || loaded.policy.is_some() == errors {
            failures.push(format!("=== wanted {wanted:?} in {to}\nfound {:?}\n{rendered}", codes(&loaded)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_diagnostic_says_what_to_do() {
    // Their messages name the bound, and there is nothing to add.
    let bounds = ["too-long", "too-many", "empty-list", "empty-text", "wrong-type"];
    let found = mistakes::all().flat_map(|mistake| load_text(&made(mistake).0).diagnostics);
    let silent: Vec<_> = found
        .filter(|found| {
            found.message.is_empty() || found.message.ends_with('.') || found.label.is_empty() || found.hint.is_none()
        })
        .filter(|found| found.label.is_empty() || found.hint.is_some() || !bounds.contains(&found.code))
        .map(|found| (found.code, found.message, found.label, found.hint))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn every_code_has_a_test() {
    let mut tested: BTreeSet<&str> = mistakes::all().flat_map(|(codes, ..)| codes.split(' ')).collect();
    // These need more than one edit: see below and `sizes`.
    tested.extend(["transport-needs-ca", "nothing-permitted", "nesting-too-deep", "too-long"]);
    tested.extend(["input-too-large", "too-many-diagnostics", "overlap-unchecked", "other-file"]);
    // See `bindings`.
    tested.extend(["binding-needs-certificate", "bindings-differ"]);
    // See `introspection`.
    tested.extend(["ambiguous-introspection", "bad-prefix", "introspection-plain", "keys-missing"]);
    let all: BTreeSet<&str> = CODES.iter().map(|code| code.name).collect();
    assert_eq!(all.len(), CODES.len(), "codes are unique");
    assert_eq!(all.difference(&tested).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(tested.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new());
}

fn only(text: &str) -> Loaded {
    let loaded = load_text(text);
    assert_eq!(loaded.diagnostics.len(), 1, "{}", render(&loaded.diagnostics, "p", text, false));
    loaded
}

#[test]
fn mtls_needs_a_client_ca() {
    let text = "[policy]\nname = \"p\"\ntransport = \"mtls\"\n";
    assert_eq!(codes(&only(text)), ["transport-needs-ca"]);
}

#[test]
fn an_empty_policy_permits_nothing() {
    let loaded = only("[policy]\nname = \"p\"\n");
    assert_eq!(codes(&loaded), ["nothing-permitted"]);
    assert!(loaded.policy.is_some());
    assert_eq!(codes(&load_text("")), ["missing-key"]);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{BASE}\nx = {}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(codes(&load_text(&deep)).contains(&"nesting-too-deep"));
    let dotted = format!("{BASE}\n{}x = 1\n", "a.".repeat(100_000));
    assert!(codes(&load_text(&dotted)).contains(&"nesting-too-deep"));
}

/// Nothing of what is no policy is shown; a policy with a mistake in any line still is one.
#[test]
fn another_file_is_called_so_and_not_shown() {
    for (text, found) in [
        ("-----BEGIN PRIVATE KEY-----\nMC4CAQ\n", "a private key (PEM)"),
        ("adm_partner_0123456789\n", "an API key"),
        ("{\"payloadType\":\"application/vnd.adamant.release.v1+json\"}", "a release"),
        ("[gateway]\nstate = \"s3cret\"\n", "a gateway's configuration"),
        ("[gateway]\nstate = \"s\"\n[[origin_credential]]\nname = \"n\"\n", "a gateway's configuration"),
        ("correct horse battery\n", "no TOML (line 1, column 9)"),
        ("PASSWORD=hunter2\n", "no TOML (line 1, column 10)"),
        ("API_KEY=\"adad0123\"\nDB_PASS = \"hunter2\"\n", "a text with none of its tables"),
        ("[database]\npass = \"hunter2\"\n", "a text with none of its tables"),
    ] {
        let loaded = only(text);
        let shown = render(&loaded.diagnostics, "p", text, false);
        assert!(loaded.policy.is_none() && loaded.diagnostics[0].code == "other-file", "{shown}");
        assert!(shown.contains(found) && !text.lines().any(|line| shown.contains(line)), "{shown}");
        assert!(!shown.contains("horse") && !shown.contains("hunter2") && !shown.contains("adm_"), "{shown}");
    }
    for ours in ["[policy\nname = \"p\"\n", "[[ route]\n", "", "# nothing yet\n", "x = 1\n[[agent]]\n"] {
        assert!(!codes(&load_text(ours)).contains(&"other-file"), "{ours}");
    }
}

#[test]
fn long_texts_are_refused() {
    let text = BASE.replace("https://id.example", &"i".repeat(1_025));
    assert_eq!(codes(&only(&text)), ["too-long"]);
}

#[test]
fn all_mistakes_are_found_in_one_run() {
    let text = BASE
        .replace("methods = [\"GET\"]", "methods = [\"get\"]")
        .replace("algorithms = [\"ES256\"]", "algorithms = [\"none\"]")
        .replace("scopes = [\"orders:read\"]\nlimits", "scopes = [\"order:read\"]\nlimitz = 1\nlimits")
        .replace("10.0.0.5:80", "10.0.0.5");
    let wanted = ["algorithm-none", "bad-address", "method-case", "unknown-key", "unknown-reference"];
    assert_eq!(codes(&load_text(&text)), wanted);
}

#[test]
fn a_syntax_error_hides_only_its_consequences() {
    let text = BASE.replace("name = \"p\"", "name = p").replace("host = \"api.example\"", "hosst = \"api.example\"");
    assert_eq!(codes(&load_text(&text)), ["syntax", "unknown-key"]);
}

#[test]
fn routes_that_differ_are_not_compared() {
    let route = |name: &str, host: &str, method: &str, path: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nhost = \"{host}\"\nmethods = [\"{method}\"]\npath = \"{path}\"\norigin = \"orders\"\n"
        )
    };
    let with = |routes: &[String]| {
        let names: Vec<String> = (0..routes.len()).map(|n| format!("\"r{n}\"")).collect();
        let text = BASE.replace("routes = [\"read\"]", &format!("routes = [\"read\", {}]", names.join(", ")));
        codes(&load_text(&format!("{text}\n{}", routes.join("\n"))))
    };
    assert!(with(&[route("r0", "*", "GET", "/{kind}/new")]).is_empty(), "another host");
    assert!(with(&[route("r0", "api.example", "POST", "/{kind}/new")]).is_empty(), "another method");
    assert!(with(&[route("r0", "api.example", "GET", "/{kind}/{id}")]).is_empty(), "less specific throughout");
    assert!(with(&[route("r0", "api.example", "GET", "/{kind}/")]).is_empty(), "a slash at the end is no segment");
    assert!(with(&[route("r0", "api.example", "GET", "/{rest...}")]).is_empty(), "a rest is always less specific");
    let crossing = route("r0", "api.example", "GET", "/{kind}/new");
    assert_eq!(with(std::slice::from_ref(&crossing)), ["ambiguous-routes"]);
    let both = route("r1", "api.example", "GET", "/orders/new");
    assert!(with(&[crossing, both]).is_empty(), "a route for what both match settles it");
    let rest =
        [route("r0", "api.example", "GET", "/orders/x/{rest...}"), route("r1", "api.example", "GET", "/orders/{id}/y")];
    assert_eq!(with(&rest), ["ambiguous-routes"]);
}

#[test]
fn the_name_is_only_for_messages() {
    let nothing = super::files();
    assert_eq!(load("a", BASE, &nothing).policy, load("b", BASE, &nothing).policy);
}

#[test]
fn json_for_editors() {
    let text = BASE.replace("methods", "methds");
    let json = to_json(&load_text(&text).diagnostics);
    assert_eq!(json["errors"], 2);
    let unknown = &json["diagnostics"][1];
    assert_eq!(unknown["code"], "unknown-key");
    assert_eq!(unknown["severity"], "error");
    assert_eq!(unknown["line"], 22);
    assert_eq!(unknown["column"], 1);
    assert_eq!(unknown["hint"], "did you mean `methods`?");
    let start = usize::try_from(unknown["span"]["start"].as_u64().unwrap()).unwrap();
    assert_eq!(&text[start..start + 6], "methds");
}

/// What people read. Run with `INSTA_UPDATE=always` after a change of words, and read the difference.
#[test]
fn what_mistakes_look_like() {
    let mut all = String::new();
    for mistake in mistakes::all() {
        let (text, _) = made(mistake);
        let rendered = render(&load_text(&text).diagnostics, "policy.toml", &text, false);
        let without_total: Vec<&str> = rendered.trim_end().lines().collect();
        all.push_str(&without_total[..without_total.len() - 1].join("\n"));
        all.push('\n');
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../../snapshots" }, {
        insta::assert_snapshot!("mistakes", all);
    });
}
