//! What a run of `loadtest compare` or `loadtest overhead` found, as it stands in its JSON file.

mod file;
mod goal;
mod machine;
mod plane;

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

pub use file::{Fault, parse, read, replace, write};
pub use goal::{Bound, Goal, Outcome};
pub use machine::Machine;

use crate::measure;
use crate::noise::Noise;
use crate::statistics::{Estimate, Figure, Series};

/// Version of the file's form that this program writes and reads.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// When the run began: RFC 3339, UTC, whole seconds.
    pub started: String,
    /// How long it took.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// The command that makes such a file, as it was typed.
    pub command: String,
    /// A run for trying out: its figures prove nothing.
    #[serde(default)]
    pub quick: bool,
    /// Why it does not hold all that it should, where it does not.
    #[serde(default)]
    pub partial: Option<String>,
    pub machine: Machine,
    pub targets: Vec<Subject>,
    /// How steady the machine was; `None` where nothing looked.
    #[serde(default)]
    pub noise: Option<Noise>,
    pub experiments: Vec<Experiment>,
    #[serde(default)]
    pub goals: Vec<Goal>,
}

/// One target as it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    pub name: String,
    pub version: String,
    /// Where it came from, such as `Debian package haproxy 3.0.11`.
    pub obtained: String,
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// Whether it does the same work as the others; only then do its figures stand beside theirs.
    pub ranked: bool,
    /// Why not, where it is not ranked.
    #[serde(default)]
    pub why_not: Option<String>,
}

/// One request whose answer shows what work a target does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The work it belongs to, such as `es256`.
    pub work: String,
    /// What was asked, such as `a token of another issuer`.
    pub request: String,
    /// Such as `401`.
    pub expected: String,
    pub found: String,
    pub passed: bool,
}

/// One question, put to several targets in turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// In kebab case, unique in the file.
    pub id: String,
    pub title: String,
    /// What was done and what is compared, in a sentence or two.
    pub about: String,
    /// The command that repeats this experiment alone.
    pub command: String,
    #[serde(default)]
    pub rows: Vec<Row>,
    #[serde(default)]
    pub curves: Vec<Curve>,
    #[serde(default)]
    pub heat: Vec<Heat>,
}

/// One target doing one kind of work over one transport. The three together are unique in an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub target: String,
    /// Such as `full-policy`.
    pub work: String,
    /// `plain`, `tls` or `mtls`.
    pub transport: String,
    /// Left out of every comparison, and why: it failed a probe, or gave errors.
    #[serde(default)]
    pub unranked: Option<String>,
    /// By name, such as `cpu_us`. A figure that was not measured is absent.
    #[serde(default)]
    pub estimates: BTreeMap<String, Measured>,
    /// Of all slices together: percentile (0 to 100) and latency in microseconds, rising.
    #[serde(default, deserialize_with = "pairs")]
    pub percentiles: Vec<[f64; 2]>,
    /// One an element, in the order of time: what a later comparison of two runs permutes.
    #[serde(default)]
    pub slices: Vec<SliceFigures>,
}

/// An estimate with its unit, such as `µs`, `1/s`, `KiB` or `×`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    #[serde(flatten)]
    pub estimate: Estimate,
    pub unit: String,
}

/// Figures of one slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceFigures {
    /// Start of the subjects that it belongs to, from 0.
    pub start: u32,
    /// Round within the start, from 0: slices of one round are neighbours in time.
    pub round: u32,
    pub requests: u64,
    #[serde(deserialize_with = "number")]
    pub per_second: f64,
    #[serde(deserialize_with = "number")]
    pub cpu_us: f64,
    #[serde(deserialize_with = "number")]
    pub p50_us: f64,
    #[serde(deserialize_with = "number")]
    pub p99_us: f64,
    #[serde(deserialize_with = "number")]
    pub p999_us: f64,
    /// The reference of the same round, nanoseconds a unit ([`crate::noise::Reference`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_ns: Option<f64>,
}

/// What one target did at several rates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub target: String,
    pub work: String,
    pub points: Vec<CurvePoint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Requests a second that were intended.
    #[serde(deserialize_with = "number")]
    pub rate: f64,
    /// Requests a second that were answered as expected.
    #[serde(deserialize_with = "number")]
    pub throughput: f64,
    #[serde(deserialize_with = "number")]
    pub p50_us: f64,
    #[serde(deserialize_with = "number")]
    pub p99_us: f64,
    #[serde(deserialize_with = "number")]
    pub p999_us: f64,
}

/// Latencies over time: how many requests of each moment took how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    pub target: String,
    pub work: String,
    /// Length of a column.
    pub column_ms: u32,
    /// Upper ends of the latency bands, microseconds, rising.
    #[serde(deserialize_with = "numbers")]
    pub bands_us: Vec<f64>,
    /// One element a column, in the order of time; in it the requests of each band, shorter where the rest is zero.
    pub columns: Vec<Vec<u64>>,
}

impl Results {
    /// A run on this machine that has found nothing yet. `started` is [`now`].
    pub fn begin(started: String, command: String) -> Self {
        Self {
            format: FORMAT,
            started,
            seconds: 0.0,
            command,
            quick: false,
            partial: None,
            machine: Machine::read(),
            targets: Vec::new(),
            noise: None,
            experiments: Vec::new(),
            goals: Vec::new(),
        }
    }
}

impl Row {
    pub fn new(target: impl Into<String>, work: impl Into<String>, transport: impl Into<String>) -> Self {
        Self { target: target.into(), work: work.into(), transport: transport.into(), ..Self::default() }
    }

    /// Takes the estimates, percentiles and slices of what was measured.
    #[must_use]
    pub fn with_series(mut self, series: &Series, figures: &[Figure], seed: u64) -> Self {
        for figure in figures {
            self.put(figure.name(), series.estimate(*figure, seed), figure.unit());
        }
        self.percentiles = series.percentiles();
        self.slices = series.slices();
        self
    }

    pub fn put(&mut self, name: impl Into<String>, estimate: Estimate, unit: impl Into<String>) {
        self.estimates.insert(name.into(), Measured { estimate, unit: unit.into() });
    }

    pub fn estimate(&self, name: &str) -> Option<Estimate> {
        self.estimates.get(name).map(|measured| measured.estimate)
    }
}

/// This moment as results hold it.
pub fn now() -> String {
    jiff::Timestamp::from_second(measure::now_s().cast_signed()).unwrap_or_default().to_string()
}

/// The command line of this process, as somebody would type it again; the program without the path to it.
pub fn command_line() -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    std::iter::once("loadtest".to_owned()).chain(std::env::args().skip(1).map(quoted)).collect::<Vec<_>>().join(" ")
}

/// JSON has no infinities and no NaN: `null` stands for a number that is none.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Option<f64>>::deserialize(from)?;
    Ok(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

fn pairs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[f64; 2]>, D::Error> {
    let pairs = Vec::<[Option<f64>; 2]>::deserialize(from)?;
    Ok(pairs.into_iter().map(|pair| pair.map(|number| number.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
