//! Medians and bootstrap intervals.

/// A value with a 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Resamplings of a bootstrap.
const RESAMPLINGS: usize = 10_000;

/// One pair of slices: (CPU ns, requests) of the first subject and of the second.
pub type Pair = [(u64, u64); 2];

/// Ratio of CPU per request, second over first. `blocks` holds the pairs of each start of the subjects: two processes
/// of one binary differ by up to 10 % for as long as they live (memory layout), so blocks are resampled first and the
/// pairs within them second (hierarchical bootstrap; Davison, Hinkley 1997, §3.8).
pub fn ratio(blocks: &[Vec<Pair>], seed: u64) -> Estimate {
    bootstrap(blocks, seed, |sample| per_request(sample, 1) / per_request(sample, 0))
}

/// CPU per request of one subject (0 or 1), microseconds.
pub fn cpu_us(blocks: &[Vec<Pair>], subject: usize, seed: u64) -> Estimate {
    bootstrap(blocks, seed, |sample| per_request(sample, subject) / 1_000.0)
}

/// Nanoseconds of CPU per request over a sample of pairs.
fn per_request(sample: &[&Pair], subject: usize) -> f64 {
    let slices = || sample.iter().filter_map(|pair| pair.get(subject));
    let (cpu, requests) = slices().fold((0, 0), |sum, slice| (sum.0 + slice.0, sum.1 + slice.1));
    cpu as f64 / (requests as f64).max(1.0)
}

fn bootstrap(blocks: &[Vec<Pair>], seed: u64, statistic: impl Fn(&[&Pair]) -> f64) -> Estimate {
    let all: Vec<&Pair> = blocks.iter().flatten().collect();
    let mut random = seed | 1;
    let mut sample = Vec::with_capacity(all.len());
    let mut values: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| {
            sample.clear();
            for _ in 0..blocks.len() {
                let Some(block) = blocks.get(next(&mut random, blocks.len())) else { continue };
                sample.extend((0..block.len()).filter_map(|_| block.get(next(&mut random, block.len()))));
            }
            statistic(&sample)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values.get(RESAMPLINGS * share / 1_000).copied().unwrap_or(f64::NAN);
    Estimate { value: statistic(&all), low: at(25), high: at(975) }
}

/// xorshift64* (Vigna 2016), reduced to `0..bound`.
fn next(state: &mut u64, bound: usize) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let word = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
    usize::try_from(word).unwrap_or(0) % bound.max(1)
}

#[cfg(test)]
mod tests {
    use super::{Pair, cpu_us, ratio};

    fn block(second_ns: impl Fn(u64) -> u64) -> Vec<Pair> {
        (0..20).map(|at| [(1_000_000 + at * 100, 100), (second_ns(at), 100)]).collect()
    }

    #[test]
    fn a_steady_difference_has_a_narrow_interval_around_it() {
        let blocks = vec![block(|at| 1_500_000 + at * 100); 2];
        let estimate = ratio(&blocks, 1);
        assert!((estimate.value - 1.5).abs() < 0.01 && estimate.low < 1.5 && estimate.high - estimate.low < 0.01);
        assert!((cpu_us(&blocks, 0, 1).value - 10.0).abs() < 0.1);
    }

    #[test]
    fn noise_widens_the_interval() {
        let estimate = ratio(&[block(|at| if at % 2 == 0 { 500_000 } else { 2_500_000 })], 1);
        assert!(estimate.low < 1.4 && estimate.high > 1.6, "{estimate:?}");
    }

    #[test]
    fn a_difference_between_starts_widens_it_too() {
        let blocks = [block(|_| 900_000), block(|_| 1_100_000), block(|_| 950_000), block(|_| 1_050_000)];
        let estimate = ratio(&blocks, 1);
        assert!(estimate.low < 0.95 && estimate.high > 1.04, "{estimate:?}");
    }
}
