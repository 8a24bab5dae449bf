//! The two record rings of a worker: bounded, single producer, single consumer, nobody signals anybody.
//!
//! An exchange reserves the bytes of its record before it is forwarded and writes them when it ends. Exchanges end in
//! another order than they began, so a reservation is a credit of bytes, not a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bounds::LIMITS_PER_AGENT_MAX;
use crate::record::{Kind, Record};
use crate::stats::WorkerStats;

/// Bytes before each record: its length.
const PREFIX_BYTES: usize = 4;

/// The worker's end.
pub struct RecordWriter {
    permits: Producer<u8>,
    denials: Producer<u8>,
    reserved: usize,
    pushed: u64,
    aggregated: u64,
    scratch: Vec<u8>,
    stats: Arc<WorkerStats>,
}

/// The audit writer's end.
pub struct RecordReader {
    permits: Consumer<u8>,
    denials: Consumer<u8>,
    /// A record that wraps around the end of its ring.
    wrapped: Vec<u8>,
}

/// How many records of a worker's permits ring are on stable storage, in the order they were pushed. Written by the
/// audit writer, read by the worker in audit mode `durable`.
#[derive(Debug, Default)]
pub struct DurableMark(AtomicU64);

impl DurableMark {
    pub fn advance_to(&self, records: u64) {
        self.0.store(records, Ordering::Release);
    }

    pub fn records(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Bytes promised to one record.
#[must_use]
#[derive(Debug)]
pub struct Reservation {
    bytes: usize,
}

/// Makes the rings of one worker; sizes in bytes.
pub fn rings(permits_bytes: usize, denials_bytes: usize, stats: Arc<WorkerStats>) -> (RecordWriter, RecordReader) {
    let (permits_in, permits_out) = RingBuffer::new(permits_bytes);
    let (denials_in, denials_out) = RingBuffer::new(denials_bytes);
    let writer = RecordWriter {
        permits: permits_in,
        denials: denials_in,
        reserved: 0,
        pushed: 0,
        aggregated: 0,
        scratch: Vec::with_capacity(4096),
        stats,
    };
    (writer, RecordReader { permits: permits_out, denials: denials_out, wrapped: Vec::new() })
}

impl RecordWriter {
    /// Reserves room for `record` as it will be when the exchange ends; none when the ring cannot promise it.
    pub fn reserve(&mut self, record: &Record<'_>) -> Option<Reservation> {
        self.frame(record);
        let bytes = self.scratch.len() + LATE_BYTES;
        if self.permits.slots() < self.reserved + bytes {
            return None;
        }
        self.reserved += bytes;
        Some(Reservation { bytes })
    }

    /// Gives a reservation back unused.
    pub fn release(&mut self, reservation: Reservation) {
        self.reserved -= reservation.bytes;
    }

    /// Writes the record of a permitted exchange into its reservation (or, in `best-effort`, without one).
    pub fn permitted(&mut self, record: &Record<'_>, reservation: Option<Reservation>) {
        self.frame(record);
        let promised = reservation.map_or(0, |reservation| reservation.bytes);
        self.reserved -= promised;
        let needed = self.scratch.len();
        let fits = needed <= promised || self.permits.slots() >= self.reserved + needed;
        if fits && push(&mut self.permits, &self.scratch) {
            self.pushed += 1;
        } else {
            self.stats.records_lost.add(1);
        }
    }

    /// Writes an intent (audit mode `durable`); the number of records that must be durable before it is, or none when
    /// there is no room.
    pub fn intent(&mut self, record: &Record<'_>) -> Option<u64> {
        self.frame(record);
        if self.permits.slots() < self.reserved + self.scratch.len() || !push(&mut self.permits, &self.scratch) {
            return None;
        }
        self.pushed += 1;
        Some(self.pushed)
    }

    /// Writes the record of a denial, or counts it when there is no room.
    pub fn denied(&mut self, record: &Record<'_>) {
        self.frame(record);
        if !push(&mut self.denials, &self.scratch) {
            self.aggregated += 1;
            self.stats.denials_aggregated.add(1);
        }
    }

    /// Writes how many denials found no room since the last time, once there is room again. `record` says when.
    pub fn tell_aggregated(&mut self, record: &Record<'_>) {
        if self.aggregated == 0 {
            return;
        }
        self.frame(&Record { kind: Kind::DenialsAggregated, count: self.aggregated, ..record.clone() });
        if push(&mut self.denials, &self.scratch) {
            self.aggregated = 0;
        }
    }

    fn frame(&mut self, record: &Record<'_>) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&[0; PREFIX_BYTES]);
        record.encode(&mut self.scratch);
        let length = u32::try_from(self.scratch.len() - PREFIX_BYTES).unwrap_or(0);
        if let Some(prefix) = self.scratch.first_chunk_mut::<PREFIX_BYTES>() {
            *prefix = length.to_le_bytes();
        }
    }
}

/// What comes to be known only after the reservation: the origin's address and the states of the limits.
const LATE_BYTES: usize = 19 + LIMITS_PER_AGENT_MAX * 12;

impl RecordReader {
    /// Hands the records of permitted exchanges that are there to `take`, oldest first and where they lie, until it wants
    /// no more; gives how many it took. They count for `DurableMark`.
    pub fn take_permitted(&mut self, take: impl FnMut(&[u8]) -> Next) -> u64 {
        take_from(&mut self.permits, &mut self.wrapped, take)
    }

    /// The same of denials.
    pub fn take_denied(&mut self, take: impl FnMut(&[u8]) -> Next) -> u64 {
        take_from(&mut self.denials, &mut self.wrapped, take)
    }

    /// Takes the next record of a permitted exchange into `out`; false when there is none.
    pub fn next_permitted(&mut self, out: &mut Vec<u8>) -> bool {
        self.take_permitted(copy_one(out)) > 0
    }

    /// Takes the next record of a denial into `out`; false when there is none.
    pub fn next_denied(&mut self, out: &mut Vec<u8>) -> bool {
        self.take_denied(copy_one(out)) > 0
    }

    /// Whether the worker is gone and everything it wrote was taken.
    pub fn is_finished(&self) -> bool {
        self.permits.is_abandoned() && self.permits.is_empty() && self.denials.is_empty()
    }
}

/// All of it or nothing, so that a reader that finds a length finds its record too.
fn push(ring: &mut Producer<u8>, framed: &[u8]) -> bool {
    ring.push_entire_slice(framed).is_ok()
}

/// What becomes of the records after one that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Take,
    Leave,
}

fn copy_one(out: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Next {
    |record| {
        out.clear();
        out.extend_from_slice(record);
        Next::Leave
    }
}

/// The worker hears once of all that was taken: it looks at the same cache line for every record.
fn take_from(ring: &mut Consumer<u8>, wrapped: &mut Vec<u8>, mut take: impl FnMut(&[u8]) -> Next) -> u64 {
    let Ok(chunk) = ring.read_chunk(ring.slots()) else { return 0 };
    let (first, second) = chunk.as_slices();
    let (mut held, mut taken, mut bytes) = (Held { first, second }, 0, 0);
    while let Some(length) = held.take(PREFIX_BYTES, wrapped).and_then(|prefix| prefix.first_chunk()) {
        let length = u32::from_le_bytes(*length) as usize;
        // Records are pushed whole: where a length stands, so does its record.
        let Some(record) = held.take(length, wrapped) else { break };
        let next = take(record);
        taken += 1;
        bytes += PREFIX_BYTES + length;
        if next == Next::Leave {
            break;
        }
    }
    chunk.commit(bytes);
    taken
}

/// What a ring holds: two pieces where it wraps.
struct Held<'r> {
    first: &'r [u8],
    second: &'r [u8],
}

impl<'r> Held<'r> {
    /// The next bytes where they lie; in `wrapped` where they are in two pieces.
    fn take<'t>(&mut self, bytes: usize, wrapped: &'t mut Vec<u8>) -> Option<&'t [u8]>
    where
        'r: 't,
    {
        if let Some((taken, rest)) = self.first.split_at_checked(bytes) {
            self.first = rest;
            return Some(taken);
        }
        let (missing, rest) = self.second.split_at_checked(bytes - self.first.len())?;
        wrapped.clear();
        wrapped.extend_from_slice(self.first);
        wrapped.extend_from_slice(missing);
        (self.first, self.second) = (rest, &[]);
        Some(wrapped)
    }
}

#[cfg(test)]
mod tests;
