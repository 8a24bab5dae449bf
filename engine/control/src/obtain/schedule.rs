//! When a certificate is obtained again: two thirds into its life, a little earlier by chance so that many gateways do not
//! come at once; after a failure later and later. Pure, but for the chance.

use crate::bounds::{
    OBTAIN_ENDED_RETRY_MS_MAX, OBTAIN_PAUSE_S_MIN, OBTAIN_RETRY_MS_MAX, OBTAIN_RETRY_MS_MIN, ORDER_RETRY_MS_MAX,
    ORDER_RETRY_MS_MIN,
};

/// Any number; the middle where the system gives none.
pub fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// When a certificate that was obtained then and ends then is obtained again, seconds since the Unix epoch.
pub fn due_s(obtained_s: u64, ends_s: u64, chance: u32) -> u64 {
    let life_s = ends_s.saturating_sub(obtained_s);
    let two_thirds_s = life_s - life_s.div_ceil(3);
    let jitter_s = u128::from(life_s / 20) * u128::from(chance) / u128::from(u32::MAX);
    let jitter_s = u64::try_from(jitter_s).unwrap_or(0);
    obtained_s.saturating_add(two_thirds_s.saturating_sub(jitter_s).max(OBTAIN_PAUSE_S_MIN))
}

/// Pause after so many failures in a row, with so much of the certificate's life left, milliseconds.
pub fn retry_ms(failures: u32, left_s: u64, chance: u32) -> u64 {
    let doubled = doubled(OBTAIN_RETRY_MS_MIN, OBTAIN_RETRY_MS_MAX, failures);
    // A few attempts more before the end; and once it has come, nobody is served until there is another one.
    let soon_ms = if left_s > 0 { left_s.saturating_mul(1_000) / 5 } else { OBTAIN_ENDED_RETRY_MS_MAX };
    spread(doubled.min(soon_ms.max(OBTAIN_RETRY_MS_MIN)), chance)
}

/// The same after an ACME server refused: it counts what it refuses.
pub fn order_retry_ms(failures: u32, chance: u32) -> u64 {
    spread(doubled(ORDER_RETRY_MS_MIN, ORDER_RETRY_MS_MAX, failures), chance)
}

fn doubled(first_ms: u64, most_ms: u64, failures: u32) -> u64 {
    first_ms.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most_ms)
}

/// `ms`, less up to a quarter.
fn spread(ms: u64, chance: u32) -> u64 {
    ms - u64::try_from(u128::from(ms / 4) * u128::from(chance) / u128::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_renewed_after_sixteen_hours_or_a_little_earlier() {
        assert_eq!(due_s(1_000, 87_400, 0), 1_000 + 57_600);
        assert_eq!(due_s(1_000, 87_400, u32::MAX), 1_000 + 57_600 - 4_320);
        assert_eq!(due_s(1_000, 1_001, 0), 1_000 + OBTAIN_PAUSE_S_MIN, "nobody makes us ask all the time");
    }

    #[test]
    fn pauses_grow_and_leave_time_before_the_end() {
        let pauses = |left_s| [1, 2, 3, 30].map(|failures| retry_ms(failures, left_s, 0) / 1_000);
        assert_eq!(pauses(86_400), [2, 4, 8, 300]);
        assert_eq!(pauses(0), [2, 4, 8, 10], "nobody is served with what has ended");
        assert_eq!(pauses(60), [2, 4, 8, 12]);
        assert_eq!([1, 2, 30].map(|failures| order_retry_ms(failures, 0) / 1_000), [60, 120, 3_600]);
    }

    proptest! {
        #[test]
        fn everything_is_bounded(obtained_s in 0..4_000_000_000u64, life_s in 0..1_000_000_000u64, failures: u32, chance: u32) {
            let due_s = due_s(obtained_s, obtained_s + life_s, chance);
            prop_assert!(due_s >= obtained_s + OBTAIN_PAUSE_S_MIN && due_s <= obtained_s + life_s.max(OBTAIN_PAUSE_S_MIN));
            let pause_ms = retry_ms(failures, life_s, chance);
            prop_assert!((OBTAIN_RETRY_MS_MIN * 3 / 4..=OBTAIN_RETRY_MS_MAX).contains(&pause_ms));
        }
    }
}
