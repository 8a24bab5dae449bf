//! Ed25519 signing keys (RFC 8032) and their public halves.
//!
//! A public key is written `adamant-ed25519:` and the standard base64 of its 32 bytes. Its key id is the lower-case
//! hex SHA-256 over its DER SubjectPublicKeyInfo (RFC 8410 §4), so that other tools can compute it:
//! `openssl pkey -in KEYFILE -pubout -outform DER | sha256sum`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::digest::{sha256, unhex, write_hex};

/// A public key that is a canonical encoding of a point of large order; small-order points would verify
/// signatures that nobody made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// Names a public key: SHA-256 over its SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// A signing key. The seed is wiped when it goes.
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// The bytes of an Ed25519 signature.
pub type SignatureBytes = [u8; 64];

const PUBLIC_PREFIX: &str = "adamant-ed25519:";
/// DER before the 32 bytes of an Ed25519 SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("expected a public key like {PUBLIC_PREFIX}BASE64 of 32 bytes, found {found:?}")]
    PublicForm { found: String },
    #[error("expected a public key of large order in canonical form (RFC 8032 §5.1.3); anybody could sign for {found}")]
    WeakPoint { found: String },
    #[error("expected a key id of 64 lower-case hex digits, found {found:?}")]
    KeyIdForm { found: String },
    #[error("the library refused the key")]
    Library,
}

impl PublicKey {
    /// Refuses encodings that are not canonical and points of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyFault> {
        if is_weak(&bytes) {
            return Err(KeyFault::WeakPoint { found: Self(bytes).to_string() });
        }
        Ok(Self(bytes))
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn id(&self) -> KeyId {
        KeyId(sha256(&[&SPKI_PREFIX, &self.0]))
    }

    /// Whether `signature` over `message` is of this key. The library checks that S is below the group order.
    pub fn verifies(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// y ≥ p, or one of the points whose order divides the cofactor 8 (the sign bit does not matter).
fn is_weak(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    if let Some(top) = y.last_mut() {
        *top &= 0x7f;
    }
    let [low, middle @ .., top] = &y;
    let not_below_p = *top == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *low >= 0xed;
    not_below_p || SMALL_ORDER_Y.contains(&y)
}

/// y of the points of order 4, 1, 2 and 8 of edwards25519, little-endian.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

impl SigningKey {
    /// The key of a seed: 32 bytes of randomness that nobody else knows.
    pub fn generate(seed: [u8; 32]) -> Result<Self, KeyFault> {
        let seed = Zeroizing::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| KeyFault::Library)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| KeyFault::Library)?;
        Ok(Self { public: PublicKey::from_bytes(bytes)?, seed, pair })
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Deterministic (RFC 8032 §5.1.6).
    pub fn sign(&self, message: &[u8]) -> Result<SignatureBytes, KeyFault> {
        let signature = self.pair.try_sign(message).map_err(|_| KeyFault::Library)?;
        signature.as_ref().try_into().map_err(|_| KeyFault::Library)
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<Self, KeyFault> {
        let decoded = text.strip_prefix(PUBLIC_PREFIX).and_then(|base64| STANDARD.decode(base64).ok());
        match decoded.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Self::from_bytes(bytes),
            None => Err(KeyFault::PublicForm { found: text.chars().take(80).collect() }),
        }
    }
}

impl KeyId {
    /// Its first 12 digits: enough for people to tell keys apart, and never compared.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).chain(['…']).collect()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<Self, KeyFault> {
        unhex(text).map(Self).ok_or_else(|| KeyFault::KeyIdForm { found: text.chars().take(80).collect() })
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
