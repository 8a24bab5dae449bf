use std::fs;

use super::*;

fn accepted(turn: u64, whole: Option<&[u8]>) -> AcceptedRevocations {
    AcceptedRevocations { serial: turn, digest: Digest::of(b"list"), root: 1, whole: whole.map(Digest::of), turn }
}

fn reserve(directory: &tempfile::TempDir) -> Reserve {
    Reserve::new(directory.path().join("reserve/production"), false)
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
    assert_eq!(reserve.read().unwrap(), Some(Reserved::new(None, &[])));
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

/// Cut at one byte or another: what was written before is there.
#[test]
fn what_was_half_written_leaves_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = reserve(&directory);
    for turn in 1..=3 {
        reserve.write(Some(&accepted(turn, None)), &[b"before"]).unwrap();
    }
    let before = fs::read(reserve.path()).unwrap();
    reserve.write(Some(&accepted(4, None)), &[b"after"]).unwrap();
    let after = fs::read(reserve.path()).unwrap();
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert!(!changed.is_empty() && changed.len() < SLOT_BYTES_MIN);
    for cut in changed.iter().step_by(7) {
        fs::write(reserve.path(), [&after[..*cut], &before[*cut..]].concat()).unwrap();
        let read = reserve.read().unwrap().unwrap();
        assert_eq!((read.turn(), read.envelope(&Digest::of(b"list"))), (3, Some(b"before".as_slice())), "cut at {cut}");
    }
    // What is written next takes the place of what was torn.
    reserve.write(Some(&accepted(5, None)), &[b"after"]).unwrap();
    assert_eq!((turn(&reserve), fs::read(reserve.path()).unwrap().len()), (5, before.len()));
}

#[test]
fn read_only_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    Reserve::new(directory.path().join("reserve/production"), true).write(None, &[]).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
