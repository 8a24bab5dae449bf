//! How much of the room for proofs one subject may take, so that none can keep the others out of it.
//!
//! A bucket of time for each (`policy::rate`), in which a proof costs as much as one can live. Subjects share a bucket where
//! their hashes meet: that can only make it tighter for them. A bucket that gives `steady` proofs in the longest time that one
//! lives, and `burst` at once, holds `steady + burst` of them alive at most.

use std::sync::atomic::{AtomicU64, Ordering};

use policy::rate::{Gcra, gcra};

use crate::bounds::{PROOF_KEPT_S_MAX, PROOF_SHARE_BUCKETS, PROOF_SHARE_BURST_PART, PROOF_SHARE_PART};

const NS_PER_S: u64 = 1_000_000_000;

pub struct Shares {
    buckets: Box<[AtomicU64]>,
    steady: u64,
    burst: u32,
}

impl Shares {
    /// Of room for so many proofs.
    pub fn new(proofs_max: usize) -> Self {
        let share = (proofs_max / PROOF_SHARE_PART).max(2);
        let burst = (share / PROOF_SHARE_BURST_PART).max(1);
        let buckets = (0..PROOF_SHARE_BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, steady: (share - burst) as u64, burst: u32::try_from(burst).unwrap_or(u32::MAX) }
    }

    /// Takes room at `now_s` (seconds since the Unix epoch) for one proof of the subject with this hash, none of whose lives for
    /// more than `lives_s`; false where its share is used up.
    pub fn take(&self, hash: u64, lives_s: u64, now_s: u64) -> bool {
        let Some(bucket) = self.buckets.get(hash as usize % PROOF_SHARE_BUCKETS) else {
            return false;
        };
        let emission_interval_ns = lives_s.saturating_mul(NS_PER_S).div_ceil(self.steady);
        let spec = Gcra { emission_interval_ns, burst: self.burst };
        let now_ns = now_s.saturating_mul(NS_PER_S);
        // Beyond that only a clock that was ahead for a while can have put it: it says nothing of this subject.
        let latest_ns = now_ns.saturating_add(PROOF_KEPT_S_MAX * NS_PER_S);
        let step = |state: u64| {
            let (after, verdict) = gcra(if state > latest_ns { 0 } else { state }, now_ns, spec);
            verdict.admitted.then_some(after)
        };
        bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    /// Asks a hundred times in each second of two lives; gives the most that are alive at a time.
    fn most_alive(shares: &Shares, lives_s: impl Fn(u64) -> u64) -> usize {
        let mut ends_s: Vec<u64> = Vec::new();
        let mut most = 0;
        for now_s in (0..128).map(|second| NOW_S + second) {
            for asked in 0..100 {
                let lives_s = lives_s(asked);
                if shares.take(7, lives_s, now_s) {
                    ends_s.push(now_s + lives_s);
                }
            }
            most = most.max(ends_s.iter().filter(|end_s| **end_s > now_s).count());
        }
        most
    }

    #[test]
    fn no_subject_has_more_than_its_share_alive_and_none_has_much_less() {
        for (proofs_max, least) in [(1_024, 500), (4_096, 2_000)] {
            let share = proofs_max / PROOF_SHARE_PART;
            let most = most_alive(&Shares::new(proofs_max), |_| 63);
            assert!((least..=share).contains(&most), "{most} of {proofs_max}");
            let mixed = most_alive(&Shares::new(proofs_max), |asked| if asked % 2 == 0 { 1 } else { 63 });
            assert!(mixed <= share, "{mixed} of {proofs_max}, with others that end at once");
        }
    }

    #[test]
    fn subjects_do_not_hinder_each_other() {
        let shares = Shares::new(64);
        assert!((0..64).any(|_| !shares.take(1, 63, NOW_S)));
        assert!(shares.take(2, 63, NOW_S) && !shares.take(1, 63, NOW_S) && shares.take(1, 63, NOW_S + 64));
        assert!(Shares::new(0).take(1, 63, NOW_S), "never none at all");
    }

    #[test]
    fn a_clock_that_was_ahead_shuts_nobody_out() {
        let shares = Shares::new(64);
        assert!((0..64).any(|_| !shares.take(1, 63, NOW_S + 86_400)));
        assert!(shares.take(1, 63, NOW_S));
    }
}
