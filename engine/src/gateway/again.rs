//! When it is tried again to accept what this gateway itself could not: the store has nothing new to say when it can. Pure:
//! times and room are arguments.

use std::time::{Duration, Instant};

use control::accept::Refusal;

use super::follow::READ_INTERVAL;

/// How soon what failed is tried again. Doubles with each failure, up to [`READ_INTERVAL`], at which the store is read anyway.
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// Room on a medium beside a release, bytes: what else is written to accept it, and blocks that are not full.
const ROOM_BESIDE_BYTES: u64 = 256 << 10;

/// What failed last, of what the store was found to hold (`B`), and when it is tried again.
#[derive(Debug)]
pub struct Again<B>(Option<Failed<B>>);

#[derive(Debug)]
struct Failed<B> {
    of: Option<B>,
    refusal: Refusal,
    pause: Duration,
    at: Instant,
    since: Instant,
    /// Bytes of room by which it may be tried earlier; none where as much was there and it failed all the same.
    lacking: Option<u64>,
}

impl<B: PartialEq> Again<B> {
    pub const fn none() -> Self {
        Self(None)
    }

    /// `of` came to `refusal`; none: it was not known yet what the store holds. `bytes` were to be written, where `free` were
    /// left. What failed before it was due again waits no longer for that.
    pub fn failed(&mut self, of: Option<B>, refusal: Refusal, (bytes, free): (usize, Option<u64>), now: Instant) {
        let before = self.0.take().filter(|before| before.of == of);
        let (pause, at) = match before {
            Some(before) if now < before.at => (before.pause, before.at),
            Some(before) => after(now, (before.pause * 2).min(READ_INTERVAL)),
            None => after(now, PAUSE_MIN),
        };
        let needed = ROOM_BESIDE_BYTES.saturating_add(bytes as u64);
        let lacking = free.filter(|free| *free < needed).map(|_| needed);
        self.0 = Some(Failed { of, refusal, pause, at, since: now, lacking });
    }

    /// What `of` came to, until it is tried again.
    pub fn refusal(&self, of: &B, now: Instant) -> Option<&Refusal> {
        let failed = self.0.as_ref().filter(|failed| failed.of.as_ref() == Some(of) && now < failed.at)?;
        Some(&failed.refusal)
    }

    /// When the store is to be read for it at the latest.
    pub fn at(&self) -> Option<Instant> {
        self.0.as_ref().map(|failed| failed.at)
    }

    /// Whether it is due already, because there is room now that was not there when it failed. No sooner than after the first
    /// pause: others may take and give room all the time.
    pub fn finds_room(&mut self, free: impl FnOnce() -> Option<u64>, now: Instant) -> bool {
        let Some(failed) = &mut self.0 else { return false };
        let Some(needed) = failed.lacking.filter(|_| now >= failed.since + PAUSE_MIN) else { return false };
        let is_there = free().is_some_and(|free| free >= needed);
        if is_there {
            // Once: whether the store can be read by then is another matter.
            (failed.at, failed.lacking) = (now, None);
        }
        is_there
    }

    pub fn forget(&mut self) {
        self.0 = None;
    }
}

fn after(now: Instant, pause: Duration) -> (Duration, Instant) {
    (pause, now + pause)
}

#[cfg(test)]
mod tests {
    use control::accept::Check;

    use super::*;

    const FULL: (usize, Option<u64>) = (1 << 20, Some(4_096));

    fn refusal() -> Refusal {
        Refusal::new(Check::Activation, "room", "none", "make room")
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_same_waits_twice_as_long_each_time_and_another_does_not() {
        let (mut again, mut now, mut pauses) = (Again::none(), Instant::now(), Vec::new());
        for _ in 0..6 {
            again.failed(Some(1), refusal(), FULL, now);
            let at = again.at().unwrap();
            assert!(again.refusal(&1, at - s(1)).is_some() && again.refusal(&1, at).is_none());
            assert!(again.refusal(&2, now).is_none(), "another release is looked at");
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        again.failed(Some(2), refusal(), FULL, now);
        assert_eq!(again.at(), Some(now + s(5)));
        again.failed(None, refusal(), FULL, now);
        again.failed(None, refusal(), FULL, now + s(1));
        assert_eq!(again.at(), Some(now + s(5)), "what changed meanwhile puts nothing off");
        again.forget();
        assert_eq!(again.at(), None);
    }

    #[test]
    fn room_is_found_where_there_was_too_little() {
        let (mut again, now) = (Again::none(), Instant::now());
        let enough = || Some((1 << 20) + ROOM_BESIDE_BYTES);
        for _ in 0..3 {
            let at = again.at().unwrap_or(now);
            again.failed(Some(1), refusal(), FULL, at);
        }
        let failed = now + s(15);
        assert_eq!(again.at(), Some(failed + s(20)));
        assert!(!again.finds_room(enough, failed + s(4)), "room that comes and goes");
        assert!(!again.finds_room(|| Some(1 << 20), failed + s(6)) && !again.finds_room(|| None, failed + s(6)));
        assert!(again.finds_room(enough, failed + s(6)));
        assert!(again.refusal(&1, failed + s(6)).is_none(), "it is tried");
        again.failed(Some(1), refusal(), (1 << 20, enough()), failed + s(6));
        assert_eq!(again.at(), Some(failed + s(6) + s(40)));
        assert!(!again.finds_room(|| Some(u64::MAX), failed + s(20)), "it was not for want of room");
    }
}
