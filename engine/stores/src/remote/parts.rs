//! Files that are larger than a value of a server may be: in numbered parts, with a head in the place of the file. The parts
//! are named by the digest of the whole, so that those of two writers never mix.
//!
//! ```text
//! releases/sha256-<64 hex>.json     {"adamant_parts":3,"bytes":1000000,"digest":"sha256:…"}
//! parts/sha256-<64 hex>/0000        (the digest of the whole file)
//! ```

use std::fmt;

use policy_release::digest::Digest;
use serde_json::{Value, json};

/// Bytes of a part: with base64 around it, and what encryption adds, below what each server takes (Consul 512 KiB, OpenBao
/// 1 MiB, etcd 1.5 MiB).
pub const PART_BYTES_MAX: usize = 384 << 10;
/// Parts of a file.
pub const PARTS_MAX: usize = 1_024;
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 256;

/// What stands in the place of a file in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    length: usize,
    digest: Digest,
}

/// The head and the parts of a file that is too large for one value.
pub fn split(bytes: &[u8]) -> Option<(Head, Vec<&[u8]>)> {
    let whole = Head { length: bytes.len(), digest: Digest::of(bytes) };
    (bytes.len() > PART_BYTES_MAX).then(|| (whole, bytes.chunks(PART_BYTES_MAX).collect()))
}

impl Head {
    /// None: it is a file itself. A head with other numbers than fit each other is none either.
    pub fn of(content: &[u8]) -> Option<Self> {
        let head: Value = (content.len() <= HEAD_BYTES_MAX).then(|| serde_json::from_slice(content).ok())??;
        let number = |name: &str| usize::try_from(head.get(name)?.as_u64()?).ok();
        let found = Self { length: number("bytes")?, digest: head.get("digest")?.as_str()?.parse().ok()? };
        let fits = number("adamant_parts")? == found.count() && (1..=PARTS_MAX).contains(&found.count());
        fits.then_some(found)
    }

    pub const fn length(&self) -> usize {
        self.length
    }

    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    pub const fn count(&self) -> usize {
        self.length.div_ceil(PART_BYTES_MAX)
    }

    /// Of a part.
    pub fn length_of(&self, at: usize) -> usize {
        self.length.saturating_sub(at.saturating_mul(PART_BYTES_MAX)).min(PART_BYTES_MAX)
    }

    /// The name of a part.
    pub fn part(&self, at: usize) -> String {
        format!("parts/{}/{at:04}", self.digest.to_string().replace(':', "-"))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.to_string();
        json!({ "adamant_parts": self.count(), "bytes": self.length, "digest": digest }).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_comes_apart_and_together_again() {
        assert!(split(&vec![1; PART_BYTES_MAX]).is_none());
        let bytes: Vec<u8> = (0..2 * PART_BYTES_MAX + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (head, parts) = split(&bytes).unwrap();
        assert_eq!(parts.concat(), bytes);
        assert_eq!(Head::of(head.to_string().as_bytes()), Some(head.clone()));
        assert!(parts.iter().enumerate().all(|(at, part)| part.len() == head.length_of(at)));
        assert!(head.part(1).ends_with("/0001") && head.part(1).starts_with("parts/sha256-"));
    }

    #[test]
    fn what_is_no_head_is_a_file() {
        let digest = Digest::of(b"x").to_string();
        let head =
            |parts: u64, bytes: u64| json!({"adamant_parts": parts, "bytes": bytes, "digest": digest}).to_string();
        assert!(Head::of(head(1, 5).as_bytes()).is_some());
        for wrong in [head(0, 0), head(2, 5), head(1, u64::MAX), head(1_025, 1_025 * PART_BYTES_MAX as u64)] {
            assert!(Head::of(wrong.as_bytes()).is_none(), "{wrong}");
        }
        for wrong in ["", "{}", "[]", "{\"adamant_parts\":1,\"bytes\":5,\"digest\":\"x\"}"] {
            assert!(Head::of(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
