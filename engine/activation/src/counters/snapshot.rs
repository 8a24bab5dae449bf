//! Counters as bytes, so that a restart refills nobody: what is saved is every state that is not idle.
//!
//! Little-endian: magic, version (u32), tables (u32), words (u32); each word as key and state; each table as key,
//! subjects_max (u32), entries (u32), floor, overflow, then entries as length (u8), bytes, state; SHA-256 over all
//! before. A key is stable id (u64), per subject (u8), kind (u8: 0 GCRA, 1 quota), window in seconds (u32). The
//! checksum finds damage, not malice: who may write the file may as well remove it.

use std::sync::Arc;

use policy::rate::{Kept, STATE_MAX, is_idle};
use sha2::{Digest, Sha256};

use super::arena::{Arena, CounterKey, Directory, Place};
use super::subject::{Key, Subject, bytes_of};
use super::{CountersError, subjects::Subjects};
use crate::bounds::COUNTER_LINES_MAX;

const MAGIC: &[u8; 8] = b"ADMCOUNT";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 32;
const HEAD_BYTES: usize = 20;

impl Arena {
    /// Every state that is not idle at `now_ns`. Requests charged while it is made may be missing; with nobody
    /// charging, it is exact. A restart lets nobody have more than what was charged since the latest one.
    pub fn snapshot(&self, now_ns: u64) -> Vec<u8> {
        let directory = self.directory();
        let (mut words, mut tables) = (Vec::new(), Vec::new());
        for (&key, held) in &directory.held {
            match &held.place {
                Place::Word(at) => words.push((key, directory.state(*at))),
                Place::Saved(state) => words.push((key, *state)),
                Place::Subjects(table) if !table.is_idle(now_ns) => tables.push((key, Arc::clone(table))),
                Place::Subjects(_) => {}
            }
        }
        drop(directory);
        words.retain(|(key, state)| !is_idle(*state, now_ns, key.kept));
        words.sort_unstable();
        tables.sort_unstable_by_key(|(key, _)| *key);
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        for number in [VERSION, count(tables.len()), count(words.len())] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for (key, state) in words {
            write_key(key, &mut out);
            out.extend_from_slice(&state.to_le_bytes());
        }
        for (key, table) in tables {
            write_key(key, &mut out);
            write_table(&table, now_ns, &mut out);
        }
        let checksum = Sha256::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }

    /// An arena with the states of a snapshot. They wait for `slots` to ask for them, and go when they are idle.
    ///
    /// # Errors
    /// For bytes that no snapshot can be.
    pub fn restore(bytes: &[u8], now_ns: u64) -> Result<Arc<Self>, CountersError> {
        let short = |expected| CountersError::SnapshotShort { found: bytes.len(), expected };
        let (body, checksum) = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .filter(|&length| length >= HEAD_BYTES)
            .and_then(|length| bytes.split_at_checked(length))
            .ok_or_else(|| short(HEAD_BYTES + CHECKSUM_BYTES))?;
        let mut reader = Reader { body, at: 0 };
        if reader.array()? != *MAGIC || reader.u32()? != VERSION {
            return Err(CountersError::SnapshotFormat);
        }
        if Sha256::digest(body).as_slice() != checksum {
            return Err(CountersError::SnapshotChecksum);
        }
        let (tables, words) = (reader.u32()?, reader.u32()?);
        let arena = Self::of(Directory::new(COUNTER_LINES_MAX));
        for _ in 0..words {
            let at = reader.at;
            let (key, state) = (reader.key()?, reader.state()?);
            let fresh =
                key.per_subject || is_idle(state, now_ns, key.kept) || arena.directory().put_back_word(key, state);
            if !fresh || key.per_subject {
                return Err(CountersError::SnapshotValue { what: "a limit twice, or of the wrong kind", at });
            }
        }
        for _ in 0..tables {
            reader.table(&arena, now_ns)?;
        }
        match reader.at == body.len() {
            true => Ok(arena),
            false => Err(CountersError::SnapshotValue { what: "bytes after the end", at: reader.at }),
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn write_key(key: CounterKey, out: &mut Vec<u8>) {
    let (kind, window_s) = match key.kept {
        Kept::Gcra => (0, 0),
        Kept::Quota { window_s } => (1, window_s),
    };
    out.extend_from_slice(&key.stable_id.to_le_bytes());
    out.extend_from_slice(&[u8::from(key.per_subject), kind]);
    out.extend_from_slice(&window_s.to_le_bytes());
}

fn write_table(table: &Subjects, now_ns: u64, out: &mut Vec<u8>) {
    // The overflow bucket last: an entry that is made meanwhile starts from it.
    let live: Vec<_> = table.live(now_ns).collect();
    out.extend_from_slice(&count(table.slots() / 2).to_le_bytes());
    out.extend_from_slice(&count(live.len()).to_le_bytes());
    out.extend_from_slice(&table.floor_state().to_le_bytes());
    out.extend_from_slice(&table.overflow_state().to_le_bytes());
    for (key, state) in live {
        out.push(key.length);
        out.extend(key.bytes());
        out.extend_from_slice(&state.to_le_bytes());
    }
}

struct Reader<'b> {
    body: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], CountersError> {
        let end = self.at.saturating_add(length);
        let taken = self
            .body
            .get(self.at..end)
            .ok_or(CountersError::SnapshotShort { found: self.body.len() + CHECKSUM_BYTES, expected: end })?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CountersError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| CountersError::SnapshotValue { what: "a number", at })
    }

    fn u8(&mut self) -> Result<u8, CountersError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, CountersError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, CountersError> {
        self.array().map(u64::from_le_bytes)
    }

    fn state(&mut self) -> Result<u64, CountersError> {
        let at = self.at;
        let state = self.u64()?;
        (state <= STATE_MAX).then_some(state).ok_or(CountersError::SnapshotValue { what: "a state", at })
    }

    fn key(&mut self) -> Result<CounterKey, CountersError> {
        let at = self.at;
        let (stable_id, per_subject, kind, window_s) = (self.u64()?, self.u8()?, self.u8()?, self.u32()?);
        let kept = match (kind, window_s) {
            (0, 0) => Some(Kept::Gcra),
            (1, 1..) => Some(Kept::Quota { window_s }),
            _ => None,
        };
        match (kept, per_subject) {
            (Some(kept), 0 | 1) => Ok(CounterKey { stable_id, kept, per_subject: per_subject == 1 }),
            _ => Err(CountersError::SnapshotValue { what: "a kind of limit", at }),
        }
    }

    fn table(&mut self, arena: &Arena, now_ns: u64) -> Result<(), CountersError> {
        let at = self.at;
        let wrong = |what| CountersError::SnapshotValue { what, at };
        let key = self.key()?;
        let (subjects_max, entries) = (self.u32()?, self.u32()?);
        let (floor, overflow) = (self.state()?, self.state()?);
        if !key.per_subject || entries as usize > (subjects_max as usize).saturating_mul(2) {
            return Err(wrong("a table of subjects"));
        }
        let table = arena.directory().put_back_subjects(key, subjects_max);
        let table = table.ok_or_else(|| wrong("a limit twice, or more subjects than the counters may hold"))?;
        for _ in 0..entries {
            let at = self.at;
            let length = self.u8()?;
            let bytes = bytes_of(length).ok_or(CountersError::SnapshotValue { what: "a subject", at })?;
            let key_of = Key::from_bytes(length, self.take(bytes)?);
            let state = self.state()?;
            let subject_key = key_of.ok_or(CountersError::SnapshotValue { what: "a subject", at })?;
            if !is_idle(state, now_ns, key.kept) {
                table.put_back(&Subject::of_key(subject_key, arena.hasher()), state);
            }
        }
        table.put_back_floor(floor);
        table.put_back_overflow(overflow);
        Ok(())
    }
}
