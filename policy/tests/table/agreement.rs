//! Whatever the policy and the request: table and naive evaluator decide alike.

use policy::binding::Bindings;
use policy::bounds::CERTIFICATE_NAMES_MAX;
use policy::compile::compile;
use policy::decide::{Caller, Presented};
use policy::model::{
    Binding, CertificateName, CertificateProof, Identity, LimitKind as RuleKind, Policy, Proofs, Subject, TokenProof,
};
use policy::reason::Reason;
use policy::table::{AgentId, CaIndex, CertificateNameRef, IssuerIndex, LimitKind, Table, TokenScopes};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::naive;
use crate::universe::{self, Request};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn table_decides_as_the_naive_evaluator(policy in universe::policy(7), requests in vec(universe::request(), 60)) {
        agree(&policy, &requests)?;
    }

    #[test]
    fn a_policy_without_scopes_denies(policy in universe::policy(0), requests in vec(universe::request(), 20)) {
        agree(&policy, &requests)?;
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn bitmaps_reach_to_512_scopes(policy in universe::policy(512), requests in vec(universe::request(), 60)) {
        agree(&policy, &requests)?;
    }

    #[test]
    fn sorted_rows_decide_alike(policy in universe::policy(600), requests in vec(universe::request(), 60)) {
        agree(&policy, &requests)?;
    }

    #[test]
    fn limits_keep_their_numbers(policy in universe::policy(3)) {
        let table = Table::load(compile(&policy, [3; 32]).unwrap()).unwrap();
        let mut count = 0;
        for (agent, index) in policy.agents.iter().zip(0..) {
            let entries: Vec<_> = table.limits(AgentId(index)).collect();
            prop_assert_eq!(entries.len(), agent.limits.len());
            for (entry, limit) in entries.iter().zip(&agent.limits) {
                prop_assert_eq!(entry.index.0, count);
                prop_assert_eq!(table.limit_name(entry.index), &limit.name);
                prop_assert_eq!(table.limit_stable_id(entry.index), policy::hash::limit_stable_id(&agent.name, &limit.name));
                prop_assert_eq!(entry.per, limit.per);
                let seconds = u64::from(limit.unit.seconds());
                match (entry.kind, limit.kind) {
                    (LimitKind::Gcra(gcra), RuleKind::Rate { burst }) => {
                        prop_assert_eq!(gcra.burst, burst);
                        let given = u64::from(limit.count) * gcra.emission_interval_ns;
                        prop_assert!((seconds * 1_000_000_000..).contains(&given));
                        prop_assert!(given - seconds * 1_000_000_000 < u64::from(limit.count));
                    }
                    (LimitKind::Quota(quota), RuleKind::Quota) => {
                        prop_assert_eq!((quota.count, u64::from(quota.window_s)), (limit.count, seconds));
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
                count += 1;
            }
        }
        prop_assert_eq!(table.limit_count(), count);
    }
}

#[test]
fn a_population_is_everybody_but_the_named_and_the_excepted() {
    let token = |subject| TokenProof { issuer: "i0".into(), subject, bound: None };
    let proofs = |token| vec![Identity::Proofs(Proofs { token: Some(token), ..Proofs::default() })];
    let mut policy = universe::empty();
    policy.agents = vec![
        universe::agent("named", proofs(token(Subject::Exactly("bot".into()))), vec![]),
        universe::agent("staff", proofs(token(Subject::AnyBut(vec!["bot".into(), "mallory".into()]))), vec![]),
    ];
    let table = Table::load(compile(&policy, [0; 32]).unwrap()).unwrap();
    assert_eq!(table.proof_token(IssuerIndex(0), b"mallory"), None);
    assert_eq!(table.proof_token(IssuerIndex(1), b"anybody"), None, "another issuer has no population");
    for (subject, expected) in [("bot", ("named", false)), ("anybody", ("staff", true)), ("", ("staff", true))] {
        let proof = table.proof_token(IssuerIndex(0), subject.as_bytes());
        let caller = table.caller(&Presented { token: Some(proof), ..Presented::default() }).unwrap();
        assert_eq!((table.agent_name(caller.agent.unwrap()), caller.population), expected);
    }
}

/// The generated requests are worth something only if every outcome comes up.
#[test]
fn every_outcome_comes_up() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..150 {
        let policy = universe::policy(7).new_tree(&mut runner).unwrap().current();
        let requests = vec(universe::request(), 40).new_tree(&mut runner).unwrap().current();
        for request in universe::aimed(&policy, &requests) {
            let outcome = match naive::caller(&policy, &request.shown) {
                Err(reason) => reason.name().to_owned(),
                Ok(caller) => {
                    let route = naive::route(&policy, &request.host, &request.method, &request.path);
                    let token = request.shown.token.as_ref();
                    let grant = route.and_then(|route| naive::grant(&policy, &caller, token, route));
                    let anonymous = grant.as_ref().map(|grant| grant.2);
                    let (named, routed) = (caller.agent.is_some(), route.is_some());
                    format!("named {named} population {} route {routed} anonymous {anonymous:?}", caller.population)
                }
            };
            *seen.entry(outcome).or_default() += 1;
        }
    }
    println!("{seen:#?}");
    for reason in [Reason::ProofsConflict, Reason::ProofsIncomplete, Reason::AgentUnknown] {
        assert!(seen.contains_key(reason.name()), "{reason:?}");
    }
    for population in [true, false] {
        for anonymous in ["None", "Some(true)", "Some(false)"] {
            let outcome = format!("named true population {population} route true anonymous {anonymous}");
            assert!(seen.contains_key(&outcome), "{outcome}");
        }
    }
}

fn agree(policy: &Policy, requests: &[Request]) -> Result<(), TestCaseError> {
    let table = Table::load(compile(policy, [7; 32]).unwrap()).unwrap();
    for request in requests.iter().chain(&universe::aimed(policy, requests)) {
        let route = table.route(request.host.as_bytes(), request.method.as_bytes(), request.path.as_bytes());
        let expected = naive::route(policy, &request.host, &request.method, &request.path);
        prop_assert_eq!(
            route.map(|route| table.route_name(route)),
            expected.map(|route| &*route.name),
            "{:?}",
            request
        );
        if let (Some(route), Some(expected)) = (route, expected) {
            prop_assert_eq!(&policy.routes[route.index()], expected);
            let options = table.route_options(route).unwrap();
            prop_assert_eq!(table.origin_name(options.origin), &expected.origin);
        }
        let caller = table.caller(&universe::presented(policy, &table, &request.shown));
        let expected_caller = naive::caller(policy, &request.shown);
        let in_words = caller.map(|Caller { agent, population }| {
            let agent = agent.map(|agent| table.agent_name(agent).to_owned());
            naive::Caller { agent, population }
        });
        prop_assert_eq!(&in_words, &expected_caller, "{:?}", request);
        let (Ok(caller), Ok(expected_caller), Some(route), Some(expected)) = (caller, expected_caller, route, expected)
        else {
            continue;
        };
        let scopes = request.shown.token.as_ref().and_then(|token| token.scopes.as_ref());
        let scopes = match scopes {
            Some(names) => table.token_scopes(names.iter().map(String::as_bytes)),
            None => TokenScopes::everything(),
        };
        let grant = table.grant(&caller, &scopes, route).map(|grant| {
            assert_eq!(grant.route, route);
            let (agent, scope) = (table.agent_name(grant.agent), table.scope_name(grant.scope));
            (agent.to_owned(), scope.to_owned(), grant.by_anonymous)
        });
        let expected = naive::grant(policy, &expected_caller, request.shown.token.as_ref(), expected);
        prop_assert_eq!(grant, expected, "{:?}", request);
    }
    Ok(())
}

#[test]
fn a_token_that_must_be_bound_names_nobody_without() {
    let token = |subject, bound| {
        let token = Some(TokenProof { issuer: "i0".into(), subject, bound });
        vec![Identity::Proofs(Proofs { token, ..Proofs::default() })]
    };
    let mut policy = universe::empty();
    policy.agents = vec![
        universe::agent("named", token(Subject::Exactly("bot".into()), Some(Binding::Certificate)), vec![]),
        universe::agent("staff", token(Subject::AnyBut(vec![]), Some(Binding::Dpop)), vec![]),
    ];
    let table = Table::load(compile(&policy, [0; 32]).unwrap()).unwrap();
    for (subject, agent, needed) in [("bot", "named", Bindings::CERTIFICATE), ("anybody", "staff", Bindings::DPOP)] {
        let token = Some(table.proof_token(IssuerIndex(0), subject.as_bytes()));
        for bound in Bindings::ALL {
            let caller = table.caller(&Presented { token, bound, ..Presented::default() });
            match bound.hold(needed) {
                true => assert_eq!(table.agent_name(caller.unwrap().agent.unwrap()), agent),
                false => assert_eq!(caller, Err(Reason::TokenUnbound)),
            }
        }
    }
}

/// A certificate's names are taken under every CA that it chains to, so there can be more proofs than names.
#[test]
fn a_certificate_of_many_proofs_loses_none_that_speaks_against_it() {
    let named = |number: usize, ca: usize, keys: &[&str]| {
        let name = CertificateName::Dns(format!("n{number}"));
        Identity::Proofs(Proofs {
            certificate: Some(CertificateProof { name, ca: format!("ca{ca}") }),
            api_keys: keys.iter().map(|key| (*key).into()).collect(),
            ..Proofs::default()
        })
    };
    let caller = |policy: &Policy, cas: u16, key: bool| {
        let table = Table::load(compile(policy, [0; 32]).unwrap()).unwrap();
        let names: Vec<String> = (0..CERTIFICATE_NAMES_MAX).map(|number| format!("n{number}")).collect();
        let names = names.iter().map(|name| CertificateNameRef::Dns(name));
        let certificate = table.certificate_proofs((0..cas).map(CaIndex), names);
        let api_key = key.then(|| table.proof_api_key(b"k0").map(|(_, proof)| proof));
        table.caller(&Presented { certificate, api_key, ..Presented::default() }).map(|caller| caller.agent)
    };
    let numbers = || (0..2).flat_map(|ca| (0..CERTIFICATE_NAMES_MAX).map(move |number| (number, ca)));
    let policy = |owner: fn(usize, usize) -> bool, keys: &[&str]| {
        let of = |own: bool| -> Vec<Identity> {
            let mine = numbers().filter(|(number, ca)| owner(*number, *ca) == own);
            mine.map(|(number, ca)| named(number, ca, keys)).collect()
        };
        let mut policy = universe::empty();
        policy.agents = vec![universe::agent("a0", of(true), vec![]), universe::agent("a1", of(false), vec![])];
        policy
    };
    // All sixteen are one agent's.
    assert_eq!(caller(&policy(|_, _| true, &[]), 2, false), Ok(Some(AgentId(0))));
    // The last one is somebody else's.
    let but_the_last = |number, ca| (number, ca) != (CERTIFICATE_NAMES_MAX - 1, 1);
    assert_eq!(caller(&policy(but_the_last, &[]), 1, false), Ok(Some(AgentId(0))));
    assert_eq!(caller(&policy(but_the_last, &[]), 2, false), Err(Reason::ProofsConflict));
    // Of those that need a key, no more count than there are places; a certificate with more is refused.
    let with_key = policy(|_, _| true, &["k0"]);
    assert_eq!(caller(&with_key, 1, true), Ok(Some(AgentId(0))));
    assert_eq!(caller(&with_key, 2, true), Err(Reason::ProofsConflict));
}
