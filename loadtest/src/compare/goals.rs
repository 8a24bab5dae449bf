//! Goals, and figures of two targets held against them.

use super::rounds::Measured;
use crate::results::{Bound, Goal};
use crate::statistics::{self, Estimate, Figure};
use crate::target::Work;

/// Seed of all resampling, so that the same slices give the same interval.
pub const SEED: u64 = 0xADA;

/// A goal before it is measured.
pub struct Wanted {
    pub figure: &'static str,
    pub goal: &'static str,
    pub bound: Bound,
}

impl Wanted {
    pub fn not_measured(&self, why: &str) -> Goal {
        Goal::not_measured(self.figure, self.goal, self.bound, why)
    }

    pub fn judge(&self, measured: Estimate) -> Goal {
        Goal::judge(self.figure, self.goal, self.bound, measured)
    }

    /// As [`Wanted::judge`], or why there is nothing to judge.
    pub fn judge_or(&self, measured: Result<Estimate, String>) -> Goal {
        measured.map_or_else(|why| self.not_measured(&why), |measured| self.judge(measured))
    }
}

/// Slices of one target at one work, or why there are none that count.
pub fn of<'m>(all: &'m [Measured], target: &str, work: Work) -> Result<&'m Measured, String> {
    let found = all.iter().find(|one| one.target == target && one.work == work);
    let found = found.ok_or_else(|| format!("{target} did not take part with {}", work.name()))?;
    match &found.unranked {
        Some(why) => Err(format!("{target}, {}: {why}", work.name())),
        None if found.series.is_empty() => Err(format!("{target} was not measured with {}", work.name())),
        None => Ok(found),
    }
}

/// Ratio of a figure between two targets at work.
pub fn ratio(figure: Figure, all: &[Measured], of: (&str, Work), to: (&str, Work)) -> Result<Estimate, String> {
    let (one, other) = (self::of(all, of.0, of.1)?, self::of(all, to.0, to.1)?);
    Ok(statistics::ratio(figure, &one.series, &other.series, SEED))
}
