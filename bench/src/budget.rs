//! `bench/budget.toml`: what each stage may cost, in ratios to its reference, and how many instructions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::list;

/// Samples of each stage where nothing is said.
const SAMPLES: usize = 50_000;
const BATCH_MAX: u32 = 1_000;

/// The whole budget.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub stage: Vec<StageBudget>,
    pub counts: Counts,
    pub certificate: Certificate,
}

/// What one stage may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageBudget {
    pub name: Spanned<String>,
    pub reference: Spanned<String>,
    /// Runs that are timed together; 1 unless the stage is hardly longer than reading the clock.
    #[serde(default = "one")]
    pub batch: Spanned<u32>,
    #[serde(default = "samples")]
    pub samples: Spanned<usize>,
    /// Times the same percentile of the reference.
    pub p50: Spanned<f64>,
    pub p99: Spanned<f64>,
    pub p99_9: Spanned<f64>,
    /// Nanoseconds, where a goal is not a ratio.
    pub p50_ns: Option<Spanned<f64>>,
}

/// Instructions a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// How far a count may lie from its budget, either way.
    pub tolerance_percent: Spanned<f64>,
    pub instructions: BTreeMap<String, u64>,
}

/// What the cost certificate of the measured policies may say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub lines_max: u32,
}

fn one() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

fn samples() -> Spanned<usize> {
    Spanned::new(0..0, SAMPLES)
}

/// Why there is no budget. Whoever wrote it is at fault.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    #[error("{path} cannot be read: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{path}:{line}:{column}: {what}")]
    Wrong { path: PathBuf, line: usize, column: usize, what: String },
}

impl Budget {
    /// Where it stands in this tree.
    pub fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml")
    }

    /// Reads a budget.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML of this form, or asks for what is not; with its place.
    pub fn read(path: &Path) -> Result<Self, BudgetError> {
        let text = std::fs::read_to_string(path).map_err(|cause| BudgetError::Read { path: path.into(), cause })?;
        let wrong = |at: usize, what: String| {
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
            BudgetError::Wrong { path: path.into(), line, column, what }
        };
        let budget: Self = toml::from_str(&text)
            .map_err(|fault| wrong(fault.span().map_or(0, |span| span.start), fault.message().to_owned()))?;
        budget.check().map_err(|(at, what)| wrong(at, what))?;
        Ok(budget)
    }

    fn check(&self) -> Result<(), (usize, String)> {
        for stage in &self.stage {
            for name in [&stage.name, &stage.reference] {
                if !list::is_known(name.get_ref()) {
                    let what =
                        format!("expected the name of a stage, found {:?}; known are {}", name.get_ref(), known());
                    return Err((name.span().start, what));
                }
            }
            for ratio in [&stage.p50, &stage.p99, &stage.p99_9].into_iter().chain(&stage.p50_ns) {
                positive(ratio)?;
            }
            if !(1..=BATCH_MAX).contains(stage.batch.get_ref()) {
                let what = format!("expected a batch of 1 to {BATCH_MAX}, found {}", stage.batch.get_ref());
                return Err((stage.batch.span().start, what));
            }
            if *stage.samples.get_ref() < 1_000 {
                let what = "expected at least 1000 samples: p99.9 needs them".to_owned();
                return Err((stage.samples.span().start, what));
            }
        }
        positive(&self.counts.tolerance_percent)
    }
}

fn positive(number: &Spanned<f64>) -> Result<(), (usize, String)> {
    let value = *number.get_ref();
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err((number.span().start, format!("expected a number above 0, found {value}")))
}

/// The names without sizes: those of decisions are many.
fn known() -> String {
    let mut names: Vec<String> = list::names().into_iter().filter(|name| !name.starts_with("decide")).collect();
    names.push("decide[-account][-zipf]-AGENTSxROUTES".to_owned());
    names.join(", ")
}

#[cfg(test)]
mod tests;
