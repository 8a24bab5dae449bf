//! Limits in the numbers that the rate step takes.

use std::collections::HashMap;

use super::CompileError;
use super::strings::Strings;
use crate::bounds::LIMITS_PER_AGENT_MAX;
use crate::hash::limit_stable_id;
use crate::model::{Agent, LimitKind, OnFull, Per, Policy};
use crate::table::format::{Limit, limit_kind, limit_per};

/// All limits, by agent and then by name.
pub(super) fn build<'p>(policy: &'p Policy, strings: &mut Strings<'p>) -> Result<Vec<Limit>, CompileError> {
    let mut limits = Vec::new();
    let mut owners: HashMap<u64, &str> = HashMap::new();
    for agent in &policy.agents {
        if agent.limits.len() > LIMITS_PER_AGENT_MAX {
            return Err(CompileError::TooManyLimits { agent: agent.name.clone(), found: agent.limits.len() });
        }
        let mut sorted: Vec<_> = agent.limits.iter().collect();
        sorted.sort_by(|one, other| one.name.cmp(&other.name));
        for (one, next) in sorted.iter().zip(sorted.iter().skip(1)) {
            if one.name == next.name {
                return Err(CompileError::LimitNamedTwice { agent: agent.name.clone(), limit: one.name.clone() });
            }
        }
        for limit in sorted {
            let record = record(agent, limit, strings)?;
            if let Some(first) = owners.insert(record.stable_id, &agent.name) {
                return Err(CompileError::StableIdShared { first: first.to_owned(), second: agent.name.clone() });
            }
            limits.push(record);
        }
    }
    Ok(limits)
}

fn record<'p>(agent: &Agent, limit: &'p crate::model::Limit, strings: &mut Strings<'p>) -> Result<Limit, CompileError> {
    let zero = |what| CompileError::LimitZero { agent: agent.name.clone(), limit: limit.name.clone(), what };
    if limit.count == 0 {
        return Err(zero("a count"));
    }
    let (name, name_length) = strings.intern(&limit.name)?;
    let seconds = u64::from(limit.unit.seconds());
    let (kind, interval, count) = match limit.kind {
        // Rounded up: a rate never gives more than it says.
        LimitKind::Rate { burst } => {
            (limit_kind::RATE, (seconds * 1_000_000_000).div_ceil(u64::from(limit.count)), burst)
        }
        LimitKind::Quota => (limit_kind::QUOTA, seconds, limit.count),
    };
    if count == 0 {
        return Err(zero("a burst"));
    }
    let (per, subjects_max) = match limit.per {
        Per::Agent => (limit_per::AGENT, 0),
        Per::Subject { subjects_max: 0, .. } => return Err(zero("a number of subjects")),
        Per::Subject { subjects_max, on_full: OnFull::Overflow } => (limit_per::SUBJECT_OVERFLOW, subjects_max),
        Per::Subject { subjects_max, on_full: OnFull::Deny } => (limit_per::SUBJECT_DENY, subjects_max),
    };
    let stable_id = limit_stable_id(&agent.name, &limit.name);
    Ok(Limit { name, name_length, kind, per, stable_id, interval, count, subjects_max })
}
