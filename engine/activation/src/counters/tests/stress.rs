//! Real threads on real atomics: at one moment, together they admit exactly what one would.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;

const THREADS: usize = 2;

/// Runs `work` on all threads at once and adds up what they return.
fn together(work: impl Fn(usize) -> usize + Sync) -> usize {
    let barrier = Barrier::new(THREADS);
    let run = |number| {
        barrier.wait();
        work(number)
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[test]
fn one_word_admits_exactly_its_limit() {
    for (kind, expected) in [(per_minute(60, 70_000), 70_000), (quota(60, 70_000), 70_000)] {
        let limits = Limits::of(&[&[(1, kind, Per::Agent)]]);
        let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
        assert_eq!(together(|_| limits.admitted(&slots, None, NOW_NS, 60_000)), expected);
    }
}

#[test]
fn several_limits_admit_exactly_the_least() {
    let subjects = per_subject(10, OnFull::Deny);
    let limits = Limits::of(&[&[
        (1, per_minute(60, 50_100), Per::Agent),
        (2, quota(60, 50_000), Per::Agent),
        (3, quota(60, 50_001), subjects),
        (4, per_minute(60, 50_001), Per::Agent),
    ]]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert_eq!(together(|_| limits.admitted(&slots, Some(b"s"), NOW_NS, 60_000)), 50_000);
}

#[test]
fn subjects_are_entered_once_and_charged_exactly() {
    let limits = Limits::of(&[&[(1, per_minute(60, 3), per_subject(5_000, OnFull::Deny))]]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    let admitted = together(|_| {
        (0..5_000_u32).map(|number| limits.admitted(&slots, Some(&number.to_be_bytes()), NOW_NS, 6)).sum()
    });
    assert_eq!(admitted, 15_000);
}

/// Far more subjects than places, a clock that runs, and clocks that differ: slots change hands all the time.
#[test]
fn slots_that_change_hands_admit_nobody_twice() {
    const SUBJECTS: usize = 64;
    const BURST: u32 = 2;
    // One request an interval of 1,000 ns.
    let kind = LimitKind::Gcra(Gcra { emission_interval_ns: 1_000, burst: BURST });
    for on_full in [OnFull::Deny, OnFull::Overflow] {
        let limits = Limits::of(&[&[(1, kind, per_subject(8, on_full))]]);
        let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
        let clock_ns = AtomicU64::new(NOW_NS);
        let admitted: Vec<AtomicU64> = (0..SUBJECTS).map(|_| AtomicU64::new(0)).collect();
        together(|thread| {
            let mut random = 0x9e37_79b9_u64 + thread as u64;
            for _ in 0..200_000 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let subject = (random >> 20) as usize % SUBJECTS;
                let now_ns = clock_ns.fetch_add(random % 40, Ordering::Relaxed) - (random >> 40) % 500;
                if limits.charge(&slots, 0, Some(&[subject as u8]), now_ns).is_ok() {
                    admitted[subject].fetch_add(1, Ordering::Relaxed);
                }
            }
            0
        });
        let elapsed_ns = clock_ns.into_inner() - NOW_NS + 500;
        let bound = u64::from(BURST) + elapsed_ns / 1_000;
        let total: u64 = admitted.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert!(total > bound, "hardly anybody was admitted");
        for (subject, count) in admitted.into_iter().enumerate() {
            assert!(count.into_inner() <= bound, "subject {subject}");
        }
    }
}
