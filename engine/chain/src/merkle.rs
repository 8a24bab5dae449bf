//! The Merkle tree of RFC 6962 §2.1 with SHA-256: its head while it grows, and its proofs.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use crate::Hash;
use crate::bounds::{LEVELS_MAX, SIZE_MAX};

/// MTH({}) (RFC 6962 §2.1).
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// MTH({d}): SHA-256(0x00 || d).
pub fn leaf_hash(entry: &Hash) -> Hash {
    const PADDED: [u8; BLOCK_BYTES] = padded(0, 1 + 32);
    let mut block = PADDED;
    block[1..33].copy_from_slice(entry);
    compressed(&[block])
}

/// SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    const PADDED: [u8; 2 * BLOCK_BYTES] = padded(1, 1 + 2 * 32);
    let mut blocks = PADDED;
    blocks[1..33].copy_from_slice(left);
    blocks[33..65].copy_from_slice(right);
    compressed(blocks.as_chunks().0)
}

const BLOCK_BYTES: usize = 64;
/// H(0) of SHA-256 (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// The blocks of a message of `bytes` bytes (FIPS 180-4 §5.1.1) that begins with `first`; the rest of it is to be filled
/// in. Lengths here are known and few: to buffer and to pad anew cost as much again as half of the compression.
#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn padded<const N: usize>(first: u8, bytes: usize) -> [u8; N] {
    let mut blocks = [0; N];
    blocks[0] = first;
    blocks[bytes] = 0x80;
    let [high, low] = ((bytes * 8) as u16).to_be_bytes();
    (blocks[N - 2], blocks[N - 1]) = (high, low);
    blocks
}

fn compressed(blocks: &[[u8; BLOCK_BYTES]]) -> Hash {
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// The right edge of a growing tree: the roots of its perfect subtrees, largest first. Their sizes are the bits of the
/// tree's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// A tree of `size` leaves whose perfect subtrees have these roots, largest first; None when their number does not
    /// fit the size, or no log is that long.
    pub fn of(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize && size <= SIZE_MAX).then_some(Self { size, roots })
    }

    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf, given its [`leaf_hash`]: one more node for each perfect subtree that it completes.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            node = node_hash(&left, &node);
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        let folded = self.roots.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(empty_root)
    }
}

/// The root over leaf hashes.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// Proof that leaf `index` is in the tree of these leaf hashes: PATH(m, D[n]) of RFC 6962 §2.1.1, from the leaf upwards.
/// None when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut rest, mut index, mut path) = (leaves, index, Vec::new());
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split(rest.len()));
        if index < left.len() {
            path.push(root_of(right));
            rest = left;
        } else {
            path.push(root_of(left));
            index -= left.len();
            rest = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Proof that the tree of the first `older` of these leaf hashes is the beginning of the whole one: PROOF(m, D[n]) of
/// RFC 6962 §2.1.2. None when `older` is larger than the tree.
pub fn consistency_proof(leaves: &[Hash], older: usize) -> Option<Vec<Hash>> {
    if older > leaves.len() {
        return None;
    }
    if older == 0 {
        return Some(Vec::new());
    }
    // SUBPROOF: b says whether what is left of the older tree is a whole tree that the verifier knows.
    let (mut rest, mut older, mut whole, mut path) = (leaves, older, true, Vec::new());
    while older < rest.len() {
        let (left, right) = rest.split_at(split(rest.len()));
        if older <= left.len() {
            path.push(root_of(right));
            rest = left;
        } else {
            path.push(root_of(left));
            older -= left.len();
            rest = right;
            whole = false;
        }
    }
    if !whole {
        path.push(root_of(rest));
    }
    path.reverse();
    Some(path)
}

/// The largest power of two smaller than `count`, which is 2 at least.
const fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

/// The root that `path` leads to from leaf `index` of a tree of `size` leaves (RFC 9162 §2.1.3.2); None when the path
/// has the wrong length for that place.
pub fn root_of_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size || path.len() > LEVELS_MAX {
        return None;
    }
    let (mut at, mut last, mut root) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(sibling, &root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

/// Whether `path` proves that the tree of `older.0` leaves with root `older.1` is the beginning of `newer`
/// (RFC 9162 §2.1.4.2).
pub fn is_consistent(older: (u64, &Hash), newer: (u64, &Hash), path: &[Hash]) -> bool {
    let ((older_size, older_root), (newer_size, newer_root)) = (older, newer);
    if older_size > newer_size || path.len() > LEVELS_MAX + 1 {
        return false;
    }
    if older_size == newer_size {
        return path.is_empty() && older_root == newer_root;
    }
    if older_size == 0 {
        return path.is_empty() && *older_root == empty_root();
    }
    let known = older_size.is_power_of_two().then_some(older_root);
    let mut nodes = known.into_iter().chain(path);
    let Some(first) = nodes.next() else { return false };
    let (mut at, mut last) = (older_size - 1, newer_size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut old, mut new) = (*first, *first);
    for node in nodes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node_hash(node, &old), node_hash(node, &new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, node);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *older_root && new == *newer_root
}

#[cfg(test)]
mod tests;
