use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::bounds::PROOF_KEPT_S_MAX;

const NOW_S: u64 = 1_800_000_000;

fn id(number: u64) -> [u8; 32] {
    let mut id = [7; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id
}

/// Each is of another subject.
fn show(seen: &Seen, number: u64, kept_until_s: u64, now_s: u64) -> Shown {
    let known = seen.knows(&id(number), kept_until_s, now_s);
    let shown = seen.show(&id(number), &id(number), (kept_until_s, 68), now_s);
    assert!(known <= (shown != Shown::First), "known, and yet the first");
    shown
}

#[test]
fn one_subject_leaves_room_for_others() {
    let seen = Seen::new(1_024, [1, 2, 3, 4]);
    let mut passed = 0;
    for now_s in NOW_S..NOW_S + 60 {
        let proof = |number: &u64| id(now_s + number * 1_000);
        let of_one = |number: &u64| seen.show(&proof(number), b"one", (now_s + 63, 63), now_s) == Shown::First;
        passed += (0..100).filter(of_one).count();
    }
    assert!((400..=512).contains(&passed), "{passed} of 1,024 in 60 s");
    let others = (0..300).filter(|number| show(&seen, *number, NOW_S + 120, NOW_S + 60) == Shown::First).count();
    assert!(others > 290, "{others} of 300");
}

#[test]
fn one_subject_leaves_room_for_others_also_with_proofs_that_all_end_at_once() {
    let seen = Seen::new(1_024, [1, 2, 3, 4]);
    // As a sender makes them who leaves `iat` as it is, one second ahead of what is dead.
    let ends_s = NOW_S + 68;
    let mut passed = 0;
    for now_s in NOW_S..ends_s {
        let proof = |number: &u64| id(now_s + number * 1_000);
        let of_one = |number: &u64| seen.show(&proof(number), b"one", (ends_s, 68), now_s) == Shown::First;
        passed += (0..100).filter(of_one).count();
    }
    assert!((400..=512).contains(&passed), "{passed} of 1,024, all alive in the last second");
}

#[test]
fn a_proof_is_known_once_it_was_shown_and_until_it_is_dead() {
    let seen = Seen::new(64, [1, 2, 3, 4]);
    assert!(!seen.knows(&id(1), NOW_S + 60, NOW_S), "asking is not showing");
    assert_eq!(show(&seen, 1, NOW_S + 60, NOW_S), Shown::First);
    assert!(seen.knows(&id(1), NOW_S + 60, NOW_S + 59) && !seen.knows(&id(2), NOW_S + 60, NOW_S + 59));
    assert!(!seen.knows(&id(1), NOW_S + 60, NOW_S + 60));
}

#[test]
fn a_full_table_refuses_and_forgets_only_the_dead() {
    let seen = Seen::new(1_024, [1, 2, 3, 4]);
    let mut remembered = Vec::new();
    for number in 0..4_096 {
        match show(&seen, number, NOW_S + 60, NOW_S) {
            Shown::First => remembered.push(number),
            other => assert_eq!(other, Shown::Full),
        }
    }
    assert!((900..=1_024).contains(&remembered.len()), "{} of 1,024 slots", remembered.len());
    for number in &remembered {
        assert_eq!(show(&seen, *number, NOW_S + 60, NOW_S + 59), Shown::Again);
    }
    for number in 5_000..5_500 {
        assert_eq!(show(&seen, number, NOW_S + 120, NOW_S + 60), Shown::First, "the dead give their place");
    }
}

#[test]
fn what_cannot_be_remembered_long_enough_is_refused() {
    let seen = Seen::new(64, [1, 2, 3, 4]);
    assert_eq!(show(&seen, 1, NOW_S + PROOF_KEPT_S_MAX + 1, NOW_S), Shown::Full);
    assert_eq!(show(&seen, 1, NOW_S, NOW_S), Shown::Full, "dead already");
    assert_eq!(show(&seen, 1, NOW_S - 1, NOW_S), Shown::Full);
    assert_eq!(show(&seen, 1, NOW_S + PROOF_KEPT_S_MAX, NOW_S), Shown::First);
}

#[test]
fn many_threads_let_each_proof_through_once_at_most() {
    let seen = Arc::new(Seen::new(1 << 14, [1, 2, 3, 4]));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                let first = |number: &u64| show(&seen, *number, NOW_S + 60, NOW_S) == Shown::First;
                (0..8_000).filter(first).collect::<Vec<u64>>()
            })
        })
        .collect();
    let mut passed: HashMap<u64, u32> = HashMap::new();
    for number in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
        *passed.entry(number).or_default() += 1;
    }
    assert!(passed.values().all(|times| *times == 1));
    assert!(passed.len() > 7_900, "{} of 8,000: two at the same moment may refuse each other, seldom", passed.len());
}

proptest! {
    /// Against a map that forgets nothing too early.
    #[test]
    fn nothing_passes_twice_while_it_lives(
        shows in prop::collection::vec((0_u64..40, 1_u64..60, 0_u64..3), 0..400),
    ) {
        let seen = Seen::new(32, [1, 2, 3, 4]);
        let mut known: HashMap<u64, u64> = HashMap::new();
        let mut now_s = NOW_S;
        for (number, lives_s, later_s) in shows {
            now_s += later_s;
            let lives = known.get(&number).is_some_and(|until_s| *until_s > now_s);
            let shown = show(&seen, number, now_s + lives_s, now_s);
            prop_assert_eq!(shown == Shown::Again, lives);
            if shown == Shown::First {
                known.insert(number, now_s + lives_s);
            }
        }
    }
}
