//! Images that nobody compiled: refused or harmless, never a panic.

use std::cell::Cell;

use policy::binding::Bindings;
use policy::bounds::LIMITS_PER_AGENT_MAX;
use policy::compile::compile;
use policy::decide::{Caller, Presented};
use policy::model::{
    CertificateName, CertificateProof, Identity, Limit, LimitKind, Per, Policy, Proofs, Subject, TokenProof, Unit,
};
use policy::table::{
    AgentId, CaIndex, CertificateNameRef, IssuerIndex, LimitIndex, OriginIndex, ProofId, RouteId, ScopeId, Table,
    TableError, TokenProofId, TokenScopes,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::universe::{self, Request, presented};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Bytes to write over an image; small values and those near the marks of absence are the ones that hurt.
fn damage() -> impl Strategy<Value = Vec<(Index, u32)>> {
    let value = prop_oneof![any::<u32>(), 0_u32..40, Just(u32::MAX), Just(u32::MAX - 1), Just(u32::MAX - 2)];
    vec((any::<Index>(), value), 1..6)
}

fn damaged(image: &[u8], damage: &[(Index, u32)]) -> Vec<u8> {
    let mut image = image.to_vec();
    for (place, value) in damage {
        let at = place.index(image.len() / 4) * 4;
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    image
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn damaged_images_are_refused_or_harmless(
        policy in prop_oneof![universe::policy(7), universe::policy(520)],
        request in universe::request(),
        damage in damage(),
    ) {
        let image = damaged(&compile(&policy, [0; 32]).unwrap(), &damage);
        if let Ok(table) = Table::load(&image[..]) {
            exercise(&policy, &table, &request);
        }
    }

    #[test]
    fn an_image_that_changes_after_load_is_harmless(
        policy in prop_oneof![universe::policy(7), universe::policy(520)],
        request in universe::request(),
        damage in damage(),
        shorter_by in 0_usize..400,
    ) {
        let good = compile(&policy, [0; 32]).unwrap();
        let mut bad = damaged(&good, &damage);
        bad.truncate(bad.len() - shorter_by.min(bad.len()));
        let turned = Cell::new(false);
        let table = Table::load(Turncoat { good, bad, turned: &turned }).unwrap();
        turned.set(true);
        exercise(&policy, &table, &request);
    }

    #[test]
    fn cut_images_are_refused(policy in universe::policy(7), cut in any::<Index>()) {
        let image = compile(&policy, [0; 32]).unwrap();
        let length = cut.index(image.len());
        prop_assert!(Table::load(&image[..length]).is_err());
        let longer: Vec<u8> = image.iter().copied().chain([0; 64]).collect();
        prop_assert!(Table::load(longer).is_err());
    }

    #[test]
    fn noise_is_refused(bytes in vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Table::load(bytes).is_err());
    }
}

/// Every 4 bytes of one image, set to each of a few values: loads or not, never panics.
#[test]
fn every_word_of_an_image_may_lie() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let policy = universe::policy(7).new_tree(&mut runner).unwrap().current();
    let request = universe::request().new_tree(&mut runner).unwrap().current();
    let image = compile(&policy, [0; 32]).unwrap();
    let (mut loaded, mut refused) = (0, 0);
    for at in (0..image.len()).step_by(4) {
        for value in [0, 1, 7, 64, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            let mut bytes = image.clone();
            bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            match Table::load(&bytes[..]) {
                Ok(table) => {
                    loaded += 1;
                    exercise(&policy, &table, &request);
                }
                Err(_) => refused += 1,
            }
        }
    }
    println!("{} bytes: {loaded} loaded, {refused} refused", image.len());
    assert!(loaded > 100 && refused > 100);
}

#[test]
fn each_kind_of_fault_is_told_apart() {
    let image = compile(&universe::empty(), [9; 32]).unwrap();
    assert_eq!(Table::load(&image[..]).unwrap().policy_digest(), [9; 32]);
    assert_eq!(Table::load(&image[..100]).err(), Some(TableError::TooShort { found: 100 }));
    let with = |at: usize, byte: u8| {
        let mut image = image.clone();
        image[at] ^= byte;
        Table::load(image).err()
    };
    assert_eq!(with(0, 1), Some(TableError::NotATable));
    assert_eq!(with(8, 4), Some(TableError::Format { found: 0 }));
    assert!(matches!(with(12, 1), Some(TableError::Length { .. })));
    assert!(matches!(with(36, 1), Some(TableError::Header { .. })), "an anonymous agent that does not exist");
    assert!(matches!(with(44, 1), Some(TableError::Record { .. })), "a root with another number");
    assert!(matches!(with(48, 1), Some(TableError::Header { .. })), "another cost certificate");
    assert!(matches!(with(148, 1), Some(TableError::Directory { .. })));
}

/// A hash leads to a place; only the whole string there identifies. Here each string is another than the one hashed.
#[test]
fn a_hash_that_fits_proves_nothing() {
    let mut policy = universe::empty();
    policy.routes = vec![universe::route("r", "api.corp.example", "/long-segment")];
    let proofs = Proofs {
        certificate: Some(CertificateProof { name: CertificateName::Dns("dns-name".into()), ca: "ca0".into() }),
        token: Some(TokenProof { issuer: "i0".into(), subject: Subject::Exactly("subject".into()), bound: None }),
        api_keys: vec!["k0".into()],
    };
    policy.agents = vec![universe::agent("a", vec![Identity::Proofs(proofs)], vec![])];
    let image = compile(&policy, [0; 32]).unwrap();
    let found = |image: Vec<u8>| {
        let table = Table::load(image).unwrap();
        [
            table.route(b"api.corp.example", b"GET", b"/long-segment").is_some(),
            table.proof_certificate(CaIndex(0), CertificateNameRef::Dns("dns-name")).is_some(),
            table.proof_token(IssuerIndex(0), b"subject").is_some(),
            table.proof_api_key(b"k0").is_some(),
        ]
    };
    assert_eq!(found(image.clone()), [true; 4]);
    for (string, expected) in [
        ("api.corp.example", [false, true, true, true]),
        ("long-segment", [false, true, true, true]),
        ("dns-name", [true, false, true, true]),
        ("subject", [true, true, false, true]),
        ("k0", [true, true, true, false]),
    ] {
        let at = image.windows(string.len()).position(|bytes| bytes == string.as_bytes()).unwrap();
        let mut image = image.clone();
        image[at + string.len() - 1] ^= 1;
        assert_eq!(found(image), expected, "{string}");
    }
}

/// However many limits an agent comes to have after the load, no more are charged than counters have room for.
#[test]
fn limits_of_an_agent_stay_few() {
    let limit =
        |id: u32| Limit { name: id.to_string(), kind: LimitKind::Quota, count: 1, unit: Unit::Day, per: Per::Agent };
    let mut policy = universe::empty();
    for name in ["a", "b", "c"] {
        let mut agent = universe::agent(name, vec![], vec![]);
        agent.limits = (0..7).map(limit).collect();
        policy.agents.push(agent);
    }
    let good = compile(&policy, [0; 32]).unwrap();
    // The ninth section holds the agents; the fifth word of one is how many limits it has.
    let entry = 148 + 8 * 8;
    let agents = u32::from_le_bytes(good[entry..entry + 4].try_into().unwrap()) as usize;
    let mut bad = good.clone();
    assert_eq!(bad[agents + 16], 7);
    bad[agents + 16] = 200;
    assert!(matches!(Table::load(&bad[..]), Err(TableError::Record { .. })));
    let turned = Cell::new(false);
    let table = Table::load(Turncoat { good, bad, turned: &turned }).unwrap();
    assert_eq!(table.limits(AgentId(0)).count(), 7);
    turned.set(true);
    assert_eq!(table.limits(AgentId(0)).count(), LIMITS_PER_AGENT_MAX);
}

/// Bytes that become others.
struct Turncoat<'t> {
    good: Vec<u8>,
    bad: Vec<u8>,
    turned: &'t Cell<bool>,
}

impl AsRef<[u8]> for Turncoat<'_> {
    fn as_ref(&self) -> &[u8] {
        if self.turned.get() { &self.bad } else { &self.good }
    }
}

/// Every look-up there is, with ids from the table and from nowhere.
fn exercise<B: AsRef<[u8]>>(policy: &Policy, table: &Table<B>, request: &Request) {
    // Keys of a damaged table may stand elsewhere, so what `presented` asserts about them is not asked here.
    let mut shown = request.shown.clone();
    shown.api_key = None;
    let mut presented = presented(policy, table, &shown);
    presented.api_key = Some(table.proof_api_key(b"k1").map(|(_, proof)| proof));
    let _ = table.caller(&presented);
    for id in [0, 1, 2, 3, 5, 8, 1_000_000, u32::MAX - 1, u32::MAX] {
        let proof =
            |number: u32| ProofId { number, agent: id, flags: number as u8, population: number.is_multiple_of(2) };
        let proofs = Presented {
            certificate: [Some(proof(id)); 8],
            token: Some(Some(TokenProofId(proof(id.wrapping_add(1))))),
            bound: Bindings::ALL[id as usize % 4],
            api_key: Some(Some(proof(id.wrapping_add(2)))),
        };
        let _ = table.caller(&proofs);
        let names = [b"scope0001".as_slice(), b"", b"scope0006"];
        for scopes in [TokenScopes::everything(), table.token_scopes(names.into_iter())] {
            for agent in [None, Some(AgentId(id))] {
                let _ = table.grant(&Caller { agent, population: false }, &scopes, RouteId(id));
            }
        }
        assert!(table.limits(AgentId(id)).count() <= 8);
        let _ = (table.limit(LimitIndex(id)), table.limit_stable_id(LimitIndex(id)), table.limit_name(LimitIndex(id)));
        let _ = (table.agent_name(AgentId(id)), table.route_name(RouteId(id)), table.route_options(RouteId(id)));
        let _ = (table.scope_name(ScopeId(id as u16)), table.origin_name(OriginIndex(id as u16)));
    }
    for name in universe::METHODS {
        let _ = table.route(request.host.as_bytes(), name.as_bytes(), request.path.as_bytes());
    }
    let deep = "/a".repeat(3_000);
    for path in ["", "/", "/a/b", "/a/a/a/a/", &deep] {
        let _ = table.route(b"a.example", b"GET", path.as_bytes());
    }
    for ca in [0, 1, u16::MAX] {
        let _ = table.proof_certificate(CaIndex(ca), CertificateNameRef::from(&CertificateName::Dns("c0".into())));
        let _ = table.proof_token(IssuerIndex(ca), b"s0");
    }
    let _ = (table.agent("agent1"), table.route_named("route01"), table.certificate().total(), table.anonymous());
    assert!(table.limit_indices().take(100).all(|index| index.0 < 100));
}
