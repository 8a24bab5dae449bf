//! Limits of the same callers, before and after.
//!
//! A limit is no looser than another one when, from any state that both can be in, it admits no request that the other
//! refuses. Compared are limits of the same kind that count the same: rates by interval and burst, quotas by count over
//! windows that divide each other. Everything else is incomparable, which counts as both. An agent's limits are no
//! looser together when each old limit has a new one that is no looser than it.

use std::collections::{BTreeMap, BTreeSet};

use policy::model::{Limit, LimitKind, OnFull, Per, Unit};
use policy::rate::Gcra;

use crate::callers::Callers;
use crate::face::{Which, World};
use crate::report::{Direction, LimitChange};
use crate::shown::Taken;

/// Agents of one change that are listed.
const AGENTS_MAX: usize = 20;

/// Which agent's limits count in the old policy, and which agent's in the new.
pub type Counted = BTreeSet<(u32, u32)>;

/// Pairs of agents whose limits count for the same caller.
pub fn counted(world: &World<'_>, callers: &Callers<'_>, crossed: Counted) -> Counted {
    let mut pairs = crossed;
    for caller in &callers.all {
        if let (Taken::Agent(old), Taken::Agent(new), _) = caller.pair {
            pairs.insert((old, new));
        }
    }
    pairs.extend(world.old.anonymous.zip(world.new.anonymous));
    pairs
}

/// Every change of limits, agents with the same change together.
pub fn changes(world: &World<'_>, pairs: &Counted) -> Vec<LimitChange> {
    let mut of_old: BTreeMap<u32, usize> = BTreeMap::new();
    let mut of_new: BTreeMap<u32, usize> = BTreeMap::new();
    for (old, new) in pairs {
        *of_old.entry(*old).or_default() += 1;
        *of_new.entry(*new).or_default() += 1;
    }
    let several = |counts: &BTreeMap<u32, usize>, agent: u32| counts.get(&agent).is_some_and(|count| *count > 1);
    let mut grouped: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for (old, new) in pairs {
        let limits = |which: Which, agent: u32| {
            world.face(which).policy.agents.get(agent as usize).map_or(&[][..], |agent| &agent.limits)
        };
        let (before, after) = (limits(Which::Old, *old), limits(Which::New, *new));
        let (split, merged) = (several(&of_old, *old), several(&of_new, *new));
        let shared = |limits: &[Limit]| limits.iter().any(|limit| limit.per == Per::Agent);
        let note = match () {
            () if split && shared(after) => Some("counters that were one are several now"),
            () if merged && shared(before) && !split => Some("counters that were several are one now"),
            () => None,
        };
        let Some((direction, needs_wider)) = direction(before, after, split && shared(after)) else {
            continue;
        };
        let (was, is) = (world.old.agent_name(*old), world.new.agent_name(*new));
        let name = if was == is { is.to_owned() } else { format!("{was} (now {is})") };
        let key =
            (direction, before.iter().map(written).collect(), after.iter().map(written).collect(), note, needs_wider);
        grouped.entry(key).or_default().push(name);
    }
    let change = |((direction, old, new, note, needs_wider), mut agents): (Key, Vec<String>)| {
        let agents_count = agents.len();
        agents.truncate(AGENTS_MAX);
        LimitChange { direction, agents, agents_count, old, new, note, needs_wider }
    };
    grouped.into_iter().map(change).collect()
}

type Key = (Direction, Vec<String>, Vec<String>, Option<&'static str>, bool);

/// None: they admit the same.
fn direction(old: &[Limit], new: &[Limit], split: bool) -> Option<(Direction, bool)> {
    let covered =
        |limits: &[Limit], by: &[Limit]| limits.iter().all(|limit| by.iter().any(|other| no_looser(other, limit)));
    let narrower = covered(old, new) && !split;
    let wider = covered(new, old);
    let overflow = |limits: &[Limit]| {
        let kinds = limits.iter().filter_map(|limit| match limit.per {
            Per::Subject { on_full, .. } => Some(on_full == OnFull::Deny),
            Per::Agent => None,
        });
        kinds.collect::<BTreeSet<bool>>()
    };
    let (before, after) = (overflow(old), overflow(new));
    let needs_wider = before != after && !before.is_empty() && !after.is_empty();
    match (narrower, wider) {
        (true, true) => None,
        (true, false) => Some((Direction::Narrower, needs_wider)),
        (false, true) => Some((Direction::Wider, needs_wider)),
        (false, false) => Some((Direction::Both, needs_wider)),
    }
}

/// Whether the first limit admits no request that the second refuses.
fn no_looser(first: &Limit, second: &Limit) -> bool {
    let counts_alike = match (first.per, second.per) {
        (Per::Agent, Per::Agent) => true,
        (
            Per::Subject { subjects_max: fewer, on_full: first },
            Per::Subject { subjects_max: more, on_full: second },
        ) => fewer <= more && (first == second || first == OnFull::Deny),
        _ => false,
    };
    counts_alike && kind_no_looser((first.kind, first.count, first.unit), (second.kind, second.count, second.unit))
}

fn kind_no_looser(first: (LimitKind, u32, Unit), second: (LimitKind, u32, Unit)) -> bool {
    let ((first_kind, first_count, first_unit), (second_kind, second_count, second_unit)) = (first, second);
    match (first_kind, second_kind) {
        (LimitKind::Rate { burst: first_burst }, LimitKind::Rate { burst: second_burst }) => {
            let first = Gcra::new(first_count, first_unit.seconds(), first_burst);
            let second = Gcra::new(second_count, second_unit.seconds(), second_burst);
            first.burst <= second.burst && first.emission_interval_ns >= second.emission_interval_ns
        }
        (LimitKind::Quota, LimitKind::Quota) => {
            // Units divide each other, and windows of UTC start together.
            let windows = u64::from(second_unit.seconds() / first_unit.seconds()).max(1);
            u64::from(first_count) * windows <= u64::from(second_count)
        }
        _ => false,
    }
}

/// As one writes it in a policy source.
pub fn written(limit: &Limit) -> String {
    let unit = match limit.unit {
        Unit::Second => "second",
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
    };
    let kind = match limit.kind {
        LimitKind::Rate { burst } if burst == limit.count => String::new(),
        LimitKind::Rate { burst } => format!(" burst {burst}"),
        LimitKind::Quota => " quota".to_owned(),
    };
    let per = match limit.per {
        Per::Agent => String::new(),
        Per::Subject { subjects_max, on_full: OnFull::Overflow } => {
            format!(" per subject (up to {subjects_max}, then one overflow bucket)")
        }
        Per::Subject { subjects_max, on_full: OnFull::Deny } => {
            format!(" per subject (up to {subjects_max}, then denied)")
        }
    };
    format!("{}/{unit}{kind}{per}", limit.count)
}

#[cfg(test)]
mod tests;
