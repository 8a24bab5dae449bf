//! Intervals must cover and tests must reject as often as they say, over made-up machines.

use std::time::Duration;

use hdrhistogram::Histogram;
use proptest::prelude::*;

use super::random::Random;
use super::*;

/// Nearly normal, mean 0, deviation 1: the sum of twelve uniform numbers.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.below(1_000_001) as f64 / 1e6).sum::<f64>() - 6.0
}

fn sample(cpu_ns: f64, requests: u64, latencies_ns: &[u64]) -> Sample {
    let mut histogram = Histogram::new(3).unwrap();
    latencies_ns.iter().for_each(|latency| histogram.record(*latency).unwrap());
    Sample::new(cpu_ns as u64, requests, requests * 200, Duration::from_millis(250), &histogram)
}

/// A machine whose speed drifts, with programs that differ from start to start.
struct Machine {
    random: Random,
    drift: f64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), drift: 0.0 }
    }

    /// How much slower this round is: neighbours are alike (autocorrelation 0.8).
    fn round(&mut self) -> f64 {
        self.drift = 0.8 * self.drift + 0.02 * normal(&mut self.random);
        1.0 + self.drift
    }

    /// Two subjects in turns; the true cost of a request is 10 µs and `ratio` times that.
    fn pair(&mut self, starts: u32, rounds: u32, ratio: f64, of_process: f64) -> [Series; 2] {
        let mut series = [Series::default(), Series::default()];
        for start in 0..starts {
            let luck = [0, 1].map(|_| (of_process * normal(&mut self.random)).exp());
            for round in 0..rounds {
                let speed = self.round();
                for (subject, cost) in [10_000.0, 10_000.0 * ratio].into_iter().enumerate() {
                    let cost = cost * luck[subject] * speed * (1.0 + 0.03 * normal(&mut self.random));
                    series[subject].push(start, round, sample(cost * 1_000.0, 1_000, &[]));
                }
            }
        }
        series
    }
}

fn covers(estimate: Estimate, truth: f64) -> bool {
    estimate.low <= truth && truth <= estimate.high
}

/// Of how many trials out of `trials` the outcome holds.
fn count(trials: u64, outcome: impl Fn(u64) -> bool) -> u64 {
    (0..trials).filter(|seed| outcome(*seed)).count() as u64
}

#[test]
fn a_ratio_is_covered_by_its_interval() {
    // 95 % of 200 is 190 with a deviation of 3. Too narrow and much too wide are both wrong.
    for (starts, rounds, of_process) in [(10, 10, 0.04), (5, 20, 0.04), (3, 20, 0.04), (1, 100, 0.0)] {
        let covered = count(200, |seed| {
            let [null, full] = Machine::new(seed).pair(starts, rounds, 1.2, of_process);
            covers(ratio(Figure::CpuUs, &full, &null, seed), 1.2)
        });
        assert!((180..=199).contains(&covered), "{starts} starts: {covered} of 200 intervals cover");
    }
}

#[test]
fn a_figure_is_covered_although_neighbouring_rounds_are_alike() {
    let covered = count(200, |seed| {
        let [null, _] = Machine::new(seed).pair(6, 30, 1.0, 0.03);
        covers(null.estimate(Figure::CpuUs, seed), 10.0)
    });
    assert!((178..=199).contains(&covered), "{covered} of 200 intervals cover");
}

#[test]
fn a_quantile_is_covered_by_its_interval() {
    // Exponential latencies: the 99th percentile is ln(100) means.
    let truth = 100.0 * 100_f64.ln();
    let covered = count(60, |seed| {
        let mut random = Random::new(seed);
        let mut series = Series::default();
        for round in 0..30 {
            let mut latency = || -(1.0 - random.below(1_000_000) as f64 / 1e6).ln() * 100_000.0;
            let latencies: Vec<u64> = (0..500).map(|_| latency() as u64).collect();
            series.push(0, round, sample(1.0, 500, &latencies));
        }
        covers(series.estimate(Figure::P99, seed), truth)
    });
    assert!((51..=60).contains(&covered), "{covered} of 60 intervals cover");
}

#[test]
fn pairing_takes_out_what_disturbs_both() {
    let [null, full] = Machine::new(1).pair(1, 100, 1.05, 0.0);
    let paired = ratio(Figure::CpuUs, &full, &null, 1);
    let alone = full.estimate(Figure::CpuUs, 1);
    let (paired, alone) = ((paired.high - paired.low) / paired.value, (alone.high - alone.low) / alone.value);
    assert!(paired < 0.75 * alone, "paired {paired}, alone {alone}");
}

#[test]
fn rounds_that_one_subject_lacks_are_left_out_of_both() {
    let [mut of, mut to] = [Series::default(), Series::default()];
    for round in 0..10 {
        if round != 3 {
            of.push(0, round, sample(2_000.0, 1, &[]));
        }
        to.push(0, round, sample(if round == 3 { 1e9 } else { 1_000.0 }, 1, &[]));
    }
    let estimate = ratio(Figure::CpuUs, &of, &to, 1);
    assert!((estimate.value - 2.0).abs() < 1e-9 && estimate.low == estimate.high, "{estimate:?}");
    assert!((difference(Figure::CpuUs, &of, &to, 1).value - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_unknown_is_no_number() {
    assert!(ratio(Figure::P99, &Series::default(), &Series::default(), 1).value.is_nan());
    let mut one = Series::default();
    one.push(0, 0, sample(5_000.0, 1, &[]));
    let estimate = one.estimate(Figure::CpuUs, 1);
    assert!(estimate.value == 5.0 && estimate.low.is_nan());
    assert!(one.estimate(Figure::P99, 1).value.is_nan(), "nothing was recorded");
    assert!(Estimate::mean(&[]).value.is_nan() && !Estimate::mean(&[1.0]).low.is_finite());
    let mean = Estimate::mean(&[1.0, 2.0, 3.0]);
    assert!((mean.value - 2.0).abs() < 1e-9 && (mean.high - 2.0 - 4.3027 / 3_f64.sqrt()).abs() < 1e-3, "{mean:?}");
}

fn run(random: &mut Random, starts: usize, rounds: usize, shift: f64, of_process: f64) -> Vec<Vec<f64>> {
    let mut start = || {
        let luck = of_process * normal(random);
        (0..rounds).map(|_| shift + luck + 0.03 * normal(random)).collect()
    };
    (0..starts).map(|_| start()).collect()
}

/// How often runs that do not differ are said to.
fn rejections(starts: usize, rounds: usize, of_process: f64) -> u64 {
    count(400, |seed| {
        let mut random = Random::new(seed);
        let first = run(&mut random, starts, rounds, 0.0, of_process);
        let second = run(&mut random, starts, rounds, 0.0, of_process);
        permutation(&first, &second, seed).unwrap().p <= 0.05
    })
}

#[test]
fn runs_that_do_not_differ_are_rejected_at_the_level() {
    // 5 % of 400 is 20 with a deviation of 4.4.
    for (starts, rounds) in [(5, 10), (10, 10), (1, 100)] {
        let of_process = if starts > 1 { 0.05 } else { 0.0 };
        let rejected = rejections(starts, rounds, of_process);
        assert!((6..=34).contains(&rejected), "{starts} starts: {rejected} of 400");
    }
}

#[test]
fn one_start_mistakes_luck_for_a_change() {
    // Why a test over rounds alone is not believed: `difference` says so.
    assert!(rejections(1, 100, 0.05) > 200);
}

#[test]
fn a_true_change_is_found_and_sized() {
    let found = count(100, |seed| {
        let mut random = Random::new(seed);
        let first = run(&mut random, 8, 10, 0.0, 0.03);
        let second = run(&mut random, 8, 10, 1.1_f64.ln(), 0.03);
        let outcome = permutation(&first, &second, seed).unwrap();
        outcome.p <= 0.05 && outcome.unit == Unit::Starts
    });
    assert!(found > 95, "{found}");
    let covered = count(200, |seed| {
        let mut random = Random::new(seed);
        let first = run(&mut random, 6, 5, 0.0, 0.05);
        let second = run(&mut random, 6, 5, 1.1_f64.ln(), 0.05);
        covers(permutation(&first, &second, seed).unwrap().change, 1.1)
    });
    assert!((180..=200).contains(&covered), "{covered} of 200 intervals cover");
}

#[test]
fn few_starts_permute_rounds_and_too_few_nothing() {
    let mut random = Random::new(1);
    let (one, many) = (run(&mut random, 1, 40, 0.0, 0.0), run(&mut random, 9, 4, 0.0, 0.0));
    assert_eq!(permutation(&one, &many, 1).unwrap().unit, Unit::Rounds);
    assert!(permutation(&[vec![1.0]], &many, 1).is_none());
    assert!(permutation(&[], &[], 1).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_quantile_is_that_of_the_sorted_values(values in prop::collection::vec(1_u64..2_000, 1..200), rounds in 1_u32..8) {
        let mut series = Series::default();
        for round in 0..rounds {
            let of_round: Vec<u64> = values.iter().copied().skip(round as usize).step_by(rounds as usize).collect();
            series.push(0, round, sample(1.0, of_round.len() as u64, &of_round));
        }
        let mut sorted = values.clone();
        sorted.sort_unstable();
        for (figure, quantile) in [(Figure::P50, 0.5), (Figure::P99, 0.99), (Figure::P999, 0.999)] {
            let rank = ((quantile * sorted.len() as f64).ceil() as usize).max(1);
            let expected = sorted[rank - 1] as f64 / 1_000.0;
            prop_assert_eq!(series.estimate(figure, 1).value, expected);
        }
    }

    #[test]
    fn an_interval_holds_its_value_and_is_the_same_twice(
        costs in prop::collection::vec(1.0..1e6, 2..60), starts in 1_usize..6, seed: u64,
    ) {
        let mut series = Series::default();
        for (at, cost) in costs.iter().enumerate() {
            series.push((at % starts) as u32, (at / starts) as u32, sample(cost * 1_000.0, 1_000, &[]));
        }
        let estimate = series.estimate(Figure::CpuUs, seed);
        prop_assert!(estimate.low.is_nan() || (estimate.low <= estimate.value * 1.5 && estimate.low <= estimate.high));
        prop_assert!(estimate.low.is_nan() || estimate.low >= 0.0, "no cost is negative: {:?}", estimate);
        let again = series.estimate(Figure::CpuUs, seed);
        prop_assert_eq!(format!("{estimate:?}"), format!("{again:?}"));
    }

    #[test]
    fn a_ratio_turned_round_is_its_inverse(costs in prop::collection::vec((1e3..1e6, 1e3..1e6), 4..40), seed: u64) {
        let mut series = [Series::default(), Series::default()];
        for (at, (first, second)) in costs.iter().enumerate() {
            series[0].push(0, at as u32, sample(*first * 1_000.0, 1_000, &[]));
            series[1].push(0, at as u32, sample(*second * 1_000.0, 1_000, &[]));
        }
        let there = ratio(Figure::CpuUs, &series[0], &series[1], seed);
        let back = ratio(Figure::CpuUs, &series[1], &series[0], seed);
        prop_assert!((there.value * back.value - 1.0).abs() < 1e-9);
        prop_assert!((there.low * back.high - 1.0).abs() < 1e-6, "{:?} {:?}", there, back);
    }

    #[test]
    fn p_is_a_share_and_does_not_depend_on_which_run_is_first(
        first in prop::collection::vec(prop::collection::vec(-1.0..1.0, 1..6), 4..7),
        second in prop::collection::vec(prop::collection::vec(-1.0..1.0, 1..6), 4..7),
    ) {
        let there = permutation(&first, &second, 1).unwrap();
        let back = permutation(&second, &first, 1).unwrap();
        prop_assert!(there.p > 0.0 && there.p <= 1.0);
        prop_assert!((there.p - back.p).abs() < 1e-9, "{} {}", there.p, back.p);
        prop_assert!((there.change.value * back.change.value - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_run_does_not_differ_from_itself(run in prop::collection::vec(prop::collection::vec(-1.0..1.0, 2..6), 1..7)) {
        if let Some(outcome) = permutation(&run, &run, 1) {
            prop_assert!((outcome.p - 1.0).abs() < 1e-9 && (outcome.change.value - 1.0).abs() < 1e-9);
        }
    }
}
