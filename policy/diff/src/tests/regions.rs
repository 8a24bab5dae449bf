//! What people are told of requests, against every short request.

use std::collections::HashMap;

use policy::model::{Methods, Policy};
use proptest::prelude::*;

use super::brute::routed;
use super::cases::{base, compare, route};
use super::universe::{self, Request};
use crate::cells::Cell;
use crate::diff::with_parts;
use crate::look::Look;
use crate::report::{Class, Requests};

/// Whether a region has this request, its routes aside.
fn has(region: &Requests, (host, method, path): &Request) -> bool {
    let named = region.methods.iter().any(|name| name == method);
    let other = region.methods.iter().any(|name| name == "*")
        && !matches!(*method, "CONNECT" | "TRACE")
        && !region.except.iter().any(|name| name == method);
    let kind = match region.only_with {
        None => true,
        Some("%2F") => path.contains("%2F"),
        Some("; parameters") => path.contains(';'),
        Some(_) => path.contains("%2F") && path.contains(';'),
    };
    (region.host == "*" || region.host == *host) && (named || other) && kind && fits(&region.path, path)
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    for step in pattern.split('/').skip(1) {
        let fits = match (step, segments.next()) {
            (_, None) => false,
            (rest, Some(_)) if rest.ends_with("...}") => return true,
            (step, Some(segment)) if step.starts_with('{') => !segment.is_empty(),
            (step, Some(segment)) => step == segment,
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

fn check(old: &Policy, new: &Policy) {
    let (old_table, new_table) = (universe::table(old), universe::table(new));
    let (old, new): ((_, &dyn Look), (_, &dyn Look)) = ((old, &old_table), (new, &new_table));
    with_parts(old, new, |scene, _, _, _| {
        let cells: HashMap<_, &Cell> = scene.cells.iter().map(|cell| (cell.routes, cell)).collect();
        for request in universe::requests() {
            let routes = routed(scene.world, &request);
            if routes == (None, None) {
                continue;
            }
            let cell = cells.get(&routes).unwrap_or_else(|| panic!("no cell for {request:?}: {routes:?}"));
            assert!(cell.regions.iter().any(|region| has(region, &request)), "{request:?}: {cell:#?}");
            assert_eq!(cell.regions.len(), cell.regions_count);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_request_of_a_pair_is_in_a_region(
        first in prop::collection::vec(any::<u8>(), 0..160),
        second in prop::collection::vec(any::<u8>(), 0..160),
        third in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        for (old, new) in &universe::pairs(&first, &second, &third) {
            check(old, new);
        }
    }
}

/// Methods, what they are not, path, and kind, of each region.
fn told(class: &Class) -> Vec<String> {
    assert_eq!(class.requests.len(), class.requests_count);
    let text = |of: &Requests| {
        let (methods, except) = (of.methods.join(","), of.except.join(","));
        format!("{methods}-{except} {} {}", of.path, of.only_with.unwrap_or("all"))
    };
    class.requests.iter().map(text).collect()
}

#[test]
fn each_kind_of_path_is_told_by_itself() {
    let old = base();
    let mut new = old.clone();
    new.routes[1].encoded_slash = true;
    new.routes[1].path_parameters = true;
    let change = compare(&old, &new);
    assert_eq!(told(&change.allowed[0]), ["GET- /orders/{id} %2F", "GET- /orders/{id} ; parameters"]);
}

#[test]
fn methods_that_go_on_are_not_told() {
    let mut old = base();
    old.routes[1].methods = Methods::Any;
    old.routes.truncate(2);
    old.scopes[1].routes = vec!["read".into()];
    let mut new = old.clone();
    new.routes[1].methods = Methods::Only(vec!["GET".into()]);
    assert_eq!(told(&compare(&old, &new).refused[0]), ["*-GET /orders/{id} all"]);
    assert_eq!(told(&compare(&new, &old).allowed[0]), ["*-GET /orders/{id} all"]);
}

#[test]
fn a_method_that_was_there_is_told_with_what_is_new_of_it() {
    let old = base();
    let mut new = old.clone();
    new.routes[1].encoded_slash = true;
    new.routes[1].methods = Methods::Only(vec!["DELETE".into(), "GET".into()]);
    let told = told(&compare(&old, &new).allowed[0]);
    assert_eq!(told, ["DELETE- /orders/{id} all", "GET- /orders/{id} %2F"]);
}

#[test]
fn every_pattern_is_told_or_counted() {
    for shields in [12, 100] {
        let mut old = base();
        old.routes.truncate(1);
        old.routes[0].path = "/{rest...}".into();
        old.routes[0].encoded_slash = true;
        old.scopes = vec![policy::model::Scope { name: "orders:read".into(), routes: vec!["list".into()] }];
        old.agents.iter_mut().for_each(|agent| agent.scopes = vec!["orders:read".into()]);
        let new = old.clone();
        old.routes.extend((0..shields).map(|at| route(&format!("shield-{at:03}"), "GET", &format!("/d{at}/{{y}}"))));
        old.scopes[0].routes.extend(old.routes.iter().skip(1).map(|route| route.name.clone()));
        let change = compare(&old, &new);
        let class = &change.allowed[0];
        let patterns = class.requests.iter().filter(|of| of.only_with == Some("%2F") && of.path.starts_with("/d"));
        assert_eq!((class.requests_count, patterns.count()), (shields, shields.min(50)), "{class:#?}");
        assert_eq!(change.truncated, shields > 50);
    }
}
