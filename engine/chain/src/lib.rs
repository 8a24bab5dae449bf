//! The record chain: chained lines, Merkle tree, signed checkpoints, proofs. Bytes in, verdict out.
//!
//! Each line ends with the hash over the hash before it in its chain and its own bytes ([`line`]). The hashes are the
//! leaves of one tree per run of the process ([`merkle`]), whose root is signed from time to time ([`checkpoint`]).

pub mod bounds;
pub mod checkpoint;
pub mod line;
pub mod log;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod report;
pub mod verify;

/// SHA-256.
pub type Hash = [u8; 32];

/// Standard base64 with padding (RFC 4648 §4), as checkpoints have it.
pub fn base64(hash: &Hash) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// A hash from its one base64 form.
pub fn unbase64(text: &str) -> Option<Hash> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()?.try_into().ok()
}
