//! Proof that one line is in the log of a checkpoint: all it takes but the key.

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointFault, open_own};
use crate::line;
use crate::merkle::{leaf_hash, root_of_inclusion};
use crate::note::Verifier;
use crate::{Hash, base64, unbase64};

/// Names the form below.
pub const FORMAT: &str = "adamant-record-proof-v1";

/// A line, the way from it to the root, and the signed root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub format: String,
    /// The line as it stands in the log, without its newline.
    pub line: String,
    /// Base64 of the hash before it in its chain.
    pub previous: String,
    /// Base64 of the sibling hashes, from the leaf upwards (RFC 6962 §2.1.1).
    pub path: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    #[error("expected format {FORMAT:?}, found {0:?}")]
    Format(String),
    #[error("expected a line with a chain member, found none")]
    Line,
    #[error("expected base64 of 32 bytes, found {0:?}")]
    Hash(String),
    #[error("the line was changed: its chain member is not the hash over it and the hash before it")]
    Changed,
    #[error("the line is number {leaf}, the checkpoint is of the first {size} lines")]
    NotCovered { leaf: u64, size: u64 },
    #[error("the path from line {leaf} does not lead to the root of the checkpoint of {size} lines")]
    Path { leaf: u64, size: u64 },
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointFault),
}

impl Proof {
    pub fn new(line: &str, previous: &Hash, path: &[Hash], checkpoint: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            line: line.to_owned(),
            previous: base64(previous),
            path: path.iter().map(base64).collect(),
            checkpoint: checkpoint.to_owned(),
        }
    }

    /// Checks everything; gives the checkpoint, its signer, and the number of the line among all of the run.
    pub fn check<'v>(&self, verifiers: &'v [Verifier]) -> Result<(Checkpoint, &'v Verifier, u64), ProofFault> {
        if self.format != FORMAT {
            return Err(ProofFault::Format(self.format.chars().take(80).collect()));
        }
        let hash = |text: &String| unbase64(text).ok_or_else(|| ProofFault::Hash(text.chars().take(80).collect()));
        let chained = line::read(self.line.as_bytes()).ok_or(ProofFault::Line)?;
        if !chained.follows(&hash(&self.previous)?) {
            return Err(ProofFault::Changed);
        }
        let path: Vec<Hash> = self.path.iter().map(hash).collect::<Result<_, _>>()?;
        let (checkpoint, signer) = open_own(&self.checkpoint, verifiers)?;
        let (leaf, size) = (chained.link.leaf, checkpoint.size);
        if leaf >= size {
            return Err(ProofFault::NotCovered { leaf, size });
        }
        match root_of_inclusion(leaf_hash(&chained.link.hash), leaf, size, &path) {
            Some(root) if root == checkpoint.root => Ok((checkpoint, signer, leaf)),
            _ => Err(ProofFault::Path { leaf, size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use policy_release::key::SigningKey;

    use super::*;
    use crate::line::Chain;
    use crate::log::Log;
    use crate::{merkle, note};

    #[test]
    fn each_part_of_a_proof_counts() {
        let key = SigningKey::generate([3; 32]).unwrap();
        let verifier = Verifier::new("node", key.public()).unwrap();
        let (mut log, mut lines) = (Log::new("node/now".to_owned(), 1), Vec::new());
        for number in 0..11 {
            let start = lines.len();
            lines.extend_from_slice(format!("{{\"number\":{number}}}\n").as_bytes());
            log.seal(&mut lines, start, Chain::Worker(0));
        }
        let text = String::from_utf8(lines).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let hashes: Vec<Hash> = lines.iter().map(|line| line::read(line.as_bytes()).unwrap().link.hash).collect();
        let leaves: Vec<Hash> = hashes.iter().map(leaf_hash).collect();
        let head = log.checkpoint().text();
        let checkpoint = note::signed(&head, &verifier, &key.sign(head.as_bytes()).unwrap());
        let path = merkle::inclusion_proof(&leaves, 6).unwrap();
        let proof = Proof::new(lines[6], &hashes[5], &path, &checkpoint);
        let verifiers = [verifier];
        let (found, _, leaf) = proof.check(&verifiers).unwrap();
        assert_eq!((found, leaf), (log.checkpoint(), 6));
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<Proof>(&text).unwrap(), proof);

        let refused = |change: &dyn Fn(&mut Proof)| {
            let mut changed = proof.clone();
            change(&mut changed);
            changed.check(&verifiers).unwrap_err()
        };
        assert!(matches!(refused(&|proof| proof.format.push('2')), ProofFault::Format(_)));
        assert_eq!(refused(&|proof| proof.line = "{}".to_owned()), ProofFault::Line);
        assert_eq!(
            refused(&|proof| proof.line = proof.line.replace("\"number\":6", "\"number\":7")),
            ProofFault::Changed
        );
        assert_eq!(refused(&|proof| proof.previous = base64(&hashes[4])), ProofFault::Changed);
        assert!(matches!(refused(&|proof| proof.path.swap(0, 1)), ProofFault::Path { .. }));
        assert!(matches!(refused(&|proof| proof.path[0] = "x".to_owned()), ProofFault::Hash(_)));
        assert!(matches!(
            refused(&|proof| proof.checkpoint = proof.checkpoint.replace("\n11\n", "\n12\n")),
            ProofFault::Checkpoint(CheckpointFault::Wrong(_))
        ));
        assert!(matches!(proof.check(&[]), Err(ProofFault::Checkpoint(CheckpointFault::Unsigned(_)))));
    }
}
