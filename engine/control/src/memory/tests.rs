//! A table that was replaced in memory is found and put right, or the gateway stops.

use super::*;
use crate::assemble::Placement;
use crate::testing::rig::{Rig, policy, rig, rig_with, wait};

fn start(rig: &Rig) -> Start {
    Start {
        tables: rig.tables.clone(),
        status: Arc::clone(&rig.status),
        records: rig.records.handle(),
        watch: rig.watch.handle(),
        worker_cores: vec![],
    }
}

fn looking(rig: &Rig) -> (SyncSender<()>, Looking) {
    let (stop, stopped) = sync_channel(0);
    (stop, Looking { start: start(rig), stopped, repairs: 0 })
}

#[test]
fn other_bytes_in_the_place_of_the_table_are_found_through_its_address_and_put_right() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let guard = spawn(start(&rig)).unwrap();
    let memory = || rig.status.moving().memory.clone();
    wait("a look", || memory().looks > 0);
    assert_eq!((memory().mismatches, memory().copies, memory().mseal), (0, 1, false));

    let activation = rig.status.activation.load_full();
    let right = activation.table.image().to_vec();
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    activation.table.storage().inject_other_bytes(&wrong).unwrap();
    assert!(activation.table.image() != right || memory().mismatches == 1);
    wait("the repair", || memory().repairs == 1);
    assert_eq!(activation.table.image(), right);
    assert_eq!((memory().mismatches, rig.status.activation.load().id), (1, 1));
    let looks = memory().looks;
    wait("another look", || memory().looks > looks);
    assert_eq!(memory().mismatches, 1);

    guard.stop();
    let text = rig.end(directory.path());
    for part in
        ["\"adamant.kind\":\"table\"", "\"adamant.outcome\":\"mismatch\"", "\"adamant.outcome\":\"mapped again\""]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn where_it_cannot_be_mapped_again_the_release_is_compiled_again_into_fresh_memory() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig_with(directory.path(), policy(None), Placement { nodes: vec![], forever: true });
    let (_stop, mut looking) = looking(&rig);
    let before = rig.status.activation.load_full();
    if *before.table.storage().map_seal() != sys::MapSeal::Sealed {
        eprintln!("mseal is not available here");
        return;
    }
    // Nothing but a broken memory could make it wrong: the guard is told that it is.
    let watched = rig.tables.all().first().unwrap().clone();
    looking.put_right(&watched, &before.table, &[0; 32]);
    let now = rig.status.activation.load_full();
    assert_eq!((now.id, now.table.image()), (2, before.table.image()));
    assert_ne!(now.table.storage().place(), before.table.storage().place());
    assert!(looking.pass().is_ok());
    assert_eq!(rig.status.failure(), None);
    let left: Vec<_> = rig.tables.all().iter().map(|watched| watched.table.as_ptr()).collect();
    assert_eq!(left, [Arc::as_ptr(&now.table)], "what was given up is not looked at any more");
    assert!(rig.end(directory.path()).contains("\"adamant.outcome\":\"compiled again\""));
}

#[test]
fn memory_that_is_changed_again_and_again_stops_the_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let (_stop, mut looking) = looking(&rig);
    let table = Arc::clone(&rig.status.activation.load().table);
    let watched = rig.tables.all().first().unwrap().clone();
    for _ in 0..TABLE_REPAIRS_MAX {
        table.storage().inject_other_bytes(b"other").unwrap();
        let Ok(found) = looking.hash(&table) else { unreachable!("nobody stops it") };
        looking.put_right(&watched, &table, &found);
        assert_eq!(rig.status.failure(), None);
    }
    looking.put_right(&watched, &table, &[0; 32]);
    assert!(rig.status.failure().unwrap().contains("16 times already"));
    assert!(!rig.status.unready(0).is_empty());
    assert!(rig.end(directory.path()).contains("\"adamant.outcome\":\"stops\""));
}

#[test]
fn hashing_keeps_its_share_and_its_rate() {
    let slice = REHASH_SLICE_BYTES;
    let slow = Duration::from_millis(1);
    assert_eq!(pause_after(slice, slow), slow * 99);
    let fast = pause_after(slice, Duration::from_nanos(1));
    assert!(fast.as_nanos() >= slice as u128 * 1_000_000_000 / u128::from(REHASH_BYTES_PER_S_MAX));
    // A slice during which the thread lost its processor.
    assert_eq!(pause_after(slice, Duration::from_secs(9)), Duration::from_millis(REHASH_PAUSE_MS_MAX));
}
