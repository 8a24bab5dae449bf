//! Limits that can never bind, because another one of the agent always refuses first.

use policy::model::{Limit, LimitKind, Per};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::draft::AgentDraft;
use crate::reading::Reading;

pub(crate) fn check<'d>(agent: &AgentDraft<'d>, reading: &mut Reading<'d, '_>) {
    let limits = &agent.agent.limits;
    for (position, limit) in limits.iter().enumerate() {
        let tighter = limits.iter().enumerate().find(|(other_position, other)| {
            let equal = never_binds(other, limit) && never_binds(limit, other);
            // Of two equal ones the first stays.
            *other_position != position && never_binds(limit, other) && (!equal || *other_position < position)
        });
        let Some((other_position, other)) = tighter else {
            continue;
        };
        let place = |position: usize| agent.limits_at.get(position).copied().unwrap_or_default();
        let message = format!("`{limit}` never binds: `{other}` always refuses first");
        let diagnostic = Diagnostic::new(codes::LIMIT_NEVER_BINDS, place(position), message).label("never binds");
        reading.sink.push(diagnostic.related(place(other_position), "refuses first").hint("remove one or correct it"));
    }
}

/// Whether `limit` admits everything that `other` admits, on any schedule. Nothing is said of limits per subject: their
/// tables have room for so many, and what is beyond shares a counter or is refused.
fn never_binds(limit: &Limit, other: &Limit) -> bool {
    if (limit.per, other.per) != (Per::Agent, Per::Agent) {
        return false;
    }
    let (count, seconds) = (u128::from(limit.count), u128::from(limit.unit.seconds()));
    let (other_count, other_seconds) = (u128::from(other.count), u128::from(other.unit.seconds()));
    // count / seconds ≥ other_count / other_seconds
    let refills_no_slower = count * other_seconds >= other_count * seconds;
    match (limit.kind, other.kind) {
        // A bucket that is larger and refills faster is never emptier.
        (LimitKind::Rate { burst }, LimitKind::Rate { burst: other_burst }) => {
            burst >= other_burst && refills_no_slower
        }
        // In one window the other admits at most its burst and what it refills.
        (LimitKind::Quota, LimitKind::Rate { burst }) => {
            count * other_seconds >= u128::from(burst) * other_seconds + other_count * seconds
        }
        // Two windows' worth may come at their boundary, and as much again only a window later.
        (LimitKind::Rate { burst }, LimitKind::Quota) => u128::from(burst) >= 2 * other_count && refills_no_slower,
        // Windows nest: the longer one holds a whole number of the shorter ones.
        (LimitKind::Quota, LimitKind::Quota) if other_seconds <= seconds => refills_no_slower,
        (LimitKind::Quota, LimitKind::Quota) => count >= other_count,
    }
}

#[cfg(test)]
mod tests;
