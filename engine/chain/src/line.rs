//! The last member of every line: `"adamant.chain":"CHAIN:SEQUENCE:LEAF:HASH"`.
//!
//! CHAIN is a worker's number or `control`, SEQUENCE counts the chain's lines from 0, LEAF all lines of the run from 0.
//! HASH is the base64 of SHA-256 over the hash before it in the chain and the line's bytes up to the HASH itself; for a
//! chain's first line the hash before it is [`genesis`]. The 32 bytes of HASH are the entry of leaf LEAF.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::bounds::WORKERS_MAX;
use crate::{Hash, unbase64};

/// Whose lines a chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// The gateway's own lines.
    Control,
    Worker(u32),
}

/// What the chain member of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub chain: Chain,
    pub sequence: u64,
    pub leaf: u64,
    pub hash: Hash,
}

/// A line taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Chained<'l> {
    pub link: Link,
    /// What the hash covers of the line.
    pub covered: &'l [u8],
}

const MEMBER: &[u8] = b",\"adamant.chain\":\"";
const HASH_TEXT_BYTES: usize = 44;
/// Chain, sequence and leaf at their longest, with their colons.
const NUMBERS_BYTES_MAX: usize = 10 + 20 + 20 + 3;
/// What ends a line, without its newline.
const END: &[u8] = b"\"}";

/// The hash before the first line of `chain` in the log `origin`.
pub fn genesis(origin: &str, chain: Chain) -> Hash {
    Sha256::digest(format!("adamant.chain.v1\n{origin}\n{chain}\n")).into()
}

/// The hash of a line.
pub fn hash(previous: &Hash, covered: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(covered).finalize().into()
}

/// Puts the chain member into the line that begins at `start` and ends with `}\n`; gives its hash.
pub fn append(lines: &mut Vec<u8>, start: usize, previous: &Hash, chain: Chain, sequence: u64, leaf: u64) -> Hash {
    lines.truncate(lines.len().saturating_sub(2).max(start));
    lines.extend_from_slice(MEMBER);
    let mut digits = Digits::default();
    match chain {
        Chain::Control => lines.extend_from_slice(b"control"),
        Chain::Worker(index) => lines.extend_from_slice(digits.of(index.into())),
    }
    lines.push(b':');
    lines.extend_from_slice(digits.of(sequence));
    lines.push(b':');
    lines.extend_from_slice(digits.of(leaf));
    lines.push(b':');
    let hash = hash(previous, lines.get(start..).unwrap_or_default());
    let mut text = [0; HASH_TEXT_BYTES];
    // 32 bytes have exactly 44 characters: it fits.
    let _ = STANDARD.encode_slice(hash, &mut text);
    lines.extend_from_slice(&text);
    lines.extend_from_slice(b"\"}\n");
    hash
}

/// Decimal digits without an allocation.
struct Digits([u8; 20]);

impl Default for Digits {
    fn default() -> Self {
        Self([b'0'; 20])
    }
}

impl Digits {
    fn of(&mut self, mut number: u64) -> &[u8] {
        let mut used = 0;
        for digit in self.0.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            used += 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.get(self.0.len() - used..).unwrap_or_default()
    }
}

/// The chain member of a line (without its newline); None when it has none in its one form.
pub fn read(line: &[u8]) -> Option<Chained<'_>> {
    let body = line.strip_suffix(END)?;
    let (covered, hash) = body.split_at_checked(body.len().checked_sub(HASH_TEXT_BYTES)?)?;
    let hash = unbase64(std::str::from_utf8(hash).ok()?)?;
    let tail_at = covered.len().saturating_sub(NUMBERS_BYTES_MAX + MEMBER.len());
    let tail = covered.get(tail_at..)?;
    // There is no quote in the numbers.
    let numbers_at = tail.iter().rposition(|byte| *byte == b'"')? + 1;
    let (before, numbers) = tail.split_at_checked(numbers_at)?;
    if !before.ends_with(MEMBER) {
        return None;
    }
    let numbers = std::str::from_utf8(numbers).ok()?.strip_suffix(':')?;
    let mut parts = numbers.split(':');
    let (chain, sequence, leaf) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let link = Link { chain: Chain::read(chain)?, sequence: number(sequence)?, leaf: number(leaf)?, hash };
    Some(Chained { link, covered })
}

/// Digits as `Digits` writes them.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || text.starts_with(|first: char| first.is_ascii_digit() && first != '0');
    text.parse().ok().filter(|_| canonical)
}

impl Chained<'_> {
    pub fn follows(&self, previous: &Hash) -> bool {
        hash(previous, self.covered) == self.link.hash
    }
}

impl Chain {
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "control" => Some(Self::Control),
            worker => number(worker)?.try_into().ok().filter(|index| *index < WORKERS_MAX).map(Self::Worker),
        }
    }
}

/// As it stands in lines.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Worker(index) => write!(f, "{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_of_a_line() {
        let mut lines = b"{\"a\":0}\n{\"a\":1}\n".to_vec();
        let previous = genesis("o", Chain::Worker(3));
        let hash = append(&mut lines, 8, &previous, Chain::Worker(3), 0, 17);
        let text = String::from_utf8(lines).unwrap();
        let covered = "{\"a\":1,\"adamant.chain\":\"3:0:17:";
        assert_eq!(text, format!("{{\"a\":0}}\n{covered}{}\"}}\n", crate::base64(&hash)));
        let by_hand: Hash = Sha256::digest([&previous[..], covered.as_bytes()].concat()).into();
        assert_eq!(hash, by_hand);
        let whole = text.lines().nth(1).unwrap();
        let chained = read(whole.as_bytes()).unwrap();
        assert_eq!(chained.link, Link { chain: Chain::Worker(3), sequence: 0, leaf: 17, hash });
        assert!(chained.follows(&previous) && !chained.follows(&hash));
        assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok());
    }

    #[test]
    fn another_form_is_no_chain_member() {
        let hash = crate::base64(&[1; 32]);
        let line =
            |numbers: &str| read(format!("{{\"a\":1,\"adamant.chain\":\"{numbers}:{hash}\"}}").as_bytes()).is_some();
        assert!(line("control:0:0") && line("4095:18446744073709551615:18446744073709551615"));
        for wrong in
            ["0:0", "0:0:0:0", "00:0:0", "+1:0:0", "x:0:0", "0:01:0", "0: 1:0", "4096:0:0", "4294967296:0:0", "::"]
        {
            assert!(!line(wrong), "{wrong}");
        }
        assert!(read(b"").is_none() && read(b"{\"a\":1}").is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(worker in 0..=WORKERS_MAX, sequence: u64, leaf: u64, body in "[a-z\":,]{0,200}") {
            let chain = Some(worker).filter(|worker| *worker < WORKERS_MAX).map_or(Chain::Control, Chain::Worker);
            let mut lines = format!("{{\"x\":\"{body}\"}}\n").into_bytes();
            let hash = append(&mut lines, 0, &[9; 32], chain, sequence, leaf);
            let chained = read(&lines[..lines.len() - 1]).unwrap();
            prop_assert_eq!(chained.link, Link { chain, sequence, leaf, hash });
            prop_assert!(chained.follows(&[9; 32]));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
