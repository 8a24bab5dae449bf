//! When to renew: two thirds into a credential's life, a little earlier by chance so that many agents do not come at once;
//! after a failure later and later, but never so late that the credential ends first, nor rarely once it has. Pure.

use crate::bounds::{
    JITTER_PER_MILLE_MAX, ORDER_RETRY_MS_MAX, ORDER_RETRY_MS_MIN, RELEASE_PAUSE_MS, RETRY_ENDED_MS_MAX, RETRY_MS_MAX,
    RETRY_MS_MIN,
};

/// When a credential that was obtained then and ends then is renewed, seconds since the Unix epoch. `random` is any number.
pub fn due_s(obtained_s: u64, ends_s: u64, random: u32) -> u64 {
    let life_ms = ends_s.saturating_sub(obtained_s).saturating_mul(1_000);
    // In 128 bits: a life of years, in milliseconds, times 32 random bits is more than 64.
    let jitter_ms = u128::from(life_ms / 1_000 * JITTER_PER_MILLE_MAX) * u128::from(random) / u128::from(u32::MAX);
    let jitter_ms = u64::try_from(jitter_ms).unwrap_or(0);
    obtained_s.saturating_add((life_ms / 3 * 2).saturating_sub(jitter_ms) / 1_000)
}

/// Pause after so many failures in a row, with so much of the credential's life left, milliseconds. `is_counted`: the other
/// side counts them, and is not asked more often because an end is near.
pub fn retry_ms(failures: u32, left_s: u64, is_counted: bool, random: u32) -> u64 {
    let (first_ms, most_ms) = match (is_counted, left_s) {
        (true, _) => (ORDER_RETRY_MS_MIN, ORDER_RETRY_MS_MAX),
        // Nothing is in use any more: as often as a gateway asks for its own.
        (false, 0) => (RETRY_MS_MIN, RETRY_ENDED_MS_MAX),
        (false, _) => (RETRY_MS_MIN, RETRY_MS_MAX),
    };
    let doubled = first_ms.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most_ms);
    // Four more attempts at least before the end, unless that is sooner than the first pause.
    let is_bounded = left_s > 0 && !is_counted;
    let bounded = if is_bounded { doubled.min((left_s.saturating_mul(1_000) / 5).max(first_ms)) } else { doubled };
    spread_ms(bounded, random)
}

/// Pause after a renewal for which a release was the only reason, milliseconds.
pub fn release_ms(random: u32) -> u64 {
    spread_ms(RELEASE_PAUSE_MS, random)
}

/// Up to a quarter shorter, so that many agents do not come at once.
fn spread_ms(pause_ms: u64, random: u32) -> u64 {
    pause_ms - pause_ms / 4 * u64::from(random) / u64::from(u32::MAX)
}

/// How near a credential's end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    #[default]
    Far,
    /// A quarter of its life is left.
    Quarter,
    /// A tenth of its life is left.
    Tenth,
    Over,
}

/// How near the end is now.
pub fn nearness(obtained_s: u64, ends_s: u64, now_s: u64) -> Nearness {
    let (life_s, left_s) = (ends_s.saturating_sub(obtained_s), ends_s.saturating_sub(now_s));
    match left_s {
        0 => Nearness::Over,
        left if left <= life_s / 10 => Nearness::Tenth,
        left if left <= life_s / 4 => Nearness::Quarter,
        _ => Nearness::Far,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_renewed_after_sixteen_hours_or_a_little_earlier() {
        assert_eq!(due_s(1_000, 87_400, 0), 1_000 + 57_600);
        assert_eq!(due_s(1_000, 87_400, u32::MAX), 1_000 + 57_600 - 4_320);
        assert_eq!(
            [0, 1, 2, 3, 30].map(|failures| retry_ms(failures, 86_400, false, 0)),
            [1_000, 1_000, 2_000, 4_000, 300_000]
        );
        assert_eq!(retry_ms(30, 20, false, 0), 4_000);
        assert_eq!([1, 2, 30].map(|failures| retry_ms(failures, 86_400, true, 0)), [60_000, 120_000, 3_600_000]);
        assert_eq!(
            [1, 30].map(|failures| retry_ms(failures, 20, true, 0)),
            [60_000, 3_600_000],
            "who counts is not pressed"
        );
        assert_eq!(
            [1, 5, 30].map(|failures| retry_ms(failures, 0, false, 0)),
            [1_000, 10_000, 10_000],
            "after the end"
        );
        assert_eq!(
            [700, 750, 900, 1_000].map(|now_s| nearness(0, 1_000, now_s)),
            [Nearness::Far, Nearness::Quarter, Nearness::Tenth, Nearness::Over]
        );
    }

    proptest! {
        #[test]
        fn renewal_lies_within_life(obtained_s in 0..4_000_000_000u64, life_s in 1..1_000_000_000u64, random: u32) {
            let due_s = due_s(obtained_s, obtained_s + life_s, random);
            prop_assert!(obtained_s <= due_s && due_s < obtained_s + life_s);
        }

        #[test]
        fn pauses_are_bounded(failures: u32, left_s: u64, random: u32) {
            let pause_ms = retry_ms(failures, left_s, false, random);
            prop_assert!((RETRY_MS_MIN * 3 / 4..=RETRY_MS_MAX).contains(&pause_ms));
            let pause_ms = retry_ms(failures, left_s, true, random);
            prop_assert!((ORDER_RETRY_MS_MIN * 3 / 4..=ORDER_RETRY_MS_MAX).contains(&pause_ms));
            prop_assert!((RELEASE_PAUSE_MS * 3 / 4..=RELEASE_PAUSE_MS).contains(&release_ms(random)));
        }
    }
}
