//! How unlikely a count is, when nothing has changed.

/// Terms of a tail; those that are left out are smaller than all others together by far.
const TERMS_MAX: u32 = 100_000;
/// Coefficients of Lanczos' approximation with g = 7, n = 9 (Godfrey 2001); the error is below 1e-13.
const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];
const LANCZOS_G: f64 = 7.0;

/// Logarithm of the gamma function, for x ≥ 0.5.
fn ln_gamma(x: f64) -> f64 {
    let x = x - 1.0;
    let [first, others @ ..] = LANCZOS;
    let sum = others.iter().zip(1_u32..).fold(first, |sum, (factor, index)| sum + factor / (x + f64::from(index)));
    let t = x + LANCZOS_G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The chance of at least `now` events in one hour, when `before` events came in `hours` others at the same rate.
///
/// Given that `now + before` events came in `hours + 1` hours, `now` of them in one is binomial with 1 / (hours + 1),
/// whatever the rate is (Przyborowski & Wilenski 1940). So the test is exact for a Poisson stream: it gives at most
/// `p` in a part `p` of the hours, however short the baseline is.
pub fn at_least(now: u64, before: u64, hours: u64) -> f64 {
    if now == 0 || hours == 0 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (now, all, hours) = (now as f64, (now + before) as f64, hours as f64);
    let (ln_in, ln_out) = (-(hours + 1.0).ln(), -(1.0 / hours).ln_1p());
    if now <= all / (hours + 1.0) {
        return 1.0;
    }
    let ln_first =
        ln_gamma(all + 1.0) - ln_gamma(now + 1.0) - ln_gamma(all - now + 1.0) + now * ln_in + (all - now) * ln_out;
    // Above the mean each term is smaller than the one before.
    let (mut term, mut sum, mut count) = (1.0, 1.0, now);
    for _ in 0..TERMS_MAX {
        if count >= all {
            break;
        }
        term *= (all - count) / (count + 1.0) / hours;
        sum += term;
        count += 1.0;
        if term < sum * 1e-12 {
            break;
        }
    }
    (ln_first + sum.ln()).exp().min(1.0)
}

/// Median, and median absolute deviation as a standard deviation (× 1.4826), of counts; they are put in order.
pub fn middle(counts: &mut [u32]) -> (f64, f64) {
    let median = |sorted: &[u32]| {
        let half = sorted.len() / 2;
        let at = |index: usize| sorted.get(index).copied().map_or(0.0, f64::from);
        if sorted.len().is_multiple_of(2) && half > 0 { f64::midpoint(at(half - 1), at(half)) } else { at(half) }
    };
    counts.sort_unstable();
    let middle = median(counts);
    let mut deviations: Vec<f64> = counts.iter().map(|count| (f64::from(*count) - middle).abs()).collect();
    deviations.sort_unstable_by(f64::total_cmp);
    let half = deviations.len() / 2;
    let deviation = deviations.get(half).copied().unwrap_or(0.0);
    (middle, deviation * 1.4826)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_and_tails() {
        for (n, factorial) in [(1.0, 1.0), (2.0, 1.0), (5.0, 24.0), (11.0, 3_628_800.0_f64)] {
            assert!((ln_gamma(n) - factorial.ln()).abs() < 1e-9, "{n}");
        }
        // Two of two in one of two hours: a quarter.
        assert!((at_least(2, 0, 1) - 0.25).abs() < 1e-9);
        // One of one in the fourth of four hours.
        assert!((at_least(1, 0, 3) - 0.25).abs() < 1e-9);
        // At least 2 of 3 in one of two hours: a half.
        assert!((at_least(2, 1, 1) - 0.5).abs() < 1e-9);
        assert!(at_least(10, 1_000, 100) > 0.4 && at_least(40, 1_000, 100) < 1e-9);
        assert!(at_least(1_000_000, 100_000_000, 100) > 0.4);
    }

    #[test]
    fn a_median_is_robust() {
        assert_eq!(middle(&mut [3, 1, 2]).0, 2.0);
        assert_eq!(middle(&mut [4, 1, 2, 3]).0, 2.5);
        let (median, deviation) = middle(&mut [10, 11, 9, 10, 12, 8, 10, 9_000]);
        assert!(median == 10.0 && deviation < 2.0);
        assert_eq!(middle(&mut []), (0.0, 0.0));
    }
}
