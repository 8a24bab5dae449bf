//! The hierarchical block bootstrap.
//!
//! Starts are drawn with replacement, then runs of neighbouring rounds within each (circular block bootstrap: Politis,
//! Romano 1992; hierarchy: Davison, Hinkley 1997, §3.8). The percentile interval of few units is too narrow: its ends are
//! moved out by `t √(n/(n−1)) / z` (after Hesterberg 2015, §4.4), n being the starts, or the blocks of the only one.

use super::Estimate;
use super::random::Random;
use super::student::{Z, t};

/// Resamplings of an interval.
pub const RESAMPLINGS: usize = 2_000;

/// On which scale a statistic is roughly symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Positive: as its logarithm.
    Ratio,
    Linear,
}

/// The statistic over all samples, with its interval. `starts` holds the number of samples of each start; `statistic`
/// gets how often each sample counts, in the same order.
pub fn bootstrap(starts: &[usize], seed: u64, scale: Scale, mut statistic: impl FnMut(&[u32]) -> f64) -> Estimate {
    let starts: Vec<usize> = starts.iter().copied().filter(|rounds| *rounds > 0).collect();
    let all: usize = starts.iter().sum();
    if all == 0 {
        return Estimate::NONE;
    }
    let value = statistic(&vec![1; all]);
    let units = units(&starts);
    if units < 2 {
        return Estimate::once(value);
    }
    let mut random = Random::new(seed);
    let mut weights = vec![0; all];
    let mut values: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| {
            resample(&starts, &mut random, &mut weights);
            statistic(&weights)
        })
        .filter(|value| !value.is_nan())
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (values.len().saturating_sub(1) as f64 * share).round();
        values.get(place as usize).copied().unwrap_or(f64::NAN)
    };
    let wider = t(units - 1) * (units as f64 / (units as f64 - 1.0)).sqrt() / Z;
    let move_out = |end: f64| match scale {
        Scale::Linear => value + (end - value) * wider,
        Scale::Ratio => value * (end / value).powf(wider),
    };
    Estimate { value, low: move_out(at(0.025)), high: move_out(at(0.975)) }
}

/// Independent units: the starts, or the blocks of the only one.
fn units(starts: &[usize]) -> usize {
    match starts {
        [only] => only.div_ceil(block(*only)),
        _ => starts.len(),
    }
}

/// Rounds that are drawn together: slices that follow each other are alike. The cube root of the rounds (Hall, Horowitz,
/// Jing 1995).
pub fn block(rounds: usize) -> usize {
    ((rounds as f64).cbrt().round() as usize).max(1)
}

fn resample(starts: &[usize], random: &mut Random, weights: &mut [u32]) {
    weights.fill(0);
    for _ in 0..starts.len() {
        let drawn = random.below(starts.len());
        let first: usize = starts.iter().take(drawn).sum();
        let rounds = starts.get(drawn).copied().unwrap_or(0);
        let mut left = rounds;
        while left > 0 {
            let from = random.below(rounds);
            for step in 0..block(rounds).min(left) {
                if let Some(weight) = weights.get_mut(first + (from + step) % rounds) {
                    *weight += 1;
                }
                left -= 1;
            }
        }
    }
}
