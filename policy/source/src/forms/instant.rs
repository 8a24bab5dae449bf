//! Points in time: TOML offset date-times (RFC 3339) as seconds of the Unix epoch.

use toml::value::{Datetime, Offset};

use crate::codes::Code;
use crate::forms::Flaw;

/// Seconds since the epoch; fractions are cut off. `code` is that of a flaw.
pub(crate) fn unix_s(datetime: &Datetime, code: &'static Code) -> Result<u64, Flaw> {
    let (Some(date), Some(time)) = (datetime.date, datetime.time) else {
        let example = datetime.date.map_or("2027-01-31T00:00:00Z".to_owned(), |date| format!("{date}T00:00:00Z"));
        let flaw = Flaw::new(code, "expected a date and a time with an offset").label("not a point in time");
        return Err(flaw.hint(format!("write it as {example}")));
    };
    let Some(offset) = datetime.offset else {
        let flaw = Flaw::new(code, "this time has no offset, so it names no point in time").label("no offset");
        return Err(flaw.hint(format!("write `{datetime}Z` for UTC")));
    };
    let offset_minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_epoch(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let of_day = i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    let seconds = days * 86_400 + of_day - offset_minutes * 60;
    u64::try_from(seconds)
        .map_err(|_| Flaw::new(code, "the time lies before 1970").label("too early").hint("write a year from 1970 on"))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
