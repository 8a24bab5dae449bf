//! Durations: a whole number and a unit, `30s`, `10m`, `24h`, `7d`.

use crate::codes::{BAD_DURATION, OUT_OF_RANGE};
use crate::fields::shown;
use crate::forms::Flaw;

const HINT_S: &str = "write a whole number and s, m, h or d: `30s`, `10m`, `24h`, `7d`";
const HINT_MS: &str = "write a whole number and ms, s, m, h or d: `250ms`, `30s`, `10m`, `24h`, `7d`";

/// Milliseconds up to a bound: as [`duration_s`], and `250ms`.
pub(crate) fn duration_ms(text: &str, max_s: u32) -> Result<u64, Flaw> {
    let digits = text.strip_suffix("ms").filter(|digits| !digits.is_empty());
    match digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        None => duration_s(text, 0, max_s)
            .map(|seconds| u64::from(seconds) * 1_000)
            .map_err(|flaw| if flaw.code == BAD_DURATION { flaw.hint(HINT_MS) } else { flaw }),
        Some(digits) => digits.parse().ok().filter(|ms| *ms <= u64::from(max_s) * 1_000).ok_or_else(|| {
            Flaw::new(OUT_OF_RANGE, format!("a duration of at most {} is expected", written(max_s)))
                .label("out of range")
                .hint(format!("write `{}` or less", written(max_s)))
        }),
    }
}

/// Seconds, within bounds that the caller names.
pub(crate) fn duration_s(text: &str, min_s: u32, max_s: u32) -> Result<u32, Flaw> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit_s: Option<u64> = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let (false, Some(unit_s)) = (number.is_empty(), unit_s) else {
        let flaw = Flaw::new(BAD_DURATION, format!("`{}` is not a duration", shown(text))).label("not a duration");
        return Err(flaw.hint(HINT_S));
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_s));
    let fits = seconds.and_then(|s| u32::try_from(s).ok()).filter(|s| (min_s..=max_s).contains(s));
    fits.ok_or_else(|| {
        let message = format!("a duration from {} to {} is expected", written(min_s), written(max_s));
        let hint = match seconds {
            Some(seconds) if seconds < u64::from(min_s) => format!("write `{}` or more", written(min_s)),
            _ => format!("write `{}` or less", written(max_s)),
        };
        Flaw::new(OUT_OF_RANGE, message).label("out of range").hint(hint)
    })
}

/// The shortest way to write seconds.
pub(crate) fn written(seconds: u32) -> String {
    match seconds {
        s if s > 0 && s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s > 0 && s.is_multiple_of(3_600) => format!("{}h", s / 3_600),
        s if s > 0 && s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}
