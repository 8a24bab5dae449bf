//! Figures with their intervals, from slices of load that several subjects took in turns.
//!
//! A subject's [`Series`] holds its slices by start (two processes of one binary differ by up to 10 % for as long as
//! they live) and by round (slices of one round are neighbours in time, so what disturbs one disturbs the other).
//! Intervals resample starts first and runs of neighbouring rounds second; figures of two subjects are compared over the
//! same resampled rounds.

mod bootstrap;
mod permutation;
mod random;
mod series;
mod student;

use serde::{Deserialize, Serialize};

pub use bootstrap::Scale;
pub use permutation::{Permutation, STARTS_MIN, Unit, permutation};
pub use series::{Sample, Series};

/// A value with a 95 % interval. A number that could not be had is NaN, `null` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    #[serde(deserialize_with = "crate::results::number")]
    pub value: f64,
    #[serde(deserialize_with = "crate::results::number")]
    pub low: f64,
    #[serde(deserialize_with = "crate::results::number")]
    pub high: f64,
}

/// What can be said about slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Figure {
    /// On-CPU time of the subject for each request.
    CpuUs,
    /// Of that, what the threads took that answer requests.
    WorkerUs,
    /// And what the others took: those that write records, look after keys and files.
    OthersUs,
    /// On-CPU time of the subject for each byte that was received.
    CpuNsPerByte,
    PerSecond,
    P50,
    P99,
    P999,
}

impl Figure {
    /// Those of every row.
    pub const USUAL: [Self; 5] = [Self::CpuUs, Self::PerSecond, Self::P50, Self::P99, Self::P999];

    /// Name among the estimates of a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuUs => "cpu_us",
            Self::WorkerUs => "worker_us",
            Self::OthersUs => "others_us",
            Self::CpuNsPerByte => "cpu_ns_per_byte",
            Self::PerSecond => "per_second",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::CpuUs | Self::WorkerUs | Self::OthersUs | Self::P50 | Self::P99 | Self::P999 => "µs",
            Self::CpuNsPerByte => "ns",
            Self::PerSecond => "1/s",
        }
    }

    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::CpuUs => "CPU per request",
            Self::WorkerUs => "CPU of the worker",
            Self::OthersUs => "CPU of other threads",
            Self::CpuNsPerByte => "CPU per byte",
            Self::PerSecond => "requests a second",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
        }
    }

    /// The quantile, where the figure is one.
    fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            _ => None,
        }
    }
}

impl Default for Estimate {
    fn default() -> Self {
        Self::NONE
    }
}

impl Estimate {
    /// Nothing is known.
    pub const NONE: Self = Self { value: f64::NAN, low: f64::NAN, high: f64::NAN };

    /// A value without an interval: measured once.
    pub fn once(value: f64) -> Self {
        Self { value, ..Self::NONE }
    }

    /// Mean of independent repetitions with Student's interval; no interval below two.
    pub fn mean(values: &[f64]) -> Self {
        let (mean, variance) = student::mean_variance(values);
        let half = student::t(values.len().saturating_sub(1)) * (variance / values.len() as f64).sqrt();
        Self { value: mean, low: mean - half, high: mean + half }
    }
}

/// `of` over `to`, over the rounds that both have. NaN where there are none.
pub fn ratio(figure: Figure, of: &Series, to: &Series, seed: u64) -> Estimate {
    series::paired(figure, of, to, seed, Scale::Ratio, |of, to| of / to)
}

/// `of` minus `to` in the unit of the figure, over the rounds that both have.
pub fn difference(figure: Figure, of: &Series, to: &Series, seed: u64) -> Estimate {
    series::paired(figure, of, to, seed, Scale::Linear, |of, to| of - to)
}

#[cfg(test)]
mod tests;
