//! How much of what is refused is told.

use std::time::{Duration, Instant};

/// Different refusals told in a row, and how soon one more may be: whoever can write into the store must not be able to
/// fill the records.
const TOLD_MAX: u32 = 32;
const TOLD_INTERVAL: Duration = Duration::from_secs(10);

/// How many more refusals may be told, and since when that holds.
pub struct Tellable {
    left: u32,
    since: Instant,
}

impl Tellable {
    pub fn new() -> Self {
        Self { left: TOLD_MAX, since: Instant::now() }
    }

    /// Takes one from what may be told; beyond that a refusal is shown and counted alone.
    pub fn take(&mut self) -> bool {
        while self.left < TOLD_MAX && self.since.elapsed() >= TOLD_INTERVAL {
            self.left += 1;
            self.since += TOLD_INTERVAL;
        }
        if self.left == TOLD_MAX {
            self.since = Instant::now();
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}
