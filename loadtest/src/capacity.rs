//! The highest rate that a target keeps up with: p99 under a bound, nothing refused, no error.

use std::time::Duration;

use crate::failure::Failure;
use crate::load::{Load, Loop, Slice};

/// Share of the due requests that may be unsent at the end of a step; more means that the target does not keep up.
const UNSENT_MAX: f64 = 0.01;
/// Steps that are tried at most.
const STEPS_MAX: usize = 40;
/// A confirming run is this much longer than a step.
const CONFIRMING: u32 = 3;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// From the intended start.
    pub p99: Duration,
    /// Length of one step.
    pub step: Duration,
    /// The search ends when a good and a bad rate are this close: 0.03 is 3 %.
    pub tolerance: f64,
}

/// One run at one rate.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Step {
    /// Requests a second that were due.
    pub rate: f64,
    /// Responses a second that came.
    pub answered: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub refused: u64,
    pub errors: u64,
    pub unsent: u64,
    pub confirming: bool,
    /// Whether the target kept up.
    pub good: bool,
}

/// What was found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Capacity {
    /// Requests a second; none if even the lowest rate was too much.
    pub rate: Option<f64>,
    pub steps: Vec<Step>,
}

/// Finds the capacity of the target of `load` by bisection between 0 and what a closed loop reaches, then confirms it by
/// a longer run; `seen` is told each step. The loop of `load` is another afterwards.
pub fn search(load: &mut Load, goal: Goal, mut seen: impl FnMut(&Step)) -> Result<Capacity, Failure> {
    load.set_loop(Loop::Closed)?;
    let closed = load.run(goal.step)?.per_second();
    let mut search = Search { load, goal, steps: Vec::new(), seen: &mut seen };
    let (mut good, mut bad) = (0.0, (closed * 1.1).max(2.0));
    let mut rate = closed * 0.7;
    while bad - good > bad * goal.tolerance.max(0.005) && bad > 1.0 && search.steps.len() < STEPS_MAX {
        if search.try_rate(rate, false)? {
            good = rate;
        } else {
            bad = rate;
        }
        rate = f64::midpoint(good, bad);
    }
    while good >= 1.0 && search.steps.len() < STEPS_MAX {
        if search.try_rate(good, true)? {
            return Ok(Capacity { rate: Some(good), steps: search.steps });
        }
        good *= 1.0 - goal.tolerance.max(0.005);
    }
    Ok(Capacity { rate: None, steps: search.steps })
}

struct Search<'s, F> {
    load: &'s mut Load,
    goal: Goal,
    steps: Vec<Step>,
    seen: &'s mut F,
}

impl<F: FnMut(&Step)> Search<'_, F> {
    fn try_rate(&mut self, rate: f64, confirming: bool) -> Result<bool, Failure> {
        self.load.set_loop(Loop::Open { per_second: rate })?;
        let slice = self.load.run(if confirming { self.goal.step * CONFIRMING } else { self.goal.step })?;
        let step = Step {
            rate,
            answered: slice.per_second(),
            p50_us: slice.latency_us(0.5),
            p99_us: slice.latency_us(0.99),
            refused: slice.refused,
            errors: slice.errors.total(),
            unsent: slice.unsent,
            confirming,
            good: self.goal.is_met_by(&slice),
        };
        (self.seen)(&step);
        let good = step.good;
        self.steps.push(step);
        Ok(good)
    }
}

impl Goal {
    fn is_met_by(&self, slice: &Slice) -> bool {
        let due = (slice.requests + slice.errors.total() + slice.unsent) as f64;
        slice.is_clean()
            && slice.unsent as f64 <= due * UNSENT_MAX
            && slice.latency_us(0.99) <= self.p99.as_secs_f64() * 1e6
    }
}
