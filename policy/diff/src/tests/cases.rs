//! By hand: what people change, and what they should be told.

use policy::model::*;

use super::universe::{ca, empty, issuer, origin, table};
use crate::{Diff, Direction, PrincipalKind, Side, Verdict, diff};

fn compare(old: &Policy, new: &Policy) -> Diff {
    diff(Side { policy: old, table: &table(old) }, Side { policy: new, table: &table(new) })
}

fn proofs(certificate: Option<&str>, subject: Option<Subject>) -> Identity {
    Identity::Proofs(Proofs {
        certificate: certificate
            .map(|name| CertificateProof { name: CertificateName::Spiffe(name.into()), ca: "ca".into() }),
        token: subject.map(|subject| TokenProof { issuer: "corp".into(), subject }),
        api_keys: vec![],
    })
}

fn named(subject: &str) -> Option<Subject> {
    Some(Subject::Exactly(subject.into()))
}

fn agent(name: &str, identity: Identity, scopes: &[&str]) -> Agent {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Agent { name: name.into(), identity: vec![identity], scopes, limits: vec![] }
}

fn route(name: &str, method: &str, path: &str) -> Route {
    Route {
        name: name.into(),
        host: "api.example".into(),
        methods: Methods::Only(vec![method.into()]),
        path: path.into(),
        origin: "o1".into(),
        encoded_slash: false,
        path_parameters: false,
    }
}

/// An agent by token, one by certificate, and a population, that read; routes to read and to write.
fn base() -> Policy {
    let mut policy = empty();
    policy.client_cas.push(ca("ca"));
    policy.issuers.push(issuer("corp", Some("scope")));
    policy.routes = vec![
        route("list", "GET", "/orders"),
        route("read", "GET", "/orders/{id}"),
        route("write", "PUT", "/orders/{id}"),
    ];
    policy.scopes = vec![
        Scope { name: "orders:read".into(), routes: vec!["list".into(), "read".into()] },
        Scope { name: "orders:write".into(), routes: vec!["write".into()] },
    ];
    policy.agents = vec![
        agent("bot", proofs(None, named("bot")), &["orders:read", "orders:write"]),
        agent("machine", proofs(Some("spiffe://m"), None), &["orders:write"]),
        agent("staff", proofs(None, Some(Subject::AnyBut(vec![]))), &["orders:read"]),
    ];
    policy
}

#[test]
fn a_removed_agent_whose_tokens_a_population_admits_is_wider_where_the_population_may_do_more() {
    let mut old = base();
    old.agents[0].scopes = vec!["orders:write".into()];
    let mut new = old.clone();
    new.agents.remove(0);
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Both);
    let class = &change.allowed[0];
    assert_eq!((class.principals[0].name.as_str(), class.principals[0].formerly.as_deref()), ("staff", Some("bot")));
    assert_eq!(class.principals[0].kind, PrincipalKind::Population);
    assert_eq!(class.requests.len(), 2);
    assert_eq!(class.example.token.as_ref().unwrap().subject, "bot");
    assert_eq!(change.refused[0].requests[0].path, "/orders/{id}");
}

#[test]
fn a_removed_agent_with_a_certificate_is_wider_as_mixed_proofs_hold_again() {
    let old = base();
    let mut new = old.clone();
    new.agents.remove(1);
    let change = compare(&old, &new);
    assert_eq!((change.verdict, change.needs_wider), (Verdict::Both, true));
    assert_eq!(change.allowed.len(), 1);
    let mixed = &change.allowed[0];
    assert_eq!((mixed.by_any_means, mixed.principals[0].kind), (false, PrincipalKind::Together));
    assert_eq!((mixed.example.old.reason, mixed.example.new.permitted), (Some("proofs-conflict"), true));
    let back = compare(&new, &old);
    assert_eq!((back.verdict, back.needs_wider), (Verdict::Both, true));
    let must = |policy: &Policy| Policy { transport: MinimumTransport::Mtls, ..policy.clone() };
    assert_eq!(compare(&must(&old), &must(&new)).verdict, Verdict::Both);
    // Without its scopes it goes on to refuse them.
    let mut cut = old.clone();
    cut.agents[1].scopes.clear();
    let change = compare(&old, &cut);
    assert_eq!((change.verdict, change.needs_wider, change.allowed.len()), (Verdict::Narrower, false, 0));
}

#[test]
fn an_agent_that_blocks_a_stolen_certificate_is_not_removed_as_a_narrowing() {
    let mut old = base();
    let key = CertificateName::SpkiSha256("0f".repeat(32));
    let stolen = Proofs { certificate: Some(CertificateProof { name: key, ca: "ca".into() }), ..Proofs::default() };
    old.agents.insert(0, agent("blocked", Identity::Proofs(stolen), &[]));
    let mut new = old.clone();
    new.agents.remove(0);
    // Something else that becomes less.
    new.scopes[0].routes.retain(|route| route != "read");
    let change = compare(&old, &new);
    assert_eq!((change.verdict, change.needs_wider), (Verdict::Both, true));
    let example = &change.allowed[0].example;
    assert_eq!((example.old.reason, example.new.permitted), (Some("proofs-conflict"), true));
}

#[test]
fn names_alone_change_nothing() {
    let old = base();
    let mut new = old.clone();
    new.agents[0].name = "robot".into();
    new.agents.sort_by(|a, b| a.name.cmp(&b.name));
    for route in &mut new.routes {
        route.name.insert(0, 'r');
        route.origin = "renamed".into();
    }
    new.scopes.iter_mut().flat_map(|scope| &mut scope.routes).for_each(|route| route.insert(0, 'r'));
    new.origins[0] = Origin { name: "renamed".into(), ..origin("o1") };
    new.origins.sort_by(|a, b| a.name.cmp(&b.name));
    new.issuers[0].name = "company".into();
    new.client_cas[0].name = "devices".into();
    for identity in new.agents.iter_mut().flat_map(|agent| &mut agent.identity) {
        let Identity::Proofs(proofs) = identity else { continue };
        proofs.certificate.iter_mut().for_each(|proof| proof.ca = "devices".into());
        proofs.token.iter_mut().for_each(|proof| proof.issuer = "company".into());
    }
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Same, "{change:#?}");
    assert!(!change.needs_wider);
}

#[test]
fn a_renamed_scope_matters_to_tokens_that_are_narrowed_to_it() {
    let old = base();
    let mut new = old.clone();
    new.scopes[1].name = "orders:xwrite".into();
    new.agents[0].scopes[1] = "orders:xwrite".into();
    new.agents[1].scopes[0] = "orders:xwrite".into();
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Both);
    let condition = change.allowed[0].token_scopes.as_ref().unwrap();
    assert_eq!(
        (&condition.any_of[..], &condition.none_of[..]),
        (&["orders:xwrite".into()][..], &["orders:write".into()][..])
    );
    // Callers without a token are as before.
    let principals = change.allowed.iter().chain(&change.refused).flat_map(|class| &class.principals);
    assert!(principals.map(|principal| principal.name.as_str()).all(|name| name == "bot"));
}

#[test]
fn a_route_that_takes_over_part_of_another_is_found() {
    let mut old = base();
    old.routes.push(route("x", "GET", "/{area}/export"));
    old.scopes[0].routes.push("x".into());
    let mut new = old.clone();
    new.routes.push(route("y", "GET", "/admin/{what}"));
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Narrower);
    let request = &change.refused[0].requests[0];
    assert_eq!((request.path.as_str(), change.refused.len()), ("/admin/export", 1));
    assert_eq!((request.old_route.as_deref(), request.new_route.as_deref()), (Some("x"), Some("y")));
}

#[test]
fn an_exception_or_a_token_alone_is_seen() {
    let old = base();
    let mut new = old.clone();
    new.agents[2] = agent("staff", proofs(None, Some(Subject::AnyBut(vec!["mallory".into()]))), &["orders:read"]);
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Narrower);
    assert_eq!(change.refused[0].example.token.as_ref().unwrap().subject, "mallory");
    assert_eq!(compare(&new, &old).verdict, Verdict::Wider);
    // A second proof that is needed from now on.
    let mut new = old.clone();
    new.agents[0] = agent("bot", proofs(Some("spiffe://b"), named("bot")), &["orders:read", "orders:write"]);
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Narrower);
    assert!(change.allowed.is_empty(), "{change:#?}");
}

#[test]
fn what_a_claim_of_scopes_does_is_in_the_classes_and_the_settings() {
    let old = base();
    let mut new = old.clone();
    new.issuers[0].scope_claim = None;
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Wider);
    let scopes = &change.allowed[0].example.token.as_ref().unwrap().scopes;
    assert_eq!(scopes.get("scope"), Some(&vec![]));
    assert_eq!((change.settings[0].what, change.settings[0].direction), ("scope_claim", Direction::Wider));
    assert_eq!(compare(&new, &old).verdict, Verdict::Narrower);
    assert!(compare(&new, &old).needs_wider);
}

#[test]
fn lists_are_cut_and_counted() {
    let old = empty();
    let mut new = base();
    let agents = (0..1_500).map(|number| {
        let subject = format!("subject-{number:05}");
        let bits = (0..11).filter(|bit| (number + 1) & (1 << bit) != 0).map(|bit| format!("s{bit:02}"));
        Agent { scopes: bits.collect(), ..agent(&subject, proofs(None, named(&subject)), &[]) }
    });
    new.agents = agents.collect();
    new.routes = (0..11).map(|bit| route(&format!("r{bit:02}"), "GET", &format!("/{bit}"))).collect();
    new.scopes = (0..11).map(|bit| Scope { name: format!("s{bit:02}"), routes: vec![format!("r{bit:02}")] }).collect();
    let change = compare(&old, &new);
    assert_eq!((change.counts.allowed, change.allowed.len(), change.truncated), (1_500, 1_000, true));
    assert_eq!((change.verdict, change.exhausted), (Verdict::Wider, false));
}
