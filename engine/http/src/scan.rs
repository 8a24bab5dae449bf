//! When an incomplete head is worth another look.

/// Counts how far a growing block was searched for the end of its head, so that a client that sends one byte at a
/// time costs a few nanoseconds a byte instead of a parse of everything so far (a 16 KiB head sent so would cost
/// 16,384 parses). Eight bytes; lives with the connection, one per head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    searched: u32,
    parsed: u32,
}

impl Scan {
    /// A scan for a new head: nothing was searched.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `bytes`, the head so far from its first byte, should be parsed: it is the first look, an empty line
    /// or a bare LF was found in what is new, or the block has doubled since the last parse. Call once per arrival
    /// of bytes.
    pub fn is_due(&mut self, bytes: &[u8]) -> bool {
        let from = (self.searched as usize).saturating_sub(3);
        self.searched = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if self.parsed == 0 {
            self.parsed = self.searched;
            return true;
        }
        let fresh = bytes.get(from..).unwrap_or(&[]);
        let ends = fresh.windows(4).any(|four| four == b"\r\n\r\n");
        let bare = fresh.iter().zip(fresh.iter().skip(1)).any(|(first, second)| *second == b'\n' && *first != b'\r');
        let doubled = self.searched >= self.parsed.saturating_mul(2);
        let due = ends || bare || doubled;
        if due {
            self.parsed = self.searched;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, Progress, RequestHead, parse_request};

    #[test]
    fn a_slow_head_is_parsed_a_few_times_and_still_found_at_its_last_byte() {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(4_000));
        let mut scan = Scan::new();
        let (mut parses, mut found) = (0, None);
        for end in 1..=head.len() {
            let bytes = head.as_bytes().get(..end).unwrap();
            if scan.is_due(bytes) {
                parses += 1;
                if parse_request(bytes, &Bounds::default(), &mut RequestHead::new()) == Ok(Progress::Complete) {
                    found = Some(end);
                }
            }
        }
        assert_eq!(found, Some(head.len()));
        assert!(parses <= 14, "{parses}");
    }

    #[test]
    fn a_bare_line_feed_is_looked_at_at_once() {
        let mut scan = Scan::new();
        assert!(scan.is_due(b"GET / HTTP/1.1\r\nHost: a"));
        assert!(!scan.is_due(b"GET / HTTP/1.1\r\nHost: a\r"));
        assert!(!scan.is_due(b"GET / HTTP/1.1\r\nHost: a\r\n"));
        assert!(scan.is_due(b"GET / HTTP/1.1\r\nHost: a\r\n\n"));
    }
}
