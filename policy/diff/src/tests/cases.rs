//! By hand: what people change, and what they should be told.

use policy::model::*;

use super::universe::{ca, empty, issuer, origin, table};
use crate::{Diff, Direction, PrincipalKind, Side, Verdict, diff};

pub fn compare(old: &Policy, new: &Policy) -> Diff {
    diff(Side { policy: old, table: &table(old) }, Side { policy: new, table: &table(new) })
}

pub fn proofs(certificate: Option<&str>, subject: Option<Subject>) -> Identity {
    Identity::Proofs(Proofs {
        certificate: certificate
            .map(|name| CertificateProof { name: CertificateName::Spiffe(name.into()), ca: "ca".into() }),
        token: subject.map(|subject| TokenProof { issuer: "corp".into(), subject, bound: None }),
        api_keys: vec![],
    })
}

pub fn named(subject: &str) -> Option<Subject> {
    Some(Subject::Exactly(subject.into()))
}

pub fn agent(name: &str, identity: Identity, scopes: &[&str]) -> Agent {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Agent { name: name.into(), identity: vec![identity], scopes, limits: vec![] }
}

pub fn route(name: &str, method: &str, path: &str) -> Route {
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
pub fn base() -> Policy {
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

/// As a gateway answers it: nobody without credentials hears of scopes.
#[test]
fn who_shows_nothing_lacked_a_credential() {
    let old = base();
    let mut new = old.clone();
    new.agents.insert(0, agent("anyone", Identity::Anonymous, &["orders:read"]));
    let change = compare(&old, &new);
    let example = &change.allowed[0].example;
    assert_eq!((example.old.reason, example.new.permitted), (Some("credential-missing"), true));
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
fn names_that_nobody_is_told_change_nothing() {
    let old = base();
    let mut new = old.clone();
    for route in &mut new.routes {
        route.name.insert(0, 'r');
        route.origin = "renamed".into();
    }
    new.scopes.iter_mut().flat_map(|scope| &mut scope.routes).for_each(|route| route.insert(0, 'r'));
    new.origins[0] = Origin { name: "renamed".into(), ..origin("o1") };
    new.origins.sort_by(|a, b| a.name.cmp(&b.name));
    new.client_cas[0].name = "devices".into();
    for identity in new.agents.iter_mut().flat_map(|agent| &mut agent.identity) {
        let Identity::Proofs(proofs) = identity else { continue };
        proofs.certificate.iter_mut().for_each(|proof| proof.ca = "devices".into());
    }
    let change = compare(&old, &new);
    assert_eq!(change.verdict, Verdict::Same, "{change:#?}");
    assert!(!change.needs_wider);
}

/// `base` with two agents by key that may do the same, and are not limited.
pub fn two_by_key(first: &str, second: &str) -> Policy {
    let mut policy = base();
    let key = |id: &str| Identity::Proofs(Proofs { api_keys: vec![id.into()], ..Proofs::default() });
    let keys = ["bot-1", "root-1"].map(|id| ApiKey { id: id.into(), sha256: None, expires_s: None });
    policy.api_keys = keys.to_vec();
    policy.agents = vec![agent(first, key("bot-1"), &["orders:read"]), agent(second, key("root-1"), &["orders:read"])];
    policy.agents.sort_by(|a, b| a.name.cmp(&b.name));
    policy
}

#[test]
fn a_caller_who_is_told_to_origins_as_another_agent_is_a_change() {
    let old = two_by_key("bot", "admin");
    let swapped = compare(&old, &two_by_key("admin", "bot"));
    assert_eq!((swapped.verdict, swapped.needs_wider, swapped.counts.identities), (Verdict::Wider, true, 2));
    assert_eq!((swapped.allowed.len(), swapped.refused.len(), swapped.truncated), (0, 0, false));
    let told = |change: &Diff| {
        let each = change.identities.iter().map(|it| (it.old.clone(), it.new.clone(), it.by.clone()));
        each.collect::<Vec<_>>()
    };
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(
        told(&swapped),
        [
            (named("admin"), named("bot"), vec!["API key root-1".to_owned()]),
            (named("bot"), named("admin"), vec!["API key bot-1".to_owned()])
        ]
    );
    let example = &swapped.identities[1].example;
    assert_eq!((example.api_key.as_deref(), example.path.as_str()), (Some("bot-1"), "/orders"));
    assert!(example.old.permitted && example.new.permitted && swapped.identities[1].needs_wider);
    assert_eq!(swapped.identities[0].direction, Direction::Changed);

    // The agent goes, and its key becomes one more of another's.
    let mut moved = old.clone();
    moved.agents.pop();
    let second = Identity::Proofs(Proofs { api_keys: vec!["bot-1".into()], ..Proofs::default() });
    moved.agents[0].identity.push(second);
    let change = compare(&old, &moved);
    assert_eq!((change.verdict, change.needs_wider), (Verdict::Wider, true));
    assert_eq!(told(&change), [(named("bot"), named("admin"), vec!["API key bot-1".to_owned()])]);
    // With less for everybody it is both; and whoever may do nothing is told as nobody.
    moved.scopes[0].routes.pop();
    assert_eq!(compare(&old, &moved).verdict, Verdict::Both);
    let mut silent = [old.clone(), two_by_key("admin", "bot")];
    silent.iter_mut().flat_map(|policy| &mut policy.agents).for_each(|agent| agent.scopes.clear());
    assert_eq!(compare(&silent[0], &silent[1]).verdict, Verdict::Same);
    // A new name alone is told too.
    let change = compare(&old, &two_by_key("robot", "admin"));
    assert_eq!((change.verdict, change.needs_wider), (Verdict::Wider, true));
    assert_eq!(told(&change), [(named("bot"), named("robot"), vec!["API key bot-1".to_owned()])]);
}

#[test]
fn a_name_for_those_who_had_none_is_a_change() {
    let anonymous = |policy: &mut Policy, name: &str| {
        policy.agents.push(agent(name, Identity::Anonymous, &["orders:read"]));
        policy.agents.sort_by(|a, b| a.name.cmp(&b.name));
    };
    let (mut old, mut new) = (base(), base());
    anonymous(&mut old, "public");
    anonymous(&mut new, "public");
    new.agents.insert(0, agent("admin", proofs(Some("spiffe://any"), None), &[]));
    for (old, new, names) in [(&old, &new, (None, Some("admin"))), (&new, &old, (Some("admin"), None))] {
        let change = compare(old, new);
        assert!(change.verdict.is_wider() && change.needs_wider, "{change:#?}");
        let told = change.identities.iter().map(|it| (it.old.as_deref(), it.new.as_deref())).collect::<Vec<_>>();
        assert_eq!(told, [names]);
    }
    // Nobody is told of the anonymous agent.
    let mut new = base();
    anonymous(&mut new, "everyone");
    let change = compare(&old, &new);
    assert_eq!((change.verdict, change.identities.len()), (Verdict::Same, 0), "{change:#?}");
}

/// A policy in which one agent has a key's hash of a certificate and no scopes, and others have names.
pub fn blocking(agents: Vec<Agent>) -> Policy {
    let mut policy = base();
    let key = CertificateName::SpkiSha256("0f".repeat(32));
    let stolen = Proofs { certificate: Some(CertificateProof { name: key, ca: "ca".into() }), ..Proofs::default() };
    policy.agents = agents;
    policy.agents.insert(0, agent("blocked", Identity::Proofs(stolen), &[]));
    policy
}

#[test]
fn names_of_one_certificate_are_shown_together_always() {
    let old = blocking(vec![agent("machine", proofs(Some("spiffe://m"), None), &["orders:write"])]);
    let mut new = old.clone();
    new.agents.remove(0);
    let change = compare(&old, &new);
    assert_eq!((change.verdict, change.counts.allowed), (Verdict::Wider, 1));
    let class = &change.allowed[0];
    assert!(class.by_any_means, "the holder has one certificate, and could do nothing with it: {class:#?}");
    assert_eq!((class.requests_count, class.requests[0].path.as_str()), (1, "/orders/{id}"));
    let names = &class.example.certificate.as_ref().unwrap().names;
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(
        (class.example.old.reason, class.example.new.agent.as_deref()),
        (Some("proofs-conflict"), Some("machine"))
    );
    // The same, when the name goes to the agent that has the other one.
    let mut taken = new.clone();
    taken.agents[0].identity.push(old.agents[0].identity[0].clone());
    let class = &compare(&old, &taken).allowed[0];
    assert!(class.by_any_means && class.example.new.permitted, "{class:#?}");
    // And back.
    assert!(compare(&new, &old).refused[0].by_any_means);

    // With a token, which the holder can show alone.
    let old = blocking(vec![agent("bot", proofs(None, named("bot")), &["orders:write"])]);
    let mut new = old.clone();
    new.agents.remove(0);
    let change = compare(&old, &new);
    assert!(!change.allowed[0].by_any_means && change.allowed[0].requests_count == 1, "{change:#?}");
    // With both, the worse is told.
    let old = blocking(vec![
        agent("bot", proofs(None, named("bot")), &["orders:write"]),
        agent("machine", proofs(Some("spiffe://m"), None), &["orders:write"]),
    ]);
    let mut new = old.clone();
    new.agents.remove(0);
    assert!(compare(&old, &new).allowed[0].by_any_means);
}

/// A certificate shows all of its names under every CA that it chains to, so its name cannot stand under the one and its
/// key under the other alone.
#[test]
fn what_no_certificate_shows_under_two_cas_is_no_class() {
    let of = |name: CertificateName, ca: &str| {
        let certificate = Some(CertificateProof { name, ca: ca.into() });
        Identity::Proofs(Proofs { certificate, ..Proofs::default() })
    };
    let name = || CertificateName::Spiffe("spiffe://x/a".into());
    let mut old = base();
    old.client_cas = vec![ca("ca1"), ca("ca2")];
    old.agents = vec![
        agent("g", of(name(), "ca1"), &["orders:read"]),
        agent("x", of(CertificateName::SpkiSha256("ab".repeat(32)), "ca2"), &[]),
        agent("y1", of(name(), "ca2"), &[]),
    ];
    let mut new = old.clone();
    new.agents.remove(1);
    // Whoever is `g` by the first CA, and shows the key under the second, is `y1` by that: before, and after.
    assert_eq!(compare(&old, &new).verdict, Verdict::Same);
    // Without `y1` he is `g` alone.
    old.agents.remove(2);
    new.agents.remove(1);
    let change = compare(&old, &new);
    assert_eq!((change.verdict, change.counts.allowed), (Verdict::Wider, 1));
    let certificate = change.allowed[0].example.certificate.as_ref().unwrap();
    assert_eq!((certificate.cas.len(), certificate.names.len()), (2, 2), "{certificate:?}");
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
