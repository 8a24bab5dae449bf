//! The order to finish: workers look once a tick, close what is idle and end what still runs at the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by control and all workers.
#[derive(Debug, Default)]
pub struct Drain {
    /// 0 while open, else the deadline in nanoseconds since the Unix epoch.
    deadline_unix_ns: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Draining { deadline_unix_ns: u64 },
}

impl Drain {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Begins to drain, or moves the deadline.
    pub fn begin(&self, deadline_unix_ns: u64) {
        self.deadline_unix_ns.store(deadline_unix_ns.max(1), Ordering::Release);
    }

    pub fn state(&self) -> State {
        match self.deadline_unix_ns.load(Ordering::Acquire) {
            0 => State::Open,
            deadline_unix_ns => State::Draining { deadline_unix_ns },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_once_and_can_be_hurried() {
        let drain = Drain::new();
        assert_eq!(drain.state(), State::Open);
        drain.begin(0);
        assert_eq!(drain.state(), State::Draining { deadline_unix_ns: 1 });
        drain.begin(7);
        assert_eq!(drain.state(), State::Draining { deadline_unix_ns: 7 });
    }
}
