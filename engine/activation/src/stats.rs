//! What each worker counts for the metrics: written by its worker alone, read by control.

use std::sync::atomic::{AtomicU64, Ordering};

use policy::reason::Reason;

/// A word that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// For the one writer: a plain load and store, no shared read-modify-write.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Number of latency buckets; bucket `i` holds exchanges below `LATENCY_BOUNDS_US[i]`, the last one the rest.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;
/// Upper bounds of the latency buckets, microseconds.
pub const LATENCY_BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Counters of one worker, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    pub core: usize,
    pub connections_accepted: Count,
    pub connections_refused: Count,
    pub connections_open: Count,
    pub handshakes: Count,
    pub handshakes_failed: Count,
    pub handshakes_resumed: Count,
    pub exchanges: Count,
    pub exchanges_in_flight: Count,
    pub permitted: Count,
    pub responses_by_class: [Count; 6],
    /// By `Reason as u8`.
    pub reasons: [Count; 256],
    pub bytes_from_clients: Count,
    pub bytes_to_clients: Count,
    pub origin_connects: Count,
    pub origin_connects_failed: Count,
    pub origin_reuses: Count,
    pub origin_retries: Count,
    pub token_cache_hits: Count,
    pub token_cache_misses: Count,
    pub records_lost: Count,
    pub denials_aggregated: Count,
    pub deadlines_expired: Count,
    pub latency: [Count; LATENCY_BUCKETS],
    pub latency_sum_us: Count,
    /// Time of the last loop turn, nanoseconds since the Unix epoch: a worker that stands still shows here.
    pub turn_unix_ns: Count,
}

impl WorkerStats {
    pub fn new(core: usize) -> Self {
        Self {
            core,
            connections_accepted: Count::default(),
            connections_refused: Count::default(),
            connections_open: Count::default(),
            handshakes: Count::default(),
            handshakes_failed: Count::default(),
            handshakes_resumed: Count::default(),
            exchanges: Count::default(),
            exchanges_in_flight: Count::default(),
            permitted: Count::default(),
            responses_by_class: Default::default(),
            reasons: [const { Count(AtomicU64::new(0)) }; 256],
            bytes_from_clients: Count::default(),
            bytes_to_clients: Count::default(),
            origin_connects: Count::default(),
            origin_connects_failed: Count::default(),
            origin_reuses: Count::default(),
            origin_retries: Count::default(),
            token_cache_hits: Count::default(),
            token_cache_misses: Count::default(),
            records_lost: Count::default(),
            denials_aggregated: Count::default(),
            deadlines_expired: Count::default(),
            latency: Default::default(),
            latency_sum_us: Count::default(),
            turn_unix_ns: Count::default(),
        }
    }

    pub fn reason(&self, reason: Reason) {
        if let Some(count) = self.reasons.get(reason as usize) {
            count.add(1);
        }
    }

    pub fn observe_latency_us(&self, us: u64) {
        let bucket = LATENCY_BOUNDS_US.iter().position(|bound| us < *bound).unwrap_or(LATENCY_BUCKETS - 1);
        if let Some(count) = self.latency.get(bucket) {
            count.add(1);
        }
        self.latency_sum_us.add(us);
    }
}
