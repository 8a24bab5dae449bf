use std::collections::BTreeSet;
use std::fs;

use super::*;

fn accepted(turn: u64, whole: Option<&[u8]>) -> AcceptedList {
    AcceptedList {
        serial: turn,
        digest: Digest::of(b"list"),
        root: 1,
        issued: None,
        whole: whole.map(Digest::of),
        turn,
    }
}

fn reserve(directory: &tempfile::TempDir) -> Reserve {
    Reserve::new(directory.path().join("reserve/production"), Kind::Revocations, false)
}

fn turn(reserve: &Reserve) -> u64 {
    reserve.read().unwrap().unwrap().turn()
}

fn length(reserve: &Reserve) -> usize {
    fs::metadata(reserve.path()).unwrap().len().try_into().unwrap()
}

#[test]
fn comes_back_as_it_was_written_and_grows_ahead_of_the_list() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = reserve(&directory);
    assert!(reserve.read().unwrap().is_none());
    reserve.write(None, &[]).unwrap();
    let empty = Reserved { list: None, envelopes: Vec::new(), unfinished: false, torn: false };
    assert_eq!(reserve.read().unwrap(), Some(empty));
    reserve.write(Some(&accepted(1, Some(b"all"))), &[b"{\"l\":1}", b"{\"w\":1}"]).unwrap();
    let read = reserve.read().unwrap().unwrap();
    assert_eq!(read.list, Some(accepted(1, Some(b"all"))));
    assert_eq!(read.envelope(&Digest::of(b"list")), Some(b"{\"l\":1}".as_slice()));
    assert_eq!(read.envelope(&Digest::of(b"all")), Some(b"{\"w\":1}".as_slice()));
    assert_eq!((read.envelope(&Digest::of(b"other")), length(&reserve)), (None, 2 * SLOT_BYTES_MIN));
    // More than half a slot: the next one may be twice as long.
    let long = vec![b'x'; SLOT_BYTES_MIN];
    reserve.write(Some(&accepted(2, None)), &[&long]).unwrap();
    assert_eq!((turn(&reserve), length(&reserve)), (2, 2 * 4 * SLOT_BYTES_MIN));
    // One for which there is never room.
    reserve.write(Some(&accepted(3, None)), &[&vec![b'x'; SLOT_BYTES_MAX]]).unwrap();
    let read = reserve.read().unwrap().unwrap();
    assert_eq!((read.turn(), read.envelope(&Digest::of(b"list"))), (3, None));
    assert_eq!(fs::read_dir(directory.path().join("reserve")).unwrap().count(), 1);
}

/// Cut at one byte or another: what was written before is there, or the new one by its digest.
#[test]
fn what_was_half_written_leaves_the_one_before_or_a_digest() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = reserve(&directory);
    for turn in 1..=3 {
        reserve.write(Some(&accepted(turn, None)), &[b"before"]).unwrap();
    }
    let before = fs::read(reserve.path()).unwrap();
    reserve.write(Some(&accepted(4, None)), &[b"-after"]).unwrap();
    let after = fs::read(reserve.path()).unwrap();
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    let (head, body): (Vec<usize>, Vec<usize>) =
        changed.iter().partition(|at| **at + b"-after".len() < changed[changed.len() - 1]);
    assert!(head.len() > 7 && !body.is_empty());
    for (cut, expected) in head
        .iter()
        .map(|cut| (cut, (3, Some(b"before".as_slice()))))
        .chain(body.iter().skip(1).map(|cut| (cut, (4, None))))
    {
        fs::write(reserve.path(), [&after[..*cut], &before[*cut..]].concat()).unwrap();
        let read = reserve.read().unwrap().unwrap();
        assert_eq!((read.turn(), read.envelope(&Digest::of(b"list"))), expected, "cut at {cut}");
    }
    // What is written next takes the place of what was torn.
    reserve.write(Some(&accepted(5, None)), &[b"after"]).unwrap();
    assert_eq!((turn(&reserve), fs::read(reserve.path()).unwrap().len()), (5, before.len()));
}

/// A long one stands in both slots: by its digest, and whole.
#[test]
fn a_long_list_is_written_by_its_digest_first() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = reserve(&directory);
    let long = vec![b'x'; LONG_BYTES];
    for turn in 1..=4 {
        reserve.write(Some(&accepted(turn, None)), &[&long]).unwrap();
        let read = reserve.read().unwrap().unwrap();
        assert_eq!((read.turn(), read.envelope(&Digest::of(b"list"))), (turn, Some(long.as_slice())));
    }
    let bytes = fs::read(reserve.path()).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let found = [first, second].map(|slot| Slot::read(slot).unwrap().unwrap().order());
    assert_eq!(BTreeSet::from(found), BTreeSet::from([(4, false, false), (4, true, true)]));
    // Killed between the two.
    let mut slots = reserve.slots().unwrap().unwrap();
    reserve.put(&mut slots, Some(&accepted(5, None)), Stage::Begun).unwrap();
    let read = reserve.read().unwrap().unwrap();
    assert_eq!((read.turn(), read.envelope(&Digest::of(b"list")), read.unfinished), (5, None, true));
    // One bit of what stands behind the line.
    reserve.write(Some(&accepted(6, None)), &[b"short"]).unwrap();
    let mut bytes = fs::read(reserve.path()).unwrap();
    let at = bytes.windows(5).position(|window| window == b"short").unwrap();
    bytes[at] ^= 1;
    fs::write(reserve.path(), bytes).unwrap();
    let read = reserve.read().unwrap().unwrap();
    assert_eq!((read.turn(), read.envelope(&Digest::of(b"list"))), (6, None));
}

/// It has no room at last, whichever slot says that it was begun.
#[test]
fn a_long_list_without_room_is_not_taken_for_one_that_was_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = reserve(&directory);
    reserve.write(None, &[]).unwrap();
    for turn in 1..=3 {
        let mut slots = reserve.slots().unwrap().unwrap();
        for stage in [Stage::Begun, Stage::Over(&[])] {
            reserve.put(&mut slots, Some(&accepted(turn, None)), stage).unwrap();
            let read = reserve.read().unwrap().unwrap();
            assert_eq!((read.turn(), read.unfinished), (turn, matches!(stage, Stage::Begun)));
        }
        reserve.write(Some(&accepted(turn, None)), &[&vec![b'x'; SLOT_BYTES_MAX]]).unwrap();
        assert!(!reserve.read().unwrap().unwrap().unfinished);
    }
}

/// The newest list stands in one of the slots, and where they begin is known by the length.
#[test]
fn a_file_of_another_length_is_refused_and_a_torn_slot_told() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = reserve(&directory);
    for turn in 1..=3 {
        reserve.write(Some(&accepted(turn, None)), &[b"list"]).unwrap();
        assert!(!reserve.read().unwrap().unwrap().torn);
    }
    let whole = fs::read(reserve.path()).unwrap();
    for length in [0, 1, 4_096, 32_768, 49_152, whole.len() - 1, whole.len() + 1, whole.len() + 2, whole.len() * 2] {
        let mut other = whole.clone();
        other.resize(length, b' ');
        fs::write(reserve.path(), other).unwrap();
        assert!(reserve.read().is_err(), "{length}");
    }
    let (mut torn, middle) = (whole.clone(), whole.len() / 2);
    torn[middle..middle + 50].fill(0);
    fs::write(reserve.path(), &torn).unwrap();
    assert!(reserve.read().unwrap().unwrap().torn);
    torn[..50].fill(0);
    fs::write(reserve.path(), &torn).unwrap();
    assert!(reserve.read().is_err());
}

#[test]
fn read_only_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    Reserve::new(directory.path().join("reserve/production"), Kind::Revocations, true).write(None, &[]).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
