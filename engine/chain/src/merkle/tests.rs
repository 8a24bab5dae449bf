//! Vectors of github.com/transparency-dev/merkle (testonly/constants.go, testdata/{inclusion,consistency}/*/happy-path;
//! those of the Certificate Transparency project), and the recursive definitions of RFC 6962 §2.1.

use proptest::prelude::*;

use super::*;
use crate::{base64, unbase64};

/// `testonly.LeafInputs()`.
fn entries() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![0x00],
        vec![0x10],
        vec![0x20, 0x21],
        vec![0x30, 0x31],
        vec![0x40, 0x41, 0x42, 0x43],
        (0x50..0x58).collect(),
        (0x60..0x70).collect(),
    ]
}

/// `testonly.RootHashes()` as hexadecimal, by size.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(parts: &[&[u8]]) -> Hash {
    Sha256::digest(parts.concat()).into()
}

fn leaves() -> Vec<Hash> {
    entries().iter().map(|entry| sha256(&[&[0], entry])).collect()
}

proptest! {
    #[test]
    fn hashes_are_those_of_a_library(left: Hash, right: Hash) {
        prop_assert_eq!(leaf_hash(&left), sha256(&[&[0], &left]));
        prop_assert_eq!(node_hash(&left, &right), sha256(&[&[1], &left, &right]));
    }
}

#[test]
fn published_roots() {
    let leaves = leaves();
    let mut frontier = Frontier::default();
    for size in 0..=8 {
        assert_eq!(hex(&frontier.root()), ROOTS[size]);
        assert_eq!(hex(&root_of(&leaves[..size])), ROOTS[size]);
        assert_eq!(frontier.size(), size as u64);
        if size < 8 {
            frontier.push(leaves[size]);
        }
    }
}

/// Index, size, proof.
const INCLUSION: [(usize, usize, &[&str]); 4] = [
    (
        0,
        8,
        &[
            "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
        ],
    ),
    (
        5,
        8,
        &[
            "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
            "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
    (2, 3, &["+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU="]),
    (
        1,
        5,
        &[
            "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
        ],
    ),
];

#[test]
fn published_inclusion_proofs() {
    let leaves = leaves();
    for (index, size, expected) in INCLUSION {
        let proof = inclusion_proof(&leaves[..size], index).unwrap();
        assert_eq!(proof.iter().map(base64).collect::<Vec<_>>(), expected, "leaf {index} of {size}");
        let root = root_of_inclusion(leaves[index], index as u64, size as u64, &proof).unwrap();
        assert_eq!(hex(&root), ROOTS[size]);
    }
}

/// Sizes, proof.
const CONSISTENCY: [(usize, usize, &[&str]); 4] = [
    (
        1,
        8,
        &[
            "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
        ],
    ),
    (
        6,
        8,
        &[
            "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
            "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
    (2, 5, &["Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="]),
    (
        6,
        7,
        &[
            "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
            "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
];

#[test]
fn published_consistency_proofs() {
    let leaves = leaves();
    for (older, newer, expected) in CONSISTENCY {
        let proof = consistency_proof(&leaves[..newer], older).unwrap();
        assert_eq!(proof.iter().map(base64).collect::<Vec<_>>(), expected, "{older} to {newer}");
        let (old, new) = (root_of(&leaves[..older]), root_of(&leaves[..newer]));
        assert!(is_consistent((older as u64, &old), (newer as u64, &new), &proof));
    }
    assert!(unbase64("bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=").is_some());
}

/// MTH as RFC 6962 §2.1 defines it.
fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

fn some_leaves(count: usize) -> Vec<Hash> {
    (0..count as u64).map(|number| sha256(&[&number.to_be_bytes()])).collect()
}

#[test]
fn every_proof_of_every_small_tree() {
    for size in 1..=40_usize {
        let leaves = some_leaves(size);
        let root = root_of(&leaves);
        assert_eq!(root, defined_root(&leaves));
        for index in 0..size {
            let proof = inclusion_proof(&leaves, index).unwrap();
            for (at, leaf) in leaves.iter().enumerate() {
                let leads = root_of_inclusion(*leaf, at as u64, size as u64, &proof) == Some(root);
                assert_eq!(leads, at == index, "leaf {at} by the proof of {index}, size {size}");
            }
        }
        assert_eq!(inclusion_proof(&leaves, size), None);
        for older in 0..=size {
            let proof = consistency_proof(&leaves, older).unwrap();
            for claimed in 0..=size {
                let old = root_of(&leaves[..claimed]);
                // Nothing is proved of an empty or an equal tree, so that each empty proof fits each of those.
                let fits = claimed == older || (proof.is_empty() && (claimed == 0 || claimed == size));
                let holds = is_consistent((claimed as u64, &old), (size as u64, &root), &proof);
                assert_eq!(holds, fits, "{claimed} by the proof of {older} in {size}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_proof_proves_nothing(size in 2_usize..200, index: prop::sample::Index, bit in 0_usize..256, node: prop::sample::Index) {
        let leaves = some_leaves(size);
        let (root, at) = (root_of(&leaves), index.index(size));
        let mut proof = inclusion_proof(&leaves, at).unwrap();
        let node = node.index(proof.len());
        proof[node][bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(root_of_inclusion(leaves[at], at as u64, size as u64, &proof), Some(root));
        proof[node][bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(root_of_inclusion(leaves[at], at as u64, size as u64, &proof), Some(root));
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert_eq!(root_of_inclusion(leaves[at], at as u64, size as u64, &longer), None);
        proof.pop();
        prop_assert_eq!(root_of_inclusion(leaves[at], at as u64, size as u64, &proof), None);
    }

    #[test]
    fn a_frontier_goes_on_from_its_roots(before in 0_usize..300, after in 0_usize..300) {
        let leaves = some_leaves(before + after);
        let mut first = Frontier::default();
        leaves[..before].iter().for_each(|leaf| first.push(*leaf));
        let mut second = Frontier::of(first.size(), first.roots().to_vec()).unwrap();
        leaves[before..].iter().for_each(|leaf| second.push(*leaf));
        prop_assert_eq!(second.root(), root_of(&leaves));
        prop_assert!(Frontier::of(before as u64 + 1, vec![]).is_none());
    }
}
