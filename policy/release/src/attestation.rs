//! The attestation: what a gateway says it serves, signed by the key of its node. It names digests, never a rule.
//!
//! A signature says that the holder of the node key said so, and the nonce that it was said after somebody asked.
//! Whether that key is one to believe is for whoever asked to know.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use policy::model::Audit;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bounds::{NONCE_BYTES_MAX, NONCE_BYTES_MIN};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::digest::{Digest, DigestFault};
use crate::envelope::{Envelope, EnvelopeFault, Kind};
use crate::key::{KeyId, PublicKey, SigningKey};
use crate::time::Timestamp;

mod assertions;

pub use assertions::{AssertionKeys, Jwk};

const FORMAT: &str = "adamant.attestation.v1";

/// Why an attestation is not believed.
#[derive(Debug, thiserror::Error)]
pub enum AttestationFault {
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("the attestation is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the attestation cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected the members of an attestation: {0}")]
    Members(#[from] serde_json::Error),
    #[error("expected format {FORMAT:?}, found {found:?}; this engine does not know it")]
    Format { found: String },
    #[error("expected the key id {expected} of the stated node key, found {found}")]
    KeyId { expected: KeyId, found: KeyId },
    #[error("expected a signature by node key {0}, found none that verifies: the answer was changed on its way")]
    Signature(KeyId),
    #[error("{member}: {fault}")]
    Digest { member: &'static str, fault: DigestFault },
    #[error("expected public keys of assertions for ES256 on P-256 and which of them signs, found something else")]
    AssertionKey,
    #[error("expected the nonce that was asked with, found {found}: an old answer was replayed")]
    Nonce { found: String },
}

/// What makes an answer fresh: 16 to 128 characters of `A–Z a–z 0–9 - _`, chosen by whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a nonce of {NONCE_BYTES_MIN} to {NONCE_BYTES_MAX} characters of A-Z a-z 0-9 - _")]
pub struct NonceFault;

/// All that is said. Unknown members are of a newer gateway and are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    #[serde(rename = "type")]
    pub format: Format,
    pub node: Node,
    pub nonce: Option<Nonce>,
    /// By the gateway's clock.
    pub time: Timestamp,
    /// `starting`, `serving` or `draining`.
    pub phase: String,
    /// Why new requests should not be sent there; empty when they may.
    pub unready: Vec<String>,
    /// Numbers of listeners that have no certificate yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaiting: Vec<u64>,
    /// Names of origin identities whose first certificate has not come yet: origins that want one get nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaiting_identities: Vec<String>,
    /// When the process started.
    pub started: Timestamp,
    /// `sha256:…` over the payload of the release.
    pub release: String,
    pub version: u64,
    pub policy: String,
    /// Owners of the keys that signed the release.
    pub signers: Vec<String>,
    pub expires: Option<Timestamp>,
    /// Since when the release serves in this process.
    pub since: Timestamp,
    /// Since when it has been the accepted one.
    pub accepted: Option<Timestamp>,
    /// Counts activations in this process.
    pub activation: u64,
    /// `sha256:…` over the compiled table in memory.
    pub table_sha256: String,
    pub audit: Audit,
    pub pointer: Option<Pointer>,
    pub refusal: Option<Refusal>,
    /// What serves from the next start.
    pub waiting: Option<Waiting>,
    /// What is revoked; none where no list ever was.
    #[serde(default)]
    pub revocations: Option<RevocationList>,
    /// What fills the ids that the release leaves open; none where it leaves none open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_set: Option<KeySet>,
    /// Version of the trust root that counts; 0 where none does.
    pub trust_root: u64,
    pub keysets: BTreeMap<String, Keyset>,
    /// What origins verify assertions with; none where no origin asks for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertions: Option<AssertionKeys>,
    pub certificates: Vec<Certificate>,
    /// Certificates, towards agents and origins, that an issuer should have given again and did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_renewed: Vec<Failing>,
    /// What is not as fresh as it should be, of all that says nothing of it above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_failures: Vec<LastFailure>,
    /// What ends, and when.
    #[serde(default)]
    pub ends: Vec<Ends>,
    /// `sha256:…` over gateway.toml.
    pub config: String,
    /// The version of the engine.
    pub binary: String,
    /// `sha256:…` over the running executable; none until it was read.
    pub binary_sha256: Option<String>,
    /// Release of the kernel, as uname(2) tells it.
    pub kernel: String,
    pub memory: Memory,
    pub checkpoint: Option<Checkpoint>,
}

/// The key of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub key: PublicKey,
    pub id: KeyId,
}

/// The pointer that was accepted last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    pub channel: String,
    pub serial: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
    /// Nothing new is accepted by it any more.
    pub expired: bool,
}

/// A release that a newer pointer names, where activation is by restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub release: String,
    pub version: u64,
    pub serial: u64,
}

/// The revocation list in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationList {
    /// 0 while none is in force, and what is in the store is refused.
    pub serial: u64,
    pub entries: u64,
    /// Entries that name an agent, API key or issuer that the release does not have.
    pub unknown: u64,
    /// None while none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// A newer one should have arrived. It stays in force.
    pub expired: bool,
    /// Why the list in the store is not the one in force.
    pub refusal: Option<Refusal>,
}

/// The key set in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    /// 0 while none is in force.
    pub serial: u64,
    /// Ids that the release leaves open, with a key and without one.
    pub filled: u64,
    pub unfilled: u64,
    /// Ids of the set that the release pins, or does not declare.
    pub ignored: u64,
    /// None while none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Its keys are refused.
    pub expired: bool,
    /// Why the set in the store is not the one in force.
    pub refusal: Option<Refusal>,
}

/// A candidate that is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub since: Timestamp,
    pub check: String,
    pub message: String,
    pub release: Option<String>,
}

/// The public keys behind an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyset {
    pub source: String,
    pub thumbprint: Option<String>,
    pub version: u64,
    pub keys: u64,
    pub loaded: Timestamp,
    pub stale: Option<Timestamp>,
    /// When it is fetched again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    pub last_failure: Option<String>,
}

/// A certificate that a listener serves with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub chain: String,
    pub sha256: String,
    pub not_after: Timestamp,
    pub names: Vec<String>,
    pub last_failure: Option<String>,
}

/// A certificate that could not be obtained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Whom it is for.
    pub name: String,
    /// The issuer, as gateway.toml calls it.
    pub source: String,
    pub since: Timestamp,
    /// When it is tried again.
    pub next: Timestamp,
    pub message: String,
}

/// What went wrong when something was last looked for, and has not been put right since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// `crl`, `origin-credential`, `origin-identity`, `checkpoints`.
    pub of: String,
    pub name: String,
    pub message: String,
}

/// Something that ends: a certificate, an API key, a revocation list, a pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    pub of: String,
    pub name: String,
    /// Of what says so: what lives for a day is not near its end in all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Timestamp>,
    pub at: Timestamp,
}

/// How the table is protected in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub mseal: bool,
    pub copies: u64,
    pub hashed: Option<Timestamp>,
    pub mismatches: u64,
}

/// The last signed checkpoint over the chained records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: String,
    pub made: Timestamp,
}

/// The one format that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format;

impl Attestation {
    /// The payload and its envelope, signed by the node's key.
    pub fn seal(&self, key: &SigningKey) -> Result<Envelope, AttestationFault> {
        let mut envelope = Envelope::new(Kind::Attestation, &canonical::to_bytes(self)?)?;
        envelope.sign(key)?;
        Ok(envelope)
    }

    /// What an envelope says, if the key that it states signed it and it answers `nonce`.
    pub fn open(bytes: &[u8], nonce: &Nonce) -> Result<Self, AttestationFault> {
        let envelope = Envelope::parse_kind(bytes, Kind::Attestation)?;
        canonical::check(envelope.payload())?;
        let said: Self = serde_json::from_slice(envelope.payload())?;
        let id = said.node.key.id();
        if said.node.id != id {
            return Err(AttestationFault::KeyId { expected: id, found: said.node.id });
        }
        let mut own = envelope.signatures().iter().filter(|signature| signature.key_id == id);
        if !own.any(|signature| said.node.key.verifies(envelope.signed_bytes(), &signature.bytes)) {
            return Err(AttestationFault::Signature(id));
        }
        if said.nonce.as_ref() != Some(nonce) {
            let found = said.nonce.map_or_else(|| "none".to_owned(), |nonce| format!("{:?}", nonce.0));
            return Err(AttestationFault::Nonce { found });
        }
        said.check_forms()?;
        Ok(said)
    }

    /// Digests are compared as texts and shown: each is one, and nothing else. So are keys.
    fn check_forms(&self) -> Result<(), AttestationFault> {
        let is_digest = |member, text: &str| match text.parse::<Digest>() {
            Ok(_) => Ok(()),
            Err(fault) => Err(AttestationFault::Digest { member, fault }),
        };
        is_digest("release", &self.release)?;
        is_digest("table_sha256", &self.table_sha256)?;
        // `adamant dev` has no gateway.toml.
        if self.config != "none" {
            is_digest("config", &self.config)?;
        }
        self.binary_sha256.iter().try_for_each(|text| is_digest("binary_sha256", text))?;
        self.waiting.iter().try_for_each(|waiting| is_digest("waiting.release", &waiting.release))?;
        let mut refused = self.refusal.iter().filter_map(|refusal| refusal.release.as_ref());
        refused.try_for_each(|text| is_digest("refusal.release", text))?;
        // These two come without the name of the function.
        let is_hex = |member, text: &str| is_digest(member, &format!("sha256:{text}"));
        self.certificates.iter().try_for_each(|of| is_hex("certificates.sha256", &of.sha256))?;
        let mut thumbprints = self.keysets.values().filter_map(|keyset| keyset.thumbprint.as_ref());
        thumbprints.try_for_each(|text| is_hex("keysets.thumbprint", text))?;
        self.assertions.as_ref().map_or(Ok(()), AssertionKeys::check)
    }
}

impl Nonce {
    /// From randomness that was never used before.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl FromStr for Nonce {
    type Err = NonceFault;

    fn from_str(text: &str) -> Result<Self, NonceFault> {
        let fits = (NONCE_BYTES_MIN..=NONCE_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if fits { Ok(Self(text.to_owned())) } else { Err(NonceFault) }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(FORMAT)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        if found == FORMAT {
            return Ok(Self);
        }
        let found = found.chars().take(80).collect();
        Err(de::Error::custom(AttestationFault::Format { found }))
    }
}

#[cfg(test)]
mod tests;
