//! Where a key stands in a hash table of the image: one of two cache lines, known from one hash.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Spreads small integers over 64 bits (2⁶⁴ ÷ golden ratio).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hash of the edge that leaves node `parent` for `segment`.
pub(crate) fn edge(seed: u64, parent: u32, segment: &[u8]) -> u64 {
    xxh3_64_with_seed(segment, seed ^ (u64::from(parent) + 1).wrapping_mul(SPREAD))
}

/// Hash of a proof: its kind, the CA or issuer it belongs to, and its value.
pub(crate) fn proof(seed: u64, kind: u8, qualifier: u16, value: &[u8]) -> u64 {
    let domain = (u64::from(kind) << 16 | u64::from(qualifier)) + 1;
    xxh3_64_with_seed(value, seed ^ domain.wrapping_mul(SPREAD))
}

/// Hash of a combination of proofs.
pub(crate) fn combination(seed: u64, members: [u32; 3]) -> u64 {
    let mut bytes = [0; 12];
    for (to, from) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(members) {
        *to = from.to_le_bytes();
    }
    xxh3_64_with_seed(&bytes, seed)
}

/// The seed of try `attempt` for the table of the policy with this digest.
pub(crate) fn seed(digest: &[u8; 32], purpose: u64, attempt: u64) -> u64 {
    xxh3_64_with_seed(digest, purpose << 32 | attempt)
}

/// The id that a limit keeps through every edit of its numbers: XXH3-64 of `agent NUL limit`.
pub fn limit_stable_id(agent: &str, limit: &str) -> u64 {
    let mut bytes = Vec::with_capacity(agent.len() + limit.len() + 1);
    bytes.extend_from_slice(agent.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(limit.as_bytes());
    xxh3_64(&bytes)
}

/// The two lines that may hold a key, and what is stored beside it to tell it from its neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    first: u32,
    second: u32,
    pub tag: u32,
}

impl Probe {
    pub fn new(hash: u64, lines: u32) -> Self {
        let line = |half: u32| ((u64::from(half) * u64::from(lines)) >> 32) as u32;
        let (low, high) = (hash as u32, (hash >> 32) as u32);
        Self { first: line(low), second: line(high), tag: low.wrapping_mul(0x9E37_79B1) ^ high }
    }

    /// The tag as edges store it.
    pub fn short_tag(&self) -> u8 {
        self.tag as u8
    }

    /// The line to look at first.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The line to look at second; equal to the first for a few keys.
    pub fn second(&self) -> u32 {
        self.second
    }

    /// Both lines, or the one that is both.
    pub fn lines(&self) -> impl Iterator<Item = u32> + use<> {
        let other = (self.second != self.first).then_some(self.second);
        std::iter::once(self.first).chain(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_stay_inside_and_reach_every_line() {
        for lines in [1, 2, 7, 1000] {
            let mut reached = vec![false; lines as usize];
            for key in 0_u32..20_000 {
                let probe = Probe::new(edge(7, key, b"orders"), lines);
                for line in probe.lines() {
                    reached[line as usize] = true;
                }
            }
            assert!(reached.into_iter().all(|line| line), "{lines} lines");
        }
    }

    #[test]
    fn stable_ids_keep_agent_and_limit_apart() {
        assert_ne!(limit_stable_id("ab", "c"), limit_stable_id("a", "bc"));
        assert_eq!(limit_stable_id("a", "b"), xxh3_64(b"a\0b"));
    }
}
