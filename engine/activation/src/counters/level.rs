//! One level of a table of subjects: buckets of slots, and what may be done with one slot.

use policy::rate::STATE_MAX;

use super::subject::{Key, Subject};
use super::sync::{AtomicU64, BUCKET_SLOTS, KEY_WORDS, Ordering};

/// States above `STATE_MAX` mark a slot: nobody's, and somebody's who is making or freeing it.
pub const FREE: u64 = u64::MAX;
pub const RESERVED: u64 = u64::MAX - 1;
const _: () = assert!(STATE_MAX < RESERVED);

/// A control word, from below: status (2 bits), length (8), tag (14), generation (40).
const STATUS_MASK: u64 = 0b11;
const EMPTY: u64 = 0;
const WRITING: u64 = 1;
const READY: u64 = 2;
const LENGTH_SHIFT: u32 = 2;
const TAG_SHIFT: u32 = 10;
const TAG_MASK: u64 = (1 << 14) - 1;
const GENERATION_SHIFT: u32 = 24;
const NAME_MASK: u64 = (1 << GENERATION_SHIFT) - 1;

struct Slot {
    state: AtomicU64,
    words: [AtomicU64; KEY_WORDS],
}

pub struct Level {
    /// One a bucket: odd while somebody enters a key whose first bucket it is.
    headers: Box<[AtomicU64]>,
    /// One a slot, apart from the slots so that a bucket is looked through in few cache lines.
    controls: Box<[AtomicU64]>,
    slots: Box<[Slot]>,
}

/// A slot, with its control word as it was seen.
pub struct Entry<'t> {
    control: &'t AtomicU64,
    seen: u64,
    pub state: &'t AtomicU64,
    words: &'t [AtomicU64; KEY_WORDS],
}

impl Level {
    /// Slots for so many subjects: twice as many, in whole buckets, so that of both buckets of a key one has room.
    pub fn slots_for(subjects_max: u32) -> usize {
        (subjects_max.max(1) as usize).saturating_mul(2).next_multiple_of(BUCKET_SLOTS)
    }

    pub fn new(slots: usize) -> Self {
        let buckets = slots.div_ceil(BUCKET_SLOTS).max(1);
        let slot = |_| Slot { state: AtomicU64::new(FREE), words: std::array::from_fn(|_| AtomicU64::new(0)) };
        Self {
            headers: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            controls: (0..buckets * BUCKET_SLOTS).map(|_| AtomicU64::new(EMPTY)).collect(),
            slots: (0..buckets * BUCKET_SLOTS).map(slot).collect(),
        }
    }

    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn slot(&self, at: usize) -> Option<Entry<'_>> {
        Some(Entry::new(self.controls.get(at)?, self.slots.get(at)?))
    }

    pub fn all(&self) -> impl Iterator<Item = Entry<'_>> {
        self.controls.iter().zip(&self.slots).map(|(control, slot)| Entry::new(control, slot))
    }

    /// The word that serialises who enters a key.
    pub fn header(&self, subject: &Subject) -> Option<&AtomicU64> {
        self.headers.get(self.buckets(subject).0)
    }

    /// The slots of a subject's buckets, its first bucket first.
    pub fn own(&self, subject: &Subject) -> impl Iterator<Item = Entry<'_>> {
        let (first, second) = self.buckets(subject);
        self.of_buckets(first, second)
    }

    /// The same, those of the emptier bucket first: who enters a key there finds no full bucket as long as half of the
    /// slots are free.
    pub fn emptier_first(&self, subject: &Subject) -> impl Iterator<Item = Entry<'_>> {
        let (first, second) = self.buckets(subject);
        let taken = |bucket| self.bucket(bucket).filter(|entry| entry.state.load(Ordering::Relaxed) != FREE).count();
        if taken(second) < taken(first) { self.of_buckets(second, first) } else { self.of_buckets(first, second) }
    }

    fn of_buckets(&self, first: usize, second: usize) -> impl Iterator<Item = Entry<'_>> {
        let second = (second != first).then_some(second);
        [Some(first), second].into_iter().flatten().flat_map(|bucket| self.bucket(bucket))
    }

    fn bucket(&self, bucket: usize) -> impl Iterator<Item = Entry<'_>> {
        let slots = bucket * BUCKET_SLOTS..(bucket + 1) * BUCKET_SLOTS;
        let controls = self.controls.get(slots.clone()).unwrap_or_default();
        let slots = self.slots.get(slots).unwrap_or_default();
        controls.iter().zip(slots).map(|(control, slot)| Entry::new(control, slot))
    }

    pub fn find(&self, subject: &Subject) -> Option<Entry<'_>> {
        self.own(subject).find(|entry| entry.holds(subject))
    }

    fn buckets(&self, subject: &Subject) -> (usize, usize) {
        let scaled = |hash: u64| {
            let product = u128::from(hash) * self.headers.len() as u128;
            usize::try_from(product >> 64).unwrap_or(0)
        };
        // The multiplier is 2^64 divided by the golden ratio (Knuth, TAOCP 6.4).
        (scaled(subject.hash), scaled(subject.hash.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

impl<'t> Entry<'t> {
    fn new(control: &'t AtomicU64, slot: &'t Slot) -> Self {
        Self { control, seen: control.load(Ordering::Acquire), state: &slot.state, words: &slot.words }
    }

    /// Whether the slot has been the same key's all along.
    pub fn is_same(&self) -> bool {
        self.control.load(Ordering::Acquire) == self.seen
    }

    fn holds(&self, subject: &Subject) -> bool {
        self.seen & NAME_MASK == name(subject)
            && self.words.iter().zip(subject.key.words).all(|(word, wanted)| word.load(Ordering::Acquire) == wanted)
            && self.is_same()
    }

    /// Writes a key into a slot whose state the caller has reserved. The caller stores the state afterwards.
    pub fn publish(&self, subject: &Subject) {
        let generation = (self.control.load(Ordering::Acquire) >> GENERATION_SHIFT).wrapping_add(1) << GENERATION_SHIFT;
        self.control.store(generation | WRITING, Ordering::Release);
        for (word, value) in self.words.iter().zip(subject.key.words) {
            word.store(value, Ordering::Release);
        }
        self.control.store(generation | name(subject), Ordering::Release);
    }

    /// Takes the key out of a slot whose state the caller has reserved.
    pub fn withdraw(&self) {
        let generation = self.control.load(Ordering::Acquire) & !NAME_MASK;
        self.control.store(generation | EMPTY, Ordering::Release);
    }

    /// Key and state, if the slot holds a whole entry.
    pub fn read(&self) -> Option<(Key, u64)> {
        if self.seen & STATUS_MASK != READY {
            return None;
        }
        let mut words = [0; KEY_WORDS];
        for (to, word) in words.iter_mut().zip(self.words) {
            *to = word.load(Ordering::Acquire);
        }
        let length = u8::try_from(self.seen >> LENGTH_SHIFT & 0xff).ok()?;
        let state = self.state.load(Ordering::Acquire);
        (state <= STATE_MAX && self.is_same()).then_some((Key { length, words }, state))
    }
}

/// What the control word of a subject's entry is below its generation.
fn name(subject: &Subject) -> u64 {
    READY | u64::from(subject.key.length) << LENGTH_SHIFT | (subject.hash & TAG_MASK) << TAG_SHIFT
}
