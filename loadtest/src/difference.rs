//! Whether two earlier runs differ beyond noise, row by row; refuses to say so when that cannot be known.

mod text;

use serde::Serialize;

use crate::noise;
use crate::results::{Experiment, Machine, Results, Row, SliceFigures};
use crate::statistics::{Estimate, Figure, Permutation, STARTS_MIN, Unit, permutation};

/// A p up to this is a difference.
pub const LEVEL: f64 = 0.05;
/// Two processes of one binary can differ so much for as long as they live: below it, few starts prove nothing.
pub const OF_A_PROCESS: f64 = 0.10;
/// Figures that are compared. Throughput is left out: where the load is a closed loop it is the latency again.
const FIGURES: [Figure; 4] = [Figure::CpuUs, Figure::P50, Figure::P99, Figure::P999];
const SEED: u64 = 0x5eed;

/// Two runs held against each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// When each run began.
    pub runs: [String; 2],
    /// What to know before believing any row.
    pub warnings: Vec<String>,
    pub rows: Vec<Compared>,
}

/// One figure of one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub experiment: String,
    pub target: String,
    pub work: String,
    pub transport: String,
    /// Such as `cpu_us`.
    pub figure: &'static str,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// `change` is the second run over the first, each relative to the reference of its own run.
    Differs { p: f64, change: Estimate },
    /// Nothing beyond noise; the interval of `change` says what could have been hidden in it.
    NoDifference { p: f64, change: Estimate },
    /// It cannot be known.
    Refused { why: String },
    /// One of the runs has no such row.
    Missing { why: String },
}

impl Difference {
    /// How many figures could be tested.
    pub fn tested(&self) -> usize {
        let tested = |row: &&Compared| matches!(row.verdict, Verdict::Differs { .. } | Verdict::NoDifference { .. });
        self.rows.iter().filter(tested).count()
    }

    /// For people.
    pub fn text(&self) -> String {
        text::text(self)
    }
}

/// Compares every row of the first run with the same row of the second, and names what only one has.
pub fn difference(first: &Results, second: &Results) -> Difference {
    let refusal = refusal(first, second);
    let mut rows = Vec::new();
    for (experiment, row) in all_rows(first) {
        let mut push = |figure: Figure, verdict: Verdict| rows.push(compared(experiment, row, figure, verdict));
        let Some(other) = find(second, experiment, row) else {
            push(Figure::CpuUs, Verdict::Missing { why: "only the first run has it".to_owned() });
            continue;
        };
        for figure in FIGURES.into_iter().filter(|figure| has(row, *figure) || has(other, *figure)) {
            let verdict = match (&refusal, unranked(row, other)) {
                (_, Some(why)) => Verdict::Missing { why },
                (Some(why), None) => Verdict::Refused { why: why.clone() },
                (None, None) => judge(row, other, figure),
            };
            push(figure, verdict);
        }
    }
    for (experiment, row) in all_rows(second) {
        if find(first, experiment, row).is_none() {
            let why = "only the second run has it".to_owned();
            rows.push(compared(experiment, row, Figure::CpuUs, Verdict::Missing { why }));
        }
    }
    Difference { runs: [first.started.clone(), second.started.clone()], warnings: warnings(first, second), rows }
}

fn all_rows(results: &Results) -> impl Iterator<Item = (&Experiment, &Row)> {
    results.experiments.iter().flat_map(|experiment| experiment.rows.iter().map(move |row| (experiment, row)))
}

fn find<'r>(results: &'r Results, of: &Experiment, like: &Row) -> Option<&'r Row> {
    let same = |row: &&Row| row.target == like.target && row.work == like.work && row.transport == like.transport;
    results.experiments.iter().find(|experiment| experiment.id == of.id)?.rows.iter().find(same)
}

fn compared(experiment: &Experiment, row: &Row, figure: Figure, verdict: Verdict) -> Compared {
    let Row { target, work, transport, .. } = row.clone();
    Compared { experiment: experiment.id.clone(), target, work, transport, figure: figure.name(), verdict }
}

/// Why no row at all can be judged.
fn refusal(first: &Results, second: &Results) -> Option<String> {
    let (one, other) = (&first.machine, &second.machine);
    let place = |machine: &Machine| (machine.processor.clone(), machine.cores, machine.virtualised.clone());
    if place(one) != place(other) {
        return Some(format!(
            "the runs come from different machines ({}, {} cores; {}, {} cores)",
            one.processor, one.cores, other.processor, other.cores
        ));
    }
    for (which, results) in [("first", first), ("second", second)] {
        let complaints = match &results.noise {
            None => vec!["nothing looked at how steady the machine was".to_owned()],
            Some(noise) => noise.complaints(),
        };
        if !complaints.is_empty() {
            return Some(format!("the machine was too noisy in the {which} run: {}", complaints.join("; ")));
        }
    }
    None
}

fn warnings(first: &Results, second: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for (which, results) in [("first", first), ("second", second)] {
        if results.quick {
            found.push(format!("the {which} run was a quick one"));
        }
        if let Some(why) = &results.partial {
            found.push(format!("the {which} run is not whole: {why}"));
        }
    }
    for (what, one, other) in
        [("kernels", &first.machine.kernel, &second.machine.kernel), ("commands", &first.command, &second.command)]
    {
        if one != other {
            found.push(format!("the {what} differ: {one}; {other}"));
        }
    }
    for target in &first.targets {
        let other = second.targets.iter().find(|other| other.name == target.name);
        if let Some(other) = other.filter(|other| other.version != target.version) {
            found.push(format!(
                "{} is {} in the first run, {} in the second",
                target.name, target.version, other.version
            ));
        }
    }
    found
}

fn unranked(row: &Row, other: &Row) -> Option<String> {
    let of = |which: &str, row: &Row| row.unranked.as_ref().map(|why| format!("not ranked in the {which} run: {why}"));
    of("first", row).or_else(|| of("second", other))
}

fn has(row: &Row, figure: Figure) -> bool {
    row.slices.iter().any(|slice| value(slice, figure).is_some())
}

fn value(slice: &SliceFigures, figure: Figure) -> Option<f64> {
    let value = match figure {
        Figure::CpuUs => slice.cpu_us,
        Figure::P50 => slice.p50_us,
        Figure::P99 => slice.p99_us,
        Figure::P999 => slice.p999_us,
        _ => f64::NAN,
    };
    (value.is_finite() && value > 0.0).then_some(value)
}

/// Logarithms of a figure by start, relative to what the reference cost in that start: what makes the whole machine
/// faster or slower between the runs is no difference of the programs.
fn logarithms(row: &Row, figure: Figure) -> Vec<Vec<f64>> {
    let mut starts: Vec<u32> = row.slices.iter().map(|slice| slice.start).collect();
    starts.sort_unstable();
    starts.dedup();
    let of_start = |start: u32| -> Vec<f64> {
        let slices = || row.slices.iter().filter(|slice| slice.start == start);
        let references: Vec<f64> = slices().filter_map(|slice| slice.reference_ns).filter(|ns| *ns > 0.0).collect();
        let reference = if references.is_empty() { 1.0 } else { noise::quantile(&references, 0.5) };
        slices().filter_map(|slice| value(slice, figure)).map(|value| (value / reference).ln()).collect()
    };
    starts.into_iter().map(of_start).filter(|values| !values.is_empty()).collect()
}

fn judge(row: &Row, other: &Row, figure: Figure) -> Verdict {
    let referred = |row: &Row| row.slices.iter().all(|slice| slice.reference_ns.is_some_and(|ns| ns > 0.0));
    if !referred(row) || !referred(other) {
        return Verdict::Refused { why: "not every slice has a reference beside it".to_owned() };
    }
    let (first, second) = (logarithms(row, figure), logarithms(other, figure));
    let Some(Permutation { p, change, unit }) = permutation(&first, &second, SEED) else {
        return Verdict::Refused { why: "too few slices".to_owned() };
    };
    if p > LEVEL {
        return Verdict::NoDifference { p, change };
    }
    let beyond_luck = change.low > 1.0 + OF_A_PROCESS || change.high < 1.0 / (1.0 + OF_A_PROCESS);
    if unit == Unit::Rounds && !beyond_luck {
        let why = format!(
            "p={p:.3}, but two processes of one binary can differ by {:.0} %, and there were only {} and {} starts: \
             measure with at least {STARTS_MIN} each",
            OF_A_PROCESS * 100.0,
            first.len(),
            second.len()
        );
        return Verdict::Refused { why };
    }
    Verdict::Differs { p, change }
}

#[cfg(test)]
mod tests;
