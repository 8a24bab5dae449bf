//! The limits of an agent, as the account stage charges them.

use super::format::{Agent, Limit, LimitNumbers, Section, limit_kind, limit_per};
use super::{AgentId, LimitIndex, Table};
use crate::bounds::LIMITS_PER_AGENT_MAX;
use crate::model::{OnFull, Per};
use crate::rate::{Gcra, Quota};

/// One limit of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitEntry {
    pub index: LimitIndex,
    pub kind: LimitKind,
    pub per: Per,
}

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    Gcra(Gcra),
    Quota(Quota),
}

impl<B: AsRef<[u8]>> Table<B> {
    /// The limits of an agent, at most `LIMITS_PER_AGENT_MAX`, with consecutive indices.
    #[inline(always)]
    pub fn limits(&self, agent: AgentId) -> Limits<'_, B> {
        let agent = self.record::<Agent>(Section::Agents, agent.0).unwrap_or_default();
        let count = agent.limits_count.min(LIMITS_PER_AGENT_MAX as u32).min(u32::MAX - agent.limits);
        Limits { table: self, agent, count, place: 0 }
    }

    /// One limit.
    pub fn limit(&self, index: LimitIndex) -> Option<LimitEntry> {
        let limit = self.record::<Limit>(Section::Limits, index.0)?;
        entry(index, &limit.numbers())
    }

    /// Limits of all agents together.
    pub fn limit_count(&self) -> u32 {
        self.count::<Limit>(Section::Limits)
    }

    /// What a limit keeps through every edit of its numbers: XXH3-64 of agent name, NUL, limit name. 0 for a limit
    /// that the table does not know.
    pub fn limit_stable_id(&self, index: LimitIndex) -> u64 {
        self.record::<Limit>(Section::Limits, index.0).map_or(0, |limit| limit.stable_id)
    }

    /// Name of a limit within its agent; empty for one that the table does not know.
    pub fn limit_name(&self, index: LimitIndex) -> &str {
        self.record::<Limit>(Section::Limits, index.0).map_or("", |limit| self.text(limit.name, limit.name_length))
    }
}

/// The limits of one agent.
///
/// Here and in `rate`, what a request runs through is inlined: an entry stays in registers then. One that is written in
/// parts and copied whole waits until the parts have left the processor's store buffer, which cost more than the charge.
pub struct Limits<'t, B> {
    table: &'t Table<B>,
    agent: Agent,
    count: u32,
    place: u32,
}

impl<B: AsRef<[u8]>> Iterator for Limits<'_, B> {
    type Item = LimitEntry;

    #[inline(always)]
    fn next(&mut self) -> Option<LimitEntry> {
        if self.place >= self.count {
            return None;
        }
        let (place, index) = (self.place, LimitIndex(self.agent.limits + self.place));
        self.place += 1;
        match self.agent.limit_inside(place) {
            Some(numbers) => entry(index, &numbers),
            None => self.table.limit(index),
        }
    }
}

/// A limit as it is charged; none if it is of no known kind.
#[inline(always)]
fn entry(index: LimitIndex, numbers: &LimitNumbers) -> Option<LimitEntry> {
    let LimitNumbers { interval, count, subjects_max, kind, per } = *numbers;
    let kind = match kind {
        limit_kind::RATE => LimitKind::Gcra(Gcra { emission_interval_ns: interval, burst: count }),
        limit_kind::QUOTA => LimitKind::Quota(Quota { window_s: u32::try_from(interval).ok()?, count }),
        _ => return None,
    };
    let per = match per {
        limit_per::AGENT => Per::Agent,
        limit_per::SUBJECT_OVERFLOW => Per::Subject { subjects_max, on_full: OnFull::Overflow },
        limit_per::SUBJECT_DENY => Per::Subject { subjects_max, on_full: OnFull::Deny },
        _ => return None,
    };
    Some(LimitEntry { index, kind, per })
}
