//! The memory behind all counters, and who uses which part of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::model::Per;
use policy::rate::{Kept, clamped, is_idle};
use policy::table::{AgentId, LimitKind, Table};
use sys::{Pages, Words};

use super::lines::AgentLines;
use super::subjects::Subjects;
use super::sync::{AtomicU64, Ordering};
use super::{CountersError, Slots, cell};
use crate::bounds::{
    CLOCK_SKEW_NS_MAX, COUNTER_LINES_MAX, LIMITS_PER_AGENT_MAX, SUBJECT_LEVELS_MAX, SUBJECT_SLOTS_MAX,
};

/// Lines that are mapped at a time: a huge page of them.
const SEGMENT_LINES: u32 = 1 << 15;
/// The limits of one agent are charged together, so they lie together, in a cache line.
pub(super) const WORDS_PER_LINE: u32 = 8;
const SEGMENT_WORDS: usize = (SEGMENT_LINES * WORDS_PER_LINE) as usize;
const _: () = assert!(LIMITS_PER_AGENT_MAX <= WORDS_PER_LINE as usize);

/// Lines that never move and are freed with the arena.
pub(super) type Segment = Arc<Words>;

/// One limit as the arena sees it. Limits come in the order of their indices, those of one agent together.
#[derive(Clone, Copy, Debug)]
pub struct LimitSpec {
    pub agent: u32,
    pub stable_id: u64,
    pub kind: LimitKind,
    pub per: Per,
}

/// All counters of a process.
pub struct Arena {
    directory: Mutex<Directory>,
    /// Seeded at random, so that nobody can choose subjects that fall into one bucket.
    hasher: ahash::RandomState,
}

/// What finds a counter again: a limit's stable id, and all of its kind that gives a state its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CounterKey {
    pub stable_id: u64,
    pub kept: Kept,
    pub per_subject: bool,
}

pub(super) struct Directory {
    pub held: HashMap<CounterKey, Held>,
    lines_max: usize,
    segments: Vec<Segment>,
    /// One bit a word of each line that is in use.
    used: Vec<u8>,
    /// Lines with no word in use.
    free: Vec<u32>,
    subject_slots: usize,
    /// Number of the latest `Slots`.
    latest: u64,
}

pub(super) struct Held {
    pub place: Place,
    /// `Slots` alive that use it.
    live: u32,
    /// The latest `Slots` that asked for it.
    asked: u64,
}

#[derive(Clone)]
pub(super) enum Place {
    Word(u32),
    /// A state of the time before a restart, until its limit is asked for: then it gets a word beside its agent's others.
    Saved(u64),
    Subjects(Arc<Subjects>),
}

impl Arena {
    pub fn new() -> Arc<Self> {
        Self::of(Directory::new(COUNTER_LINES_MAX))
    }

    pub(super) fn of(directory: Directory) -> Arc<Self> {
        Arc::new(Self { directory: Mutex::new(directory), hasher: ahash::RandomState::new() })
    }

    /// Words and tables for every limit of a table: those that the arena has under the limit's stable id, or new
    /// ones. A counter that no living `Slots` uses is clamped to the limit's numbers at once; one that another
    /// activation still uses is clamped by `Slots::settle`, later.
    ///
    /// # Errors
    /// When a bound of the arena is reached, or two limits have one stable id; nothing is in use by it then.
    pub fn slots<B: AsRef<[u8]>>(self: &Arc<Self>, table: &Table<B>, now_ns: u64) -> Result<Slots, CountersError> {
        let mut specs = Vec::new();
        for agent in 0..table.agent_count() {
            for limit in table.limits(AgentId(agent)) {
                let stable_id = table.limit_stable_id(limit.index);
                specs.push(LimitSpec { agent, stable_id, kind: limit.kind, per: limit.per });
            }
        }
        self.slots_for(&specs, now_ns)
    }

    /// The same for limits that are listed: the position is the index.
    ///
    /// # Errors
    /// As `slots`.
    pub fn slots_for(self: &Arc<Self>, limits: &[LimitSpec], now_ns: u64) -> Result<Slots, CountersError> {
        let mut directory = self.directory();
        directory.reclaim(now_ns);
        directory.latest += 1;
        let mut keys = Vec::with_capacity(limits.len());
        let mut places = Vec::with_capacity(limits.len());
        let mut index = 0;
        for group in limits.chunk_by(|one, other| one.agent == other.agent) {
            if let Err(error) = directory.acquire_group(group, index, now_ns, &mut keys, &mut places) {
                directory.release(&keys);
                return Err(error);
            }
            index += group.len();
        }
        let segments = directory.segments.iter().cloned().collect();
        drop(directory);
        let lines = AgentLines::of(limits, &places);
        Ok(Slots::new(Arc::clone(self), segments, lines, places, keys))
    }

    pub(super) fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hasher(&self) -> &ahash::RandomState {
        &self.hasher
    }

    pub(super) fn release(&self, keys: &[CounterKey]) {
        self.directory().release(keys);
    }

    /// Which of the keys no other `Slots` uses.
    pub(super) fn used_once(&self, keys: &[CounterKey]) -> Vec<bool> {
        let directory = self.directory();
        keys.iter().map(|key| directory.held.get(key).is_some_and(|held| held.live == 1)).collect()
    }
}

impl LimitSpec {
    fn key(&self) -> CounterKey {
        let per_subject = matches!(self.per, Per::Subject { .. });
        CounterKey { stable_id: self.stable_id, kept: self.kind.into(), per_subject }
    }
}

impl Directory {
    pub fn new(lines_max: usize) -> Self {
        Self {
            held: HashMap::new(),
            lines_max,
            segments: Vec::new(),
            used: Vec::new(),
            free: Vec::new(),
            subject_slots: 0,
            latest: 0,
        }
    }

    /// Takes the counters of one agent; what was taken stands in `keys` even after an error.
    fn acquire_group(
        &mut self,
        group: &[LimitSpec],
        first: usize,
        now_ns: u64,
        keys: &mut Vec<CounterKey>,
        places: &mut Vec<Place>,
    ) -> Result<(), CountersError> {
        if let (true, Some(limit)) = (group.len() > LIMITS_PER_AGENT_MAX, group.first()) {
            return Err(CountersError::LimitsPerAgent { agent: limit.agent, max: LIMITS_PER_AGENT_MAX });
        }
        let known = group.iter().find_map(|limit| match self.held.get(&limit.key())?.place {
            Place::Word(word) => Some(word / WORDS_PER_LINE),
            Place::Saved(_) | Place::Subjects(_) => None,
        });
        let mut line = known;
        for (at, limit) in group.iter().enumerate() {
            let index = u32::try_from(first + at).unwrap_or(u32::MAX);
            let (latest, key) = (self.latest, limit.key());
            if self.held.get(&key).is_some_and(|held| held.asked == latest) {
                return Err(CountersError::SameStableId { limit: index });
            }
            let place = self.place(limit, key, index, &mut line)?;
            let held = self.held.entry(key).or_insert_with(|| Held { place: place.clone(), live: 0, asked: 0 });
            (held.live, held.asked) = (held.live + 1, latest);
            held.place = place.clone();
            let unused = held.live == 1;
            keys.push(key);
            if unused {
                self.clamp(&place, limit.kind, now_ns);
            }
            places.push(place);
        }
        Ok(())
    }

    fn place(
        &mut self,
        limit: &LimitSpec,
        key: CounterKey,
        index: u32,
        line: &mut Option<u32>,
    ) -> Result<Place, CountersError> {
        let known = self.held.get(&key).map(|held| held.place.clone());
        let Per::Subject { subjects_max, .. } = limit.per else {
            let state = match known {
                Some(Place::Saved(state)) => state,
                Some(place) => return Ok(place),
                None => 0,
            };
            return self.word(line, state).map(Place::Word);
        };
        let wanted = match &known {
            Some(Place::Subjects(subjects)) => subjects.slots_missing(subjects_max),
            _ => super::level::Level::slots_for(subjects_max),
        };
        let left = SUBJECT_SLOTS_MAX.saturating_sub(self.subject_slots);
        if wanted > left {
            let max = SUBJECT_SLOTS_MAX;
            return Err(CountersError::SubjectSlotsFull { limit: index, subjects_max, wanted, left, max });
        }
        let place = match known {
            Some(Place::Subjects(subjects)) if subjects.grow(subjects_max) => Place::Subjects(subjects),
            Some(_) => return Err(CountersError::SubjectLevelsFull { limit: index, max: SUBJECT_LEVELS_MAX }),
            None => Place::Subjects(Arc::new(Subjects::new(key.kept, subjects_max))),
        };
        self.subject_slots += wanted;
        Ok(place)
    }

    /// A word that nobody uses, with `state`: in the agent's line as long as that has one, else in a line of its own.
    fn word(&mut self, line: &mut Option<u32>, state: u64) -> Result<u32, CountersError> {
        let room = line.filter(|&line| self.used.get(line as usize).is_some_and(|&used| used != u8::MAX));
        let chosen = match room {
            Some(line) => line,
            None => self.free_line()?,
        };
        *line = Some(chosen);
        let mut at = 0;
        if let Some(used) = self.used.get_mut(chosen as usize) {
            at = used.trailing_ones();
            *used |= 1 << at;
        }
        let at = chosen * WORDS_PER_LINE + at;
        if let Some(word) = word(&self.segments, at) {
            // Stored also where it is 0: no worker takes the fault of a page's first write.
            word.store(state, Ordering::Release);
        }
        Ok(at)
    }

    fn free_line(&mut self) -> Result<u32, CountersError> {
        if let Some(line) = self.free.pop() {
            return Ok(line);
        }
        if self.used.len() >= self.lines_max {
            return Err(CountersError::LinesFull { max: self.lines_max });
        }
        // The first one in small pages: most gateways never fill it.
        let pages = if self.segments.is_empty() { Pages::Small } else { Pages::Huge };
        let segment =
            Words::zeroed(SEGMENT_WORDS, pages).map_err(|_| CountersError::NoMemory { bytes: SEGMENT_WORDS * 8 })?;
        self.segments.push(Arc::new(segment));
        let first = self.used.len();
        self.used.resize((first + SEGMENT_LINES as usize).min(self.lines_max), 0);
        let lines = |from: usize, to: usize| from as u32..to as u32;
        self.free.extend(lines(first + 1, self.used.len()).rev());
        Ok(first as u32)
    }

    fn release(&mut self, keys: &[CounterKey]) {
        for key in keys {
            if let Some(held) = self.held.get_mut(key) {
                held.live = held.live.saturating_sub(1);
            }
        }
    }

    /// Gives up the counters that no `Slots` uses and that are idle for every clock: nobody can charge them, and a
    /// new counter would say the same.
    fn reclaim(&mut self, now_ns: u64) {
        let Self { held, segments, used, free, subject_slots, .. } = self;
        let earliest_ns = now_ns.saturating_sub(CLOCK_SKEW_NS_MAX);
        held.retain(|key, held| {
            if held.live > 0 {
                return true;
            }
            match &held.place {
                Place::Subjects(subjects) if subjects.is_idle(earliest_ns) => {
                    *subject_slots -= subjects.slots();
                    false
                }
                Place::Word(at) => {
                    let Some(word) = word(segments, *at) else { return true };
                    if !is_idle(word.load(Ordering::Acquire), earliest_ns, key.kept) {
                        return true;
                    }
                    word.store(0, Ordering::Release);
                    let line = *at / WORDS_PER_LINE;
                    if let Some(used) = used.get_mut(line as usize) {
                        *used &= !(1 << (*at % WORDS_PER_LINE));
                        if *used == 0 {
                            free.push(line);
                        }
                    }
                    false
                }
                Place::Saved(state) => !is_idle(*state, earliest_ns, key.kept),
                Place::Subjects(_) => true,
            }
        });
    }

    fn clamp(&self, place: &Place, kind: LimitKind, now_ns: u64) {
        match place {
            Place::Subjects(subjects) => subjects.clamp(clamp_to(kind, now_ns)),
            Place::Saved(_) => {}
            Place::Word(at) => {
                if let Some(word) = word(&self.segments, *at) {
                    cell::lower(word, clamp_to(kind, now_ns));
                }
            }
        }
    }

    pub fn state(&self, at: u32) -> u64 {
        word(&self.segments, at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Puts a saved state back. False when the key is there already.
    pub fn put_back_word(&mut self, key: CounterKey, state: u64) -> bool {
        self.held.insert(key, Held { place: Place::Saved(state), live: 0, asked: 0 }).is_none()
    }

    /// Puts a saved table back. None when the key is there already or the table too large.
    pub fn put_back_subjects(&mut self, key: CounterKey, subjects_max: u32) -> Option<Arc<Subjects>> {
        let slots = super::level::Level::slots_for(subjects_max);
        if slots > SUBJECT_SLOTS_MAX.saturating_sub(self.subject_slots) || self.held.contains_key(&key) {
            return None;
        }
        self.subject_slots += slots;
        let subjects = Arc::new(Subjects::new(key.kept, subjects_max));
        let place = Place::Subjects(Arc::clone(&subjects));
        self.held.insert(key, Held { place, live: 0, asked: 0 });
        Some(subjects)
    }
}

/// The word at an address, in the segments that were there when the address was given.
pub(super) fn word(segments: &[Segment], at: u32) -> Option<&AtomicU64> {
    segments.get(at as usize / SEGMENT_WORDS)?.get(at as usize % SEGMENT_WORDS)
}

/// The words of a line.
pub(super) fn line(segments: &[Segment], line: u32) -> Option<&[AtomicU64; WORDS_PER_LINE as usize]> {
    let words = segments.get((line / SEGMENT_LINES) as usize)?;
    words.get(((line % SEGMENT_LINES) * WORDS_PER_LINE) as usize..)?.first_chunk()
}

/// A state that numbers other than the limit's left behind, as one that the limit could have given.
pub(super) fn clamp_to(kind: LimitKind, now_ns: u64) -> impl Fn(u64) -> u64 {
    move |state| clamped(state, now_ns, CLOCK_SKEW_NS_MAX, kind)
}
