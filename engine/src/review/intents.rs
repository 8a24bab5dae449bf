//! Exchanges that were about to be forwarded, until their end is told: what a crash cut off has no other line.

use std::collections::HashMap;

use super::bounds::{INTENTS_HELD_BYTES_MAX, INTENTS_HELD_MAX};
use crate::replay::line::Exchange;
use crate::replay::tally::Place;

/// One that has begun.
pub struct Intent {
    pub place: Place,
    pub line_bytes: usize,
    pub exchange: Box<Exchange>,
}

/// Those of one gateway that have not ended, by their request ids.
#[derive(Default)]
pub struct Intents {
    held: HashMap<String, Intent>,
    bytes: usize,
}

impl Intents {
    /// One begins. Comes back: what is not waited for, because there is no room or its id has begun again.
    pub fn begin(&mut self, intent: Intent) -> Option<Intent> {
        let is_known = self.held.contains_key(&intent.exchange.request_id);
        if !is_known && (self.held.len() >= INTENTS_HELD_MAX || self.bytes >= INTENTS_HELD_BYTES_MAX) {
            return Some(intent);
        }
        self.bytes += intent.line_bytes;
        let before = self.held.insert(intent.exchange.request_id.clone(), intent);
        self.bytes -= before.as_ref().map_or(0, |before| before.line_bytes);
        before
    }

    /// One ended: its own line tells of it.
    pub fn end(&mut self, request_id: &str) {
        if let Some(ended) = self.held.remove(request_id) {
            self.bytes -= ended.line_bytes;
        }
    }

    /// All that have not ended, in the order of their lines.
    pub fn take(&mut self) -> Vec<Intent> {
        self.bytes = 0;
        let mut left: Vec<Intent> = self.held.drain().map(|(_, intent)| intent).collect();
        left.sort_by_key(|intent| intent.place);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::line::Line;

    fn intent(id: usize, line_bytes: usize) -> Intent {
        let line = format!(
            r#"{{"time":"2026-11-21T18:07:34Z","adamant.kind":"intent","adamant.request_id":"{id}","client.address":"::1","url.scheme":"http","http.request.method":"GET","server.address":"h","url.path":"/","adamant.decision":"permit"}}"#
        );
        let place = Place { log: 0, line: id as u64 };
        Intent { place, line_bytes, exchange: Line::intent(line.as_bytes()).unwrap() }
    }

    #[test]
    fn so_many_are_waited_for_and_so_many_bytes() {
        let left_over = |bytes: usize, count: usize| {
            let mut intents = Intents::default();
            let not_held = (0..count).filter(|id| intents.begin(intent(*id, bytes)).is_some()).count();
            assert_eq!(intents.take().len() + not_held, count);
            assert!(intents.take().is_empty() && intents.bytes == 0);
            not_held
        };
        assert_eq!(left_over(100, INTENTS_HELD_MAX + 5), 5);
        assert_eq!(left_over(1 << 20, (INTENTS_HELD_BYTES_MAX >> 20) + 3), 3);
    }

    #[test]
    fn what_ended_is_gone_and_an_id_that_begins_again_ends_the_one_before() {
        let mut intents = Intents::default();
        assert!(intents.begin(intent(1, 10)).is_none() && intents.begin(intent(2, 10)).is_none());
        assert_eq!(intents.begin(intent(2, 20)).map(|before| before.line_bytes), Some(10));
        intents.end("1");
        intents.end("unknown");
        assert_eq!(intents.take().into_iter().map(|of| of.line_bytes).collect::<Vec<_>>(), [20]);
    }
}
