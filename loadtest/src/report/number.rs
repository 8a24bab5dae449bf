//! Numbers as people read them: three significant digits, thousands apart, `–` for what is not known.

use crate::statistics::Estimate;

/// As `12.3`, `64,394`, `0.0042`, `1.2e18`, `–`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "–".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "∞" } else { "−∞" }.to_owned()
    } else if size >= 1e12 || (size > 0.0 && size < 1e-4) {
        format!("{value:.1e}")
    } else if size >= 999.5 {
        thousands(value)
    } else {
        let decimals = match size {
            _ if size >= 99.95 => 0,
            _ if size >= 9.995 => 1,
            _ if size >= 0.9995 || size == 0.0 => 2,
            _ if size >= 0.09995 => 3,
            _ => 4,
        };
        let text = format!("{value:.decimals$}");
        if size == 0.0 { "0".to_owned() } else { text }
    }
}

/// A ratio: three decimals, for one per cent matters.
pub fn ratio(value: f64) -> String {
    if value.is_finite() && value.abs() < 100.0 { format!("{value:.3}") } else { number(value) }
}

/// A number of this unit.
pub fn of_unit(value: f64, unit: &str) -> String {
    if unit == "×" { ratio(value) } else { number(value) }
}

/// `12.3 (11.9 to 12.8)`; without an interval the value alone.
pub fn estimate(estimate: Estimate, unit: &str) -> String {
    let show = |value| of_unit(value, unit);
    if estimate.low.is_nan() || estimate.high.is_nan() {
        return show(estimate.value);
    }
    format!("{} ({} to {})", show(estimate.value), show(estimate.low), show(estimate.high))
}

/// Microseconds with the unit that fits: `950 µs`, `1.23 ms`, `2.10 s`.
pub fn latency(us: f64) -> String {
    match us.abs() {
        size if size >= 999_500.0 => format!("{} s", number(us / 1e6)),
        size if size >= 999.5 => format!("{} ms", number(us / 1e3)),
        _ => format!("{} µs", number(us)),
    }
}

/// Short enough for an axis: `10`, `2.5k`, `3M`.
pub fn axis(value: f64) -> String {
    let short = |value: f64, suffix: &str| {
        let text = format!("{value:.2}");
        format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value.abs() {
        size if size >= 1e15 => format!("{value:.0e}"),
        size if size >= 1e12 => short(value / 1e12, "T"),
        size if size >= 1e9 => short(value / 1e9, "G"),
        size if size >= 1e6 => short(value / 1e6, "M"),
        size if size >= 1e3 => short(value / 1e3, "k"),
        size if size > 0.0 && size < 0.01 => format!("{value:.0e}"),
        _ => short(value, ""),
    }
}

/// Microseconds for an axis: `50 µs`, `2 ms`, `1 s`.
pub fn axis_latency(us: f64) -> String {
    match us.abs() {
        size if size >= 1e6 => format!("{} s", axis(us / 1e6)),
        size if size >= 1e3 => format!("{} ms", axis(us / 1e3)),
        _ => format!("{} µs", axis(us)),
    }
}

/// A length of time: `42 s`, `12 min`, `1 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || !(0.0..1e9).contains(&seconds) {
        return "an unknown time".to_owned();
    }
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        _ if seconds < 99.5 => format!("{seconds:.0} s"),
        _ if minutes < 60 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

/// `7.8 GiB`.
pub fn bytes(bytes: u64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    format!("{} GiB", number(bytes as f64 / GIB))
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_whole() {
        for (value, text) in [
            (12.345, "12.3"),
            (64_394.4, "64,394"),
            (999.9, "1,000"),
            (0.004_2, "0.0042"),
            (0.0, "0"),
            (-3.2, "-3.20"),
            (1.2e18, "1.2e18"),
            (f64::NAN, "–"),
            (f64::INFINITY, "∞"),
            (1e-9, "1.0e-9"),
            (-1_234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(latency(1_234.0), "1.23 ms");
        assert_eq!(latency(950.4), "950 µs");
        assert_eq!(latency(2.1e6), "2.10 s");
        assert_eq!((axis(2_500.0), axis(3e6), axis(0.5)), ("2.5k".into(), "3M".into(), "0.5".into()));
        assert_eq!(axis_latency(2_000.0), "2 ms");
        assert_eq!((duration(42.0), duration(3_900.0)), ("42 s".into(), "1 h 05 min".into()));
        assert_eq!(duration(f64::NAN), "an unknown time");
        assert_eq!(duration(-1.0), "an unknown time");
    }

    #[test]
    fn intervals_stand_behind_their_value() {
        assert_eq!(estimate(Estimate { value: 1.05, low: 1.01, high: 1.094 }, "×"), "1.050 (1.010 to 1.094)");
        assert_eq!(estimate(Estimate::once(12.0), "µs"), "12.0");
        assert_eq!(estimate(Estimate::NONE, "µs"), "–");
    }
}
