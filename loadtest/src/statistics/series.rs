//! The slices of one subject, and figures over any choice of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::bootstrap::{Scale, bootstrap};
use super::{Estimate, Figure};
use crate::load::Slice;
use crate::results::SliceFigures;

/// One slice of load on one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// On-CPU time of all the subject's threads.
    pub cpu_ns: u64,
    /// Of that, what the threads took that answer requests; `None` where they are not told from the others.
    pub worker_ns: Option<u64>,
    pub requests: u64,
    /// Content and heads that the load generator received.
    pub bytes: u64,
    pub elapsed: Duration,
    /// The reference of the same round, nanoseconds a unit.
    pub reference_ns: Option<f64>,
    /// Latency in nanoseconds and how many had it, rising; without the empty bands of a histogram.
    latencies: Vec<(u64, u64)>,
}

impl Sample {
    /// `latencies` in nanoseconds.
    pub fn new(cpu_ns: u64, requests: u64, bytes: u64, elapsed: Duration, latencies: &Histogram<u64>) -> Self {
        let seen = latencies.iter_recorded().map(|band| (band.value_iterated_to(), band.count_at_value()));
        Self { cpu_ns, worker_ns: None, requests, bytes, elapsed, reference_ns: None, latencies: seen.collect() }
    }

    /// What a slice of load gave, and what it cost the subject.
    pub fn of(cpu_ns: u64, slice: &Slice) -> Self {
        Self::new(cpu_ns, slice.requests, slice.bytes_received, slice.elapsed, &slice.latencies)
    }

    #[must_use]
    pub fn with_worker(mut self, worker_ns: Option<u64>) -> Self {
        self.worker_ns = worker_ns;
        self
    }

    #[must_use]
    pub fn with_reference(mut self, reference_ns: Option<f64>) -> Self {
        self.reference_ns = reference_ns;
        self
    }

    /// A figure of this slice alone.
    pub fn figure(&self, figure: Figure) -> f64 {
        Weighing::new(figure, &[self]).figure(&[1])
    }
}

/// The slices of one subject in one experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// By start and round.
    samples: BTreeMap<(u32, u32), Sample>,
}

impl Series {
    /// Adds the slice of one round. Rounds count anew in each start; a round that failed is left out, and is then left
    /// out of the other subject too where the two are compared.
    pub fn push(&mut self, start: u32, round: u32, sample: Sample) {
        self.samples.insert((start, round), sample);
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub fn requests(&self) -> u64 {
        self.samples.values().map(|sample| sample.requests).sum()
    }

    /// References of the rounds, in the order of time.
    pub fn references(&self) -> Vec<f64> {
        self.samples.values().filter_map(|sample| sample.reference_ns).collect()
    }

    /// The figure over all slices, with its interval.
    pub fn estimate(&self, figure: Figure, seed: u64) -> Estimate {
        let samples: Vec<&Sample> = self.samples.values().collect();
        let mut weighing = Weighing::new(figure, &samples);
        let scale = if figure == Figure::OthersUs { Scale::Linear } else { Scale::Ratio };
        bootstrap(&rounds(self.samples.keys()), seed, scale, |weights| weighing.figure(weights))
    }

    /// Percentile and latency in microseconds: those that a plot with a logarithmic axis needs, as far as there are
    /// requests enough for them.
    pub fn percentiles(&self) -> Vec<[f64; 2]> {
        const AT: [f64; 20] = [
            0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95,
            99.99, 99.999, 100.0,
        ];
        let samples: Vec<&Sample> = self.samples.values().collect();
        let mut weighing = Weighing::new(Figure::P50, &samples);
        let total: u64 = samples.iter().flat_map(|sample| &sample.latencies).map(|(_, count)| count).sum();
        if total == 0 {
            return Vec::new();
        }
        let enough = |percentile: f64| percentile == 100.0 || (100.0 - percentile) / 100.0 * total as f64 >= 5.0;
        let weights = vec![1; samples.len()];
        let mut at = |percentile: f64| [percentile, weighing.quantile(&weights, percentile / 100.0)];
        AT.into_iter().filter(|percentile| enough(*percentile)).map(&mut at).collect()
    }

    /// The same slices with the CPU of the threads that answer requests alone, where they are told from others.
    #[must_use]
    pub fn of_worker(&self) -> Self {
        let mut own = self.clone();
        for sample in own.samples.values_mut() {
            sample.cpu_ns = sample.worker_ns.unwrap_or(sample.cpu_ns);
        }
        own
    }

    /// The figures of each slice, as they stand in a file of results.
    pub fn slices(&self) -> Vec<SliceFigures> {
        let of = |((start, round), sample): (&(u32, u32), &Sample)| SliceFigures {
            start: *start,
            round: *round,
            requests: sample.requests,
            per_second: sample.figure(Figure::PerSecond),
            cpu_us: sample.figure(Figure::CpuUs),
            p50_us: sample.figure(Figure::P50),
            p99_us: sample.figure(Figure::P99),
            p999_us: sample.figure(Figure::P999),
            reference_ns: sample.reference_ns,
        };
        self.samples.iter().map(of).collect()
    }
}

/// A statistic of two series over the rounds that both have.
pub fn paired(
    figure: Figure,
    of: &Series,
    to: &Series,
    seed: u64,
    scale: Scale,
    statistic: impl Fn(f64, f64) -> f64,
) -> Estimate {
    let both = |of: &Series, to: &Series| -> Vec<(u32, u32)> {
        of.samples.keys().filter(|key| to.samples.contains_key(key)).copied().collect()
    };
    let keys = both(of, to);
    let of: Vec<&Sample> = keys.iter().filter_map(|key| of.samples.get(key)).collect();
    let to: Vec<&Sample> = keys.iter().filter_map(|key| to.samples.get(key)).collect();
    let (mut of, mut to) = (Weighing::new(figure, &of), Weighing::new(figure, &to));
    bootstrap(&rounds(keys.iter()), seed, scale, |weights| statistic(of.figure(weights), to.figure(weights)))
}

/// Number of rounds in each start.
fn rounds<'k>(keys: impl Iterator<Item = &'k (u32, u32)>) -> Vec<usize> {
    let mut starts: BTreeMap<u32, usize> = BTreeMap::new();
    for (start, _) in keys {
        *starts.entry(*start).or_default() += 1;
    }
    starts.into_values().collect()
}

fn worker_ns(sample: &Sample) -> f64 {
    sample.worker_ns.map_or(f64::NAN, |ns| ns as f64)
}

/// A figure over samples that count with weights, without touching a histogram for each resampling.
struct Weighing<'s> {
    figure: Figure,
    samples: Vec<&'s Sample>,
    /// Every latency that occurs, nanoseconds, rising.
    values: Vec<u64>,
    /// Of each sample: index into `values`, and count.
    bands: Vec<Vec<(usize, u64)>>,
    /// Weighted requests of each value.
    counts: Vec<u64>,
}

impl<'s> Weighing<'s> {
    fn new(figure: Figure, samples: &[&'s Sample]) -> Self {
        let mut weighing =
            Self { figure, samples: samples.to_vec(), values: Vec::new(), bands: Vec::new(), counts: Vec::new() };
        if figure.quantile().is_none() {
            return weighing;
        }
        weighing.values = samples.iter().flat_map(|sample| &sample.latencies).map(|(value, _)| *value).collect();
        weighing.values.sort_unstable();
        weighing.values.dedup();
        weighing.counts = vec![0; weighing.values.len()];
        let place = |(value, count): &(u64, u64)| Some((weighing.values.binary_search(value).ok()?, *count));
        weighing.bands = samples.iter().map(|sample| sample.latencies.iter().filter_map(place).collect()).collect();
        weighing
    }

    fn figure(&mut self, weights: &[u32]) -> f64 {
        let sum = |of: fn(&Sample) -> f64| -> f64 {
            self.samples.iter().zip(weights).map(|(sample, weight)| of(sample) * f64::from(*weight)).sum()
        };
        match self.figure {
            Figure::CpuUs => sum(|sample| sample.cpu_ns as f64) / sum(|sample| sample.requests as f64) / 1_000.0,
            Figure::WorkerUs => sum(worker_ns) / sum(|sample| sample.requests as f64) / 1_000.0,
            Figure::OthersUs => {
                (sum(|sample| sample.cpu_ns as f64) - sum(worker_ns)) / sum(|sample| sample.requests as f64) / 1_000.0
            }
            Figure::CpuNsPerByte => sum(|sample| sample.cpu_ns as f64) / sum(|sample| sample.bytes as f64),
            Figure::PerSecond => sum(|sample| sample.requests as f64) / sum(|sample| sample.elapsed.as_secs_f64()),
            Figure::P50 | Figure::P99 | Figure::P999 => {
                self.quantile(weights, self.figure.quantile().unwrap_or(f64::NAN))
            }
        }
    }

    /// Microseconds: the smallest latency that at least this share of the requests did not exceed.
    fn quantile(&mut self, weights: &[u32], quantile: f64) -> f64 {
        self.counts.fill(0);
        let mut total = 0;
        for (bands, weight) in self.bands.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            for (at, count) in bands {
                let more = count * u64::from(*weight);
                total += more;
                if let Some(sum) = self.counts.get_mut(*at) {
                    *sum += more;
                }
            }
        }
        let wanted = (quantile * total as f64).ceil().max(1.0);
        let mut seen = 0;
        for (value, count) in self.values.iter().zip(&self.counts) {
            seen += count;
            if seen as f64 >= wanted {
                return *value as f64 / 1_000.0;
            }
        }
        f64::NAN
    }
}
