//! A subject as a table of subjects keeps and compares it: the whole key in words, and its hash.

use sha2::{Digest, Sha256};

use super::sync::KEY_WORDS;

/// In the place of a length: the words are the SHA-256 of a longer subject. No inline subject is so long.
pub const DIGEST_MARK: u8 = 0xff;
/// Bytes that a key can hold.
pub const KEY_BYTES: usize = KEY_WORDS * 8;

/// A whole key: bytes padded with zeros, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub length: u8,
    pub words: [u64; KEY_WORDS],
}

/// A key and its hash, which decides where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub key: Key,
    pub hash: u64,
}

impl Key {
    /// The key of a subject of any length.
    pub fn of(subject: &[u8]) -> Self {
        match u8::try_from(subject.len()) {
            Ok(length) if subject.len() <= KEY_BYTES => Self { length, words: words(subject) },
            _ => Self { length: DIGEST_MARK, words: words(&Sha256::digest(subject)) },
        }
    }

    /// The key that `bytes` gives back, none for a length that no key has.
    pub fn from_bytes(length: u8, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == bytes_of(length)?).then(|| Self { length, words: words(bytes) })
    }

    /// The bytes kept, `bytes_of(length)` of them, in words.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.words.into_iter().flat_map(u64::to_le_bytes).take(bytes_of(self.length).unwrap_or(0))
    }
}

/// Bytes that a key with this length field keeps.
pub fn bytes_of(length: u8) -> Option<usize> {
    match length {
        DIGEST_MARK => Some(32),
        inline => Some(usize::from(inline)).filter(|&bytes| bytes <= KEY_BYTES),
    }
}

impl Subject {
    pub fn new(subject: &[u8], hasher: &ahash::RandomState) -> Self {
        Self::of_key(Key::of(subject), hasher)
    }

    pub fn of_key(key: Key, hasher: &ahash::RandomState) -> Self {
        Self { key, hash: hasher.hash_one((key.length, key.words)) }
    }
}

fn words(bytes: &[u8]) -> [u64; KEY_WORDS] {
    let mut words = [0; KEY_WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(chunk) {
            *to = *from;
        }
        *word = u64::from_le_bytes(padded);
    }
    words
}
