//! Limits of the same callers, before and after.
//!
//! A counter belongs to the names of its agent and limit, to the kind and window of its states, and to what it counts.
//! A limit under any other of these starts with nothing used, so it stands for none of the old ones: whoever may rename
//! limits could refill them with every release. A limit that goes on with the counter of an old one is no looser when,
//! from every state of the old one, it admits no request that the old one refuses. An agent's limits are no looser
//! together when each old limit goes on with one that is no looser than it.

use std::collections::{BTreeMap, BTreeSet};

use policy::model::{Limit, LimitKind, OnFull, Per, Unit};
use policy::rate::{Gcra, Kept};

use crate::callers::Callers;
use crate::face::{Which, World};
use crate::report::{Direction, LimitChange};
use crate::sets::EMPTY;
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
    let mut grouped: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    // An agent without scopes grants nothing that its limits could count.
    for (old, new) in pairs.iter().filter(|(_, new)| world.new.scopes_of_agent(*new) != EMPTY) {
        let limits = |which: Which, agent: u32| {
            world.face(which).policy.agents.get(agent as usize).map_or(&[][..], |agent| &agent.limits)
        };
        let (before, after) = (limits(Which::Old, *old), limits(Which::New, *new));
        let (was, is) = (world.old.agent_name(*old), world.new.agent_name(*new));
        let Some((direction, needs_wider)) = direction(before, after, was == is) else {
            continue;
        };
        let kept = |limit: &Limit| was == is && after.iter().any(|other| same_counter(other, limit));
        let note = (!after.is_empty() && !before.iter().all(kept)).then_some("its counter starts anew");
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
fn direction(old: &[Limit], new: &[Limit], same_agent: bool) -> Option<(Direction, bool)> {
    let goes_on = |limit: &Limit| {
        same_agent
            && new.iter().any(|other| same_counter(other, limit) && no_looser(other, limit) && no_slower(other, limit))
    };
    let narrower = old.iter().all(goes_on);
    let wider = new.iter().all(|limit| old.iter().any(|other| no_looser(other, limit)));
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

/// Whether two limits of one agent count with the same counter.
fn same_counter(first: &Limit, second: &Limit) -> bool {
    let counter = |limit: &Limit| {
        let kept = match limit.kind {
            LimitKind::Rate { .. } => Kept::Gcra,
            LimitKind::Quota => Kept::Quota { window_s: limit.unit.seconds() },
        };
        (kept, limit.per == Per::Agent)
    };
    first.name == second.name && counter(first) == counter(second)
}

/// Whether a full bucket of the first rate refills in no more time than one of the second: a state is a time, so in a
/// bucket that takes longer there would be room again.
fn no_slower(first: &Limit, second: &Limit) -> bool {
    let bucket_ns = |limit: &Limit| match limit.kind {
        LimitKind::Rate { burst } => {
            let spec = Gcra::new(limit.count, limit.unit.seconds(), burst);
            u128::from(spec.emission_interval_ns) * u128::from(spec.burst)
        }
        LimitKind::Quota => 0,
    };
    bucket_ns(first) <= bucket_ns(second)
}

/// Whether the first limit admits no request that the second refuses, when both begin with nothing used.
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
