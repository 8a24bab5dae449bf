//! What each limit said, in human units.

use policy::model::{Limit, LimitKind};

use crate::evaluator::{Evaluation, Evaluator, LimitLook, Step, Topic};
use crate::words;

impl Evaluator<'_> {
    /// None for a request that was not granted: no limit was looked at.
    pub(super) fn limits_step(&self, evaluation: &Evaluation) -> Option<Step> {
        let name = evaluation.granted_by.as_ref()?;
        let agent = self.policy().agents.iter().find(|agent| agent.name == *name)?;
        if agent.limits.is_empty() {
            return Some(Step::new(Topic::Limits, format!("agent \"{name}\" has none")));
        }
        let text = match &evaluation.limit {
            Some(limit) => format!("\"{limit}\" of agent \"{name}\" refuses"),
            None => format!(
                "all {} of agent \"{name}\" admit it",
                words::count(agent.limits.len() as u64, "limit", "limits")
            )
            .replace("all 1 limit of", "the limit of")
            .replace(" admit it", if agent.limits.len() == 1 { " admits it" } else { " admit it" }),
        };
        let look = |look: &LimitLook| {
            let limit = agent.limits.iter().find(|limit| limit.name == look.name)?;
            Some(told(limit, look, evaluation.permitted))
        };
        Some(Step::new(Topic::Limits, text).with(evaluation.limits.iter().filter_map(look)))
    }
}

fn told(limit: &Limit, look: &LimitLook, charged: bool) -> String {
    let whom = look.subject.as_ref().map_or(String::new(), |subject| format!(" for {subject}"));
    let head = format!("\"{}\" ({limit}){whom}", look.name);
    let verdict = look.verdict;
    if look.before.is_none() {
        return format!("{head}: no place for one more subject; try again in {}", words::duration(verdict.wait_ns));
    }
    // The verdict is of the state after the step.
    let left = u64::from(verdict.remaining) + u64::from(verdict.admitted);
    let (most, unit) = match limit.kind {
        LimitKind::Rate { burst } => (burst, String::new()),
        LimitKind::Quota => (limit.count, format!(" in this UTC {}", limit.unit)),
    };
    let state = format!("{left} of {most} left{unit}");
    match (verdict.admitted, charged) {
        (false, _) if verdict.wait_ns == u64::MAX => format!("{head}: {state}; no request is ever admitted"),
        (false, _) => format!("{head}: {state}; the next one is admitted in {}", words::duration(verdict.wait_ns)),
        (true, true) => format!("{head}: {state} before, {} after", verdict.remaining),
        (true, false) => format!("{head}: {state}; not charged"),
    }
}
