use std::sync::Arc;

use policy::model::{OnFull, Per};
use policy::rate::{Gcra, Quota};
use policy::table::{LimitEntry, LimitIndex, LimitKind};

use super::*;
use crate::bounds::{CLOCK_SKEW_NS_MAX, LIMITS_PER_AGENT_MAX, SUBJECT_LEVELS_MAX, SUBJECT_SLOTS_MAX};

mod saved;
mod stress;
mod subject_tables;
mod table;

const NS_PER_S: u64 = 1_000_000_000;
const NOW_NS: u64 = 1_800_000_000 * NS_PER_S;

/// Limits of agents, as a table would list them: stable id, kind, per.
pub(super) struct Limits(Vec<(u32, u64, LimitKind, Per)>);

impl Limits {
    pub(super) fn of(agents: &[&[(u64, LimitKind, Per)]]) -> Self {
        let one = |(agent, limits): (usize, &&[(u64, LimitKind, Per)])| {
            limits.iter().map(move |&(id, kind, per)| (agent as u32, id, kind, per)).collect::<Vec<_>>()
        };
        Self(agents.iter().enumerate().flat_map(one).collect())
    }

    pub(super) fn slots(&self, arena: &Arc<Arena>, now_ns: u64) -> Result<Slots, CountersError> {
        let spec = |&(agent, stable_id, kind, per): &_| LimitSpec { agent, stable_id, kind, per };
        arena.slots_for(&self.0.iter().map(spec).collect::<Vec<_>>(), now_ns)
    }

    pub(super) fn entries(&self, agent: u32) -> impl Iterator<Item = LimitEntry> {
        let of_agent = self.0.iter().enumerate().filter(move |(_, limit)| limit.0 == agent);
        of_agent.map(|(index, &(_, _, kind, per))| LimitEntry { index: LimitIndex(index as u32), kind, per })
    }

    pub(super) fn charge(
        &self,
        slots: &Slots,
        agent: u32,
        subject: Option<&[u8]>,
        now_ns: u64,
    ) -> Result<Charge, Refused> {
        slots.charge_limits(self.entries(agent), subject, now_ns, &mut LimitStates::new())
    }

    /// How many of `times` requests are admitted.
    pub(super) fn admitted(&self, slots: &Slots, subject: Option<&[u8]>, now_ns: u64, times: usize) -> usize {
        (0..times).filter(|_| self.charge(slots, 0, subject, now_ns).is_ok()).count()
    }
}

pub(super) fn per_minute(count: u32, burst: u32) -> LimitKind {
    LimitKind::Gcra(Gcra::new(count, 60, burst))
}

pub(super) fn quota(window_s: u32, count: u32) -> LimitKind {
    LimitKind::Quota(Quota { window_s, count })
}

pub(super) fn per_subject(subjects_max: u32, on_full: OnFull) -> Per {
    Per::Subject { subjects_max, on_full }
}

#[test]
fn an_agent_without_limits_is_admitted() {
    let limits = Limits::of(&[]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert_eq!(limits.charge(&slots, 0, None, NOW_NS), Ok(Charge { tightest: None }));
}

#[test]
fn several_limits_are_charged_all_or_nothing() {
    let limits = Limits::of(&[&[(1, per_minute(60, 9), Per::Agent), (2, quota(60, 4), Per::Agent)]]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert_eq!(limits.admitted(&slots, None, NOW_NS, 20), 4);
    let refused = limits.charge(&slots, 0, None, NOW_NS).unwrap_err();
    assert_eq!((refused.limit, refused.subjects_full), (LimitIndex(1), false));
    assert_eq!(refused.verdict.wait_ns, 60 * NS_PER_S);
    // Of the bucket of nine, no more than the four are gone.
    let alone = Limits(limits.0[..1].to_vec());
    assert_eq!(alone.admitted(&slots, None, NOW_NS, 20), 5);
}

#[test]
fn a_charge_is_given_back_when_a_later_limit_is_full() {
    let subjects = per_subject(1, OnFull::Deny);
    let limits = Limits::of(&[&[(1, per_minute(60, 3), Per::Agent), (2, per_minute(60, 9), subjects)]]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    assert_eq!(limits.admitted(&slots, Some(b"one"), NOW_NS, 1), 1);
    for _ in 0..5 {
        let refused = limits.charge(&slots, 0, Some(b"two"), NOW_NS).unwrap_err();
        assert!(refused.subjects_full && !refused.verdict.admitted && refused.verdict.wait_ns > 0);
    }
    assert_eq!(limits.admitted(&slots, Some(b"one"), NOW_NS, 9), 2);
}

#[test]
fn the_tightest_limit_and_the_longest_wait_are_named() {
    let limits = Limits::of(&[&[
        (1, per_minute(60, 2), Per::Agent),
        (2, quota(86_400, 2), Per::Agent),
        (3, per_minute(60, 50), Per::Agent),
    ]]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    let (tightest, verdict) = limits.charge(&slots, 0, None, NOW_NS).unwrap().tightest.unwrap();
    assert_eq!((tightest, verdict.remaining), (LimitIndex(1), 1));
    assert_eq!(limits.admitted(&slots, None, NOW_NS, 3), 1);
    assert_eq!(limits.charge(&slots, 0, None, NOW_NS).unwrap_err().limit, LimitIndex(1));
}

#[test]
fn states_before_replay_to_the_same_verdicts() {
    let subjects = per_subject(8, OnFull::Overflow);
    let limits = Limits::of(&[&[(1, per_minute(60, 3), Per::Agent), (2, quota(60, 2), subjects)]]);
    let slots = limits.slots(&Arena::new(), NOW_NS).unwrap();
    for (request, subject) in [b"a", b"a", b"a", b"b", b"c"].into_iter().enumerate() {
        let mut states = LimitStates::new();
        let outcome = slots.charge_limits(limits.entries(0), Some(subject), NOW_NS, &mut states);
        let replayed = states.as_slice().iter().map(|&(limit, before)| {
            let kind = limits.0[limit.index()].2;
            policy::rate::step(before, NOW_NS, kind).1.admitted
        });
        let all = replayed.collect::<Vec<_>>();
        assert!(!all.is_empty());
        assert_eq!(all.iter().all(|admitted| *admitted), outcome.is_ok(), "request {request}");
    }
}

#[test]
fn living_activations_share_a_counter_and_edits_keep_it() {
    let arena = Arena::new();
    let old = Limits::of(&[&[(7, per_minute(60, 5), Per::Agent)]]);
    let new = Limits::of(&[&[(6, quota(60, 1), Per::Agent)], &[(7, per_minute(60, 8), Per::Agent)]]);
    let old_slots = old.slots(&arena, NOW_NS).unwrap();
    assert_eq!(old.admitted(&old_slots, None, NOW_NS, 9), 5);
    let new_slots = new.slots(&arena, NOW_NS).unwrap();
    let more = (0..9).filter(|_| new.charge(&new_slots, 1, None, NOW_NS).is_ok()).count();
    assert_eq!(more, 3);
    assert_eq!(old.admitted(&old_slots, None, NOW_NS, 9), 0);
}

#[test]
fn changed_numbers_clamp_once_nobody_else_counts_with_the_old_ones() {
    let arena = Arena::new();
    let daily = Limits::of(&[&[(7, LimitKind::Gcra(Gcra::new(1, 86_400, 1)), Per::Agent)]]);
    let quick = Limits::of(&[&[(7, per_minute(600, 5), Per::Agent)]]);
    let later_ns = NOW_NS + 2 * CLOCK_SKEW_NS_MAX;
    let old = daily.slots(&arena, NOW_NS).unwrap();
    assert_eq!(daily.admitted(&old, None, NOW_NS, 2), 1);
    let new = quick.slots(&arena, NOW_NS).unwrap();
    new.settle_limits(quick.entries(0), NOW_NS);
    assert_eq!(quick.admitted(&new, None, later_ns, 9), 0, "clamped under a living activation");
    drop(old);
    new.settle_limits(quick.entries(0), NOW_NS);
    assert_eq!(quick.admitted(&new, None, NOW_NS, 9), 0, "a clamp refilled the bucket");
    assert_eq!(quick.admitted(&new, None, later_ns, 99), 5, "still waiting for the old numbers");
    drop(new);
    let again = daily.slots(&arena, later_ns).unwrap();
    assert_eq!(daily.admitted(&again, None, later_ns, 9), 0, "an edit refilled the bucket");
}

#[test]
fn one_agents_limits_share_a_line() {
    let eight: Vec<_> = (0..8).map(|id| (id, quota(60, 1), Per::Agent)).collect();
    let arena = Arena::new();
    let limits = Limits::of(&[&[(90, quota(60, 1), Per::Agent)], &eight, &[(91, quota(60, 1), Per::Agent)]]);
    let slots = limits.slots(&arena, NOW_NS).unwrap();
    let lines: Vec<_> = slots.addresses().iter().map(|address| address / 8).collect();
    assert!(lines[1..9].iter().all(|line| *line == lines[1]));
    assert!(lines[0] != lines[1] && lines[9] != lines[1] && lines[0] != lines[9]);
    // A limit added in the next release goes beside those of its agent.
    let added = Limits::of(&[&[(90, quota(60, 1), Per::Agent), (92, quota(60, 1), Per::Agent)]]);
    let slots = added.slots(&arena, NOW_NS).unwrap();
    assert_eq!(slots.addresses()[0] / 8, slots.addresses()[1] / 8);
}

#[test]
fn counters_that_nobody_uses_are_given_up_when_idle_and_not_before() {
    let arena = Arena::new();
    let one = Limits::of(&[&[(1, per_minute(1, 1), Per::Agent), (2, per_minute(1, 1), per_subject(4, OnFull::Deny))]]);
    let slots = one.slots(&arena, NOW_NS).unwrap();
    assert_eq!(one.admitted(&slots, Some(b"x"), NOW_NS, 2), 1);
    drop(slots);
    drop(Limits::of(&[]).slots(&arena, NOW_NS + 30 * NS_PER_S).unwrap());
    assert_eq!(arena.directory().held.len(), 2);
    let back = one.slots(&arena, NOW_NS + 30 * NS_PER_S).unwrap();
    assert_eq!(one.admitted(&back, Some(b"x"), NOW_NS + 30 * NS_PER_S, 2), 0, "a release without it refilled it");
    drop(Limits::of(&[]).slots(&arena, NOW_NS + 90 * NS_PER_S).unwrap());
    assert_eq!(arena.directory().held.len(), 2, "given up while in use");
    drop(back);
    drop(Limits::of(&[]).slots(&arena, NOW_NS + 90 * NS_PER_S).unwrap());
    assert_eq!(arena.directory().held.len(), 0);
    let other = Limits::of(&[&[(3, per_minute(1, 1), Per::Agent)]]);
    assert_eq!(other.admitted(&other.slots(&arena, NOW_NS).unwrap(), None, NOW_NS, 3), 1);
}

#[test]
fn a_limit_of_another_table_is_not_admitted() {
    let arena = Arena::new();
    let one = Limits::of(&[&[(1, quota(60, 9), Per::Agent)]]);
    let slots = one.slots(&arena, NOW_NS).unwrap();
    let two = Limits::of(&[&[(1, quota(60, 9), Per::Agent), (2, quota(60, 9), Per::Agent)]]);
    assert_eq!(two.charge(&slots, 0, None, NOW_NS).unwrap_err().limit, LimitIndex(1));
    let other_kind = Limits::of(&[&[(1, quota(60, 9), per_subject(3, OnFull::Deny))]]);
    assert!(other_kind.charge(&slots, 0, Some(b"x"), NOW_NS).is_err());
    assert_eq!(one.admitted(&slots, None, NOW_NS, 20), 9);
}

#[test]
fn lines_are_bounded_and_used_again() {
    const LINES: u64 = 1_024;
    let arena = Arena::of(arena::Directory::new(LINES as usize));
    let agent = |id: u64| (id as u32, id, quota(60, 1), Per::Agent);
    let all = Limits((0..LINES).map(agent).collect());
    let slots = all.slots(&arena, NOW_NS).unwrap();
    let one_more_of = |arena, id| Limits(vec![agent(id)]).slots(arena, NOW_NS);
    assert_eq!(one_more_of(&arena, LINES).err(), Some(CountersError::LinesFull { max: LINES as usize }));
    assert_eq!(all.admitted(&slots, None, NOW_NS, 2), 1);
    drop(slots);
    // All but the one that was charged are free again.
    let others = Limits((LINES..2 * LINES - 1).map(agent).collect());
    let slots = others.slots(&arena, NOW_NS).unwrap();
    assert!(one_more_of(&arena, 2 * LINES).is_err(), "a charged counter was given up");
    drop(slots);
    assert!(one_more_of(&arena, 2 * LINES).is_ok());
}

#[test]
fn bounds_are_reached_with_an_error_that_says_which() {
    let arena = Arena::new();
    let nine: Vec<_> = (0..9).map(|id| (id, quota(60, 1), Per::Agent)).collect();
    let agents = Limits::of(&[&[], &nine]);
    let max = LIMITS_PER_AGENT_MAX;
    assert_eq!(agents.slots(&arena, NOW_NS).err(), Some(CountersError::LimitsPerAgent { agent: 1, max }));
    let twice = Limits::of(&[&[(4, quota(60, 1), Per::Agent)], &[(4, quota(60, 1), Per::Agent)]]);
    assert_eq!(twice.slots(&arena, NOW_NS).err(), Some(CountersError::SameStableId { limit: 1 }));
    let huge = Limits::of(&[&[(5, quota(60, 1), per_subject(u32::MAX, OnFull::Deny))]]);
    let error = huge.slots(&arena, NOW_NS).err().unwrap();
    assert!(matches!(error, CountersError::SubjectSlotsFull { left: SUBJECT_SLOTS_MAX, .. }), "{error}");
    let mut alive = Vec::new();
    for level in 0..SUBJECT_LEVELS_MAX as u32 {
        let grown = Limits::of(&[&[(6, quota(60, 1), per_subject(8 << level, OnFull::Deny))]]);
        alive.push(grown.slots(&arena, NOW_NS).unwrap());
    }
    let grown = Limits::of(&[&[(6, quota(60, 1), per_subject(8 << SUBJECT_LEVELS_MAX, OnFull::Deny))]]);
    let max = SUBJECT_LEVELS_MAX;
    assert_eq!(grown.slots(&arena, NOW_NS).err(), Some(CountersError::SubjectLevelsFull { limit: 0, max }));
    // A failed attempt holds nothing.
    drop(alive);
    drop(Limits::of(&[]).slots(&arena, NOW_NS).unwrap());
    assert_eq!(arena.directory().held.len(), 0);
}
