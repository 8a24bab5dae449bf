//! The states that limits are decided from: kept in memory, or as a record tells them.

use std::collections::HashMap;

use policy::hash::limit_stable_id;
use policy::model::{OnFull, Per};
use policy::rate::{Kept, is_idle};
use policy::table::LimitKind;

/// Which counter is meant.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    pub agent: &'a str,
    pub limit: &'a str,
    pub kind: LimitKind,
    pub per: Per,
    /// Whom a `per subject` limit counts, empty for nobody in particular; always empty for others.
    pub subject: &'a [u8],
}

/// A state that is about to be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Of the agent's, or of the subject's own counter.
    Own(u64),
    /// Of the counter that all subjects without a place share.
    Overflow(u64),
    /// There is no place for one more subject.
    Full,
}

/// Where the states of limits come from and go to: as `activation::counters::Slots` on one thread.
pub trait Counters {
    /// The state that a request would meet; none for a subject that has no place of its own yet.
    fn peek(&mut self, counter: &Counter<'_>) -> Option<u64>;

    /// The state that a request meets at `now_ns`; a new subject takes a place.
    fn claim(&mut self, counter: &Counter<'_>, now_ns: u64) -> Claim;

    /// Keeps the state that a claim became.
    fn keep(&mut self, counter: &Counter<'_>, claim: Claim);
}

/// Counters in memory that nobody has used before.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// By stable id of the limit.
    limits: HashMap<u64, Kind>,
}

#[derive(Clone, Debug)]
enum Kind {
    Word(u64),
    Subjects(Subjects),
}

/// The subjects of one limit. As in a gateway, an idle subject keeps its place until somebody needs one, and `floor` is
/// above every state that was given up.
#[derive(Clone, Debug, Default)]
struct Subjects {
    own: HashMap<Box<[u8]>, u64>,
    overflow: u64,
    floor: u64,
}

impl Subjects {
    fn claim(&mut self, counter: &Counter<'_>, now_ns: u64) -> Claim {
        if let Some(state) = self.own.get(counter.subject) {
            return Claim::Own(*state);
        }
        let Per::Subject { subjects_max, on_full } = counter.per else { return Claim::Full };
        if self.own.len() >= subjects_max as usize {
            self.sweep(now_ns, counter.kind.into());
        }
        if self.own.len() < subjects_max as usize {
            let state = self.overflow.max(self.floor);
            self.own.insert(counter.subject.into(), state);
            return Claim::Own(state);
        }
        match on_full {
            OnFull::Overflow => Claim::Overflow(self.overflow.max(self.floor)),
            OnFull::Deny => Claim::Full,
        }
    }

    fn sweep(&mut self, now_ns: u64, kept: Kept) {
        let floor = &mut self.floor;
        self.own.retain(|_, state| {
            let idle = is_idle(*state, now_ns.saturating_sub(1), kept);
            if idle {
                *floor = (*floor).max(*state + 1);
            }
            !idle
        });
    }
}

impl Memory {
    /// Puts a state in the place of whatever is there.
    pub fn set(&mut self, counter: &Counter<'_>, state: u64) {
        match self.limit(counter) {
            Kind::Word(word) => *word = state,
            Kind::Subjects(subjects) => drop(subjects.own.insert(counter.subject.into(), state)),
        }
    }

    fn limit(&mut self, counter: &Counter<'_>) -> &mut Kind {
        let new = || match counter.per {
            Per::Agent => Kind::Word(0),
            Per::Subject { .. } => Kind::Subjects(Subjects::default()),
        };
        self.limits.entry(limit_stable_id(counter.agent, counter.limit)).or_insert_with(new)
    }
}

impl Counters for Memory {
    fn peek(&mut self, counter: &Counter<'_>) -> Option<u64> {
        match self.limit(counter) {
            Kind::Word(word) => Some(*word),
            Kind::Subjects(subjects) => subjects.own.get(counter.subject).copied(),
        }
    }

    fn claim(&mut self, counter: &Counter<'_>, now_ns: u64) -> Claim {
        match self.limit(counter) {
            Kind::Word(word) => Claim::Own(*word),
            Kind::Subjects(subjects) => subjects.claim(counter, now_ns),
        }
    }

    fn keep(&mut self, counter: &Counter<'_>, claim: Claim) {
        match (self.limit(counter), claim) {
            (Kind::Word(word), Claim::Own(state)) => *word = state,
            (Kind::Subjects(subjects), Claim::Own(state)) => {
                if let Some(own) = subjects.own.get_mut(counter.subject) {
                    *own = state;
                }
            }
            (Kind::Subjects(subjects), Claim::Overflow(state)) => subjects.overflow = state,
            (Kind::Word(_), Claim::Overflow(_)) | (_, Claim::Full) => {}
        }
    }
}

/// The states that one record tells; nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Limit, and its state before the charge; none where it had no place for one more subject.
    pub states: Vec<(String, Option<u64>)>,
    /// Limits that were looked at and that the record does not tell: they count as never used.
    pub missing: Vec<String>,
}

impl Recorded {
    pub fn new(states: Vec<(String, Option<u64>)>) -> Self {
        Self { states, missing: Vec::new() }
    }

    fn find(&self, limit: &str) -> Option<Option<u64>> {
        self.states.iter().find(|(name, _)| name == limit).map(|(_, state)| *state)
    }
}

impl Counters for Recorded {
    fn peek(&mut self, counter: &Counter<'_>) -> Option<u64> {
        self.find(counter.limit).flatten()
    }

    fn claim(&mut self, counter: &Counter<'_>, _now_ns: u64) -> Claim {
        match self.find(counter.limit) {
            Some(Some(state)) => Claim::Own(state),
            Some(None) => Claim::Full,
            None => {
                self.missing.push(counter.limit.to_owned());
                Claim::Own(0)
            }
        }
    }

    fn keep(&mut self, _counter: &Counter<'_>, _claim: Claim) {}
}
