//! A figure against its goal.

use serde::{Deserialize, Serialize};

use crate::statistics::Estimate;

/// One goal and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What is measured, such as `CPU per request, full policy, plain`.
    pub figure: String,
    /// The goal in words, such as `≤ 1.12 × relay`.
    pub goal: String,
    pub bound: Bound,
    #[serde(default)]
    pub measured: Option<Estimate>,
    pub outcome: Outcome,
    /// Why it was not measured, or what to know about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// A limit that an interval is held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    AtMost(#[serde(deserialize_with = "super::number")] f64),
    AtLeast(#[serde(deserialize_with = "super::number")] f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The whole interval is on the good side.
    Met,
    /// The whole interval is on the bad side.
    Missed,
    /// The bound lies within the interval.
    Undecided,
    NotMeasured,
}

impl Goal {
    /// Holds the interval of what was measured against the bound.
    pub fn judge(figure: impl Into<String>, goal: impl Into<String>, bound: Bound, measured: Estimate) -> Self {
        let outcome = bound.judge(measured);
        let note = (outcome == Outcome::NotMeasured).then(|| "the measurement gave no number".to_owned());
        Self { figure: figure.into(), goal: goal.into(), bound, measured: Some(measured), outcome, note }
    }

    pub fn not_measured(
        figure: impl Into<String>,
        goal: impl Into<String>,
        bound: Bound,
        why: impl Into<String>,
    ) -> Self {
        let (figure, goal) = (figure.into(), goal.into());
        Self { figure, goal, bound, measured: None, outcome: Outcome::NotMeasured, note: Some(why.into()) }
    }
}

impl Bound {
    fn judge(self, Estimate { value, low, high }: Estimate) -> Outcome {
        if !(value.is_finite() && low.is_finite() && high.is_finite()) {
            return Outcome::NotMeasured;
        }
        let (good, bad) = match self {
            Self::AtMost(limit) => (high <= limit, low > limit),
            Self::AtLeast(limit) => (low >= limit, high < limit),
        };
        match (good, bad) {
            (true, _) => Outcome::Met,
            (_, true) => Outcome::Missed,
            _ => Outcome::Undecided,
        }
    }
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Undecided => "undecided",
            Self::NotMeasured => "not measured",
        }
    }
}
