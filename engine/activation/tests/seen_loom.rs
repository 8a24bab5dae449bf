//! The lock-free part of the proofs that were shown, compiled a second time over loom's atomics: loom runs each test under
//! every interleaving that up to `PREEMPTIONS` preemptions can make, with all that the memory orderings allow.
//!
//! `cargo test --profile checked -p activation --test seen_loom`.
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

#[allow(dead_code)]
#[path = "../src/bounds.rs"]
mod bounds;
#[path = "../src/seen/slots.rs"]
mod slots;

/// As `src/seen/sync.rs`, small enough to be searched.
mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering, fence};

    pub const LINE_SLOTS: usize = 2;
}

/// As `src/seen.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    First,
    Again,
    Full,
}

use std::sync::Arc;

use loom::thread;
use slots::{Entry, claim, holds};
use sync::AtomicU64;

const PREEMPTIONS: usize = 3;
const NOW_S: u64 = 1_800_000_000;
const TAG: u64 = 0xabcd_ef00_0000_0000;
const OTHER: u64 = 0x1234_5600_0000_0000;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

type Lines = Arc<[[AtomicU64; 2]; 2]>;

fn lines() -> Lines {
    Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))))
}

fn show(lines: &Lines, tag: u64, now_s: u64) -> Shown {
    let [first, second] = &**lines;
    claim([first, second], Entry::new(tag, NOW_S + 60, now_s).expect("a time within the range"), now_s)
}

#[test]
fn one_proof_on_two_workers_passes_once_at_most() {
    explore(|| {
        let lines = lines();
        let other = Arc::clone(&lines);
        let thread = thread::spawn(move || show(&other, TAG, NOW_S));
        let here = show(&lines, TAG, NOW_S);
        let there = thread.join().unwrap();
        assert!(!(here == Shown::First && there == Shown::First));
        assert_eq!(show(&lines, TAG, NOW_S), Shown::Again);
        let [first, second] = &*lines;
        assert!(holds([first, second], Entry::new(TAG, NOW_S + 60, NOW_S).unwrap(), NOW_S));
    });
}

/// By one worker's clock a slot is dead that lives by the other's: the two take different ones.
#[test]
fn workers_whose_clocks_differ_let_one_through_at_most() {
    explore(|| {
        let lines = lines();
        let [first, second] = &*lines;
        let ending = Entry::new(OTHER, NOW_S + 1, NOW_S).unwrap();
        assert_eq!(claim([first, first], ending, NOW_S), Shown::First);
        assert_eq!(claim([second, second], ending, NOW_S), Shown::First);
        let other = Arc::clone(&lines);
        let thread = thread::spawn(move || show(&other, TAG, NOW_S + 1));
        let here = show(&lines, TAG, NOW_S);
        assert!(!(here == Shown::First && thread.join().unwrap() == Shown::First));
    });
}

#[test]
fn different_proofs_do_not_hinder_each_other() {
    explore(|| {
        let lines = lines();
        let other = Arc::clone(&lines);
        let thread = thread::spawn(move || show(&other, OTHER, NOW_S));
        assert_eq!(show(&lines, TAG, NOW_S), Shown::First);
        assert_eq!(thread.join().unwrap(), Shown::First);
    });
}
