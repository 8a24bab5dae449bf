//! The counters of one `per subject` limit: an open-addressed table of fixed size, shared by all workers.
//!
//! A key may stand in either of two buckets (of each level, once the table has grown). An entry is three things: a
//! control word (generation, tag, length, status), the words of the whole key, and the state. The rules that keep
//! every interleaving from letting one request too many in, each of which `tests/counters_loom.rs` checks:
//!
//! - A key is entered at most once: who enters one holds the header of the key's first bucket, taken by compare and
//!   swap from the value it had before the key was looked for. Nobody waits long for a holder: after `TRIES_MAX`
//!   turns the table counts as full.
//! - A slot is freed by swapping its state, seen idle, for `RESERVED`; so no charge is lost. It is taken by swapping
//!   `FREE` for `RESERVED`. Live entries are never evicted.
//! - A charge counts only if the control word is the same after it as before. Otherwise it may stand on another key:
//!   it is given back if that is possible, and made again on the right one.
//! - `floor` is above every state that was ever freed, and a new entry and the overflow bucket start from it: a worker
//!   whose clock is behind that of the one who freed does not get a full bucket. For other clocks it is in the past.
//! - A new entry starts from the state of the overflow bucket too, for the key may have been charged there. Who
//!   charges the overflow bucket looks for the key once more; who enters the key reads the bucket afterwards: one of
//!   them sees the other.

use std::sync::OnceLock;

use policy::model::OnFull;
use policy::rate::{Kept, STATE_MAX, is_idle, step};
use policy::table::LimitKind;

use super::cell::{self, Step};
use super::level::{Entry, FREE, Level, RESERVED};
use super::subject::{Key, Subject};
use super::sync::{AtomicU64, Ordering, TRIES_MAX, pause};
use crate::bounds::{SUBJECT_LEVELS_MAX, SUBJECT_SWEEP_SLOTS};

/// Away from its neighbours: it is written by every request once the table is full.
#[repr(align(64))]
struct Line(AtomicU64);

pub struct Subjects {
    kept: Kept,
    levels: [OnceLock<Level>; SUBJECT_LEVELS_MAX],
    /// Slots that are not free.
    occupied: AtomicU64,
    /// Where the next sweep goes on.
    hand: AtomicU64,
    floor: AtomicU64,
    overflow: Line,
}

/// What a request asks of the table.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub now_ns: u64,
    pub kind: LimitKind,
    pub subjects_max: u32,
    pub on_full: OnFull,
}

/// What it got: a step on a word that can give it back, or no place.
pub enum Outcome<'t> {
    Stepped(&'t AtomicU64, Step),
    Full,
}

/// How an attempt to enter a key ended.
enum Claim {
    /// It, or somebody else, has entered the key, or is about to: look again.
    Again,
    Full,
}

impl Subjects {
    /// A table with room for `subjects_max` subjects.
    pub fn new(kept: Kept, subjects_max: u32) -> Self {
        let table = Self {
            kept,
            levels: [const { OnceLock::new() }; SUBJECT_LEVELS_MAX],
            occupied: AtomicU64::new(0),
            hand: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            overflow: Line(AtomicU64::new(0)),
        };
        if let Some(first) = table.levels.first() {
            first.get_or_init(|| Level::new(Level::slots_for(subjects_max)));
        }
        table
    }

    /// Slots of all levels.
    pub fn slots(&self) -> usize {
        self.levels().map(Level::slots).sum()
    }

    /// Slots that `grow` would add: none if there is room for `subjects_max` subjects already.
    pub fn slots_missing(&self, subjects_max: u32) -> usize {
        match (Level::slots_for(subjects_max), self.slots()) {
            (wanted, present) if wanted <= present => 0,
            // At least doubled, so that small raises do not use the levels up.
            (wanted, present) => (wanted - present).max(present),
        }
    }

    /// Makes room for `subjects_max` subjects, beside whoever charges. False when the table cannot grow any more.
    pub fn grow(&self, subjects_max: u32) -> bool {
        let missing = self.slots_missing(subjects_max);
        if missing == 0 {
            return true;
        }
        let unused = self.levels.iter().find(|level| level.get().is_none());
        unused.is_some_and(|level| level.set(Level::new(missing)).is_ok())
    }

    /// What the subject's own entry would say; none if it has none, or none that stands still.
    pub fn peek(&self, subject: &Subject, now_ns: u64, kind: LimitKind) -> Option<Step> {
        let entry = self.find(subject)?;
        let before = entry.state.load(Ordering::Acquire);
        if before > STATE_MAX || !entry.is_same() {
            return None;
        }
        let (after, verdict) = step(before, now_ns, kind);
        Some(Step { before, after, verdict })
    }

    /// Charges one request of the subject.
    pub fn charge(&self, subject: &Subject, ask: &Ask) -> Outcome<'_> {
        for _ in 0..TRIES_MAX {
            if let Some(entry) = self.find(subject) {
                match charge_entry(&entry, ask) {
                    Some(step) => return Outcome::Stepped(entry.state, step),
                    None => continue,
                }
            }
            match (self.claim(subject, ask.now_ns, ask.subjects_max), ask.on_full) {
                (Claim::Again, _) => {}
                (Claim::Full, OnFull::Deny) => return Outcome::Full,
                (Claim::Full, OnFull::Overflow) => {
                    if let Some(step) = self.charge_overflow(subject, ask) {
                        return Outcome::Stepped(&self.overflow.0, step);
                    }
                }
            }
        }
        Outcome::Full
    }

    fn charge_overflow(&self, subject: &Subject, ask: &Ask) -> Option<Step> {
        // The key may have had an entry until just now.
        let floor = self.floor.load(Ordering::Acquire);
        let step = cell::charge_above(&self.overflow.0, floor, ask.now_ns, ask.kind);
        if step.verdict.admitted && self.find(subject).is_some() {
            cell::give_back(&self.overflow.0, &step, ask.kind);
            return None;
        }
        Some(step)
    }

    fn levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter().map_while(OnceLock::get)
    }

    fn find(&self, subject: &Subject) -> Option<Entry<'_>> {
        self.levels().find_map(|level| level.find(subject))
    }

    fn claim(&self, subject: &Subject, now_ns: u64, subjects_max: u32) -> Claim {
        let Some(header) = self.levels().next().and_then(|level| level.header(subject)) else { return Claim::Full };
        let mut seen = header.load(Ordering::Acquire);
        for _ in 0..TRIES_MAX {
            if seen & 1 == 0 {
                break;
            }
            pause();
            seen = header.load(Ordering::Acquire);
        }
        if seen & 1 == 1 {
            return Claim::Full;
        }
        if self.find(subject).is_some() {
            return Claim::Again;
        }
        if header.compare_exchange(seen, seen.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Claim::Again;
        }
        let claim = self.claim_held(subject, now_ns, subjects_max);
        header.store(seen.wrapping_add(2), Ordering::Release);
        claim
    }

    /// Enters a key that is in no slot and that nobody else can enter.
    fn claim_held(&self, subject: &Subject, now_ns: u64, subjects_max: u32) -> Claim {
        if !self.occupy(subjects_max) {
            self.sweep(subject, now_ns);
            if !self.occupy(subjects_max) {
                return Claim::Full;
            }
        }
        let taken = self.take(subject).or_else(|| {
            self.sweep_own(subject, now_ns);
            self.take(subject)
        });
        let Some(entry) = taken else {
            self.occupied.fetch_sub(1, Ordering::AcqRel);
            return Claim::Full;
        };
        entry.publish(subject);
        let overflow = self.overflow.0.fetch_or(0, Ordering::AcqRel);
        let floor = self.floor.load(Ordering::Acquire);
        entry.state.store(overflow.max(floor), Ordering::Release);
        Claim::Again
    }

    fn occupy(&self, subjects_max: u32) -> bool {
        let more = |occupied: u64| (occupied < u64::from(subjects_max)).then(|| occupied + 1);
        let mut occupied = self.occupied.load(Ordering::Acquire);
        while let Some(next) = more(occupied) {
            match self.occupied.compare_exchange_weak(occupied, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(found) => occupied = found,
            }
        }
        false
    }

    fn take(&self, subject: &Subject) -> Option<Entry<'_>> {
        let free = |entry: &Entry<'_>| {
            entry.state.compare_exchange(FREE, RESERVED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        self.levels().find_map(|level| level.emptier_first(subject).find(free))
    }

    fn sweep_own(&self, subject: &Subject, now_ns: u64) {
        for entry in self.levels().flat_map(|level| level.own(subject)) {
            self.free(&entry, now_ns);
        }
    }

    /// Frees idle slots: the subject's own, and some others, further on each time.
    fn sweep(&self, subject: &Subject, now_ns: u64) {
        self.sweep_own(subject, now_ns);
        let slots = self.slots();
        let count = slots.min(SUBJECT_SWEEP_SLOTS);
        let hand = usize::try_from(self.hand.fetch_add(count as u64, Ordering::Relaxed)).unwrap_or(0);
        for at in 0..count {
            if let Some(entry) = self.slot(hand.wrapping_add(at) % slots) {
                self.free(&entry, now_ns);
            }
        }
    }

    fn slot(&self, mut at: usize) -> Option<Entry<'_>> {
        for level in self.levels() {
            if at < level.slots() {
                return level.slot(at);
            }
            at -= level.slots();
        }
        None
    }

    /// Frees a slot whose entry is idle: strictly, so that a floor above its state is no later than `now_ns`.
    fn free(&self, entry: &Entry<'_>, now_ns: u64) {
        let state = entry.state.load(Ordering::Acquire);
        if state > STATE_MAX || !is_idle(state, now_ns.saturating_sub(1), self.kept) {
            return;
        }
        // Before the entry goes: whoever misses it must find the floor raised.
        self.floor.fetch_max(state + 1, Ordering::AcqRel);
        if entry.state.compare_exchange(state, RESERVED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            entry.withdraw();
            self.occupied.fetch_sub(1, Ordering::AcqRel);
            entry.state.store(FREE, Ordering::Release);
        }
    }

    /// Every entry that is not idle. Entries made or freed meanwhile may be missing.
    pub fn live(&self, now_ns: u64) -> impl Iterator<Item = (Key, u64)> {
        self.levels().flat_map(Level::all).filter_map(move |entry| {
            let (key, state) = entry.read()?;
            (!is_idle(state, now_ns, self.kept)).then_some((key, state))
        })
    }

    pub fn is_idle(&self, now_ns: u64) -> bool {
        is_idle(self.overflow_state(), now_ns, self.kept) && self.live(now_ns).next().is_none()
    }

    pub fn overflow_state(&self) -> u64 {
        self.overflow.0.load(Ordering::Acquire)
    }

    pub fn floor_state(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    /// Puts back what a snapshot held; before anybody charges. A subject without a place counts as overflow, which
    /// every new entry starts from.
    pub fn put_back(&self, subject: &Subject, state: u64) {
        self.claim(subject, 0, u32::MAX);
        match self.find(subject) {
            Some(entry) => entry.state.store(state, Ordering::Release),
            None => self.put_back_overflow(state),
        }
    }

    pub fn put_back_overflow(&self, state: u64) {
        self.overflow.0.fetch_max(state, Ordering::AcqRel);
    }

    pub fn put_back_floor(&self, state: u64) {
        self.floor.fetch_max(state, Ordering::AcqRel);
    }

    /// Applies `clamp` to every state.
    pub fn clamp(&self, clamp: impl Fn(u64) -> u64) {
        let words = self.levels().flat_map(Level::all).map(|entry| entry.state).chain([&self.overflow.0, &self.floor]);
        for word in words {
            cell::lower(word, &clamp);
        }
    }
}

/// Charges an entry; none if it is not the subject's any more.
fn charge_entry(entry: &Entry<'_>, ask: &Ask) -> Option<Step> {
    let mut before = entry.state.load(Ordering::Acquire);
    let mut turns = 0;
    loop {
        if before > STATE_MAX {
            // Being made, or being freed.
            turns += 1;
            if turns > TRIES_MAX || !entry.is_same() {
                return None;
            }
            pause();
            before = entry.state.load(Ordering::Acquire);
            continue;
        }
        let (after, verdict) = step(before, ask.now_ns, ask.kind);
        let made = Step { before, after, verdict };
        if !verdict.admitted {
            return entry.is_same().then_some(made);
        }
        match entry.state.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) if entry.is_same() => return Some(made),
            Ok(_) => {
                cell::give_back(entry.state, &made, ask.kind);
                return None;
            }
            Err(found) => before = found,
        }
    }
}
