//! How steady the machine was while it measured: the same small work repeated through the run, and stolen time.

mod reference;

use std::fs;

use serde::{Deserialize, Serialize};

use crate::results::number;

pub use reference::Reference;

/// Half of the slices must lie closer together than this share of their median.
pub const SPREAD_MAX: f64 = 0.10;
/// The last quarter of the run may differ from the first by this share.
pub const DRIFT_MAX: f64 = 0.10;
/// Share of the machine's time that a hypervisor may take.
pub const STEAL_MAX: f64 = 0.02;
/// Fewer slices of the reference than this say nothing.
pub const SLICES_MIN: usize = 12;

/// What was seen of the machine during a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// What was repeated.
    pub reference: String,
    pub slices: usize,
    /// Distance of the quartiles of the reference over its median.
    #[serde(deserialize_with = "number")]
    pub spread: f64,
    /// Median of the last quarter over that of the first, less one.
    #[serde(deserialize_with = "number")]
    pub drift: f64,
    /// Share of the processors' time that the hypervisor gave to others.
    #[serde(deserialize_with = "number")]
    pub steal: f64,
}

impl Noise {
    /// `references` in the order of time.
    pub fn of(references: &[f64], steal: f64) -> Self {
        let quarter = references.len().div_ceil(4);
        let first = quantile(references.get(..quarter).unwrap_or_default(), 0.5);
        let last = quantile(references.get(references.len() - quarter..).unwrap_or_default(), 0.5);
        Self {
            reference: Reference::ABOUT.to_owned(),
            slices: references.len(),
            spread: (quantile(references, 0.75) - quantile(references, 0.25)) / quantile(references, 0.5),
            drift: last / first - 1.0,
            steal,
        }
    }

    /// Why the machine was too noisy for a comparison of runs; empty where it was quiet enough.
    pub fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.slices < SLICES_MIN {
            found.push(format!("only {} slices of the reference, at least {SLICES_MIN} are needed", self.slices));
        }
        for (what, share, bound) in [
            ("the reference spread by", self.spread, SPREAD_MAX),
            ("the reference drifted by", self.drift.abs(), DRIFT_MAX),
            ("the hypervisor took", self.steal, STEAL_MAX),
        ] {
            if share.is_nan() || share > bound {
                found.push(format!("{what} {:.1} %, at most {:.0} % is quiet", share * 100.0, bound * 100.0));
            }
        }
        found
    }
}

/// Linear between the two nearest (Hyndman, Fan 1996, type 7); NaN of nothing.
pub fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = at * sorted.len().saturating_sub(1) as f64;
    let value = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    value(place.floor()) + (value(place.ceil()) - value(place.floor())) * place.fract()
}

/// The processors' time so far, in the kernel's ticks (`/proc/stat`, first line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    all: u64,
    steal: u64,
}

impl Ticks {
    /// `None` where the kernel does not tell.
    pub fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // user nice system idle iowait irq softirq steal; guest time behind them is part of user (proc_stat(5)).
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|number| number.parse().ok()).collect();
        Some(Self { all: ticks.iter().sum(), steal: *ticks.get(7)? })
    }

    /// Share that was stolen since; NaN where either is not known.
    pub fn steal_since(before: Option<Self>) -> f64 {
        match (before, Self::now()) {
            (Some(before), Some(now)) => now.steal_share(before),
            _ => f64::NAN,
        }
    }

    fn steal_share(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        self.steal.saturating_sub(before.steal) as f64 / all.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Noise, Ticks, quantile};

    #[test]
    fn a_steady_reference_is_quiet() {
        let steady: Vec<f64> = (0..40).map(|at| 100.0 + f64::from(at % 5)).collect();
        assert_eq!(Noise::of(&steady, 0.0).complaints(), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_noise_is_named() {
        let steady = vec![100.0; 40];
        let spread: Vec<f64> = (0..40).map(|at| if at % 2 == 0 { 100.0 } else { 130.0 }).collect();
        let drift: Vec<f64> = (0..40).map(|at| 100.0 + f64::from(at / 30) * 15.0).collect();
        for (references, steal, word) in [
            (&spread, 0.0, "spread by 26"),
            (&drift, 0.0, "drifted by 15"),
            (&steady, 0.05, "hypervisor took 5"),
            (&steady, f64::NAN, "hypervisor took"),
            (&vec![100.0; 4], 0.0, "only 4 slices"),
            (&Vec::new(), 0.0, "spread by NaN"),
        ] {
            let complaints = Noise::of(references, steal).complaints().join("; ");
            assert!(complaints.contains(word), "{word}: {complaints}");
        }
    }

    #[test]
    fn stolen_time_is_read() {
        let parse = |text| Ticks::parse(text).unwrap();
        let before = parse("cpu  10 0 0 80 0 0 0 10 0 0\ncpu0 1");
        let now = parse("cpu  60 0 0 120 0 0 0 20 7 7\n");
        assert!((now.steal_share(before) - 0.1).abs() < 1e-9);
        assert_eq!(Ticks::parse("cpu  1 2 3"), None);
        assert!(Ticks::now().is_some());
    }

    #[test]
    fn quantiles_lie_between() {
        assert!((quantile(&[4.0, 1.0, 2.0, 3.0], 0.5) - 2.5).abs() < 1e-9);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
