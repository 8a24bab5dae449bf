//! Spans of time as people type and read them: `30d`, "in 30 days".

use std::str::FromStr;

use policy_release::time::Timestamp;

/// Whole seconds, typed as `90s`, `30m`, `12h`, `30d` or `4w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub seconds: u64,
}

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;
const WEEK_S: u64 = 7 * DAY_S;
const YEAR_S: u64 = 365 * DAY_S;
const TWO_YEARS_S: u64 = 2 * YEAR_S;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => MINUTE_S,
            Some('h') => HOUR_S,
            Some('d') => DAY_S,
            Some('w') => WEEK_S,
            _ => 0,
        };
        let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.parse::<u64>().ok().filter(|count| all_digits && *count > 0);
        let seconds = count.and_then(|count| count.checked_mul(unit)).filter(|seconds| *seconds > 0);
        let seconds =
            seconds.ok_or_else(|| format!("expected a span like 90s, 30m, 12h, 30d or 4w, found {text:?}"))?;
        Ok(Self { seconds })
    }
}

impl Span {
    /// None beyond the year 9999.
    pub const fn after(self, time: Timestamp) -> Option<Timestamp> {
        match time.seconds().checked_add(self.seconds) {
            Some(seconds) => Timestamp::from_seconds(seconds),
            None => None,
        }
    }
}

/// `in 30 days`, `5 hours ago`: whole units, rounded down. Of hours and days that are ahead a minute may be gone: what was set to
/// 30 days just now is not 29 days away.
pub fn distance(now: Timestamp, time: Timestamp) -> String {
    let (future, seconds) = match time.seconds().checked_sub(now.seconds()) {
        Some(seconds @ HOUR_S..) => (true, seconds.saturating_add(MINUTE_S)),
        Some(seconds) => (true, seconds),
        None => (false, now.seconds() - time.seconds()),
    };
    let (count, unit) = match seconds {
        0 => return "now".to_owned(),
        1..MINUTE_S => (seconds, "second"),
        MINUTE_S..HOUR_S => (seconds / MINUTE_S, "minute"),
        HOUR_S..DAY_S => (seconds / HOUR_S, "hour"),
        DAY_S..TWO_YEARS_S => (seconds / DAY_S, "day"),
        _ => (seconds / YEAR_S, "year"),
    };
    let count = crate::commands::signing::plural(usize::try_from(count).unwrap_or(usize::MAX), unit);
    if future { format!("in {count}") } else { format!("{count} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_and_tells_distances() {
        for (text, seconds) in [("90s", 90), ("90m", 5_400), ("12h", 43_200), ("30d", 2_592_000), ("4w", 2_419_200)] {
            assert_eq!(text.parse(), Ok(Span { seconds }));
        }
        for text in
            ["", "d", "30", "30 d", "+3d", "0d", "-1d", "1.5d", "3y", "99999999999999999999d", "9999999999999999w"]
        {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let in_30_days = Span { seconds: 30 * DAY_S }.after(now).unwrap();
        assert_eq!((distance(now, in_30_days), distance(in_30_days, now)), ("in 30 days".into(), "30 days ago".into()));
        assert_eq!(distance(now, Span { seconds: 3_599 }.after(now).unwrap()), "in 59 minutes");
        for (gone_s, expected) in [(60, "in 30 days"), (61, "in 29 days")] {
            assert_eq!(
                distance(Span { seconds: gone_s }.after(now).unwrap(), in_30_days),
                expected,
                "{gone_s} s later"
            );
        }
        assert_eq!(distance(now, now), "now");
        assert_eq!(distance(now, Span { seconds: 729 * DAY_S }.after(now).unwrap()), "in 729 days");
        assert_eq!(distance(now, Span { seconds: 730 * DAY_S }.after(now).unwrap()), "in 2 years");
        assert_eq!(Span { seconds: u64::MAX }.after(now), None);
    }
}
