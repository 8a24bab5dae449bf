//! The `Date` of local responses (IMF-fixdate, RFC 9110 §5.6.7), made once a second.

use std::cell::Cell;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type Text = [u8; 29];

/// The text of the second that was last asked for.
pub struct Date {
    second: Cell<u64>,
    text: Cell<Text>,
}

impl Default for Date {
    fn default() -> Self {
        Self { second: Cell::new(0), text: Cell::new(imf_fixdate(0)) }
    }
}

impl Date {
    /// The text for `now_s` seconds since the Unix epoch.
    pub fn at(&self, now_s: u64) -> Text {
        if self.second.replace(now_s) != now_s {
            self.text.set(imf_fixdate(now_s));
        }
        self.text.get()
    }
}

/// Civil date from days since the Unix epoch: Howard Hinnant, "chrono-compatible low-level date algorithms".
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn imf_fixdate(second: u64) -> Text {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    // The calendar ends with year 9999, as four digits do.
    let second = second.min(253_402_300_799);
    let days = second / 86_400;
    let (year, month, day) = civil(days);
    let [h, m, s] = [second / 3_600 % 24, second / 60 % 60, second % 60];
    let weekday = DAYS.get((days % 7) as usize).copied().unwrap_or(b"Thu");
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or(b"Jan");
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = text.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    let two = |number: u64| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    put(0, weekday);
    put(5, &two(day));
    put(8, month);
    put(12, &two(year / 100));
    put(14, &two(year % 100));
    put(17, &two(h));
    put(20, &two(m));
    put(23, &two(s));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&imf_fixdate(second)).unwrap(), text);
        }
        let date = Date::default();
        assert_eq!(date.at(784_111_777), imf_fixdate(784_111_777));
        assert_eq!(date.at(0), imf_fixdate(0));
    }
}
