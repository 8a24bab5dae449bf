//! The atomic step: one word, charged and given back by compare and swap.

use policy::rate::{STATE_MAX, Verdict, returned, step};
use policy::table::LimitKind;

use super::sync::{AtomicU64, Ordering};

/// What a limit said, with its state around the step; both are the same after a refusal.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub before: u64,
    pub after: u64,
    pub verdict: Verdict,
}

/// What the word would say now.
#[inline(always)]
pub fn peek(word: &AtomicU64, now_ns: u64, kind: LimitKind) -> Step {
    let before = word.load(Ordering::Acquire);
    let (after, verdict) = step(before, now_ns, kind);
    Step { before, after, verdict }
}

/// Charges one request. Each further turn means that another one was charged or given back meanwhile, so workers
/// together always get on.
pub fn charge(word: &AtomicU64, now_ns: u64, kind: LimitKind) -> Step {
    charge_above(word, 0, now_ns, kind)
}

/// Makes a charge that was peeked at a moment ago, and admitted: where the word is as it was, so is what it says. Whether
/// it was.
#[inline]
pub fn charge_peeked(word: &AtomicU64, before: u64, after: u64) -> bool {
    word.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// The same with a state that counts as at least `floor`.
pub fn charge_above(word: &AtomicU64, floor: u64, now_ns: u64, kind: LimitKind) -> Step {
    let mut current = word.load(Ordering::Acquire);
    loop {
        let before = current.max(floor);
        let (after, verdict) = step(before, now_ns, kind);
        if !verdict.admitted {
            return Step { before, after, verdict };
        }
        match word.compare_exchange_weak(current, after, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Step { before, after, verdict },
            Err(found) => current = found,
        }
    }
}

/// Gives a charge back, unless that could let one request too many in: then the charge stays.
pub fn give_back(word: &AtomicU64, step: &Step, kind: LimitKind) {
    let mut current = word.load(Ordering::Acquire);
    while let Some(earlier) = returned(current, step.before, step.after, kind) {
        match word.compare_exchange_weak(current, earlier, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(found) => current = found,
        }
    }
}

/// Lowers a state as `clamp` says. Marks above `STATE_MAX` stay.
pub fn lower(word: &AtomicU64, clamp: impl Fn(u64) -> u64) {
    let mut current = word.load(Ordering::Acquire);
    loop {
        let lowered = clamp(current);
        if current > STATE_MAX || lowered >= current {
            return;
        }
        match word.compare_exchange_weak(current, lowered, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(found) => current = found,
        }
    }
}
