//! DPoP proofs that were shown already (RFC 9449 §11.1), of all workers: none passes twice.
//!
//! Fixed memory: each proof stands in one of two lines of slots until it is too old to be accepted. When both are full of
//! live ones, a further proof is refused rather than let through unremembered. No subject takes more than its share.

mod shares;
mod slots;
mod sync;

use ahash::RandomState;

use shares::Shares;
use slots::{Entry, claim, holds};
use sync::{AtomicU64, LINE_SLOTS};

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    First,
    Again,
    /// There is no room to remember it, or none for one more of its subject.
    Full,
}

/// The proofs that are remembered.
pub struct Seen {
    hasher: RandomState,
    shares: Shares,
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
        let lines: Box<[_]> = (0..lines).map(line).collect();
        Self { hasher: RandomState::with_seeds(a, b, c, d), shares: Shares::new(lines.len() * LINE_SLOTS), lines }
    }

    /// Whether a proof was shown already. Takes note of nothing: others may show it meanwhile.
    pub fn knows(&self, id: &[u8; 32], kept_until_s: u64, now_s: u64) -> bool {
        Entry::new(self.tag(id), kept_until_s, now_s).is_some_and(|entry| holds(self.lines_of(id), entry, now_s))
    }

    /// Takes note of a proof of `subject`, that has to be remembered until `kept_until_s` (seconds since the Unix epoch, as
    /// `now_s`), and could not have to be for longer than `kept_s_max`.
    pub fn show(&self, id: &[u8; 32], subject: &[u8], (kept_until_s, kept_s_max): (u64, u64), now_s: u64) -> Shown {
        let Some(entry) = Entry::new(self.tag(id), kept_until_s, now_s) else {
            return Shown::Full;
        };
        let lines = self.lines_of(id);
        if holds(lines, entry, now_s) {
            return Shown::Again;
        }
        // Not by what is left of its life, which is for its sender to choose: of short ones very many could be alive at once.
        let lives_s_max = kept_s_max.max(kept_until_s - now_s);
        if !self.shares.take(self.hasher.hash_one(subject), lives_s_max, now_s) {
            return Shown::Full;
        }
        claim(lines, entry, now_s)
    }

    fn tag(&self, id: &[u8; 32]) -> u64 {
        self.hasher.hash_one((id, 1_u8))
    }

    /// The two lines in one of which a proof stands, if it does.
    fn lines_of(&self, id: &[u8; 32]) -> [&[AtomicU64]; 2] {
        let places = self.hasher.hash_one(id);
        [places, places >> 32]
            .map(|hash| self.lines.get(hash as usize & (self.lines.len() - 1)).map_or(&[][..], |line| &line[..]))
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Seen").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
