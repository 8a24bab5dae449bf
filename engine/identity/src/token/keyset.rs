//! Keysets: a JWK Set (RFC 7517 §5) to keys that are parsed once, when the set is loaded.
//!
//! A key that cannot be used (of another use, type or algorithm, too weak, not on its curve) is left out with a note,
//! so that an issuer may publish keys for others. A set that no careful issuer would publish is refused whole: private
//! parts, one `kid` for different keys, secrets beside public keys, nothing usable.

use std::fmt;

use aws_lc_rs::hmac;
use policy::model::Algorithm;
use sha2::{Digest, Sha256};

use super::fault::TokenFault;
use super::jwk::{self, Jwk, Unfit, Verifier};
use crate::base64url;
use crate::bounds::{KEYS_TRIED_MAX, KEYSET_BYTES_MAX, KEYSET_KEYS_MAX};
use crate::json::{JsonFault, Members, Value, elements};

/// Why a whole keyset is refused: the issuer's fault (or of who wrote the file). The last good one stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysetError {
    #[error("expected a JWK Set of at most {KEYSET_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    #[error("expected at most {KEYSET_KEYS_MAX} keys, found {0}")]
    TooManyKeys(usize),
    #[error("expected a JWK Set (RFC 7517 §5): {0}")]
    Json(#[from] JsonFault),
    #[error("expected a JWK Set (RFC 7517 §5) with an array `keys` of objects, found another form")]
    Form,
    #[error("key {0} holds private parts: treat it as compromised, and publish public keys alone")]
    PrivateKey(usize),
    #[error("key {0} is a secret beside public keys: a set for many readers must not hold secrets")]
    SecretAmongPublic(usize),
    #[error("`kid` {0:?} stands for different keys: give each key its own")]
    DuplicateKid(Box<str>),
    #[error("expected at least one usable key, found none of {} ({})", .0.len(), notes(.0))]
    NothingUsable(Vec<KeyNote>),
}

/// A key that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNote {
    /// Position in `keys`, from 0.
    pub position: usize,
    pub kid: Option<Box<str>>,
    pub why: Unfit,
}

fn notes(notes: &[KeyNote]) -> String {
    let texts: Vec<String> = notes.iter().map(|note| format!("key {}: {}", note.position, note.why)).collect();
    texts.join("; ")
}

/// SHA-256 thumbprint of a key (RFC 7638 §3); shown as base64url. One of a secret says nothing about it, since secrets
/// of fewer than 32 bytes are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(pub [u8; 32]);

impl fmt::Display for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&base64url::encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// One key with one algorithm: an RSA key without `alg` stands twice where its issuer lists both RSA algorithms.
pub struct Key {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    thumbprint: Thumbprint,
    verifier: Verifier,
}

impl Key {
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whether `signature` is this key's over `message`. In constant time for secrets.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Key");
        shown.field("kid", &self.kid).field("algorithm", &self.algorithm).field("thumbprint", &self.thumbprint);
        shown.finish_non_exhaustive()
    }
}

/// The usable keys of an issuer.
#[derive(Debug)]
pub struct Keyset {
    keys: Box<[Key]>,
    notes: Box<[KeyNote]>,
    digest: [u8; 32],
}

impl Keyset {
    /// Parses a JWK Set; keys that fit none of `algorithms` are left out with a note.
    pub fn from_jwks(text: &str, algorithms: &[Algorithm]) -> Result<Self, KeysetError> {
        if text.len() > KEYSET_BYTES_MAX {
            return Err(KeysetError::TooLong(text.len()));
        }
        let set = Members::open(text)?;
        let Some(Value::Array(keys)) = set.find("keys") else {
            return Err(KeysetError::Form);
        };
        let members = open_keys(keys)?;
        refuse_secrets(&members)?;

        let mut keys: Vec<Key> = Vec::new();
        let mut notes: Vec<KeyNote> = Vec::new();
        for (position, members) in members.iter().enumerate() {
            match jwk::read(members, algorithms) {
                Ok(jwk) => add(&mut keys, jwk)?,
                Err(why) => notes.push(KeyNote { position, kid: kid_of(members), why }),
            }
        }
        // A spoilt key under the `kid` of a good one: which of the two the issuer means is anybody's guess.
        let spoilt = notes.iter().filter(|note| !note.why.is_foreign());
        for kid in spoilt.filter_map(|note| note.kid.as_ref()) {
            if keys.iter().any(|key| key.kid.as_ref() == Some(kid)) {
                return Err(KeysetError::DuplicateKid(kid.clone()));
            }
        }
        if keys.is_empty() {
            return Err(KeysetError::NothingUsable(notes));
        }
        let digest = digest(&mut keys);
        Ok(Self { keys: keys.into(), notes: notes.into(), digest })
    }

    /// Usable keys, in a canonical order.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Keys that are not used, in the order of the set.
    pub fn notes(&self) -> &[KeyNote] {
        &self.notes
    }

    /// The version of the set: over the usable keys alone, so that spelling, order and foreign keys do not change it.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// A `kid` that stands for another key in `before`: whoever signs with the one is not who signed with the other.
    pub fn reuses_kid_of(&self, before: &Self) -> Option<&str> {
        let other = |key: &&Key| {
            let same_kid = |old: &&Key| key.kid.is_some() && old.kid == key.kid;
            before.keys.iter().filter(same_kid).any(|old| old.thumbprint != key.thumbprint)
        };
        self.keys.iter().find(other).and_then(Key::kid)
    }

    /// Every `kid` of the same key, that of `key` first.
    pub fn kids_of<'k>(&'k self, key: &'k Key) -> impl Iterator<Item = &'k str> {
        let same = self.keys.iter().filter(|other| other.thumbprint == key.thumbprint && other.kid != key.kid);
        key.kid().into_iter().chain(same.filter_map(Key::kid))
    }

    /// The keys to try for a header: with a `kid` exactly one, without at most [`KEYS_TRIED_MAX`].
    pub(super) fn candidates<'k>(
        &'k self,
        kid: Option<&'k str>,
        algorithm: Algorithm,
    ) -> Result<impl Iterator<Item = &'k Key>, TokenFault> {
        let named = move |key: &&Key| kid.is_none_or(|kid| key.kid() == Some(kid));
        let fitting = move |key: &&Key| named(key) && key.algorithm == algorithm;
        match self.keys.iter().filter(fitting).count() {
            0 if kid.is_some() && self.keys.iter().any(|key| named(&key)) => Err(TokenFault::AlgorithmRefused),
            1..=KEYS_TRIED_MAX => Ok(self.keys.iter().filter(fitting)),
            _ => Err(TokenFault::KeyUnknown),
        }
    }
}

fn kid_of(members: &Members<'_>) -> Option<Box<str>> {
    match members.find("kid") {
        Some(Value::Text(kid)) => Some(kid.as_ref().into()),
        _ => None,
    }
}

fn open_keys(array: &str) -> Result<Vec<Members<'_>>, KeysetError> {
    let values = elements(array)?;
    if values.len() > KEYSET_KEYS_MAX {
        return Err(KeysetError::TooManyKeys(values.len()));
    }
    let mut keys = Vec::with_capacity(values.len());
    for value in values {
        let Value::Object(object) = value else {
            return Err(KeysetError::Form);
        };
        keys.push(Members::open(object)?);
    }
    Ok(keys)
}

/// Private parts anywhere, or secrets beside public keys: a public key that reads as a secret is the classic confusion.
fn refuse_secrets(keys: &[Members<'_>]) -> Result<(), KeysetError> {
    if let Some(position) = keys.iter().position(jwk::is_private) {
        return Err(KeysetError::PrivateKey(position));
    }
    match keys.iter().position(jwk::is_secret) {
        Some(position) if !keys.iter().all(jwk::is_secret) => Err(KeysetError::SecretAmongPublic(position)),
        _ => Ok(()),
    }
}

/// The same key twice counts once; another key under the same `kid` is an error.
fn add(keys: &mut Vec<Key>, jwk: Jwk) -> Result<(), KeysetError> {
    let thumbprint = Thumbprint(jwk.thumbprint);
    if let Some(kid) = &jwk.kid
        && keys.iter().any(|known| known.kid.as_ref() == Some(kid) && known.thumbprint != thumbprint)
    {
        return Err(KeysetError::DuplicateKid(kid.clone()));
    }
    for (algorithm, verifier) in jwk.verifiers {
        let known = |key: &Key| key.kid == jwk.kid && key.algorithm == algorithm && key.thumbprint == thumbprint;
        if !keys.iter().any(known) {
            keys.push(Key { kid: jwk.kid.clone(), algorithm, thumbprint, verifier });
        }
    }
    Ok(())
}

fn digest(keys: &mut [Key]) -> [u8; 32] {
    keys.sort_by(|a, b| (&a.kid, a.algorithm, a.thumbprint).cmp(&(&b.kid, b.algorithm, b.thumbprint)));
    let mut hash = Sha256::new();
    for key in keys {
        let kid = key.kid.as_deref();
        hash.update([u8::from(kid.is_some()), key.algorithm as u8]);
        hash.update((kid.map_or(0, str::len) as u64).to_le_bytes());
        hash.update(kid.unwrap_or_default());
        hash.update(key.thumbprint.0);
    }
    hash.finalize().into()
}
