//! Times of the signed formats: RFC 3339 in UTC, whole seconds, in the one form `2027-01-31T00:00:00Z`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Seconds since the Unix epoch, 1970 to 9999. Leap seconds do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// 9999-12-31T23:59:59Z.
const SECONDS_MAX: u64 = 253_402_300_799;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in UTC like 2027-01-31T00:00:00Z (1970 to 9999), found {found:?}")]
pub struct TimestampFault {
    found: String,
}

impl Timestamp {
    /// 9999-12-31T23:59:59Z, the last one.
    pub const MAX: Self = Self(SECONDS_MAX);

    /// None after the year 9999.
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds <= SECONDS_MAX { Some(Self(seconds)) } else { None }
    }

    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Not before 1970.
    pub const fn earlier_by(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Not after [`Timestamp::MAX`].
    pub fn later_by(self, seconds: u64) -> Self {
        self.0.checked_add(seconds).and_then(Self::from_seconds).unwrap_or(Self::MAX)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampFault;

    fn from_str(text: &str) -> Result<Self, TimestampFault> {
        parse(text.as_bytes()).map(Self).ok_or_else(|| TimestampFault { found: text.chars().take(40).collect() })
    }
}

fn parse(text: &[u8]) -> Option<u64> {
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    if text.len() != shape.len() || !text.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text.get(from..to).map(|digits| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before_year(year) + (1..month).map(|month| days_in_month(year, month)).sum::<u64>() + day - 1;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 to the first day of `year` (≥ 1970), Gregorian.
fn days_before_year(year: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 / 86_400;
        // The estimate is never late: no year is longer than 366 days.
        let mut year = 1970 + days / 366;
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        let mut day = days - days_before_year(year);
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seconds as `date -u -d … +%s` gives them.
    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2027-01-31T00:00:00Z", 1_801_353_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", SECONDS_MAX),
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!((time.seconds(), time.to_string().as_str()), (seconds, text));
        }
        assert_eq!(Timestamp::from_seconds(SECONDS_MAX + 1), None);
    }

    #[test]
    fn refuses_other_forms() {
        for text in [
            "",
            "2027-01-31",
            "2027-01-31T00:00:00",
            "2027-01-31 00:00:00Z",
            "2027-01-31t00:00:00z",
            "2027-01-31T00:00:00+00:00",
            "2027-01-31T00:00:00.0Z",
            "2027-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-01-00T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "2027-01-31T00:00:00Z ",
            "२०२७-01-31T00:0Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0..=SECONDS_MAX) {
            let time = Timestamp::from_seconds(seconds).unwrap();
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }
}
