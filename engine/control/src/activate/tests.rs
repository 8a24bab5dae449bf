//! An activation is replaced whole, its names are known first, and what nobody uses is freed here.

use activation::counters::Arena;
use policy::model::Keys;

use super::*;
use crate::assemble::{Frozen, assemble};
use crate::records::{self, Target};
use crate::testing;

fn activator(directory: &std::path::Path) -> (Activator, Parts, records::Records) {
    let keys = Keys::Pinned { jwks: testing::JWKS.to_owned() };
    let frozen = Frozen::new(testing::policy(keys, None), testing::facts(), [7; 32]).unwrap();
    let assembled =
        assemble(frozen, &testing::node(directory, vec![testing::write_chain(directory, "a", &["a.example"])]), 5);
    let assembled = assembled.unwrap();
    let records = records::spawn(Target::File(directory.join("records")), vec![], vec![]).unwrap();
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
    activator.tidy();
    assert_eq!(activator.alive(), 2);
    let gone = Arc::downgrade(&worker_holds);
    drop(worker_holds);
    assert_eq!(gone.strong_count(), 1, "control frees it, not the worker");
    activator.tidy();
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
    held.remove(0);
    assert!(activator.publish(parts, 6).is_ok());
}
