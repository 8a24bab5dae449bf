use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    let subjects = per_subject(20, OnFull::Overflow);
    Limits::of(&[&[
        (1, per_minute(60, 50), Per::Agent),
        (2, quota(3_600, 40), Per::Agent),
        (3, per_minute(6, 4), subjects),
        (4, quota(3_600, 3), subjects),
    ]])
}

fn used() -> (Arc<Arena>, Slots) {
    let arena = Arena::new();
    let slots = limits().slots(&arena, NOW_NS).unwrap();
    for (subject, times) in [(&b"a"[..], 2), (b"b", 5), (&[b'l'; 300], 1)] {
        limits().admitted(&slots, Some(subject), NOW_NS, times);
    }
    (arena, slots)
}

#[test]
fn a_restart_refills_nobody() {
    let (arena, slots) = used();
    let later_ns = NOW_NS + NS_PER_S;
    let bytes = arena.snapshot(later_ns);
    let restored = Arena::restore(&bytes, later_ns).unwrap();
    assert_eq!(restored.snapshot(later_ns).len(), bytes.len());
    let restored_slots = limits().slots(&restored, later_ns).unwrap();
    for subject in [&b"b"[..], b"a", &[b'l'; 300], b"new", b"newer"] {
        for request in 0..4 {
            let (mut before, mut after) = (LimitStates::new(), LimitStates::new());
            let was = slots.charge_limits(limits().entries(0), Some(subject), later_ns, &mut before);
            let is = restored_slots.charge_limits(limits().entries(0), Some(subject), later_ns, &mut after);
            assert_eq!((was, before), (is, after), "request {request} of {}", subject.len());
        }
    }
}

#[test]
fn after_a_restart_one_agents_limits_share_a_line() {
    let agent = |id: u64| [(id, per_minute(60, 9), Per::Agent), (id + 1, quota(60, 9), Per::Agent)];
    let limits = Limits::of(&[&agent(10), &agent(20), &agent(30)]);
    let arena = Arena::new();
    let slots = limits.slots(&arena, NOW_NS).unwrap();
    assert!(limits.charge(&slots, 2, None, NOW_NS).is_ok() && limits.charge(&slots, 0, None, NOW_NS).is_ok());
    let restored = Arena::restore(&arena.snapshot(NOW_NS), NOW_NS).unwrap();
    assert_eq!(restored.snapshot(NOW_NS), arena.snapshot(NOW_NS), "what waits for its limit is saved again");
    let again = limits.slots(&restored, NOW_NS).unwrap();
    assert_eq!(again.addresses(), slots.addresses());
    assert_eq!(restored.snapshot(NOW_NS), arena.snapshot(NOW_NS));
}

#[test]
fn the_overflow_bucket_is_saved() {
    let limits = Limits::of(&[&[(1, per_minute(1, 3), per_subject(1, OnFull::Overflow))]]);
    let arena = Arena::new();
    let slots = limits.slots(&arena, NOW_NS).unwrap();
    assert_eq!(limits.admitted(&slots, Some(b"own"), NOW_NS, 1), 1);
    assert_eq!(limits.admitted(&slots, Some(b"over"), NOW_NS, 9), 3);
    let restored = Arena::restore(&arena.snapshot(NOW_NS), NOW_NS).unwrap();
    let slots = limits.slots(&restored, NOW_NS).unwrap();
    assert_eq!(limits.admitted(&slots, Some(b"over"), NOW_NS, 9), 0);
    assert_eq!(limits.admitted(&slots, Some(b"own"), NOW_NS, 9), 2);
}

#[test]
fn what_is_idle_is_not_saved() {
    let (arena, _slots) = used();
    let empty = Arena::new().snapshot(NOW_NS);
    assert!(arena.snapshot(NOW_NS).len() > empty.len());
    assert_eq!(arena.snapshot(NOW_NS + 7_200 * NS_PER_S), empty);
    assert!(Arena::restore(&arena.snapshot(NOW_NS), NOW_NS + 7_200 * NS_PER_S).is_ok());
}

#[test]
fn a_snapshot_is_the_same_for_the_same_states() {
    let (arena, _slots) = used();
    assert_eq!(arena.snapshot(NOW_NS), arena.snapshot(NOW_NS));
}

#[test]
fn a_saved_state_of_a_far_future_is_clamped() {
    let daily = Limits::of(&[&[(7, LimitKind::Gcra(Gcra::new(1, 86_400, 1)), Per::Agent)]]);
    let arena = Arena::new();
    let slots = daily.slots(&arena, NOW_NS).unwrap();
    assert_eq!(daily.admitted(&slots, None, NOW_NS, 1), 1);
    let restored = Arena::restore(&arena.snapshot(NOW_NS), NOW_NS).unwrap();
    let quick = Limits::of(&[&[(7, per_minute(60, 1), Per::Agent)]]);
    let slots = quick.slots(&restored, NOW_NS).unwrap();
    assert_eq!(quick.admitted(&slots, None, NOW_NS + 3 * NS_PER_S, 5), 1);
}

#[test]
fn damage_is_found_wherever_it_is() {
    let (arena, _slots) = used();
    let bytes = arena.snapshot(NOW_NS);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(Arena::restore(&damaged, NOW_NS).is_err(), "byte {at}");
        assert!(Arena::restore(&bytes[..at], NOW_NS).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Arena::restore(&longer, NOW_NS).err(), Some(CountersError::SnapshotChecksum));
    assert_eq!(Arena::restore(&[], NOW_NS).err(), Some(CountersError::SnapshotShort { found: 0, expected: 52 }));
    assert_eq!(Arena::restore(&[0; 60], NOW_NS).err(), Some(CountersError::SnapshotFormat));
}

/// Bytes with a checksum that fits.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let checksum = Sha256::digest(&body);
    body.extend_from_slice(&checksum);
    body
}

proptest! {
    #[test]
    fn hostile_bytes_are_errors_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Arena::restore(&bytes, NOW_NS).is_err());
        let body = [&b"ADMCOUNT\x01\0\0\0"[..], &bytes].concat();
        let _ = Arena::restore(&sealed(body), NOW_NS);
    }

    #[test]
    fn hostile_edits_under_a_right_checksum_never_panic(edits in proptest::collection::vec((12..400_usize, any::<u8>()), 1..4)) {
        let (arena, _slots) = used();
        let mut body = arena.snapshot(NOW_NS);
        body.truncate(body.len() - 32);
        for (at, value) in edits {
            let at = at % body.len();
            body[at] = value;
        }
        if let Ok(restored) = Arena::restore(&sealed(body), NOW_NS) {
            let slots = limits().slots(&restored, NOW_NS).unwrap();
            limits().admitted(&slots, Some(b"a"), NOW_NS, 3);
        }
    }
}
