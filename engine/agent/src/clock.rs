//! The clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use policy_release::time::Timestamp;

/// Seconds since the Unix epoch; 0 for a clock before it.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time as people and logs write it.
pub fn shown(unix_s: u64) -> Timestamp {
    Timestamp::from_seconds(unix_s).unwrap_or(Timestamp::MAX)
}

/// A length of time as people say it: `23h 59m`, `12s`.
pub fn length(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m {}s", seconds / 60, seconds % 60),
        7_200..=172_799 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Reads `90s`, `15m`, `24h`, `7d`.
pub fn parse_length(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a length of time like 90s, 15m, 24h or 7d, found {text:?}");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        for (text, seconds) in [("10s", 10), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("1w", 604_800)] {
            assert_eq!(parse_length(text), Ok(seconds));
        }
        for wrong in ["", "0s", "10", "s", "-1s", "1y", "99999999999999999999d", "1ä"] {
            assert!(parse_length(wrong).is_err(), "{wrong}");
        }
        assert_eq!([length(9), length(600), length(86_399), length(604_800)], ["9s", "10m 0s", "23h 59m", "7d 0h"]);
    }
}
