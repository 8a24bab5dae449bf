//! The key that assertions are signed with, and its public half as origins get it.
//!
//! ES256 (RFC 7518 §3.4), because every library for JWT verifies it. Ed25519 would cost about a quarter less
//! (`cargo bench -p bench --bench stages -- sign-`), and many origins could not verify it.

use std::fmt;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, Signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{TYPE, Unsigned};

/// Bytes of the private scalar, and of the public point uncompressed (SEC 1 §2.3.3).
const SCALAR_BYTES: usize = 32;
const POINT_BYTES: usize = 65;
/// Bytes of a key as it is kept.
pub const KEY_BYTES: usize = SCALAR_BYTES + POINT_BYTES;

/// A private key on the curve P-256. The library wipes it when it goes.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    kid: String,
    /// The header of the JWS in base64url, with the dot behind it.
    header: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("the library made no key: it is out of memory or randomness")]
    Library,
    #[error("expected {KEY_BYTES} bytes of a P-256 key with its public half, found something else")]
    Form,
}

impl SigningKey {
    /// A new one, from the randomness of the library.
    pub fn generate() -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyFault::Library)?;
        Self::of(pair)
    }

    /// What [`SigningKey::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyFault> {
        let (scalar, point) = bytes.split_at_checked(SCALAR_BYTES).ok_or(KeyFault::Form)?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point);
        Self::of(pair.map_err(|_| KeyFault::Form)?)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, KeyFault> {
        let mut key = Self { pair, kid: String::new(), header: Vec::new() };
        let (x, y) = key.coordinates().ok_or(KeyFault::Form)?;
        // RFC 7638 §3: the required members in their order, without white space.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        key.say(&kid);
        Ok(key)
    }

    /// The same key under the name of another one: for a probe that looks whether anybody verifies signatures.
    #[must_use]
    pub fn posing_as(mut self, kid: &str) -> Self {
        self.say(kid);
        self
    }

    fn say(&mut self, kid: &str) {
        kid.clone_into(&mut self.kid);
        let header = format!(r#"{{"typ":"{TYPE}","alg":"ES256","kid":"{kid}"}}"#);
        self.header = (URL_SAFE_NO_PAD.encode(header) + ".").into_bytes();
    }

    /// Scalar and point; private.
    pub fn to_bytes(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyFault> {
        let scalar = self.pair.private_key().as_be_bytes().map_err(|_| KeyFault::Library)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let halves = bytes.split_at_mut_checked(SCALAR_BYTES).ok_or(KeyFault::Form)?;
        let (point, scalar) = (self.pair.public_key().as_ref(), scalar.as_ref());
        if (scalar.len(), point.len()) != (SCALAR_BYTES, POINT_BYTES) {
            return Err(KeyFault::Form);
        }
        halves.0.copy_from_slice(scalar);
        halves.1.copy_from_slice(point);
        Ok(bytes)
    }

    /// Its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK (RFC 7517), as JSON.
    pub fn jwk(&self) -> String {
        let (x, y) = self.coordinates().unwrap_or_default();
        let kid = &self.kid;
        format!(r#"{{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"{kid}","x":"{x}","y":"{y}"}}"#)
    }

    fn coordinates(&self) -> Option<(String, String)> {
        let (_, point) = self.pair.public_key().as_ref().split_first()?;
        let (x, y) = point.split_at_checked(SCALAR_BYTES)?;
        Some((URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// The library allocates for it: up to four times, at most 72 bytes each, and what it does in C.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, Unsigned> {
        self.pair.sign(&SystemRandom::new(), message).map_err(|_| Unsigned)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}
