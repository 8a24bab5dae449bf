//! DPoP proofs that were shown already (RFC 9449 §11.1), of all workers: none passes twice.
//!
//! Fixed memory: each proof stands in one of two lines of slots until it is too old to be accepted. When both are full of
//! live ones, a further proof is refused rather than let through unremembered.

mod slots;
mod sync;

use ahash::RandomState;

use slots::{Entry, claim};
use sync::{AtomicU64, LINE_SLOTS};

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    First,
    Again,
    /// There is no room to remember it.
    Full,
}

/// The proofs that are remembered.
pub struct Seen {
    hasher: RandomState,
    /// A power of two.
    lines: Box<[[AtomicU64; LINE_SLOTS]]>,
}

impl Seen {
    /// Room for at least `proofs_max` proofs. `seed` is random, once per process, so that nobody outside can choose proofs
    /// that crowd together.
    pub fn new(proofs_max: usize, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let lines = proofs_max.div_ceil(LINE_SLOTS).next_power_of_two();
        let line = |_| std::array::from_fn(|_| AtomicU64::new(0));
        Self { hasher: RandomState::with_seeds(a, b, c, d), lines: (0..lines).map(line).collect() }
    }

    /// Takes note of a proof, that has to be remembered until `kept_until_s`. Both times are seconds since the Unix epoch.
    pub fn show(&self, id: &[u8; 32], kept_until_s: u64, now_s: u64) -> Shown {
        let (places, tag) = (self.hasher.hash_one(id), self.hasher.hash_one((id, 1_u8)));
        let Some(entry) = Entry::new(tag, kept_until_s, now_s) else {
            return Shown::Full;
        };
        let line = |hash: u64| self.lines.get(hash as usize & (self.lines.len() - 1)).map_or(&[][..], |line| &line[..]);
        claim([line(places), line(places >> 32)], entry, now_s)
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Seen").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
