//! An activation is replaced whole, its names are known first, and what nobody uses is freed here.

use activation::counters::{Arena, LimitStates};
use policy::model::{Keys, Limit, LimitKind, Per, Unit};
use policy::table::AgentId;

use super::*;
use crate::assemble::{Frozen, Placement, assemble};
use crate::clock::NS_PER_S;
use crate::records::{self, Target};
use crate::testing;

fn activator(directory: &std::path::Path) -> (Activator, Parts, records::Records) {
    let keys = Keys::Pinned { jwks: testing::JWKS.to_owned() };
    let frozen = Frozen::new(testing::policy(keys, None), testing::facts(), [7; 32]).unwrap();
    let assembled =
        assemble(frozen, &testing::node(directory, vec![testing::write_chain(directory, "a", &["a.example"])]), 5);
    let assembled = assembled.unwrap();
    let records =
        records::spawn(Target::File(directory.join("records")), vec![], vec![], &records::testing::sealing()).unwrap();
    let parts = assembled.parts;
    let activator = Activator::start(assembled.frozen, Arena::new(), records.handle(), parts.clone(), 5).unwrap();
    (activator, parts, records)
}

#[test]
fn the_next_activation_reuses_what_did_not_change_and_the_old_one_is_freed_when_unused() {
    let directory = tempfile::tempdir().unwrap();
    let (mut activator, parts, records) = activator(directory.path());
    let worker_holds = activator.swap().load_full();
    assert_eq!(worker_holds.id, 1);
    assert_eq!(activator.publish(parts.clone(), 6).unwrap(), 2);
    let now = activator.swap().load_full();
    assert_eq!((now.id, now.table.policy_digest()), (2, [7; 32]));
    assert!(Arc::ptr_eq(&now.table, &worker_holds.table));
    assert!(Arc::ptr_eq(&now.issuers[0], &worker_holds.issuers[0]));
    drop(now);
    activator.tidy(7);
    assert_eq!(activator.alive(), 2);
    let gone = Arc::downgrade(&worker_holds);
    drop(worker_holds);
    assert_eq!(gone.strong_count(), 1, "control frees it, not the worker");
    activator.tidy(7);
    assert_eq!((activator.alive(), activator.tables_alive(), gone.strong_count()), (1, 1, 0));
    records.stop(std::time::Duration::from_secs(5)).unwrap();
}

#[test]
fn too_many_activations_are_refused_naming_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let (mut activator, parts, _records) = activator(directory.path());
    let mut held = vec![activator.swap().load_full()];
    let refused = loop {
        match activator.publish(parts.clone(), 6) {
            Ok(_) => held.push(activator.swap().load_full()),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(held.len(), ACTIVATIONS_OF_TABLE_MAX);
    assert!(refused.contains("oldest is number 1"), "{refused}");
    assert_eq!(activator.swap().load().id, held.len() as u64);
    assert!(activator.publish(parts.clone(), 6 + ACTIVATION_GRACE_NS).is_err());
    assert_eq!(held[0].ended.up_to(), 1, "exchanges on the first one alone are ended");
    held.remove(0);
    assert!(activator.publish(parts, 6).is_ok());
}

#[test]
fn after_the_grace_the_oldest_is_ended_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (mut activator, parts, _records) = activator(directory.path());
    let ended = Arc::clone(&activator.swap().load().ended);
    let mut held = vec![activator.swap().load_full()];
    // The oldest table has two activations.
    activator.publish(parts.clone(), 6).unwrap();
    held.push(activator.swap().load_full());
    for version in 8..11 {
        let next = activator.prepare(frozen(version, Placement::default()), parts.clone(), 6).unwrap();
        activator.put(next);
        held.push(activator.swap().load_full());
    }
    let mut fifth = |now_ns| {
        let prepared = activator.prepare(frozen(11, Placement::default()), parts.clone(), now_ns);
        prepared.map(|prepared| activator.put(prepared)).map_err(|error| error.to_string())
    };
    let refused = fifth(10).unwrap_err();
    assert_eq!(fifth(10 + ACTIVATION_GRACE_NS - 1).unwrap_err(), refused, "no number in it moves");
    assert_eq!(ended.up_to(), 0, "within the grace nothing is ended");
    assert_eq!(fifth(5).unwrap_err(), refused, "a clock that was put back begins anew");
    assert_eq!((fifth(5 + ACTIVATION_GRACE_NS), ended.up_to()), (Err(refused.clone()), 2), "the whole oldest table");
    assert_eq!((fifth(u64::MAX), ended.up_to()), (Err(refused), 2), "one table is enough");
    held.drain(..2);
    assert_eq!(fifth(6), Ok(6));
    held.push(activator.swap().load_full());
    activator.publish(parts.clone(), 7).unwrap();
    assert!(!activator.has_room(true, 8) && !activator.has_room(true, 8 + ACTIVATION_GRACE_NS));
    assert_eq!(ended.up_to(), 3, "the next time, after a grace of its own, the next one");
}

fn frozen(version: u8, copies: Placement) -> Arc<Frozen> {
    let keys = Keys::Pinned { jwks: testing::JWKS.to_owned() };
    let frozen = Frozen::new(testing::policy(keys, None), testing::facts(), [version; 32]).unwrap();
    Arc::new(frozen.place(&copies).unwrap())
}

#[test]
fn what_was_prepared_and_not_put_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (mut activator, parts, _records) = activator(directory.path());
    drop(activator.prepare(frozen(8, Placement::default()), parts.clone(), 6).unwrap());
    assert_eq!((activator.swap().load().id, activator.alive(), activator.tables_alive()), (1, 1, 1));
    assert_eq!(activator.frozen().table.policy_digest(), [7; 32]);
    let prepared = activator.prepare(frozen(8, Placement::default()), parts, 6).unwrap();
    assert_eq!(activator.put(prepared), 3, "a number whose names were announced is not used again");
    assert_eq!(activator.swap().load().table.policy_digest(), [8; 32]);
}

#[test]
fn each_node_has_its_copy_and_all_count_with_the_same_counters() {
    let directory = tempfile::tempdir().unwrap();
    let (first, parts, records) = activator(directory.path());
    drop(first);
    // Two copies; the machine need not have such nodes.
    let two = Placement { nodes: vec![0, 1], forever: false };
    let arena = Arena::new();
    let mut activator = Activator::start(frozen(7, two.clone()), arena, records.handle(), parts.clone(), 5).unwrap();
    let both = |activator: &Activator| {
        let of: Vec<_> = activator.swaps().iter().map(|swap| swap.load_full()).collect();
        <[_; 2]>::try_from(of).ok().unwrap()
    };
    let [one, other] = both(&activator);
    assert_ne!(one.table.storage().place(), other.table.storage().place());
    assert_eq!(one.table.image(), other.table.image());
    assert!(Arc::ptr_eq(&one.limits, &other.limits));
    let next = activator.prepare(frozen(8, two), parts, 6).unwrap();
    activator.put(next);
    drop(one);
    activator.tidy(7);
    assert_eq!(activator.alive(), 2, "a worker of the second node still holds it");
    drop(other);
    activator.tidy(7);
    assert_eq!((activator.alive(), both(&activator).map(|of| of.id)), (1, [2, 2]));
}

/// The agent may call `count` times an hour.
fn limited(count: u32) -> Arc<Frozen> {
    let mut policy = testing::policy(Keys::Pinned { jwks: testing::JWKS.to_owned() }, None);
    let kind = LimitKind::Rate { burst: 1 };
    policy.agents[0].limits = vec![Limit { name: "l".to_owned(), kind, count, unit: Unit::Hour, per: Per::Agent }];
    Arc::new(Frozen::new(policy, testing::facts(), [count as u8; 32]).unwrap())
}

#[test]
fn counters_are_shared_and_follow_the_new_numbers_once_the_old_ones_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (first, parts, records) = activator(directory.path());
    drop(first);
    let hour_ns = 3_600 * NS_PER_S;
    let now_ns = 1_000_000 * hour_ns;
    let mut activator = Activator::start(limited(1), Arena::new(), records.handle(), parts.clone(), now_ns).unwrap();
    let charge = |activation: &Activation, now_ns| {
        activation.limits.charge(&activation.table, AgentId(0), None, now_ns, &mut LimitStates::new()).is_ok()
    };
    let old = activator.swap().load_full();
    assert!(charge(&old, now_ns) && !charge(&old, now_ns));
    let next = activator.prepare(limited(3_600), parts, now_ns).unwrap();
    activator.put(next);
    let new = activator.swap().load_full();
    let later_ns = now_ns + 3 * NS_PER_S;
    assert!(!charge(&new, later_ns), "an activation refills nobody");
    activator.tidy(later_ns);
    assert!(!charge(&new, later_ns), "an exchange still counts with the old numbers");
    drop(old);
    activator.tidy(later_ns);
    assert!(!charge(&new, later_ns) && charge(&new, later_ns + 3 * NS_PER_S), "no longer than the new numbers say");
}
