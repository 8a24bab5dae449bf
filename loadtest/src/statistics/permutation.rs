//! Whether two runs differ: a permutation test over units that are exchangeable when they do not.

use super::Estimate;
use super::bootstrap::block;
use super::random::Random;
use super::student::{mean_variance, t};

/// Starts that each run needs for a test over starts: 4 against 4 give a p of 0.029 at best.
pub const STARTS_MIN: usize = 4;
/// Every arrangement is tried up to this many.
const ARRANGEMENTS_MAX: usize = 20_000;
/// Random arrangements that are tried where there are more.
const DRAWN: usize = 4_000;

/// What was exchanged between the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole starts: a difference is one of the programs.
    Starts,
    /// Runs of neighbouring rounds, because there were too few starts: a difference may be one of the processes only.
    Rounds,
}

/// Outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Permutation {
    /// Share of arrangements that differ at least as much as the runs did.
    pub p: f64,
    /// Second run over the first.
    pub change: Estimate,
    pub unit: Unit,
}

/// Tests two runs of one row. Each holds, by start, the logarithm of a figure of every slice in the order of time.
/// `None` where a run has too few slices for two units.
pub fn permutation(first: &[Vec<f64>], second: &[Vec<f64>], seed: u64) -> Option<Permutation> {
    let unit = if first.len().min(second.len()) >= STARTS_MIN { Unit::Starts } else { Unit::Rounds };
    let (first, second) = match unit {
        Unit::Starts => (means(first), means(second)),
        Unit::Rounds => (blocks(first), blocks(second)),
    };
    if first.len() < 2 || second.len() < 2 {
        return None;
    }
    let all: Vec<f64> = first.iter().chain(&second).copied().collect();
    let p = match arrangements(all.len(), first.len()) {
        Some(count) if count <= ARRANGEMENTS_MAX => exact(&all, first.len()),
        _ => drawn(&all, first.len(), seed),
    };
    Some(Permutation { p, change: change(&first, &second), unit })
}

fn means(starts: &[Vec<f64>]) -> Vec<f64> {
    starts.iter().filter(|start| !start.is_empty()).map(|start| mean_variance(start).0).collect()
}

/// Means of runs of rounds, each so long that neighbours are little alike, and at least four a run.
fn blocks(starts: &[Vec<f64>]) -> Vec<f64> {
    let rounds: usize = starts.iter().map(Vec::len).sum();
    let length = (2 * block(rounds)).min((rounds / 4).max(1));
    starts.iter().flat_map(|start| start.chunks(length)).map(|chunk| mean_variance(chunk).0).collect()
}

/// Second over first, with Welch's interval on the logarithms.
fn change(first: &[f64], second: &[f64]) -> Estimate {
    let ((mean_1, variance_1), (mean_2, variance_2)) = (mean_variance(first), mean_variance(second));
    let (share_1, share_2) = (variance_1 / first.len() as f64, variance_2 / second.len() as f64);
    let freedom = (share_1 + share_2).powi(2)
        / (share_1.powi(2) / (first.len() as f64 - 1.0) + share_2.powi(2) / (second.len() as f64 - 1.0));
    let half =
        if share_1 + share_2 > 0.0 { t((freedom.floor() as usize).max(1)) * (share_1 + share_2).sqrt() } else { 0.0 };
    let difference = mean_2 - mean_1;
    Estimate { value: difference.exp(), low: (difference - half).exp(), high: (difference + half).exp() }
}

/// Ways to choose `taken` of `of`; `None` above what fits.
fn arrangements(of: usize, taken: usize) -> Option<usize> {
    (1..=taken.min(of - taken)).try_fold(1_usize, |ways, step| Some(ways.checked_mul(of + 1 - step)? / step))
}

/// Difference of the means when the first run has this sum.
fn distance(sum_first: f64, first: usize, sum_all: f64, all: usize) -> f64 {
    (sum_first / first as f64 - (sum_all - sum_first) / (all - first) as f64).abs()
}

/// Rounding must not make the arrangement that was seen smaller than itself.
fn reaches(distance: f64, seen: f64) -> bool {
    distance >= seen - 1e-12 * (1.0 + seen)
}

fn exact(all: &[f64], first: usize) -> f64 {
    let sum: f64 = all.iter().sum();
    let seen = distance(all.iter().take(first).sum(), first, sum, all.len());
    let mut chosen: Vec<usize> = (0..first).collect();
    let (mut count, mut extreme) = (0_u32, 0_u32);
    loop {
        let sum_first = chosen.iter().filter_map(|at| all.get(*at)).sum();
        count += 1;
        extreme += u32::from(reaches(distance(sum_first, first, sum, all.len()), seen));
        if !next_choice(&mut chosen, all.len()) {
            return f64::from(extreme) / f64::from(count);
        }
    }
}

/// The next choice in lexicographic order; whether there is one.
fn next_choice(chosen: &mut [usize], of: usize) -> bool {
    let taken = chosen.len();
    let Some(at) = (0..taken).rev().find(|at| chosen.get(*at).is_some_and(|value| *value < of - taken + at)) else {
        return false;
    };
    let from = chosen.get(at).copied().unwrap_or(0) + 1;
    for (step, value) in chosen.iter_mut().skip(at).enumerate() {
        *value = from + step;
    }
    true
}

fn drawn(all: &[f64], first: usize, seed: u64) -> f64 {
    let sum: f64 = all.iter().sum();
    let of = |values: &[f64]| distance(values.iter().take(first).sum(), first, sum, values.len());
    let seen = of(all);
    let mut random = Random::new(seed);
    let mut values = all.to_vec();
    let extreme = (0..DRAWN)
        .filter(|_| {
            random.shuffle(&mut values);
            reaches(of(&values), seen)
        })
        .count();
    (1 + extreme) as f64 / (1 + DRAWN) as f64
}
