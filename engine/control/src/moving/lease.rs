//! When a secret that is fetched is fetched again, and until when it is good. Pure: times and chances are arguments. All times
//! are milliseconds since the Unix epoch.

use super::rotation::Why;
use super::schedule::spread;
use crate::bounds::{
    CREDENTIAL_MISSING_RETRY_MS_MAX, CREDENTIAL_RETRY_MS_MAX, CREDENTIAL_RETRY_MS_MIN, TOKEN_MARGIN_MS_MAX,
};

const MS_PER_S: u64 = 1_000;

/// What is known of a secret's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It ends by itself, so long after it was asked for.
    Ends { life_s: u64 },
    /// It is looked for again and again, and believed for so long after it was last found.
    Looked { refresh_s: u64, max_stale_s: u64 },
}

/// The state of one secret.
#[derive(Clone, Debug)]
pub struct Lease {
    next_ms: u64,
    next_why: Why,
    /// When that was said: a clock that was put back does not put the next fetch off.
    said_ms: u64,
    /// None while there is nothing.
    ends_ms: Option<u64>,
    failures_in_a_row: u32,
    in_flight: Option<Why>,
    /// Asked for while one was on its way: what that one finds may be older than the wish.
    again: Option<Why>,
}

/// Of what is not there; due at once.
impl Default for Lease {
    fn default() -> Self {
        Self {
            next_ms: 0,
            next_why: Why::Start,
            said_ms: 0,
            ends_ms: None,
            failures_in_a_row: 0,
            in_flight: None,
            again: None,
        }
    }
}

impl Lease {
    /// Due at once.
    pub const fn hasten(&mut self, why: Why) {
        (self.next_ms, self.next_why) = (0, why);
        if self.in_flight.is_some() {
            self.again = Some(why);
        }
    }

    /// Whether to fetch now. There is one fetch at a time.
    pub fn begin(&mut self, now_ms: u64) -> bool {
        let due = now_ms >= self.next_ms || now_ms < self.said_ms;
        if self.in_flight.is_some() || !due {
            return false;
        }
        self.in_flight = Some(self.next_why);
        true
    }

    /// The fetch that was begun at `asked_ms` found something; `chance`: any.
    pub fn renewed(&mut self, asked_ms: u64, now_ms: u64, life: Life, chance: u32) -> Why {
        self.failures_in_a_row = 0;
        let (next_ms, ends_ms) = match life {
            Life::Ends { life_s } => {
                let life_ms = life_s.saturating_mul(MS_PER_S);
                // Not to end on its way to the origin.
                let margin_ms = (life_ms / 10).min(TOKEN_MARGIN_MS_MAX);
                self.next_why = Why::Expiry;
                (asked_ms.saturating_add(spread(life_ms / 3 * 2, 7, chance)), life_ms - margin_ms)
            }
            Life::Looked { refresh_s, max_stale_s } => {
                self.next_why = Why::Interval;
                let pause_ms = spread(refresh_s.saturating_mul(MS_PER_S), 20, chance);
                (now_ms.saturating_add(pause_ms), max_stale_s.saturating_mul(MS_PER_S))
            }
        };
        self.ends_ms = Some(asked_ms.saturating_add(ends_ms));
        self.end(now_ms, next_ms.max(now_ms.saturating_add(CREDENTIAL_RETRY_MS_MIN)))
    }

    /// The fetch came to nothing; the server may have said for how long it wants to be left alone.
    pub fn failed(&mut self, now_ms: u64, retry_after_s: Option<u64>, chance: u32) -> Why {
        let doubled_ms = CREDENTIAL_RETRY_MS_MIN.saturating_mul(1 << self.failures_in_a_row.min(16));
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let left_ms = self.ends_ms.map_or(0, |ends_ms| ends_ms.saturating_sub(now_ms));
        let longest_ms = match left_ms {
            0 => CREDENTIAL_MISSING_RETRY_MS_MAX,
            // Some more attempts at least before the end.
            _ => CREDENTIAL_RETRY_MS_MAX.min((left_ms / 5).max(CREDENTIAL_RETRY_MS_MIN)),
        };
        let pause_ms = doubled_ms.min(longest_ms);
        let asked_for_ms = retry_after_s.map_or(0, |s| s.saturating_mul(MS_PER_S));
        self.end(now_ms, now_ms.saturating_add(spread(pause_ms, 25, chance).max(asked_for_ms)))
    }

    fn end(&mut self, now_ms: u64, next_ms: u64) -> Why {
        (self.next_ms, self.said_ms) = (next_ms, now_ms);
        if let Some(why) = self.again.take() {
            (self.next_ms, self.next_why) = (0, why);
        }
        self.in_flight.take().unwrap_or(self.next_why)
    }

    /// Whether what was there has ended; it is given up then, and that is said once.
    pub fn gives_up(&mut self, now_ms: u64) -> bool {
        self.ends_ms.take_if(|ends_ms| *ends_ms <= now_ms).is_some()
    }

    pub const fn ends_ms(&self) -> Option<u64> {
        self.ends_ms
    }

    /// When it is fetched again; none while it is.
    pub fn next_ms(&self) -> Option<u64> {
        self.in_flight.is_none().then_some(self.next_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: u64 = 1_800_000_000_000;

    #[test]
    fn what_is_asked_for_during_a_fetch_is_fetched_after_it() {
        let life = Life::Ends { life_s: 600 };
        for fails in [false, true] {
            let mut of = begun();
            of.hasten(Why::Order);
            assert!(!of.begin(T), "one at a time");
            let why = if fails { of.failed(T + 5, None, 0) } else { of.renewed(T, T + 5, life, 0) };
            assert_eq!(why, Why::Start);
            assert!(of.begin(T + 5), "at once");
            assert_eq!(of.renewed(T + 5, T + 9, life, 0), Why::Order);
            assert!(!of.begin(T + 9), "and once");
        }
    }

    fn begun() -> Lease {
        let mut of = Lease::default();
        assert!(of.begin(T) && !of.begin(T), "one at a time");
        of
    }

    #[test]
    fn a_token_is_fetched_again_at_two_thirds_and_given_up_a_little_before_its_end() {
        let mut of = begun();
        assert_eq!(of.renewed(T, T + 50, Life::Ends { life_s: 60 }, 0), Why::Start);
        assert_eq!((of.next_ms(), of.ends_ms()), (Some(T + 40_000), Some(T + 55_000)));
        assert!(!of.begin(T + 39_999) && of.begin(T + 40_000) && of.next_ms().is_none());
        assert_eq!(of.renewed(T + 40_000, T + 40_000, Life::Ends { life_s: 60 }, u32::MAX), Why::Expiry);
        assert_eq!(of.next_ms(), Some(T + 40_000 + 37_200), "by chance a little earlier");
        assert!(!of.gives_up(T + 94_999) && of.gives_up(T + 95_000) && !of.gives_up(T + 95_001), "said once");
        let mut short = begun();
        short.renewed(T, T, Life::Ends { life_s: 1 }, 0);
        assert_eq!((short.next_ms(), short.ends_ms()), (Some(T + CREDENTIAL_RETRY_MS_MIN), Some(T + 900)));
    }

    #[test]
    fn what_is_looked_for_is_believed_from_the_last_time_it_was_found() {
        let mut of = begun();
        of.renewed(T, T, Life::Looked { refresh_s: 60, max_stale_s: 600 }, 0);
        assert_eq!((of.next_ms(), of.ends_ms()), (Some(T + 60_000), Some(T + 600_000)));
        assert!(of.begin(T - 1), "a clock that was put back does not put it off");
        assert_eq!(of.failed(T + 60_000, None, 0), Why::Interval);
        assert_eq!(of.ends_ms(), Some(T + 600_000));
    }

    #[test]
    fn failures_back_off_within_bounds_and_as_the_server_asks() {
        let (mut of, mut now, mut pauses) = (Lease::default(), T, Vec::new());
        for _ in 0..9 {
            assert!(of.begin(now));
            of.failed(now, None, 0);
            pauses.push((of.next_ms().unwrap() - now) / 1_000);
            now = of.next_ms().unwrap();
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10, 10, 10, 10], "while there is none");
        of.begin(now);
        of.failed(now, Some(300), 0);
        assert_eq!(of.next_ms(), Some(now + 300_000));
        of.hasten(Why::Order);
        assert!(of.begin(now), "an order waits for nothing");
        of.renewed(now, now, Life::Ends { life_s: 30 }, 0);
        for (failure, pause_ms) in [1_000, 2_000, 4_000, 5_400].into_iter().enumerate() {
            of.hasten(Why::Order);
            of.begin(now);
            of.failed(now, None, 0);
            assert_eq!(of.next_ms(), Some(now + pause_ms), "{failure}: near the end it is tried more often");
        }
        of.hasten(Why::Order);
        of.begin(now);
        of.renewed(now, now, Life::Ends { life_s: 3_600 }, 0);
        let mut last_ms = 0;
        for _ in 0..9 {
            of.hasten(Why::Order);
            of.begin(now);
            of.failed(now, None, 0);
            last_ms = of.next_ms().unwrap() - now;
        }
        assert_eq!(last_ms, CREDENTIAL_RETRY_MS_MAX, "long before the end");
    }

    proptest! {
        #[test]
        fn it_is_always_fetched_again_and_never_at_once(
            steps in prop::collection::vec((any::<bool>(), any::<u32>(), 0_u64..100_000, prop::option::of(0_u64..300)), 1..60)
        ) {
            let (mut of, mut now) = (Lease::default(), T);
            for (good, chance, life_s, after) in steps {
                if of.begin(now) {
                    if good { of.renewed(now, now, Life::Ends { life_s }, chance) } else { of.failed(now, after, chance) };
                    let next_ms = of.next_ms().unwrap_or_default();
                    prop_assert!(next_ms >= now + CREDENTIAL_RETRY_MS_MIN * 3 / 4);
                    prop_assert!(next_ms <= now + 300_000_u64.max(life_s * 1_000));
                }
                now += 700;
            }
        }
    }
}
