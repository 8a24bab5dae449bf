//! What follows from the same facts is formatted once.

use crate::bounds::{RECORDS_PHRASE_BYTES_MAX, RECORDS_PHRASES};

/// Texts by the facts that they follow from. Each has one place where it can stand; who comes later takes it.
pub struct Phrases {
    places: Vec<Phrase>,
}

#[derive(Clone, Default)]
struct Phrase {
    facts: Vec<u8>,
    text: Vec<u8>,
}

impl Default for Phrases {
    fn default() -> Self {
        Self { places: vec![Phrase::default(); RECORDS_PHRASES] }
    }
}

impl Phrases {
    /// Appends what `write` appends, which depends on nothing but `facts`.
    pub fn put(&mut self, out: &mut Vec<u8>, facts: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let Some(phrase) = self.places.get_mut(place(facts)) else { return write(out) };
        if phrase.facts == facts && !facts.is_empty() {
            return out.extend_from_slice(&phrase.text);
        }
        let start = out.len();
        write(out);
        let text = out.get(start..).unwrap_or_default();
        if facts.len() + text.len() <= RECORDS_PHRASE_BYTES_MAX {
            phrase.facts.clear();
            phrase.facts.extend_from_slice(facts);
            phrase.text.clear();
            phrase.text.extend_from_slice(text);
        }
    }
}

/// Quick, and good enough to tell agents and tokens apart: facts that share a place cost time and nothing else.
fn place(facts: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |mixed: u64, word: u64| (mixed.rotate_left(23) ^ word).wrapping_mul(ODD);
    let (words, rest) = facts.as_chunks();
    let mixed = words.iter().fold(0, |mixed, word| mix(mixed, u64::from_le_bytes(*word)));
    let mixed = rest.iter().fold(mixed, |mixed, byte| mix(mixed, u64::from(*byte)));
    (mixed >> 32) as usize % RECORDS_PHRASES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(phrases: &mut Phrases, facts: &[u8], text: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        phrases.put(&mut out, facts, |out| out.extend_from_slice(text));
        out.split_off(6)
    }

    #[test]
    fn the_same_facts_give_the_text_of_the_first_time() {
        let mut phrases = Phrases::default();
        assert_eq!(put(&mut phrases, b"facts", b"first"), b"first");
        assert_eq!(put(&mut phrases, b"facts", b"second"), b"first");
        assert_eq!(put(&mut phrases, b"", b"a"), b"a");
        assert_eq!(put(&mut phrases, b"", b"b"), b"b");
    }

    #[test]
    fn facts_that_share_a_place_are_told_apart() {
        let mut phrases = Phrases::default();
        for number in (0..4 * RECORDS_PHRASES).chain(0..4 * RECORDS_PHRASES) {
            let facts = format!("the facts, number {number}");
            assert_eq!(put(&mut phrases, facts.as_bytes(), facts.as_bytes()), facts.as_bytes());
        }
        let used = phrases.places.iter().filter(|phrase| !phrase.facts.is_empty()).count();
        assert!(used > RECORDS_PHRASES / 2, "{used}");
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let mut phrases = Phrases::default();
        let long = vec![b'x'; RECORDS_PHRASE_BYTES_MAX];
        assert_eq!(put(&mut phrases, b"facts", &long), long);
        assert_eq!(put(&mut phrases, b"facts", b"short"), b"short");
        assert_eq!(put(&mut phrases, b"facts", &long), b"short");
    }
}
