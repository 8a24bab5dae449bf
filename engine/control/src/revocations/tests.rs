//! A list reaches every table that is in use, at once, and lapses by itself.

use std::sync::Arc;

use activation::counters::Arena;
use activation::revoked::TokenFacts;
use policy::bounds::LEEWAY_S_MAX;
use policy::model::Keys;
use policy::table::AgentId;
use policy_release::revocations::Target;

use super::*;
use crate::activate::Activator;
use crate::assemble::{Frozen, assemble};
use crate::records::{self, Target as To};
use crate::testing;

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn list(serial: u64, targets: &[(Target, Option<u64>)]) -> Arc<Revocations> {
    let entry = |(target, until): &(Target, Option<u64>)| Entry {
        target: target.clone(),
        since: time(1),
        until: until.map(time),
        why: "w".into(),
    };
    let entries = targets.iter().map(entry).collect();
    Arc::new(Revocations::new("p", "c", serial, time(1), time(9_000), entries).unwrap())
}

fn agent(name: &str) -> Target {
    Target::Agent(name.into())
}

fn frozen(digest: u8) -> Frozen {
    let keys = Keys::Pinned { jwks: testing::JWKS.to_owned() };
    Frozen::new(testing::policy(keys, None), testing::facts(), [digest; 32]).unwrap()
}

#[test]
fn a_list_is_in_force_in_old_tables_and_in_those_to_come() {
    let register = Register::default();
    let (old, other) = (frozen(1), frozen(2));
    let live = register.live_of(&old);
    assert!(live.now().is_none());
    register.put(list(3, &[(agent("bot"), None), (agent("nobody"), None)]), time(10));
    let now = live.now().unwrap();
    assert!(now.agent(AgentId(0)) && !now.agent(AgentId(1)));
    assert_eq!((now.serial, now.generation), (3, 1));
    drop(now);
    let next = register.live_of(&other);
    assert!(next.now().unwrap().agent(AgentId(0)), "a release that comes later is under it from the start");
    assert!(Arc::ptr_eq(&next, &register.live_of(&other)), "one for each table");
    register.put(list(4, &[]), time(11));
    assert!([live, next].iter().all(|live| !live.now().unwrap().agent(AgentId(0)) && live.generation() == 2));
}

#[test]
fn what_lapses_goes_by_itself_and_comes_back_with_the_clock() {
    let register = Register::default();
    let table = frozen(1);
    let live = register.live_of(&table);
    register.put(list(3, &[(agent("bot"), Some(100))]), time(10));
    assert!(!register.tidy(time(99)));
    assert!(live.now().unwrap().agent(AgentId(0)));
    assert!(register.tidy(time(100)) && !register.tidy(time(200)));
    assert!(!live.now().unwrap().agent(AgentId(0)));
    // What it revokes is good again by the same clock.
    assert!(register.tidy(time(99)));
    assert!(live.now().unwrap().agent(AgentId(0)), "the clock was ahead, and put right");
    assert!(register.tidy(time(101)) && !live.now().unwrap().agent(AgentId(0)));
    register.put(list(4, &[(agent("bot"), Some(100)), (agent("other"), Some(80))]), time(90));
    assert!(live.now().unwrap().agent(AgentId(0)), "no list goes by a time that was wrong");
    assert!(register.tidy(time(79)) && !register.tidy(time(79)));
}

#[test]
fn a_token_is_revoked_for_as_long_as_it_may_be_taken_after_its_end() {
    let register = Register::default();
    let table = frozen(1);
    let live = register.live_of(&table);
    let token = Target::Token { issuer: "corp".into(), jti: "j".into() };
    register.put(list(1, &[(token, Some(100)), (agent("bot"), Some(100))]), time(10));
    let facts = TokenFacts { jti: Some("j"), kid: None, subject: "s", issued_s: Some(50) };
    let revoked = || {
        let now = live.now().unwrap();
        (now.agent(AgentId(0)), now.token(0, &facts))
    };
    let ends = 100 + u64::from(LEEWAY_S_MAX);
    assert!(register.tidy(time(100)) && !register.tidy(time(ends - 1)));
    assert_eq!(revoked(), (false, true));
    assert!(register.tidy(time(ends)));
    assert_eq!(revoked(), (false, false));
}

#[test]
fn issuers_are_known_by_name_and_by_what_they_issue() {
    for (issuer, known) in [("corp", true), ("https://id.example", true), ("other", false)] {
        let register = Register::default();
        let table = frozen(1);
        let live = register.live_of(&table);
        let issuer = issuer.to_owned();
        let entries = [
            Target::Token { issuer: issuer.clone(), jti: "j".into() },
            Target::Key { issuer: issuer.clone(), kid: "k".into() },
            Target::Subject { issuer, subject: "s".into(), issued_before: time(50) },
        ]
        .map(|target| (target, None));
        let list = list(1, &entries);
        register.put(Arc::clone(&list), time(10));
        let now = live.now().unwrap();
        let facts = |jti, kid, subject, issued_s| TokenFacts { jti, kid, subject, issued_s };
        for token in [
            facts(Some("j"), None, "x", Some(60)),
            facts(None, Some("k"), "x", Some(60)),
            facts(None, None, "s", Some(49)),
            facts(None, None, "s", None),
        ] {
            assert_eq!(now.token(0, &token), known, "{token:?}");
        }
        assert!(!now.token(0, &facts(None, None, "s", Some(50))));
        assert_eq!(unknown(&list, &table.policy), if known { 0 } else { 3 });
    }
}

#[test]
fn a_worker_that_looks_into_an_old_list_does_not_free_it() {
    let register = Register::default();
    let table = frozen(1);
    let live = register.live_of(&table);
    register.put(list(1, &[(agent("bot"), None)]), time(10));
    let looks = Arc::clone(&live.now().unwrap());
    register.put(list(2, &[]), time(11));
    register.tidy(time(12));
    assert_eq!(Arc::strong_count(&looks), 2);
    let gone = Arc::downgrade(&looks);
    drop(looks);
    assert_eq!(gone.strong_count(), 1);
    register.tidy(time(13));
    assert_eq!(gone.strong_count(), 0);
}

#[test]
fn activations_of_one_table_share_it() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = testing::write_chain(directory.path(), "a", &["a.example"]);
    let assembled = assemble(frozen(1), &testing::node(directory.path(), vec![certificate]), 5).unwrap();
    let file = To::File(directory.path().join("records"));
    let records = records::spawn(file, vec![], vec![], &records::testing::sealing()).unwrap();
    let parts = assembled.parts;
    let mut activator = Activator::start(assembled.frozen, Arena::new(), records.handle(), parts.clone(), 5).unwrap();
    let first = activator.swap().load_full();
    activator.publish(parts, 6).unwrap();
    let second = activator.swap().load_full();
    activator.revocations().put(list(1, &[(agent("bot"), None)]), time(10));
    assert!(first.revoked.now().unwrap().agent(AgentId(0)) && Arc::ptr_eq(&first.revoked, &second.revoked));
    records.stop(std::time::Duration::from_secs(5)).unwrap();
}
