//! The wall clock, read on control threads only.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch; 0 before it.
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Seconds since the Unix epoch.
pub fn unix_s() -> u64 {
    unix_ns() / NS_PER_S
}

pub const NS_PER_S: u64 = 1_000_000_000;
