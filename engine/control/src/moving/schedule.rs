//! When something is fetched again, and until when it is believed. Pure: times and chances are arguments. All times are
//! milliseconds since the Unix epoch.

use policy::model::Fetched;

use super::rotation::Why;
use crate::bounds::{ASK_PAUSE_MS, FETCH_RETRY_S_MAX, FETCH_RETRY_S_MIN};

const MS_PER_S: u64 = 1_000;

/// The state of one thing.
#[derive(Clone, Debug)]
pub struct Schedule {
    refresh_ms: u64,
    max_stale_ms: u64,
    next_ms: u64,
    next_why: Why,
    success_ms: Option<u64>,
    failures_in_a_row: u32,
    in_flight: Option<Why>,
    asks_from_ms: u64,
    /// When it was looked at last.
    looked_ms: u64,
}

impl Schedule {
    /// Due at once; `success_ms`: when what is known was fetched.
    pub fn new(bounds: &Fetched, success_ms: Option<u64>, why: Why) -> Self {
        let mut schedule = Self {
            refresh_ms: 0,
            max_stale_ms: 0,
            next_ms: 0,
            next_why: why,
            success_ms,
            failures_in_a_row: 0,
            in_flight: None,
            asks_from_ms: 0,
            looked_ms: 0,
        };
        schedule.bound(bounds);
        schedule
    }

    /// Takes other bounds for the same thing.
    pub fn bound(&mut self, bounds: &Fetched) {
        self.refresh_ms = u64::from(bounds.refresh_s) * MS_PER_S;
        self.max_stale_ms = u64::from(bounds.max_stale_s) * MS_PER_S;
    }

    /// To be told the time now and then: when the clock is put back, everything stays as long ago as it was. By how many
    /// milliseconds it was, since the last time.
    pub fn follow(&mut self, now_ms: u64) -> u64 {
        let back_ms = std::mem::replace(&mut self.looked_ms, now_ms).saturating_sub(now_ms);
        for at_ms in [&mut self.next_ms, &mut self.asks_from_ms].into_iter().chain(&mut self.success_ms) {
            *at_ms = at_ms.saturating_sub(back_ms);
        }
        back_ms
    }

    /// Due at once.
    pub fn hasten(&mut self, why: Why) {
        (self.next_ms, self.next_why) = (0, why);
    }

    /// The fetch ended with nothing that helps now: due at once, for what it was made for.
    pub fn again(&mut self) {
        if let Some(why) = self.in_flight.take() {
            self.hasten(why);
        }
    }

    /// Whether to fetch now, and why; `wanted`: why somebody asks for it. There is one fetch at a time.
    pub fn begin(&mut self, now_ms: u64, wanted: Option<Why>) -> Option<Why> {
        if self.in_flight.is_some() {
            return None;
        }
        // A clock that was put back does not put the next fetch off.
        let due = now_ms >= self.next_ms || self.next_ms > now_ms.saturating_add(self.refresh_ms);
        let wanted = wanted.filter(|_| self.takes_asks(now_ms));
        let why = if due { self.next_why } else { wanted? };
        self.in_flight = Some(why);
        self.in_flight
    }

    /// The fetch ended well. `max_age_s`: how long its source says that it lives; `chance`: any.
    pub fn succeeded(&mut self, now_ms: u64, max_age_s: Option<u64>, chance: u32) -> Why {
        self.failures_in_a_row = 0;
        self.success_ms = Some(now_ms);
        let lives_ms = max_age_s.map_or(u64::MAX, |s| s.max(FETCH_RETRY_S_MIN).saturating_mul(MS_PER_S));
        self.next_why = if lives_ms < self.refresh_ms { Why::Expiry } else { Why::Interval };
        // Gateways that were started together do not ask together.
        self.next_ms = now_ms + spread(self.refresh_ms.min(lives_ms), 20, chance);
        self.end(now_ms)
    }

    /// The fetch came to nothing.
    pub fn failed(&mut self, now_ms: u64, chance: u32) -> Why {
        let most_s = FETCH_RETRY_S_MAX.min(self.refresh_ms / MS_PER_S).max(1);
        let pause_s = FETCH_RETRY_S_MIN.saturating_mul(1 << self.failures_in_a_row.min(16)).min(most_s);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.next_why = Why::Interval;
        self.next_ms = now_ms + spread(pause_s * MS_PER_S, 50, chance);
        self.end(now_ms)
    }

    fn end(&mut self, now_ms: u64) -> Why {
        self.asks_from_ms = now_ms + ASK_PAUSE_MS;
        self.in_flight.take().unwrap_or(Why::Interval)
    }

    /// Whether a question for newer keys is worth an answer: not right after the last look.
    pub fn takes_asks(&self, now_ms: u64) -> bool {
        now_ms >= self.asks_from_ms || self.asks_from_ms > now_ms.saturating_add(ASK_PAUSE_MS)
    }

    /// From then on it is not believed.
    pub fn stale_ms(&self) -> Option<u64> {
        self.success_ms.map(|success_ms| success_ms.saturating_add(self.max_stale_ms))
    }

    /// Whether it is too old. A clock that went back by more than its life does not keep it alive.
    pub fn is_stale(&self, now_ms: u64) -> bool {
        self.success_ms.is_none_or(|success_ms| {
            now_ms >= success_ms.saturating_add(self.max_stale_ms)
                || success_ms > now_ms.saturating_add(self.max_stale_ms)
        })
    }

    pub fn success_ms(&self) -> Option<u64> {
        self.success_ms
    }

    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }
}

/// `ms`, less up to `percent` of it.
pub(super) fn spread(ms: u64, percent: u64, chance: u32) -> u64 {
    let most = ms / 100 * percent;
    ms - (u128::from(most) * u128::from(chance) / u128::from(u32::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule() -> Schedule {
        let bounds = Fetched { url: String::new(), refresh_s: 600, max_stale_s: 3_600, ca: None };
        Schedule::new(&bounds, None, Why::Start)
    }

    const T: u64 = 1_800_000_000_000;

    #[test]
    fn one_at_a_time_at_once_and_then_within_the_interval() {
        let mut of = schedule();
        assert_eq!(of.begin(T, None), Some(Why::Start));
        assert_eq!(of.begin(T, Some(Why::UnknownKid)), None, "one is in flight");
        assert_eq!(of.succeeded(T, None, 0), Why::Start);
        assert_eq!(of.begin(T + 599_999, None), None);
        assert_eq!(of.begin(T + 600_000, None), Some(Why::Interval));
        of.succeeded(T + 600_000, Some(60), u32::MAX);
        assert_eq!(of.begin(T + 647_999, None), None);
        assert_eq!(of.begin(T + 648_000, None), Some(Why::Expiry), "its own life is shorter, and spread");
    }

    #[test]
    fn who_asks_for_an_unknown_key_gets_one_look_in_a_while() {
        let mut of = schedule();
        of.begin(T, None);
        of.succeeded(T, None, 0);
        assert_eq!(of.begin(T + 1, Some(Why::UnknownKid)), None);
        assert!(!of.takes_asks(T + ASK_PAUSE_MS - 1));
        assert_eq!(of.begin(T + ASK_PAUSE_MS, Some(Why::UnknownKid)), Some(Why::UnknownKid));
        assert_eq!(of.failed(T + ASK_PAUSE_MS, 0), Why::UnknownKid);
        assert_eq!(of.begin(T + 2 * ASK_PAUSE_MS - 1, Some(Why::UnknownKid)), None, "failed ones count");
        assert!(of.takes_asks(T - 3_600_000), "a clock that went back does not shut the door");
    }

    #[test]
    fn failures_back_off_and_never_beyond_the_interval() {
        let mut of = schedule();
        let (mut now, mut pauses) = (T, Vec::new());
        for _ in 0..9 {
            assert!(of.begin(now, None).is_some());
            of.failed(now, 0);
            pauses.push((of.next_ms() - now) / 1_000);
            now = of.next_ms();
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        of.begin(now, None);
        of.succeeded(now, None, 0);
        of.begin(now + 600_000, None);
        of.failed(now + 600_000, u32::MAX);
        assert_eq!(of.next_ms() - now - 600_000, 2_500, "a success forgets them");
    }

    #[test]
    fn it_is_believed_from_the_last_success_on_and_not_longer() {
        let mut of = schedule();
        assert!(of.is_stale(T), "what was never there is not fresh");
        of.begin(T, None);
        of.succeeded(T, None, 0);
        of.begin(T + 600_000, None);
        of.failed(T + 600_000, 0);
        assert!(!of.is_stale(T + 3_599_999) && of.is_stale(T + 3_600_000));
        assert_eq!(of.stale_ms(), Some(T + 3_600_000));
        assert!(of.is_stale(T - 3_600_001));
    }

    #[test]
    fn a_clock_that_is_put_back_makes_nothing_older_or_newer() {
        const YEAR_MS: u64 = 365 * 86_400_000;
        let mut of = schedule();
        assert_eq!(of.follow(T), 0, "nothing was put back before the first look");
        of.begin(T, None);
        of.succeeded(T, None, 0);
        assert_eq!((of.follow(T + 60_000), of.follow(T + 60_000 - YEAR_MS)), (0, YEAR_MS));
        let then = T - YEAR_MS;
        assert!(!of.is_stale(then + 3_599_999) && of.is_stale(then + 3_600_000), "it is believed, and not longer");
        assert_eq!((of.begin(then + 599_999, None), of.takes_asks(then + ASK_PAUSE_MS)), (None, true));
        assert_eq!(of.begin(then + 600_000, None), Some(Why::Interval));
        of.succeeded(then + 600_000, None, 0);
        assert_eq!((of.follow(then + 600_001), of.success_ms()), (0, Some(then + 600_000)));
    }

    #[test]
    fn what_is_made_again_is_made_at_once_and_for_the_same() {
        let mut of = schedule();
        of.again();
        assert_eq!(of.begin(T, None), Some(Why::Start));
        of.succeeded(T, None, 0);
        assert_eq!(of.begin(T + ASK_PAUSE_MS, Some(Why::UnknownKid)), Some(Why::UnknownKid));
        of.again();
        assert_eq!(of.begin(T + ASK_PAUSE_MS, None), Some(Why::UnknownKid));
        assert_eq!((of.success_ms(), of.succeeded(T + 9_000, None, 0)), (Some(T), Why::UnknownKid));
    }

    proptest! {
        #[test]
        fn the_next_look_is_never_further_than_the_interval(
            steps in prop::collection::vec((any::<bool>(), any::<u32>(), prop::option::of(0_u64..1_000), 0_u64..900_000), 1..60)
        ) {
            let mut of = schedule();
            let mut now = T;
            for (good, chance, max_age_s, pause) in steps {
                if of.begin(now, None).is_some() {
                    if good { of.succeeded(now, max_age_s, chance) } else { of.failed(now, chance) };
                }
                prop_assert!(of.next_ms() <= now + 600_000);
                now += pause;
            }
        }
    }
}
