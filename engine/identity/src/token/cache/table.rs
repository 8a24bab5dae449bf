//! A set-associative table of byte strings with a byte budget. Eviction gives each entry that was used since the hand
//! last passed a second chance (CLOCK); every search and every eviction is bounded.

/// Entries that share a home; a search compares at most this many hashes.
const WAYS: usize = 8;

pub(super) struct Table<E> {
    sets: Box<[[Option<Slot<E>>; WAYS]]>,
    /// Set that the hand points at.
    hand: usize,
    entries: usize,
    bytes: usize,
    bytes_max: usize,
}

struct Slot<E> {
    hash: u64,
    used: bool,
    bytes: usize,
    key: Box<[u8]>,
    entry: E,
}

impl<E> Table<E> {
    /// Holds up to `entries_max` entries (rounded down to whole sets of a power of two, at least one set).
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        let sets = (entries_max / WAYS).max(1);
        let sets = if sets.is_power_of_two() { sets } else { sets.next_power_of_two() / 2 };
        let sets = std::iter::repeat_with(|| std::array::from_fn(|_| None)).take(sets).collect();
        Self { sets, hand: 0, entries: 0, bytes: 0, bytes_max }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries, self.bytes)
    }

    pub(super) fn find(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        let home = self.home(hash);
        let slot = self.sets.get_mut(home)?.iter_mut().flatten().find(|slot| slot.hash == hash && *slot.key == *key)?;
        slot.used = true;
        Some(&mut slot.entry)
    }

    /// Inserts or replaces. False if the entry alone is over the byte budget.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], extra_bytes: usize, entry: E) -> bool {
        let bytes = size_of::<Slot<E>>() + key.len() + extra_bytes;
        if bytes > self.bytes_max {
            return false;
        }
        let home = self.home(hash);
        self.clear_way(home, hash, key);
        self.make_room(bytes);
        let Some(vacant) = self.sets.get_mut(home).and_then(|set| set.iter_mut().find(|way| way.is_none())) else {
            return false;
        };
        // Not marked as used: an entry earns its second chance by a hit.
        *vacant = Some(Slot { hash, used: false, bytes, key: key.into(), entry });
        self.entries += 1;
        self.bytes += bytes;
        true
    }

    fn home(&self, hash: u64) -> usize {
        // The number of sets is a power of two.
        (hash as usize) & (self.sets.len() - 1)
    }

    /// Leaves at least one vacant way in the set, and no entry with this key.
    fn clear_way(&mut self, home: usize, hash: u64, key: &[u8]) {
        let Some(set) = self.sets.get_mut(home) else {
            return;
        };
        let same = |way: &Option<Slot<E>>| way.as_ref().is_some_and(|slot| slot.hash == hash && *slot.key == *key);
        let victim = set
            .iter()
            .position(same)
            .or_else(|| if set.iter().all(Option::is_some) { Some(unused_way(set)) } else { None });
        if let Some(gone) = victim.and_then(|way| set.get_mut(way)).and_then(Option::take) {
            self.entries -= 1;
            self.bytes -= gone.bytes;
        }
    }

    /// Moves the hand until `bytes` fit: at most twice round, since the first round takes every second chance.
    fn make_room(&mut self, bytes: usize) {
        for _ in 0..self.sets.len() * 2 {
            if self.bytes + bytes <= self.bytes_max {
                return;
            }
            let at = self.hand;
            self.hand = (self.hand + 1) % self.sets.len();
            let Some(set) = self.sets.get_mut(at) else {
                continue;
            };
            for way in set {
                if self.bytes + bytes <= self.bytes_max {
                    return;
                }
                if let Some(slot) = way {
                    if std::mem::take(&mut slot.used) {
                        continue;
                    }
                    self.entries -= 1;
                    self.bytes -= slot.bytes;
                    *way = None;
                }
            }
        }
    }
}

/// A way whose entry was not used lately, taking the second chances of those before it; else the first.
fn unused_way<E>(set: &mut [Option<Slot<E>>; WAYS]) -> usize {
    let unused = set.iter_mut().position(|way| way.as_mut().is_some_and(|slot| !std::mem::take(&mut slot.used)));
    unused.unwrap_or(0)
}
