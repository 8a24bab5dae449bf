//! Exchanges in the order of their decisions: a line is written when its exchange ends, its decision was made when it
//! began.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::line::Exchange;
use super::tally::Place;

/// Exchanges that are held back, and bytes of their lines.
const HELD_MAX: usize = 1 << 14;
const HELD_BYTES_MAX: usize = 64 << 20;

/// Holds exchanges back until those that were decided before them are there.
#[derive(Default)]
pub struct Order {
    held: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
}

/// An exchange that waits for its turn: the earliest decision is the least.
struct Waiting {
    time_unix_ns: u64,
    place: Place,
    line_bytes: usize,
    exchange: Box<Exchange>,
}

impl Order {
    /// Takes one in, of a line of so many bytes.
    pub fn push(&mut self, place: Place, exchange: Box<Exchange>, line_bytes: usize) {
        self.bytes += line_bytes;
        self.held.push(Reverse(Waiting { time_unix_ns: exchange.time_unix_ns, place, line_bytes, exchange }));
    }

    /// The earliest, while more are held than may be.
    pub fn surplus(&mut self) -> Option<Box<Exchange>> {
        if self.held.len() <= HELD_MAX && self.bytes <= HELD_BYTES_MAX { None } else { self.pop() }
    }

    /// The earliest.
    pub fn pop(&mut self) -> Option<Box<Exchange>> {
        let Reverse(next) = self.held.pop()?;
        self.bytes -= next.line_bytes;
        Some(next.exchange)
    }
}

impl Waiting {
    const fn key(&self) -> (u64, Place) {
        (self.time_unix_ns, self.place)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::line::Line;

    const LINE: &[u8] = br#"{"time":"2026-11-21T18:07:34Z","adamant.kind":"exchange","adamant.request_id":"1","client.address":"::1","url.scheme":"http","http.request.method":"GET","server.address":"h","url.path":"/","adamant.decision":"permit"}"#;

    fn held(sizes: impl Iterator<Item = usize>) -> usize {
        let mut order = Order::default();
        let mut surplus = 0;
        for (line, bytes) in (1..).zip(sizes) {
            let Ok(Line::Exchange(exchange)) = Line::parse(LINE) else { panic!() };
            order.push(Place { log: 0, line }, exchange, bytes);
            while order.surplus().is_some() {
                surplus += 1;
            }
        }
        let rest = std::iter::from_fn(|| order.pop()).count();
        assert_eq!(order.bytes, 0);
        assert!(surplus > 0);
        rest
    }

    #[test]
    fn so_many_are_held_and_so_many_bytes() {
        assert_eq!(held((0..HELD_MAX + 5).map(|_| 100)), HELD_MAX);
        assert_eq!(held((0..100).map(|_| 1 << 20)), HELD_BYTES_MAX >> 20);
    }
}
