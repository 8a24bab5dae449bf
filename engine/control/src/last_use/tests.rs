//! Uses outlive what they were noted under: an activation, a release, a restart.

use policy::model::Keys;
use policy::table::{AgentId, ApiKeyIndex};

use super::*;
use crate::testing;
use crate::testing::rig::{self, rig, wait};

fn frozen(agents: &[&str]) -> Frozen {
    let mut policy = testing::policy(Keys::None, None);
    let bot = policy.agents.remove(0);
    let named = |name: &&str| policy::model::Agent { name: (*name).to_owned(), ..bot.clone() };
    policy.agents = agents.iter().take(1).map(named).collect();
    // Others cannot have the same proof.
    policy.agents.extend(agents.iter().skip(1).map(|name| {
        let api_key = policy::model::Proofs { api_keys: vec![format!("{name}-1")], ..Default::default() };
        policy::model::Agent { identity: vec![policy::model::Identity::Proofs(api_key)], ..named(name) }
    }));
    policy.api_keys = agents.iter().skip(1).map(|name| api_key(&format!("{name}-1"))).collect();
    Frozen::new(policy, testing::facts(), [7; 32]).unwrap()
}

fn api_key(id: &str) -> policy::model::ApiKey {
    policy::model::ApiKey { id: id.to_owned(), sha256: Some("0".repeat(64)), expires_s: None }
}

fn used(uses: &Register, kind: Kind, name: &str) -> Option<u64> {
    let ledger = uses.ledger();
    ledger.known().find(|(of, _)| of.kind == kind && of.name == name).map(|(_, known)| known.used_s)
}

fn serving(uses: &Uses) -> (u32, u32) {
    (uses.of_policy.id, uses.of_keys.id)
}

#[test]
fn the_same_policy_and_keys_have_the_same_words_and_others_have_their_own() {
    let (register, one, other) = (Register::new(2), frozen(&["a", "b"]), frozen(&["b", "c"]));
    let first = register.of(&one, &[]);
    assert_eq!(serving(&first), serving(&register.of(&one, &[])));
    assert_eq!(first.of_policy.count(), 3, "two agents and a key");
    let next = register.of(&other, &[]);
    assert!(next.of_policy.id != first.of_policy.id && next.of_keys.id == first.of_keys.id);
}

#[test]
fn what_was_noted_under_a_release_that_is_gone_is_kept_by_name() {
    let (register, mut merged) = (Register::new(2), Merged::default());
    let old = register.of(&frozen(&["a", "b"]), &[]);
    merged.merge(&register, serving(&old), 10);
    assert_eq!((used(&register, Kind::Agent, "a"), used(&register, Kind::Agent, "0")), (Some(0), None));
    old.agent(1, AgentId(1), 20);
    old.api_key(0, ApiKeyIndex(0), 21);
    let next = register.of(&frozen(&["0", "a"]), &[]);
    // Written by a worker that still runs a request on the old one, and then gone.
    old.agent(0, AgentId(0), 22);
    drop(old);
    merged.merge(&register, serving(&next), 30);
    assert_eq!(["a", "b", "0"].map(|name| used(&register, Kind::Agent, name)), [Some(22), Some(20), Some(0)]);
    assert_eq!(used(&register, Kind::ApiKey, "b-1"), Some(21));
    assert_eq!((register.sources().policies.len(), merged.seen.len()), (1, 2 + 1), "one look longer");
    let declared = |name: &str| register.ledger().known().any(|(of, known)| of.name == name && known.declared);
    assert_eq!(["a", "b", "0"].map(declared), [true, false, true]);
    next.agent(0, AgentId(1), 40);
    merged.merge(&register, serving(&next), 41);
    assert_eq!((used(&register, Kind::Agent, "a"), merged.seen.len()), (Some(40), 2));
}

#[test]
fn a_certificate_is_told_with_its_agent() {
    let (register, mut merged) = (Register::new(1), Merged::default());
    let of = register.of(&frozen(&["a", "b"]), &[]);
    let holder = activation::uses::Holder { policy: of.of_policy.id, agent: AgentId(1) };
    register.certificates_of(0).note(&std::cell::Cell::default(), &[0xab; 32], holder, 9);
    merged.merge(&register, serving(&of), 10);
    let ledger = register.ledger();
    let known = ledger.known().find(|(of, _)| of.kind == Kind::Certificate).unwrap();
    assert_eq!((known.0.name.as_str(), known.1.agent.as_str(), known.1.used_s), ("ab".repeat(32).as_str(), "b", 9));
}

#[test]
fn the_keeper_goes_on_from_what_it_wrote_at_its_end() {
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rig = rig(directory.path());
    let start = |uses: &Register| {
        let status = Arc::clone(&rig.status);
        spawn(Start {
            uses: uses.clone(),
            status,
            state: Some(state.path().to_owned()),
            at_rest: AtRest::default(),
            worker_cores: vec![],
        })
        .unwrap()
    };
    let register = Register::new(1);
    let of = register.of(&Frozen::new(rig::policy(None), testing::facts(), [7; 32]).unwrap(), &[]);
    let keeper = start(&register);
    of.agent(0, AgentId(0), 77);
    wait("the merge", || used(&register, Kind::Agent, "bot") == Some(77));
    of.agent(0, AgentId(0), 78);
    keeper.stop();
    let again = Register::new(1);
    start(&again).stop();
    assert_eq!(used(&again, Kind::Agent, "bot"), Some(78));
    std::fs::write(state.path().join("last-use.json"), "damaged").unwrap();
    let anew = Register::new(1);
    start(&anew).stop();
    assert_eq!(used(&anew, Kind::Agent, "bot"), None, "and the start is not refused");
    rig.end(directory.path());
}
