//! Policies of the size of a large company, against a neighbour and against one with nothing in common.
#![allow(clippy::disallowed_methods, reason = "measures, and reads how large it shall be")]

use std::time::Instant;

use policy::bounds::IDENTITIES_PER_AGENT_MAX;
use policy::model::*;

use super::universe::{ca, empty, issuer, table};
use crate::diff::with_parts;
use crate::look::Look;
use crate::strays::strays_within;
use crate::{Diff, Side, Verdict, diff};

/// One route in a hundred agents' scope; agents by certificate and token, by token, or by key, in turns.
fn large(agents: usize, routes: usize) -> Policy {
    let mut policy = empty();
    policy.client_cas.push(ca("agents"));
    policy.issuers.push(issuer("corp", Some("scope")));
    let scopes = 500.min(routes);
    for number in 0..routes {
        let path = match number % 4 {
            0 => format!("/service-{number}/{{id}}"),
            1 => format!("/service-{number}/items"),
            2 => format!("/service-{number}/{{id}}/parts/{{part}}"),
            _ => format!("/service-{number}/{{rest...}}"),
        };
        policy.routes.push(Route {
            name: format!("route-{number:06}"),
            host: format!("api-{}.example", number % 50),
            methods: Methods::Only(vec!["GET".into(), "POST".into()]),
            path,
            origin: "o1".into(),
            encoded_slash: false,
            path_parameters: false,
        });
    }
    for number in 0..scopes {
        let routes = (number..routes).step_by(scopes).map(|route| format!("route-{route:06}")).collect();
        policy.scopes.push(Scope { name: format!("scope-{number:04}"), routes });
    }
    for number in 0..agents {
        let mut proofs = Proofs::default();
        if number % 3 == 0 {
            let name = CertificateName::Spiffe(format!("spiffe://corp.example/{number}"));
            proofs.certificate = Some(CertificateProof { name, ca: "agents".into() });
        }
        if number % 3 != 2 {
            let subject = Subject::Exactly(format!("subject-{number}"));
            proofs.token = Some(TokenProof { issuer: "corp".into(), subject, bound: None });
        } else {
            let id = format!("key-{number:06}");
            proofs.api_keys.push(id.clone());
            policy.api_keys.push(ApiKey { id, sha256: None, expires_s: None });
        }
        let scopes = (0..8).map(|step| format!("scope-{:04}", (number * 7 + step * step) % scopes)).collect();
        let limits = vec![Limit {
            name: "60-minute".into(),
            kind: LimitKind::Rate { burst: 60 },
            count: 60,
            unit: Unit::Minute,
            per: Per::Agent,
        }];
        let identity = vec![Identity::Proofs(proofs)];
        policy.agents.push(Agent { name: format!("agent-{number:06}"), identity, scopes, limits });
    }
    policy.agents.push(Agent {
        name: "staff".into(),
        identity: vec![Identity::Proofs(Proofs {
            token: Some(TokenProof { issuer: "corp".into(), subject: Subject::AnyBut(vec![]), bound: None }),
            ..Proofs::default()
        })],
        scopes: vec!["scope-0000".into()],
        limits: vec![],
    });
    policy
}

/// A handful of changes of every kind.
fn neighbour(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.agents.remove(0);
    policy.agents.remove(10);
    policy.agents[20].scopes.push("scope-0001".into());
    policy.agents[30].limits.clear();
    policy.routes[5].path = "/elsewhere/{id}".into();
    policy.routes[6].encoded_slash = true;
    policy.scopes[3].routes.pop();
    policy
}

/// The same with every scope, subject, name and host renamed.
fn stranger(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.scopes.iter_mut().for_each(|scope| scope.name.insert(0, 'x'));
    policy.routes.iter_mut().for_each(|route| route.host.insert(0, 'x'));
    for agent in &mut policy.agents {
        agent.name.insert(0, 'x');
        agent.scopes.iter_mut().for_each(|scope| scope.insert(0, 'x'));
        for identity in &mut agent.identity {
            let Identity::Proofs(proofs) = identity else { continue };
            if let Some(CertificateProof { name: CertificateName::Spiffe(name), .. }) = &mut proofs.certificate {
                name.push('x');
            }
            if let Some(TokenProof { subject: Subject::Exactly(subject), .. }) = &mut proofs.token {
                subject.push('x');
            }
        }
    }
    policy
}

/// The same with every agent renamed.
fn renamed(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.agents.iter_mut().for_each(|agent| agent.name.insert(0, 'x'));
    policy
}

fn compared(old: &Policy, new: &Policy, what: &str) -> Diff {
    let (old_table, new_table) = (table(old), table(new));
    let started = Instant::now();
    let diff = diff(Side { policy: old, table: &old_table }, Side { policy: new, table: &new_table });
    let (agents, routes) = (old.agents.len(), old.routes.len());
    println!("{agents} agents, {routes} routes, {what}: {:.3} s, {:?}", started.elapsed().as_secs_f64(), diff.counts);
    diff
}

#[test]
fn a_neighbour_is_compared_in_time_that_grows_with_the_policy_alone() {
    let sizes: &[(usize, usize)] = match std::env::var("FULL") {
        Ok(_) => &[(1_000, 100), (10_000, 1_000), (100_000, 10_000)],
        Err(_) => &[(1_000, 100), (10_000, 1_000)],
    };
    for (agents, routes) in sizes {
        let policy = large(*agents, *routes);
        let same = compared(&policy, &policy.clone(), "the same");
        assert_eq!((same.verdict, same.needs_wider), (Verdict::Same, false));
        let change = compared(&policy, &neighbour(&policy), "a neighbour");
        assert_eq!((change.verdict, change.exhausted), (Verdict::Both, false));
        assert!(change.counts.allowed < 60 && change.counts.refused < 60, "{:?}", change.counts);
        let named = compared(&policy, &renamed(&policy), "every agent renamed");
        assert!(named.verdict.is_wider() && named.needs_wider);
        assert!(named.exhausted || named.counts.identities == agents + 1, "{:?}", named.counts);
        assert!(named.identities.len() <= 1_000);
        let all = compared(&policy, &stranger(&policy), "nothing in common");
        assert_eq!(all.verdict, Verdict::Both);
        assert!(all.allowed.len() <= 1_000 && all.refused.len() <= 1_000);
    }
}

/// Agents with as many alternatives as compile, each of a certificate name, a token and a key that mean something else
/// in every one of them.
fn tangled(agents: usize, shift: usize) -> Policy {
    let mut policy = large(0, 10);
    policy.agents.clear();
    policy.agents.extend((0..agents).map(|agent| {
        let identity = (0..IDENTITIES_PER_AGENT_MAX).map(|at| {
            let number = agent * IDENTITIES_PER_AGENT_MAX + at;
            let name = CertificateName::Spiffe(format!("spiffe://corp.example/{}", number + shift * (at % 3)));
            let subject = Subject::Exactly(format!("subject-{}", number / (1 + at % 4) + shift));
            Identity::Proofs(Proofs {
                certificate: Some(CertificateProof { name, ca: "agents".into() }),
                token: Some(TokenProof { issuer: "corp".into(), subject, bound: None }),
                api_keys: vec![],
            })
        });
        let (name, scopes) = (format!("agent-{agent:04}"), vec!["scope-0000".into()]);
        Agent { name, identity: identity.collect(), scopes, limits: vec![] }
    }));
    policy
}

#[test]
fn a_search_that_is_too_long_is_given_up_and_needs_the_wider_role() {
    let (old, mut new) = (tangled(300, 0), tangled(300, 1));
    let change = compared(&old, &new, "tangled");
    assert!(change.exhausted && change.needs_wider && change.verdict == Verdict::Both);
    // More alternatives do not compile.
    let identity = new.agents[1].identity[0].clone();
    new.agents[0].identity.push(identity);
    let error = policy::compile::compile(&new, [7; 32]).unwrap_err().to_string();
    assert!(error.contains("`agent-0000` has 17 alternatives") && error.contains("more than 16"), "{error}");
}

#[test]
fn subjects_that_fare_alike_are_looked_at_once() {
    const SUBJECTS: usize = 50_000;
    let old = large(10, 10);
    let mut new = old.clone();
    let Some(Identity::Proofs(proofs)) = new.agents.last_mut().map(|staff| &mut staff.identity[0]) else { panic!() };
    let excepted = (0..SUBJECTS).map(|number| format!("excepted-{number:05}")).collect();
    proofs.token.as_mut().unwrap().subject = Subject::AnyBut(excepted);
    for (old, new, verdict) in [(&old, &new, Verdict::Narrower), (&new, &old, Verdict::Wider)] {
        let change = compared(old, new, "subjects excepted");
        assert_eq!(
            (change.verdict, change.exhausted, change.allowed.len() + change.refused.len()),
            (verdict, false, 1)
        );
        let principals = &change.allowed.iter().chain(&change.refused).next().unwrap().principals;
        let told: Vec<_> = principals.iter().map(|it| (it.name.as_str(), it.by_count, it.by.len())).collect();
        assert_eq!(told, [("staff", SUBJECTS, 1)]);
    }
}

#[test]
fn what_changes_with_strays_is_listed_within_its_bound() {
    let old = large(30, 10);
    let new = stranger(&old);
    let (old_table, new_table) = (table(&old), table(&new));
    let (old, new): ((_, &dyn Look), (_, &dyn Look)) = ((&old, &old_table), (&new, &new_table));
    with_parts(old, new, |scene, callers, _, exhausted| {
        assert!(!exhausted);
        let within =
            |listed_max: usize| strays_within(scene, callers, (usize::MAX, listed_max), (usize::MAX, usize::MAX));
        let all = within(usize::MAX).found.len();
        let enough = (0..10_000).find(|listed_max| !within(*listed_max).exhausted).unwrap();
        assert!(all > 0 && enough > 0, "{all} strays in {enough} steps");
        assert_eq!(within(enough).found.len(), all);
        assert!(within(enough - 1).found.len() < all, "the last one was not listed whole");
    });
}

#[test]
fn no_stray_is_left_out_in_silence_where_the_bound_of_groups_is_reached() {
    let large = large(30, 10);
    let strange = stranger(&large);
    let (few, more) = (meshed(2, spiffe, |_, _| false), meshed(4, dns, |agent, scope| agent == scope));
    for (old, new, step) in [(&large, &strange, 1), (&few, &more, 501), (&more, &few, 501)] {
        let (old_table, new_table) = (table(old), table(new));
        let (old, new): ((_, &dyn Look), (_, &dyn Look)) = ((old, &old_table), (new, &new_table));
        with_parts(old, new, |scene, callers, _, _| {
            let within = |groups| strays_within(scene, callers, (usize::MAX, usize::MAX), groups);
            let all = within((usize::MAX, usize::MAX)).found.len();
            for kept_max in [usize::MAX, 0] {
                let mut is_left_out = false;
                for looked_max in (0..).step_by(step) {
                    let strays = within((looked_max, kept_max));
                    let found = strays.found.len();
                    assert!(strays.exhausted || found == all, "{looked_max}, {kept_max}: {found} of {all}");
                    is_left_out |= found < all;
                    if !strays.exhausted {
                        break;
                    }
                }
                assert!(is_left_out);
            }
        });
    }
}

fn spiffe(agent: usize) -> CertificateName {
    CertificateName::Spiffe(format!("spiffe://corp.example/{agent}"))
}

fn dns(agent: usize) -> CertificateName {
    CertificateName::Dns(format!("agent-{agent}.example"))
}

/// A route for each set of ten scopes, and agents by certificate names of this kind, who have all scopes but those that they lack.
fn meshed(agents: usize, name: fn(usize) -> CertificateName, lacks: fn(agent: usize, scope: usize) -> bool) -> Policy {
    const SCOPES: usize = 10;
    let mut policy = large(0, 0);
    policy.agents.clear();
    policy.routes.extend((1..1 << SCOPES).map(|number| Route {
        name: format!("route-{number:04}"),
        host: "api.example".into(),
        methods: Methods::Only(vec!["GET".into()]),
        path: format!("/{number}"),
        origin: "o1".into(),
        encoded_slash: false,
        path_parameters: false,
    }));
    policy.scopes.extend((0..SCOPES).map(|scope| {
        let of = (1..1 << SCOPES).filter(|number| number >> scope & 1 == 1);
        Scope { name: format!("scope-{scope}"), routes: of.map(|number| format!("route-{number:04}")).collect() }
    }));
    policy.agents.extend((0..agents).map(|agent| {
        let proofs = Proofs {
            certificate: Some(CertificateProof { name: name(agent), ca: "agents".into() }),
            ..Proofs::default()
        };
        let scopes = (0..SCOPES).filter(|scope| !lacks(agent, *scope)).map(|scope| format!("scope-{scope}"));
        let (name, scopes) = (format!("agent-{agent:04}"), scopes.collect());
        Agent { name, identity: vec![Identity::Proofs(proofs)], scopes, limits: vec![] }
    }));
    policy
}

#[test]
fn groups_are_looked_at_once_for_all_agents_with_the_same_scopes_and_within_a_bound() {
    let last: fn(usize, usize) -> bool = |_, scope| scope == 0;
    let own: fn(usize, usize) -> bool = |agent, scope| (agent * 37 % 1_023 + 1) >> scope & 1 == 0;
    for (lacks, exhausted) in [([|_, _| false, last], false), ([own, own], true)] {
        let (old, new) = (meshed(50, spiffe, lacks[0]), meshed(400, dns, lacks[1]));
        let change = compared(&old, &new, "names of another kind");
        assert_eq!((change.exhausted, change.needs_wider, change.verdict), (exhausted, true, Verdict::Both));
    }
}

#[test]
fn strays_that_are_left_out_make_it_exhausted() {
    // Nothing changes with any of these names, but not all pairs are tried of those that are not alike.
    let with = |names: usize, cas: usize| {
        let mut policy = large(0, 10);
        policy.agents[0].scopes.clear();
        policy.client_cas.extend((0..40).map(|number| ca(&format!("agents-{number:02}"))));
        for number in 0..names {
            let name = CertificateName::Spiffe(format!("spiffe://corp.example/{number}"));
            let ca = format!("agents-{:02}", number % cas);
            let proofs = Proofs { certificate: Some(CertificateProof { name, ca }), ..Proofs::default() };
            let (name, identity) = (format!("agent-{number:04}"), vec![Identity::Proofs(proofs)]);
            policy.agents.insert(number, Agent { name, identity, scopes: vec![], limits: vec![] });
        }
        policy.client_cas.push(ca("other"));
        policy
    };
    let mut one_sided = with(0, 1);
    one_sided.client_cas.pop();
    for (names, cas, exhausted) in [(40, 1, false), (40, 5, false), (40, 40, true)] {
        let change = compared(&with(names, cas), &one_sided, "strays");
        assert_eq!((change.exhausted, change.needs_wider), (exhausted, exhausted), "{names} {cas} {change:?}");
    }
}
