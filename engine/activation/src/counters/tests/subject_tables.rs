use proptest::prelude::*;

use super::*;
use crate::bounds::{SUBJECT_INLINE_BYTES_MAX, SUBJECT_SWEEP_SLOTS};

fn limits(count: u32, burst: u32, subjects_max: u32, on_full: OnFull) -> Limits {
    Limits::of(&[&[(1, per_minute(count, burst), per_subject(subjects_max, on_full))]])
}

fn name(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

#[test]
fn each_subject_has_its_own_bucket() {
    let limits = limits(60, 3, 1_000, OnFull::Deny);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    for number in 0..1_000 {
        assert_eq!(limits.admitted(&slots, Some(&name(number)), NOW_NS, 5), 3, "subject {number}");
    }
    assert!(limits.charge(&slots, 0, Some(&name(1_000)), NOW_NS).unwrap_err().subjects_full);
}

/// Wherever the hash of this table puts them: a bucket that fills up while others stand half empty would turn somebody away.
#[test]
fn there_is_room_for_every_subject_within_the_bound() {
    for table in 0..300 {
        let limits = limits(60, 1, 5_000, OnFull::Deny);
        let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
        let admitted = (0..5_000).filter(|number| limits.charge(&slots, 0, Some(&name(*number)), NOW_NS).is_ok());
        assert_eq!(admitted.count(), 5_000, "table {table}");
    }
}

#[test]
fn whole_keys_are_compared() {
    let limits = limits(60, 1, 100, OnFull::Deny);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    let mut keys: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], b"a".to_vec(), b"a\0".to_vec()];
    for length in [SUBJECT_INLINE_BYTES_MAX, SUBJECT_INLINE_BYTES_MAX + 1, 255, 256, 4_096] {
        for last in [b'x', b'y'] {
            keys.push([vec![b'k'; length - 1], vec![last]].concat());
        }
    }
    for key in &keys {
        assert_eq!(limits.admitted(&slots, Some(key), NOW_NS, 3), 1, "{} bytes", key.len());
    }
    // No subject at all is the empty one.
    assert_eq!(limits.admitted(&slots, None, NOW_NS, 3), 0);
}

#[test]
fn the_bound_is_exact_and_what_follows_shares_one_bucket() {
    for subjects_max in [1, 2, 8, 9, 100] {
        let limits = limits(60, 4, subjects_max, OnFull::Overflow);
        let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
        for number in 0..subjects_max {
            assert_eq!(limits.admitted(&slots, Some(&name(number)), NOW_NS, 1), 1);
        }
        let beyond: usize =
            (0..10).map(|more| limits.admitted(&slots, Some(&name(subjects_max + more)), NOW_NS, 1)).sum();
        assert_eq!(beyond, 4, "of {subjects_max}");
        // Live entries stand.
        for number in 0..subjects_max {
            assert_eq!(limits.admitted(&slots, Some(&name(number)), NOW_NS, 9), 3);
        }
    }
}

#[test]
fn idle_entries_make_room_and_live_ones_do_not() {
    let limits = limits(60, 1, 2, OnFull::Deny);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert_eq!(limits.admitted(&slots, Some(b"a"), NOW_NS, 1), 1);
    let half_ns = NOW_NS + NS_PER_S / 2;
    assert_eq!(limits.admitted(&slots, Some(b"b"), half_ns, 1), 1);
    assert_eq!(limits.admitted(&slots, Some(b"c"), NOW_NS + NS_PER_S, 1), 0, "a is idle from the next ns on");
    let idle_ns = NOW_NS + NS_PER_S + 1;
    assert_eq!(limits.admitted(&slots, Some(b"c"), idle_ns, 2), 1);
    assert_eq!(limits.admitted(&slots, Some(b"d"), idle_ns, 1), 0, "b and c are live");
    assert_eq!(limits.admitted(&slots, Some(b"b"), idle_ns, 1), 0);
}

/// A stream of subjects seen once each never fills the table: what is idle is swept, wherever it lies.
#[test]
fn a_stream_of_new_subjects_finds_room() {
    let limits = limits(60, 1, 200, OnFull::Deny);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert!(slots.tables()[0].slots() > SUBJECT_SWEEP_SLOTS);
    let mut refused = 0;
    for number in 0..20_000_u32 {
        // 100 subjects live at any time.
        let now_ns = NOW_NS + u64::from(number) * NS_PER_S / 100;
        refused += u32::from(limits.charge(&slots, 0, Some(&name(number)), now_ns).is_err());
    }
    assert_eq!(refused, 0);
}

#[test]
fn a_subject_charged_as_overflow_does_not_start_anew() {
    let limits = limits(60, 5, 1, OnFull::Overflow);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert_eq!(limits.admitted(&slots, Some(b"first"), NOW_NS, 1), 1);
    let idle_ns = NOW_NS + NS_PER_S + 1;
    assert_eq!(limits.admitted(&slots, Some(b"second"), idle_ns - 2, 3), 3);
    // Now the only entry is idle: the second subject takes it, with what it has used.
    assert_eq!(limits.admitted(&slots, Some(b"second"), idle_ns, 9), 2);
    assert_eq!(limits.admitted(&slots, Some(b"first"), idle_ns, 9), 2, "the overflow bucket");
}

#[test]
fn a_table_grows_with_its_subjects_in_place() {
    let arena = Arena::new();
    let (small, large) = (limits(60, 2, 4, OnFull::Deny), limits(60, 2, 400, OnFull::Deny));
    let small_slots = small.slots(&arena, NOW_NS).unwrap();
    for number in 0..4 {
        assert_eq!(small.admitted(&small_slots, Some(&name(number)), NOW_NS, 1), 1);
    }
    let large_slots = large.slots(&arena, NOW_NS).unwrap();
    for number in 0..400 {
        let left = if number < 4 { 1 } else { 2 };
        assert_eq!(large.admitted(&large_slots, Some(&name(number)), NOW_NS, 3), left, "subject {number}");
        assert_eq!(small.admitted(&small_slots, Some(&name(number)), NOW_NS, 1), 0, "two entries for {number}");
    }
    assert!(large.charge(&large_slots, 0, Some(&name(400)), NOW_NS).is_err());
}

proptest! {
    /// Whatever is charged when, by clocks that differ, no subject has more than its limit.
    #[test]
    fn no_subject_is_admitted_more_than_its_limit(
        requests in proptest::collection::vec((0..12_u32, 0..2 * NS_PER_S, 0..NS_PER_S), 1..300),
        subjects_max in 1..6_u32, burst in 1..4_u32, deny in any::<bool>(), quotas in any::<bool>(),
    ) {
        let kind = if quotas { quota(1, burst) } else { per_minute(60, burst) };
        let on_full = if deny { OnFull::Deny } else { OnFull::Overflow };
        let limits = Limits::of(&[&[(1, kind, per_subject(subjects_max, on_full))]]);
        let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
        let (mut clock_ns, mut admitted) = (NOW_NS, vec![Vec::new(); 12]);
        for (subject, forward_ns, behind_ns) in requests {
            clock_ns += forward_ns / 4;
            let now_ns = clock_ns - behind_ns;
            if limits.charge(&slots, 0, Some(&name(subject)), now_ns).is_ok() {
                admitted[subject as usize].push(now_ns);
            }
        }
        for times in &mut admitted {
            times.sort_unstable();
            for first in 0..times.len() {
                for last in first..times.len() {
                    let (count, window_ns) = ((last - first + 1) as u64, times[last] - times[first]);
                    if quotas {
                        let same = times[first] / NS_PER_S == times[last] / NS_PER_S;
                        prop_assert!(!same || count <= u64::from(burst));
                    } else {
                        prop_assert!(count <= u64::from(burst) + window_ns / NS_PER_S);
                    }
                }
            }
        }
    }
}
