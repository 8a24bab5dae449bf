//! The certificates that one worker saw last: a table of fixed size, from which nothing goes before control has read it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use policy::table::AgentId;

use crate::bounds::{CERTIFICATES_NOTED, CERTIFICATES_NOTED_WAYS};
use crate::stats::Count;

/// Who was identified with a certificate: the `id` of the words that agents of its policy have, and the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub policy: u32,
    pub agent: AgentId,
}

/// A certificate that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Over the DER.
    pub sha256: [u8; 32],
    pub holder: Holder,
    /// Seconds since the Unix epoch.
    pub used_s: u32,
}

/// Where a certificate stood when it was noted last: its connection keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    slot: u32,
    /// 0: nowhere.
    turn: u32,
}

/// Written by one worker. A slot has a turn that is odd while another certificate is put in, and another one after.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    /// 0: free.
    turn: AtomicU32,
    used_s: AtomicU32,
    holder: AtomicU64,
    sha256: [AtomicU64; 4],
}

impl Slot {
    fn used(&self, holder: Holder, now_s: u32) {
        self.holder.store(u64::from(holder.policy) << 32 | u64::from(holder.agent.0), Ordering::Relaxed);
        self.used_s.store(now_s, Ordering::Relaxed);
    }

    /// Puts another certificate in; its turn from now on.
    fn put(&self, words: [u64; 4], holder: Holder, now_s: u32) -> u32 {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees a word of the new one sees that the turn is not the old one.
        fence(Ordering::Release);
        self.sha256.iter().zip(words).for_each(|(word, of)| word.store(of, Ordering::Relaxed));
        self.used(holder, now_s);
        let next = turn.wrapping_add(2).max(2);
        self.turn.store(next, Ordering::Release);
        next
    }
}

/// The table of one worker.
pub struct Certificates {
    /// Sets of [`CERTIFICATES_NOTED_WAYS`] slots; a certificate stands in the set of its hash.
    slots: Box<[Slot]>,
    /// Written by control: turn and time of the slot as it was read last. What differs is still to be read.
    read: Box<[AtomicU64]>,
    /// Uses that found no place: every slot of the set was still to be read.
    pub unnoted: Count,
}

impl Default for Certificates {
    fn default() -> Self {
        let (slots, read) = (|_| Slot::default(), |_| AtomicU64::new(0));
        let count = 0..CERTIFICATES_NOTED;
        let (slots, read) = (count.clone().map(slots).collect(), count.map(read).collect());
        Self { slots, read, unnoted: Count::default() }
    }
}

impl Certificates {
    /// For the one worker: `place` is where the certificate stood last, and is set to where it stands now.
    pub fn note(&self, place: &Cell<Place>, sha256: &[u8; 32], holder: Holder, now_s: u32) {
        let known = place.get();
        let slot = self.slots.get(known.slot as usize).filter(|slot| stands(slot, known));
        match slot {
            Some(slot) => slot.used(holder, now_s),
            None => match self.place_for(sha256, holder, now_s) {
                Some(found) => place.set(found),
                None => self.unnoted.add(1),
            },
        }
    }

    /// Where it stands already, or else in the place of what was used least lately and has been read.
    fn place_for(&self, sha256: &[u8; 32], holder: Holder, now_s: u32) -> Option<Place> {
        let words = words_of(sha256);
        let sets = self.slots.len() / CERTIFICATES_NOTED_WAYS;
        let first = (words[0] % sets.max(1) as u64) as usize * CERTIFICATES_NOTED_WAYS;
        let set = || (first..first + CERTIFICATES_NOTED_WAYS).filter_map(|at| Some((at, self.slots.get(at)?)));
        let has = |slot: &Slot| slot.sha256.iter().zip(words).all(|(word, of)| word.load(Ordering::Relaxed) == of);
        let turn = |slot: &Slot| slot.turn.load(Ordering::Relaxed);
        if let Some((at, slot)) = set().find(|(_, slot)| turn(slot) != 0 && has(slot)) {
            slot.used(holder, now_s);
            return Some(Place { slot: at as u32, turn: turn(slot) });
        }
        let is_read = |at: usize, slot: &Slot| {
            let read = self.read.get(at).map_or(0, |read| read.load(Ordering::Acquire));
            turn(slot) == 0 || read == seen(turn(slot), slot.used_s.load(Ordering::Relaxed))
        };
        let free = set().filter(|(at, slot)| is_read(*at, slot));
        let (at, slot) = free.min_by_key(|(_, slot)| slot.used_s.load(Ordering::Relaxed))?;
        Some(Place { slot: at as u32, turn: slot.put(words, holder, now_s) })
    }

    /// For control: everything that was used since it was read last. What is just being written comes next time.
    pub fn read(&self, mut each: impl FnMut(Sight)) {
        for (slot, read) in self.slots.iter().zip(&self.read) {
            let turn = slot.turn.load(Ordering::Acquire);
            let used_s = slot.used_s.load(Ordering::Relaxed);
            if turn % 2 != 0 || turn == 0 || read.load(Ordering::Relaxed) == seen(turn, used_s) {
                continue;
            }
            let holder = slot.holder.load(Ordering::Relaxed);
            let words = slot.sha256.each_ref().map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if slot.turn.load(Ordering::Relaxed) == turn {
                let holder = Holder { policy: (holder >> 32) as u32, agent: AgentId(holder as u32) };
                each(Sight { sha256: bytes_of(words), holder, used_s });
                read.store(seen(turn, used_s), Ordering::Release);
            }
        }
    }
}

fn stands(slot: &Slot, place: Place) -> bool {
    place.turn != 0 && slot.turn.load(Ordering::Relaxed) == place.turn
}

fn seen(turn: u32, used_s: u32) -> u64 {
    u64::from(turn) << 32 | u64::from(used_s)
}

fn words_of(sha256: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(sha256.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

fn bytes_of(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}
