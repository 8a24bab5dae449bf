//! One proof, in the slots of two lines, by many workers at once.
//!
//! A worker looks at all slots first, takes a dead one, and looks once more: two workers with the same proof may have taken
//! two slots, because the clocks by which they call slots dead differ a little. Then at least one of them sees the other
//! (the fence between write and second look makes it so), and whoever sees another refuses. Both may: better none than
//! two.

use super::Shown;
use super::sync::{AtomicU64, LINE_SLOTS, Ordering, fence};
use crate::bounds::{PROOF_KEPT_S_MAX, PROOF_TRIES_MAX};

/// 40 bits that tell the proof, above 24 of the second in which it dies. 0 is nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry(u64);

const SECONDS: u64 = (1 << 24) - 1;

impl Entry {
    /// None where it is dead already, or would live for longer than slots can tell.
    pub fn new(tag: u64, kept_until_s: u64, now_s: u64) -> Option<Self> {
        let entry = Self(tag & !SECONDS | kept_until_s & SECONDS);
        let lives_s = kept_until_s.checked_sub(now_s)?;
        ((1..=PROOF_KEPT_S_MAX).contains(&lives_s) && entry.0 != 0).then_some(entry)
    }

    /// Seconds count in a circle of half a year.
    fn is_live(self, now_s: u64) -> bool {
        let lives_s = self.0.wrapping_sub(now_s) & SECONDS;
        self.0 != 0 && (1..=PROOF_KEPT_S_MAX).contains(&lives_s)
    }

    fn is_same(self, other: Self) -> bool {
        self.0 & !SECONDS == other.0 & !SECONDS
    }
}

/// Whether an entry stands in one of the slots.
pub fn holds(lines: [&[AtomicU64]; 2], entry: Entry, now_s: u64) -> bool {
    let mut slots = lines.iter().flat_map(|line| line.iter().take(LINE_SLOTS));
    slots.any(|slot| {
        let found = Entry(slot.load(Ordering::Acquire));
        found.is_live(now_s) && found.is_same(entry)
    })
}

/// Puts an entry into one of the slots, unless it stands there.
pub fn claim(lines: [&[AtomicU64]; 2], entry: Entry, now_s: u64) -> Shown {
    for _ in 0..PROOF_TRIES_MAX {
        let mut free = [None; 2];
        let mut dead = [0; 2];
        for ((line, free), dead) in lines.iter().zip(&mut free).zip(&mut dead) {
            for slot in line.iter().take(LINE_SLOTS) {
                let found = Entry(slot.load(Ordering::Acquire));
                match found.is_live(now_s) {
                    true if found.is_same(entry) => return Shown::Again,
                    true => {}
                    false => {
                        *free = Some((slot, found));
                        *dead += 1;
                    }
                }
            }
        }
        // The emptier of the two, so that they fill evenly.
        let [first, second] = free;
        let free = if dead[1] > dead[0] { second } else { first };
        let Some((own, found)) = free else {
            return Shown::Full;
        };
        if own.compare_exchange(found.0, entry.0, Ordering::AcqRel, Ordering::Acquire).is_err() {
            continue;
        }
        fence(Ordering::SeqCst);
        let mut others = lines.iter().flat_map(|line| line.iter().take(LINE_SLOTS));
        let twin = others.any(|slot| {
            let found = Entry(slot.load(Ordering::Acquire));
            !std::ptr::eq(slot, own) && found.is_live(now_s) && found.is_same(entry)
        });
        return if twin { Shown::Again } else { Shown::First };
    }
    Shown::Full
}
