//! Names that others are told: of routes and scopes in assertions, of issuers in revocations.

use std::collections::{BTreeMap, BTreeSet};

use policy::decide::Caller;
use policy::model::*;
use policy::table::{AgentId, RouteId};

use super::brute::{Routes, routes, tokens};
use super::cases::{base, compare, two_by_key};
use crate::access::Scene;
use crate::callers::{Callers, Pair};
use crate::classes::RawClass;
use crate::diff::access;
use crate::face::Which;
use crate::shown::{Shown, Taken, TokenNames};
use crate::{Direction, Verdict};

/// The names of routes and scopes that asserting origins are told of what is permitted before and after: none that
/// changes is missed, and no scope is invented.
pub fn check<'p>(
    scene: &Scene<'_, 'p>,
    callers: &Callers<'p>,
    pairs: &BTreeMap<&Shown<'p>, Pair>,
    raw: &[RawClass<'p>],
) {
    let world = scene.world;
    let told = |which: Which, taken: Taken, names: &TokenNames, route: Option<u32>| {
        let (face, route) = (world.face(which), route?);
        let agent = if let Taken::Agent(agent) = taken { Some(AgentId(agent)) } else { None };
        let scopes = world.token_scopes(which, names);
        let grant = (taken != Taken::Refused)
            .then(|| face.table.grant(&Caller { agent, population: false }, &scopes, RouteId(route)))??;
        Some((face.route_name(route), face.table.scope_name(grant.scope).to_owned()))
    };
    let asserts = |route: u32| {
        let policy = world.new.policy;
        let origin = &policy.routes[route as usize].origin;
        policy.origins.iter().any(|it| it.name == *origin && it.assertion.is_some())
    };
    let routes: Vec<Routes> = routes(world).into_iter().filter(|routes| routes.1.is_some_and(asserts)).collect();
    let found: BTreeSet<(String, &str)> =
        crate::asserted::changes(scene, callers).into_iter().map(|it| (it.name, it.what)).collect();
    let mut scopes: BTreeSet<String> = BTreeSet::new();
    for pair in pairs.values().copied().collect::<BTreeSet<Pair>>() {
        // What only strays make is allowed anew by the stray alone.
        let is_sought = callers.known.contains_key(&pair) || !access(raw).0;
        for (names, routes) in tokens(world, pair.2).iter().flat_map(|names| routes.iter().map(move |it| (names, it))) {
            let (old, new) = (told(Which::Old, pair.0, names, routes.0), told(Which::New, pair.1, names, routes.1));
            let (Some(old), Some(new)) = (old, new) else { continue };
            let is_told = |what: &'static str| !is_sought || found.contains(&(new.0.to_owned(), what));
            assert!(old.0 == new.0 || is_told("asserted-route"), "missed: {pair:?} {names:?} {old:?} {new:?}");
            if old.1 != new.1 {
                assert!(is_told("asserted-scope"), "missed: {pair:?} {names:?} {old:?} {new:?}");
                scopes.insert(new.0.to_owned());
            }
        }
    }
    for (route, _) in found.iter().filter(|(_, what)| *what == "asserted-scope") {
        assert!(scopes.contains(route), "invented: {route} {found:?}");
    }
}

/// Revocations may name it, and would be of nobody.
#[test]
fn an_issuer_under_another_name_is_a_change() {
    let old = base();
    let mut new = old.clone();
    new.issuers[0].name = "company".into();
    for identity in new.agents.iter_mut().flat_map(|agent| &mut agent.identity) {
        let Identity::Proofs(proofs) = identity else { continue };
        proofs.token.iter_mut().for_each(|proof| proof.issuer = "company".into());
    }
    let change = compare(&old, &new);
    assert_eq!((change.verdict, change.needs_wider, change.settings.len()), (Verdict::Wider, true, 1), "{change:#?}");
    let renamed = &change.settings[0];
    assert_eq!((renamed.kind, renamed.what, renamed.direction), ("issuer", "name", Direction::Changed));
    assert_eq!((renamed.old.as_deref(), renamed.new.as_deref()), (Some("corp"), Some("company")));
}

/// Name, what of it, old, new.
type Told = (String, &'static str, String, String);

/// What an origin is told in assertions, from one policy to the other.
fn told(old: &Policy, new: &Policy) -> (Verdict, bool, Vec<Told>) {
    let change = compare(old, new);
    let asserted = change.settings.iter().filter(|it| it.what.starts_with("asserted-"));
    let told = asserted.map(|it| (it.name.clone(), it.what, it.old.clone().unwrap(), it.new.clone().unwrap()));
    (change.verdict, change.needs_wider, told.collect())
}

#[test]
fn routes_that_exchange_names_are_a_change_where_the_origin_is_told_them() {
    let mut old = base();
    let mut new = old.clone();
    let [first, second] = [0, 1].map(|index: usize| old.routes[index].name.clone());
    (new.routes[0].path, new.routes[1].path) = (old.routes[1].path.clone(), old.routes[0].path.clone());
    (new.routes[0].methods, new.routes[1].methods) = (old.routes[1].methods.clone(), old.routes[0].methods.clone());
    assert_eq!(told(&old, &new), (Verdict::Same, false, vec![]));
    for policy in [&mut old, &mut new] {
        let origin = policy.routes[0].origin.clone();
        let asserts = policy.origins.iter_mut().find(|it| it.name == origin).unwrap();
        asserts.assertion = Some(OriginAssertion { audience: "orders".into() });
    }
    let (verdict, needs_wider, found) = told(&old, &new);
    let asserted = |route: &String, before: &String| (route.clone(), "asserted-route", before.clone(), route.clone());
    assert_eq!((verdict, needs_wider), (Verdict::Wider, true));
    assert_eq!(found, [asserted(&first, &second), asserted(&second, &first)]);
    assert_eq!(told(&old, &old), (Verdict::Same, false, vec![]));
}

#[test]
fn another_scope_that_grants_is_a_change_where_the_origin_is_told_it() {
    let mut old = two_by_key("bot", "admin");
    let routes = old.scopes[0].routes.clone();
    old.scopes = ["orders:a", "orders:read", "orders:z"]
        .map(|name| Scope { name: name.into(), routes: routes.clone() })
        .to_vec();
    old.agents.iter_mut().for_each(|agent| agent.scopes = vec!["orders:a".into(), "orders:read".into()]);
    old.origins.iter_mut().for_each(|it| it.assertion = Some(OriginAssertion { audience: "orders".into() }));
    // What never granted can go: the first by name did.
    let mut fewer = old.clone();
    fewer.agents[0].scopes.pop();
    assert_eq!(told(&old, &fewer), (Verdict::Same, false, vec![]));
    let mut other = old.clone();
    other.agents[0].scopes.remove(0);
    let (verdict, needs_wider, found) = told(&old, &other);
    assert_eq!((verdict, needs_wider, found.len()), (Verdict::Wider, true, routes.len()), "{found:?}");
    assert!(found.iter().all(|it| (it.1, &*it.2, &*it.3) == ("asserted-scope", "orders:a", "orders:read")));
    let mut more = old.clone();
    more.agents[0].scopes.push("orders:z".into());
    assert_eq!(told(&old, &more), (Verdict::Same, false, vec![]));
}

/// A token may carry any of them, so the scope that grants is told apart wherever some token has it so.
#[test]
fn what_some_token_has_granted_by_another_scope_is_told() {
    for (before, after, changes) in [
        (&["orders:a", "orders:read"][..], &["orders:read"][..], true),
        (&["orders:read"], &["orders:a", "orders:read"], true),
        (&["orders:a"], &["orders:z"], true),
        (&["orders:a", "orders:z"], &["orders:a"], false),
        (&["orders:a"], &["orders:a", "orders:z"], false),
    ] {
        let mut old = base();
        let routes = old.scopes[0].routes.clone();
        old.scopes = ["orders:a", "orders:read", "orders:z"]
            .map(|name| Scope { name: name.into(), routes: routes.clone() })
            .to_vec();
        old.agents.truncate(1);
        old.origins.iter_mut().for_each(|it| it.assertion = Some(OriginAssertion { audience: "orders".into() }));
        let mut new = old.clone();
        let of = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
        (old.agents[0].scopes, new.agents[0].scopes) = (of(before), of(after));
        let found = told(&old, &new).2;
        assert_eq!(found.len(), if changes { routes.len() } else { 0 }, "{before:?} {after:?} {found:?}");
    }
}
