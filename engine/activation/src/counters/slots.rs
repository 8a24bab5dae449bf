//! Which counter each limit of one table means, and how a request is charged for all of its limits or none.

use std::sync::Arc;

use policy::model::{OnFull, Per};
use policy::rate::Verdict;
use policy::table::{AgentId, LimitEntry, LimitIndex, LimitKind, Table};

use super::arena::{Arena, CounterKey, Place, Segment, WORDS_PER_LINE, clamp_to, line, word};
use super::cell::{self, Step};
use super::lines::AgentLines;
use super::subject::Subject;
use super::subjects::{Ask, Outcome, Subjects};
use super::sync::AtomicU64;
use crate::bounds::LIMITS_PER_AGENT_MAX;

/// In an address: the rest is a position among the tables of subjects.
const SUBJECTS_MARK: u32 = 1 << 31;

/// The counters of one activation.
pub struct Slots {
    arena: Arc<Arena>,
    segments: Box<[Segment]>,
    /// Of most agents; what is in no line of these is found by its address.
    lines: AgentLines,
    subjects: Box<[Arc<Subjects>]>,
    /// By limit index.
    addresses: Box<[u32]>,
    keys: Box<[CounterKey]>,
}

/// The state of each limit before a request: with its time, all that its verdicts follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitStates {
    entries: [(LimitIndex, u64); LIMITS_PER_AGENT_MAX],
    length: usize,
}

/// A request that was charged for all limits of its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The limit with the least left, none for an agent without limits.
    pub tightest: Option<(LimitIndex, Verdict)>,
}

/// A request that was charged for none.
///
/// A short `wait_ns` can mean that the worker's clock is behind that of another one: a worker may read its clock
/// again and charge once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The limit that refused; of several, the one that will longest.
    pub limit: LimitIndex,
    /// Of that limit. With `subjects_full` its wait is an estimate.
    pub verdict: Verdict,
    /// The limit has no place for one more subject at the moment.
    pub subjects_full: bool,
}

#[derive(Clone, Copy)]
enum Counter<'s> {
    Word(&'s AtomicU64),
    Subjects { table: &'s Subjects, subjects_max: u32, on_full: OnFull },
}

/// The counters of an agent's limits, in their order.
type AgentLine = [AtomicU64; WORDS_PER_LINE as usize];

/// One limit of a request, and its charge once it is made.
#[derive(Clone, Copy)]
struct Due<'s> {
    limit: LimitEntry,
    counter: Counter<'s>,
    charged: Option<(&'s AtomicU64, Step)>,
}

impl Slots {
    pub(super) fn new(
        arena: Arc<Arena>,
        segments: Box<[Segment]>,
        lines: AgentLines,
        places: Vec<Place>,
        keys: Vec<CounterKey>,
    ) -> Self {
        let mut subjects = Vec::new();
        let mut address = |place: Place| match place {
            Place::Word(at) => at,
            // There is none: `Arena::slots` has given every limit a word. Beyond all of them, so it would be refused.
            Place::Saved(_) => SUBJECTS_MARK - 1,
            Place::Subjects(table) => {
                subjects.push(table);
                SUBJECTS_MARK | u32::try_from(subjects.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let addresses = places.into_iter().map(&mut address).collect();
        Self { arena, segments, lines, subjects: subjects.into(), addresses, keys: keys.into() }
    }

    /// Has brought near what deciding about `agent` reads of `table` and charging it writes. In a large policy neither is
    /// in any cache: asked for as soon as the agent is known, both come while its route is looked up.
    #[inline]
    pub fn expect<B: AsRef<[u8]>>(&self, table: &Table<B>, agent: AgentId) {
        table.agent_line(agent).into_iter().for_each(sys::cache::expect);
        self.line(agent).into_iter().for_each(sys::cache::expect);
    }

    /// Charges one request for all limits of `agent`, or for none of them: a charge that was made is given back when
    /// a later limit refuses. `subject` is who a `per subject` limit counts (the caller makes it unique among the
    /// agent's proofs); requests without one are counted together. `states` is filled with the states before: of all
    /// limits for an admitted request, at least of the one that refused otherwise (none when it had no place).
    ///
    /// # Errors
    /// `Refused` when a limit does not admit the request, or is not one of the table that these slots were made for.
    pub fn charge<B: AsRef<[u8]>>(
        &self,
        table: &Table<B>,
        agent: AgentId,
        subject: Option<&[u8]>,
        now_unix_ns: u64,
        states: &mut LimitStates,
    ) -> Result<Charge, Refused> {
        let line = self.line(agent);
        let charged = line.and_then(|line| self.charge_line(line, || table.limits(agent), now_unix_ns, states));
        match charged {
            Some(charge) => Ok(charge),
            None => self.charge_limits(table.limits(agent), subject, now_unix_ns, states),
        }
    }

    /// The same for limits that are given.
    ///
    /// # Errors
    /// As `charge`.
    #[inline(never)]
    pub fn charge_limits(
        &self,
        limits: impl Iterator<Item = LimitEntry>,
        subject: Option<&[u8]>,
        now_unix_ns: u64,
        states: &mut LimitStates,
    ) -> Result<Charge, Refused> {
        states.clear();
        let mut dues = [const { None }; LIMITS_PER_AGENT_MAX];
        let mut length = 0;
        let mut per_subject = false;
        for limit in limits {
            let due = self.due(limit);
            let never = Refused { limit: limit.index, verdict: Verdict::NEVER, subjects_full: false };
            let (Some(to), Some(due)) = (dues.get_mut(length), due) else { return Err(never) };
            per_subject |= matches!(due.counter, Counter::Subjects { .. });
            *to = Some(due);
            length += 1;
        }
        let subject = per_subject.then(|| Subject::new(subject.unwrap_or_default(), self.arena.hasher()));
        if length > 1 {
            // Rarely is a charge given back after this, and a refusal names the longest wait.
            peek_all(&dues, subject.as_ref(), now_unix_ns, states)?;
            states.clear();
        }
        charge_all(&mut dues, subject.as_ref(), now_unix_ns, states)
    }

    /// Clamps the counters that no other activation uses any more to the numbers of `table`, which must be the one
    /// that these slots were made for. Once after an older activation is gone: until then its numbers count too.
    pub fn settle<B: AsRef<[u8]>>(&self, table: &Table<B>, now_ns: u64) {
        self.settle_limits((0..table.limit_count()).filter_map(|index| table.limit(LimitIndex(index))), now_ns);
    }

    /// The same for limits that are given.
    pub fn settle_limits(&self, limits: impl Iterator<Item = LimitEntry>, now_ns: u64) {
        let once = self.arena.used_once(&self.keys);
        for limit in limits {
            let due = self.due(limit).filter(|_| once.get(limit.index.index()) == Some(&true));
            match due.map(|due| due.counter) {
                Some(Counter::Word(word)) => cell::lower(word, clamp_to(limit.kind, now_ns)),
                Some(Counter::Subjects { table, .. }) => table.clamp(clamp_to(limit.kind, now_ns)),
                None => {}
            }
        }
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> &[u32] {
        &self.addresses
    }

    #[cfg(test)]
    pub(super) fn tables(&self) -> &[Arc<Subjects>] {
        &self.subjects
    }

    /// None for a limit of another table: it cannot be counted, so it is not admitted.
    fn due(&self, limit: LimitEntry) -> Option<Due<'_>> {
        let address = *self.addresses.get(limit.index.index())?;
        let counter = match limit.per {
            Per::Agent if address & SUBJECTS_MARK == 0 => Counter::Word(word(&self.segments, address)?),
            Per::Subject { subjects_max, on_full } if address & SUBJECTS_MARK != 0 => {
                let table = self.subjects.get((address & !SUBJECTS_MARK) as usize)?;
                Counter::Subjects { table, subjects_max, on_full }
            }
            _ => return None,
        };
        Some(Due { limit, counter, charged: None })
    }

    fn line(&self, agent: AgentId) -> Option<&AgentLine> {
        line(&self.segments, self.lines.line(agent)?)
    }

    /// Charges limits that are the first words of `line`, where all of them admit the request: what most requests meet. None
    /// where one does not, or is no such limit; nothing is charged then.
    #[inline(always)]
    fn charge_line<I: Iterator<Item = LimitEntry>>(
        &self,
        line: &AgentLine,
        limits: impl Fn() -> I,
        now_ns: u64,
        states: &mut LimitStates,
    ) -> Option<Charge> {
        states.clear();
        let mut peeked = [(0, 0); LIMITS_PER_AGENT_MAX];
        let mut tightest = None;
        for ((limit, word), to) in limits().zip(line).zip(&mut peeked) {
            let ours = limit.per == Per::Agent && limit.index.index() < self.addresses.len();
            let Step { before, after, verdict } = cell::peek(word, now_ns, limit.kind);
            if !ours || !verdict.admitted {
                return None;
            }
            *to = (before, after);
            states.push(limit.index, before);
            if tightest.is_none_or(|other| is_tighter(&verdict, other)) {
                tightest = Some((limit.index, verdict));
            }
        }
        for (charged, ((before, after), word)) in peeked.iter().zip(line).take(states.length).enumerate() {
            if !cell::charge_peeked(word, *before, *after) {
                return charge_rest(line, limits(), &peeked, charged, now_ns, states);
            }
        }
        Some(Charge { tightest })
    }
}

/// Goes on with a line of which another request has changed a word meanwhile: the first `charged` limits are charged as
/// they were peeked at. None where one does not admit the request any more; nothing is charged then.
#[inline(never)]
pub(super) fn charge_rest(
    line: &AgentLine,
    limits: impl Iterator<Item = LimitEntry>,
    peeked: &[(u64, u64); LIMITS_PER_AGENT_MAX],
    charged: usize,
    now_ns: u64,
    states: &mut LimitStates,
) -> Option<Charge> {
    states.clear();
    let mut steps = [const { None }; LIMITS_PER_AGENT_MAX];
    let mut tightest = None;
    for (place, (((limit, word), (before, _)), to)) in limits.zip(line).zip(peeked).zip(&mut steps).enumerate() {
        let step = if place < charged {
            let (after, verdict) = policy::rate::step(*before, now_ns, limit.kind);
            Step { before: *before, after, verdict }
        } else {
            cell::charge(word, now_ns, limit.kind)
        };
        if !step.verdict.admitted {
            let made = steps.iter().flatten().zip(line);
            made.for_each(|((kind, step), word)| cell::give_back(word, step, *kind));
            return None;
        }
        *to = Some((limit.kind, step));
        states.push(limit.index, step.before);
        if tightest.is_none_or(|other| is_tighter(&step.verdict, other)) {
            tightest = Some((limit.index, step.verdict));
        }
    }
    Some(Charge { tightest })
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.arena.release(&self.keys);
    }
}

fn peek_all(
    dues: &[Option<Due<'_>>],
    subject: Option<&Subject>,
    now_ns: u64,
    states: &mut LimitStates,
) -> Result<(), Refused> {
    let mut worst: Option<Refused> = None;
    for due in dues.iter().flatten() {
        let kind = due.limit.kind;
        let step = match due.counter {
            Counter::Word(word) => Some(cell::peek(word, now_ns, kind)),
            Counter::Subjects { table, .. } => subject.and_then(|subject| table.peek(subject, now_ns, kind)),
        };
        let Some(Step { before, verdict, .. }) = step else { continue };
        states.push(due.limit.index, before);
        let longer = worst.is_none_or(|worst| verdict.wait_ns > worst.verdict.wait_ns);
        if !verdict.admitted && longer {
            worst = Some(Refused { limit: due.limit.index, verdict, subjects_full: false });
        }
    }
    worst.map_or(Ok(()), Err)
}

fn charge_all(
    dues: &mut [Option<Due<'_>>],
    subject: Option<&Subject>,
    now_ns: u64,
    states: &mut LimitStates,
) -> Result<Charge, Refused> {
    let mut tightest: Option<(LimitIndex, Verdict)> = None;
    let mut refused = None;
    for due in dues.iter_mut().flatten() {
        let (index, kind) = (due.limit.index, due.limit.kind);
        let outcome = match (due.counter, subject) {
            (Counter::Word(word), _) => Outcome::Stepped(word, cell::charge(word, now_ns, kind)),
            (Counter::Subjects { table, subjects_max, on_full }, Some(subject)) => {
                table.charge(subject, &Ask { now_ns, kind, subjects_max, on_full })
            }
            (Counter::Subjects { .. }, None) => Outcome::Full,
        };
        let Outcome::Stepped(word, step) = outcome else {
            refused = Some(Refused { limit: index, verdict: full(now_ns, kind), subjects_full: true });
            break;
        };
        states.push(index, step.before);
        if !step.verdict.admitted {
            refused = Some(Refused { limit: index, verdict: step.verdict, subjects_full: false });
            break;
        }
        due.charged = Some((word, step));
        if tightest.is_none_or(|other| is_tighter(&step.verdict, other)) {
            tightest = Some((index, step.verdict));
        }
    }
    let Some(refused) = refused else { return Ok(Charge { tightest }) };
    for due in dues.iter().flatten().rev() {
        if let Some((word, step)) = &due.charged {
            cell::give_back(word, step, due.limit.kind);
        }
    }
    Err(refused)
}

/// Whether a limit has less left than another one, or as much and is longer until it has all.
#[inline(always)]
fn is_tighter(verdict: &Verdict, (_, other): (LimitIndex, Verdict)) -> bool {
    (verdict.remaining, other.reset_ns) < (other.remaining, verdict.reset_ns)
}

/// What a limit without a free place says: come back when an entry that is made now would be idle again.
fn full(now_ns: u64, kind: LimitKind) -> Verdict {
    let (_, fresh) = policy::rate::step(0, now_ns, kind);
    Verdict { admitted: false, remaining: 0, wait_ns: fresh.reset_ns.max(1), reset_ns: fresh.reset_ns.max(1) }
}

impl LimitStates {
    pub const fn new() -> Self {
        Self { entries: [(LimitIndex(0), 0); LIMITS_PER_AGENT_MAX], length: 0 }
    }

    /// Limit and state before, in the order of the limits.
    pub fn as_slice(&self) -> &[(LimitIndex, u64)] {
        self.entries.get(..self.length).unwrap_or_default()
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }

    #[inline]
    fn push(&mut self, limit: LimitIndex, before: u64) {
        if let Some(to) = self.entries.get_mut(self.length) {
            *to = (limit, before);
            self.length += 1;
        }
    }
}

impl Default for LimitStates {
    fn default() -> Self {
        Self::new()
    }
}
