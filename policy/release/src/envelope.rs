//! The DSSE v1 envelope: exact payload bytes, what kind they are, and signatures over both.
//!
//! Source: DSSE protocol and envelope 1.0 (secure-systems-lab/dsse). Narrowed here: key ids are required, unknown
//! and repeated members are refused, so nothing unsigned rides along. White space and member order are free; the
//! payload comes out the same or not at all.

mod wire;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::bounds::{
    ATTESTATION_BYTES_MAX, KEY_SET_BYTES_MAX, POINTER_BYTES_MAX, PROFILE_DOCUMENT_BYTES_MAX, PROVENANCE_BYTES_MAX,
    RELEASE_BYTES_MAX, REVOCATIONS_BYTES_MAX, ROOT_BYTES_MAX, SIGNATURES_MAX, WRAPPER_BYTES_MAX,
};
use crate::digest::Digest;
use crate::key::{KeyFault, KeyId, PublicKey, SignatureBytes, SigningKey};

/// What a payload is. The DSSE payload type says it, so that no signature can serve for another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Release,
    TrustRoot,
    Pointer,
    Revocations,
    KeySet,
    /// What a gateway says it serves.
    Attestation,
    /// Where agents of a release find their gateway.
    ProfileDocument,
    /// Where a release comes from: an in-toto statement, so that other tools read it too.
    Provenance,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Release,
        Self::TrustRoot,
        Self::Pointer,
        Self::Revocations,
        Self::KeySet,
        Self::Attestation,
        Self::ProfileDocument,
        Self::Provenance,
    ];

    pub const fn payload_type(self) -> &'static str {
        match self {
            Self::Release => "application/vnd.adamant.release.v1+json",
            Self::TrustRoot => "application/vnd.adamant.trust-root.v1+json",
            Self::Pointer => "application/vnd.adamant.pointer.v1+json",
            Self::Revocations => "application/vnd.adamant.revocations.v1+json",
            Self::KeySet => "application/vnd.adamant.key-set.v1+json",
            Self::Attestation => "application/vnd.adamant.attestation.v1+json",
            Self::ProfileDocument => "application/vnd.adamant.profile-document.v1+json",
            Self::Provenance => "application/vnd.in-toto+json",
        }
    }

    pub const fn payload_bytes_max(self) -> usize {
        match self {
            Self::Release => RELEASE_BYTES_MAX,
            Self::TrustRoot => ROOT_BYTES_MAX,
            Self::Pointer => POINTER_BYTES_MAX,
            Self::Revocations => REVOCATIONS_BYTES_MAX,
            Self::KeySet => KEY_SET_BYTES_MAX,
            Self::Attestation => ATTESTATION_BYTES_MAX,
            Self::ProfileDocument => PROFILE_DOCUMENT_BYTES_MAX,
            Self::Provenance => PROVENANCE_BYTES_MAX,
        }
    }

    /// The most bytes that an envelope of this kind may have: what a reader needs to take in.
    pub const fn envelope_bytes_max(self) -> usize {
        self.payload_bytes_max().div_ceil(3) * 4 + WRAPPER_BYTES_MAX
    }

    pub(crate) fn of(payload_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.payload_type() == payload_type)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::TrustRoot => "trust root",
            Self::Pointer => "pointer",
            Self::Revocations => "revocation list",
            Self::KeySet => "key set",
            Self::Attestation => "attestation",
            Self::ProfileDocument => "profile document",
            Self::Provenance => "provenance statement",
        })
    }
}

/// Why bytes are not an envelope, or two do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeFault {
    #[error("expected at most {expected} bytes of {what}, found {found}")]
    Size { what: &'static str, expected: usize, found: usize },
    #[error(
        "expected a DSSE envelope (JSON with payload, payloadType, signatures), found something else: {0}; is it the right \
         file, and whole?"
    )]
    Json(#[from] serde_json::Error),
    #[error("expected a payload type of Adamant like {}, found {found:?}", Kind::Release.payload_type())]
    PayloadType { found: String },
    #[error("expected a {expected}, found a {found}; give the other file")]
    Kind { expected: Kind, found: Kind },
    #[error("expected {what} in base64 (RFC 4648 §4 or §5, padded), found something else; fetch the file again")]
    Base64 { what: &'static str },
    #[error("expected a signature of 64 bytes by key {key_id}, found {found}")]
    SignatureLength { key_id: KeyId, found: usize },
    #[error("expected at most {SIGNATURES_MAX} signatures, found more")]
    Signatures,
    #[error("expected a signature over {expected}, found one over {found}; it was made for another {kind}")]
    OtherPayload { kind: Kind, expected: Digest, found: Digest },
    #[error("the signature by key {0} does not verify; let its owner sign again")]
    BadSignature(KeyId),
    #[error(transparent)]
    Key(#[from] KeyFault),
}

/// One signature as it came: nothing is known about it before it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    pub key_id: KeyId,
    pub bytes: SignatureBytes,
}

/// A parsed envelope. Its signatures are claims until [`crate::verify`] has looked at them.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    kind: Kind,
    /// The pre-authentication encoding; the payload is its tail, so a large release exists once.
    signed: Vec<u8>,
    payload_at: usize,
    signatures: Vec<Signature>,
}

/// Pre-authentication encoding: `DSSEv1 LEN(type) type LEN(body) body`, lengths in ASCII decimal (DSSE protocol
/// 1.0, "Signature Definition"). These are the bytes that a signature is over.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = pae_head(payload_type, payload.len());
    out.extend_from_slice(payload);
    out
}

fn pae_head(payload_type: &str, payload_bytes: usize) -> Vec<u8> {
    format!("DSSEv1 {} {payload_type} {payload_bytes} ", payload_type.len()).into_bytes()
}

impl Envelope {
    /// An envelope without signatures.
    pub fn new(kind: Kind, payload: &[u8]) -> Result<Self, EnvelopeFault> {
        check_size("payload", kind.payload_bytes_max(), payload.len())?;
        let head = pae_head(kind.payload_type(), payload.len());
        Ok(Self { kind, payload_at: head.len(), signed: [&head, payload].concat(), signatures: Vec::new() })
    }

    /// Reads an envelope of any kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeFault> {
        wire::parse(bytes)
    }

    /// Reads an envelope of one kind.
    pub fn parse_kind(bytes: &[u8], kind: Kind) -> Result<Self, EnvelopeFault> {
        check_size("envelope", kind.envelope_bytes_max(), bytes.len())?;
        let envelope = Self::parse(bytes)?;
        if envelope.kind == kind {
            Ok(envelope)
        } else {
            Err(EnvelopeFault::Kind { expected: kind, found: envelope.kind })
        }
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The payload, byte for byte as it was signed.
    pub fn payload(&self) -> &[u8] {
        self.signed.get(self.payload_at..).unwrap_or_default()
    }

    /// What a signature is over: for signers that hold the key elsewhere.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// SHA-256 over the payload: the name of a release.
    pub fn digest(&self) -> Digest {
        Digest::of(self.payload())
    }

    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds the signature of `key`; signing twice changes nothing.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), EnvelopeFault> {
        let bytes = key.sign(&self.signed)?;
        self.add(Signature { key_id: key.public().id(), bytes })
    }

    /// Adds a signature made elsewhere by the holder of `public`, if it verifies.
    pub fn attach(&mut self, public: &PublicKey, bytes: SignatureBytes) -> Result<(), EnvelopeFault> {
        if !public.verifies(&self.signed, &bytes) {
            return Err(EnvelopeFault::BadSignature(public.id()));
        }
        self.add(Signature { key_id: public.id(), bytes })
    }

    /// A signature of `key` over this payload, to be sent to whoever gathers them. The envelope stays as it is.
    pub fn detached(&self, key: &SigningKey) -> Result<Detached, EnvelopeFault> {
        let signature = Signature { key_id: key.public().id(), bytes: key.sign(&self.signed)? };
        Ok(Detached { kind: self.kind, digest: self.digest(), public_key: key.public(), signature })
    }

    /// Adds a detached signature, if it is over this payload and verifies under the key that it states. Whether
    /// that key counts is for the trust root to say.
    pub fn merge(&mut self, detached: &Detached) -> Result<(), EnvelopeFault> {
        if detached.kind != self.kind {
            return Err(EnvelopeFault::Kind { expected: self.kind, found: detached.kind });
        }
        self.expect_digest(detached.digest)?;
        self.attach(&detached.public_key, detached.signature.bytes)
    }

    /// Adds the signatures of another envelope around the same payload.
    pub fn merge_envelope(&mut self, other: &Self) -> Result<(), EnvelopeFault> {
        if other.kind != self.kind {
            return Err(EnvelopeFault::Kind { expected: self.kind, found: other.kind });
        }
        self.expect_digest(other.digest())?;
        other.signatures.iter().try_for_each(|signature| self.add(*signature))
    }

    fn expect_digest(&self, found: Digest) -> Result<(), EnvelopeFault> {
        let expected = self.digest();
        if found == expected { Ok(()) } else { Err(EnvelopeFault::OtherPayload { kind: self.kind, expected, found }) }
    }

    /// Sorted and unique, so that gathering in any order gives the same file. A false signature under the id of an
    /// honest key stands beside the true one and cannot push it out.
    fn add(&mut self, signature: Signature) -> Result<(), EnvelopeFault> {
        self.signatures.push(signature);
        self.signatures.sort_unstable();
        self.signatures.dedup();
        if self.signatures.len() > SIGNATURES_MAX { Err(EnvelopeFault::Signatures) } else { Ok(()) }
    }

    /// The envelope as a file: one line of JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::with_capacity(self.payload().len().div_ceil(3) * 4 + 256 * (self.signatures.len() + 1));
        out.push_str("{\"payload\":\"");
        STANDARD.encode_string(self.payload(), &mut out);
        out.push_str("\",\"payloadType\":\"");
        out.push_str(self.kind.payload_type());
        out.push_str("\",\"signatures\":[");
        for (i, Signature { key_id, bytes }) in self.signatures.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            out.push_str(&format!("{comma}{{\"keyid\":\"{key_id}\",\"sig\":\"{}\"}}", STANDARD.encode(bytes)));
        }
        out.push_str("]}\n");
        out.into_bytes()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({}, {}, {} signatures)", self.kind, self.digest(), self.signatures.len())
    }
}

/// A signature on its own, with what it is over and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    pub kind: Kind,
    pub digest: Digest,
    pub public_key: PublicKey,
    pub signature: Signature,
}

impl Detached {
    /// Whether `bytes` look like a detached signature rather than an envelope. Says nothing about their validity.
    pub fn is_likely(bytes: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Head {
            #[serde(rename = "type")]
            format: String,
        }
        bytes.len() <= crate::bounds::SMALL_FILE_BYTES_MAX
            && serde_json::from_slice::<Head>(bytes).is_ok_and(|head| head.format == wire::DETACHED_FORMAT)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeFault> {
        wire::parse_detached(bytes)
    }

    /// The file: one line of JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EnvelopeFault> {
        wire::write_detached(self)
    }
}

fn check_size(what: &'static str, expected: usize, found: usize) -> Result<(), EnvelopeFault> {
    if found <= expected { Ok(()) } else { Err(EnvelopeFault::Size { what, expected, found }) }
}

/// What a signature may be for. The trust root names the keys of each role and how many must sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The next trust root.
    Root,
    /// A release that allows nothing new compared with the last accepted one.
    ReleaseNarrower,
    /// Any release.
    ReleaseWider,
    Pointer,
    Revocation,
    /// Which API keys fill the ids that a release leaves open.
    Keys,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Root, Self::ReleaseNarrower, Self::ReleaseWider, Self::Pointer, Self::Revocation, Self::Keys];

    /// The one kind of payload that the role signs.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Root => Kind::TrustRoot,
            Self::ReleaseNarrower | Self::ReleaseWider => Kind::Release,
            Self::Pointer => Kind::Pointer,
            Self::Revocation => Kind::Revocations,
            Self::Keys => Kind::KeySet,
        }
    }

    /// The word in a trust root.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::ReleaseNarrower => "release-narrower",
            Self::ReleaseWider => "release-wider",
            Self::Pointer => "pointer",
            Self::Revocation => "revocation",
            Self::Keys => "keys",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests;
