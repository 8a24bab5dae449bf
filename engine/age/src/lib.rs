//! The age file format, version 1 (<https://age-encryption.org/v1>), with X25519 recipients and nothing else of it: no
//! passphrases, plugins or armor. Whoever has the public key encrypts; only the identity, its private half, decrypts.
//!
//! Encryption says nothing about who encrypted: anybody may, to a public key. What proves the origin of a content (a chain,
//! a signature, a digest) is another matter.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

mod bech32;
mod fault;
mod header;
mod keys;
mod stream;

pub use fault::Fault;
pub use keys::{Identity, Recipient, identities};

/// What every age file begins with.
pub const INTRO: &[u8] = b"age-encryption.org/v1\n";
/// Recipients of one file, and stanzas of one that is read.
pub const RECIPIENTS_MAX: usize = 16;

/// Bytes of a file key.
const FILE_KEY_BYTES: usize = 16;

/// Whether `bytes` begin as an age file does.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(INTRO)
}

/// Appends `plain` to `into`, encrypted to each of `recipients`: one whole age file, by a key of its own.
pub fn encrypt(plain: &[u8], recipients: &[Recipient], into: &mut Vec<u8>) -> Result<(), Fault> {
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        return Err(Fault::Recipients(recipients.len()));
    }
    let mut file_key = Zeroizing::new([0; FILE_KEY_BYTES]);
    aws_lc_rs::rand::fill(file_key.as_mut_slice()).map_err(|_| Fault::Randomness)?;
    header::write(&file_key, recipients, into)?;
    stream::encrypt(&file_key, plain, into)
}

/// The content of a whole age file that is encrypted to one of `identities`. Nothing of one that is damaged is given.
pub fn decrypt(bytes: &[u8], identities: &[Identity]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let (header, payload) = header::Header::read(bytes)?;
    let file_key = header.unwrap(identities)?;
    stream::decrypt(&file_key, payload)
}

/// HKDF-SHA-256 (RFC 5869), 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, Fault> {
    struct Bytes32;
    impl KeyType for Bytes32 {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
    let filled = derived.expand(&[info], Bytes32).and_then(|material| material.fill(key.as_mut_slice()));
    filled.map_err(|_| Fault::Library)?;
    Ok(key)
}

/// A key of ChaCha20-Poly1305 (RFC 8439).
fn chacha(key: &Zeroizing<[u8; 32]>) -> Result<LessSafeKey, Fault> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).map_err(|_| Fault::Library)?))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]
mod tests;
