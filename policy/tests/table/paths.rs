//! Path matching: cases worth reading, and `matchit` as an oracle where its semantics are the same.

use policy::compile::compile;
use policy::model::{Methods, Policy};
use policy::table::Table;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::universe::{empty, route};

fn table(routes: &[(&str, &str, &str)]) -> Table<Vec<u8>> {
    let mut policy = empty();
    policy.routes = routes.iter().map(|(name, host, path)| route(name, host, path)).collect();
    load(&policy)
}

fn load(policy: &Policy) -> Table<Vec<u8>> {
    Table::load(compile(policy, [0; 32]).unwrap()).unwrap()
}

fn found<'t>(table: &'t Table<Vec<u8>>, host: &str, path: &str) -> Option<&'t str> {
    table.route(host.as_bytes(), b"GET", path.as_bytes()).map(|route| table.route_name(route))
}

#[test]
fn exact_goes_before_segment_before_rest() {
    let table =
        table(&[("1", "h", "/a/b"), ("2", "h", "/a/{x}"), ("3", "h", "/a/{rest...}"), ("4", "h", "/{rest...}")]);
    assert_eq!(found(&table, "h", "/a/b"), Some("1"));
    assert_eq!(found(&table, "h", "/a/c"), Some("2"));
    assert_eq!(found(&table, "h", "/a/b/c"), Some("3"));
    assert_eq!(found(&table, "h", "/a/"), Some("3"));
    assert_eq!(found(&table, "h", "/a"), Some("4"));
    assert_eq!(found(&table, "h", "/"), Some("4"));
    assert_eq!(found(&table, "other", "/a/b"), None);
}

#[test]
fn a_literal_that_leads_nowhere_is_taken_back() {
    let table = table(&[("1", "h", "/a/b/c"), ("2", "h", "/{x}/b/d"), ("3", "*", "/a/b/{x}")]);
    assert_eq!(found(&table, "h", "/a/b/c"), Some("1"));
    assert_eq!(found(&table, "h", "/a/b/d"), Some("2"));
    assert_eq!(found(&table, "h", "/a/b/e"), Some("3"), "back to the host `*`");
    assert_eq!(found(&table, "h", "/b/b/e"), None);
}

#[test]
fn trailing_slashes_and_empty_segments_count() {
    let table = table(&[("1", "*", "/"), ("2", "*", "/a"), ("3", "*", "/b/"), ("4", "*", "/c/{x}")]);
    assert_eq!(found(&table, "h", "/"), Some("1"));
    assert_eq!(found(&table, "h", "/a"), Some("2"));
    assert_eq!(found(&table, "h", "/a/"), None);
    assert_eq!(found(&table, "h", "/b"), None);
    assert_eq!(found(&table, "h", "/b/"), Some("3"));
    assert_eq!(found(&table, "h", "/c/"), None, "{{segment}} is never empty");
    assert_eq!(found(&table, "h", ""), None);
    assert_eq!(found(&table, "h", "a"), None);
}

#[test]
fn the_host_is_no_pattern() {
    let table = table(&[("1", "h", "/a")]);
    assert_eq!(found(&table, "*", "/a"), None);
    assert_eq!(found(&table, "", "/a"), None);
    assert_eq!(found(&table, "H", "/a"), None, "hosts come in normal form");
}

#[test]
fn a_pattern_that_does_not_admit_the_method_is_passed_over() {
    let mut policy = empty();
    policy.routes = vec![route("1", "h", "/a/b"), route("2", "h", "/a/{x}"), route("3", "*", "/{rest...}")];
    policy.routes[0].methods = Methods::Only(vec!["PURGE".into()]);
    policy.routes[1].methods = Methods::Only(vec!["GET".into(), "TRACE".into()]);
    let table = load(&policy);
    let found = |method: &str| table.route(b"h", method.as_bytes(), b"/a/b").map(|route| table.route_name(route));
    assert_eq!(found("PURGE"), Some("1"));
    assert_eq!(found("GET"), Some("2"));
    assert_eq!(found("HEAD"), Some("3"), "GET does not imply HEAD");
    assert_eq!(found("get"), Some("3"), "methods are case-sensitive");
    assert_eq!(found("TRACE"), Some("2"));
    assert_eq!(found("CONNECT"), None);
    assert_eq!(found(""), None);
}

#[test]
fn methods_and_scopes_are_no_path_segments() {
    let mut policy = empty();
    policy.routes = vec![route("1", "*", "/a")];
    policy.routes[0].methods = Methods::Only(vec!["PURGE".into()]);
    policy.scopes = vec![policy::model::Scope { name: "orders:read".into(), routes: vec!["1".into()] }];
    let table = load(&policy);
    for name in ["PURGE", "orders:read"] {
        assert_eq!(table.route(name.as_bytes(), b"PURGE", format!("/{name}").as_bytes()), None);
    }
    assert_eq!(table.scope(b"orders:read").map(|scope| table.scope_name(scope)), Some("orders:read"));
    assert_eq!(table.scope(b"PURGE"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Paths of literals and `{segment}`s; `matchit` gives no meaning to an empty segment, so there is none.
    #[test]
    fn matches_as_matchit_does(
        patterns in btree_set(vec(select(&["a", "b", "c", "{x}"][..]), 1..5), 1..20),
        paths in vec(vec(select(&["a", "b", "c", "d"][..]), 1..5), 1..40),
    ) {
        let mut policy = empty();
        let mut oracle = matchit::Router::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let mut names = 0..;
            let named = pattern.iter().map(|step| if *step == "{x}" {
                format!("{{p{}}}", names.next().unwrap_or(0))
            } else {
                (*step).to_owned()
            });
            let path = format!("/{}", named.collect::<Vec<_>>().join("/"));
            let name = format!("r{number:02}");
            policy.routes.push(route(&name, "*", &path));
            oracle.insert(path, name).unwrap();
        }
        let table = load(&policy);
        for path in paths {
            let path = format!("/{}", path.join("/"));
            let expected = oracle.at(&path).ok().map(|matched| matched.value.as_str());
            prop_assert_eq!(found(&table, "h", &path), expected, "{}", path);
        }
    }
}
