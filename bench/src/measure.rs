//! Times a stage and its reference in turn, run by run.
//!
//! Every sample counts: it goes into an HDR histogram. Reading the clock costs as much as a small stage, so the median
//! cost of two readings, measured right before, is taken off each sample; a stage that takes no longer than that is run
//! `batch` times a sample, and its percentiles are then those of means of so many.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bench_counts::Stage;
use hdrhistogram::Histogram;

/// Samples of one before it is the other's turn: what disturbs the machine meets both.
const BLOCK: usize = 64;
const WARM_UP: Duration = Duration::from_millis(100);
/// However slow a stage is.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Histograms hold tenths of nanoseconds.
const TENTHS: u64 = 10;
const CLOCK_SAMPLES: usize = 50_000;

/// Percentiles in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p99_9: f64,
}

/// What one comparison found.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub stage: Percentiles,
    pub reference: Percentiles,
    /// Of the stage, and as many of the reference.
    pub samples: u64,
    /// Nanoseconds taken off each.
    pub clock: u64,
}

/// Measures `stage` against `reference` until there are `samples` of each.
pub fn measure(stage: &mut dyn Stage, reference: &mut dyn Stage, batch: u32, samples: usize) -> Measured {
    warm_up(stage);
    warm_up(reference);
    let clock = clock();
    let begin = Instant::now();
    let mut of_stage = histogram();
    let mut of_reference = histogram();
    while of_stage.len() < samples as u64 && begin.elapsed() < TIME_MAX {
        for _ in 0..BLOCK {
            sample(stage, batch, clock, &mut of_stage);
        }
        for _ in 0..BLOCK {
            sample(reference, batch, clock, &mut of_reference);
        }
    }
    Measured { stage: percentiles(&of_stage), reference: percentiles(&of_reference), samples: of_stage.len(), clock }
}

fn warm_up(stage: &mut dyn Stage) {
    let begin = Instant::now();
    while begin.elapsed() < WARM_UP {
        stage.prepare();
        stage.run();
    }
}

fn sample(stage: &mut dyn Stage, batch: u32, clock: u64, into: &mut Histogram<u64>) {
    // One that must be prepared before each run is not batched: what prepares it would be timed with it.
    stage.prepare();
    let start = Instant::now();
    for _ in 0..batch {
        stage.run();
    }
    let taken = nanoseconds(start);
    into.saturating_record(taken.saturating_sub(clock) * TENTHS / u64::from(batch));
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Median of what timing nothing takes.
fn clock() -> u64 {
    let mut all = histogram();
    for _ in 0..CLOCK_SAMPLES {
        let start = Instant::now();
        black_box(());
        all.saturating_record(nanoseconds(start));
    }
    all.value_at_quantile(0.5)
}

fn histogram() -> Histogram<u64> {
    // Up to ten seconds, to three digits.
    Histogram::new_with_bounds(1, 10_000_000_000 * TENTHS, 3).unwrap()
}

fn percentiles(of: &Histogram<u64>) -> Percentiles {
    let at = |quantile| of.value_at_quantile(quantile) as f64 / TENTHS as f64;
    Percentiles { p50: at(0.5), p99: at(0.99), p99_9: at(0.999) }
}
