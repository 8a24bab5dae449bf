//! The profile document: what agents of one release need besides it, and no rule can say: where their gateway is, what its
//! certificate must be, and where their own certificates come from, as far as that is public.
//!
//! It moves credentials: whoever names the gateway is called with them. So the threshold of `release-wider` signs it, as
//! what could let somebody in.

use serde::{Deserialize, Serialize};

use crate::bounds::{INTEGER_MAX, NAME_BYTES_MAX, PROFILE_ADDRESS_BYTES_MAX, PROFILE_PINS_MAX, is_name};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::root::TrustRoot;
use crate::time::Timestamp;
use crate::verify::{BelowThreshold, Signer, count, tally};

const FORMAT: &str = "adamant.profile-document.v1";

/// Who signs it.
pub const ROLE: Role = Role::ReleaseWider;

/// Why a profile document is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ProfileDocumentFault {
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error(transparent)]
    BelowThreshold(#[from] BelowThreshold),
    #[error("the profile document is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the profile document cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected the members of a profile document: {0}")]
    Members(#[from] serde_json::Error),
    #[error("expected format {FORMAT:?}, found {found:?}; this engine does not know it")]
    Format { found: String },
    #[error("expected a policy name of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name,
    #[error("expected {what} of 1 to {PROFILE_ADDRESS_BYTES_MAX} plain characters, found {found:?}")]
    Address { what: &'static str, found: String },
    #[error("expected a pinned CA or key of the gateway, found none: nothing would tell it from another")]
    NoPin,
    #[error(
        "expected at most {PROFILE_PINS_MAX} pinned keys, each a SHA-256 of 64 lower-case hex digits, found {found}"
    )]
    Pins { found: String },
    #[error("expected a serial of 1 to {INTEGER_MAX}, found {found}")]
    Serial { found: u64 },
    #[error("expected a profile document that expires after it was issued ({issued}), found {expires}")]
    Times { issued: Timestamp, expires: Timestamp },
    #[error("expected the profile document of release {expected}, found that of {found}; put each in its own place")]
    OtherRelease { expected: Digest, found: Digest },
}

/// Where agents find their gateway, and their certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `https://HOST[:PORT]`.
    pub gateway: String,
    /// PEM of the CA of the gateway's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ca: Option<String>,
    /// SHA-256 over the SubjectPublicKeyInfo of the gateway's certificate, lower-case hex; any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateway_spki_sha256: Vec<String>,
    /// The PKI engine that signs for agents. What it takes to use it is each agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openbao: Option<Pki>,
}

/// A PKI engine of OpenBao or Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// `https://HOST[:PORT]`.
    pub url: String,
    pub mount: String,
    /// The role that signs; that of the agent's name where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What a profile document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileDocument {
    #[serde(rename = "type")]
    format: String,
    pub policy_name: String,
    /// The one release that it is for.
    pub release: Digest,
    /// Never goes back within that release.
    pub serial: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub place: Place,
}

/// A profile document that enough keys signed. Whether it is the newest and still valid is for the agent to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProfileDocument {
    pub document: ProfileDocument,
    /// Over its payload.
    pub digest: Digest,
    pub signers: Vec<Signer>,
}

/// Verifies the profile document of the release `expected` by the role `release-wider` of `root`.
pub fn verify_profile_document(
    bytes: &[u8],
    root: &TrustRoot,
    expected: &Digest,
) -> Result<VerifiedProfileDocument, ProfileDocumentFault> {
    let envelope = Envelope::parse_kind(bytes, Kind::ProfileDocument)?;
    let (signers, _) = count(&tally(&envelope, root.keys()), root, ROLE)?;
    let document = ProfileDocument::read(envelope.payload())?;
    if document.release != *expected {
        return Err(ProfileDocumentFault::OtherRelease { expected: *expected, found: document.release });
    }
    Ok(VerifiedProfileDocument { document, digest: envelope.digest(), signers })
}

impl ProfileDocument {
    pub fn new(
        policy_name: &str,
        release: Digest,
        serial: u64,
        (issued, expires): (Timestamp, Timestamp),
        place: Place,
    ) -> Result<Self, ProfileDocumentFault> {
        let (format, policy_name) = (FORMAT.to_owned(), policy_name.to_owned());
        let document = Self { format, policy_name, release, serial, issued, expires, place };
        document.check()?;
        Ok(document)
    }

    /// An envelope around the document, without signatures.
    pub fn to_envelope(&self) -> Result<Envelope, ProfileDocumentFault> {
        Ok(Envelope::new(Kind::ProfileDocument, &canonical::to_bytes(self)?)?)
    }

    /// What a payload says. Nothing is verified.
    pub fn read(payload: &[u8]) -> Result<Self, ProfileDocumentFault> {
        canonical::check(payload)?;
        let document: Self = serde_json::from_slice(payload)?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), ProfileDocumentFault> {
        if self.format != FORMAT {
            return Err(ProfileDocumentFault::Format { found: self.format.chars().take(80).collect() });
        }
        if !is_name(&self.policy_name) {
            return Err(ProfileDocumentFault::Name);
        }
        if !(1..=INTEGER_MAX).contains(&self.serial) {
            return Err(ProfileDocumentFault::Serial { found: self.serial });
        }
        if self.expires <= self.issued {
            return Err(ProfileDocumentFault::Times { issued: self.issued, expires: self.expires });
        }
        self.place.check()
    }
}

impl Place {
    /// Its form; whether the addresses lead anywhere is for whoever goes there.
    fn check(&self) -> Result<(), ProfileDocumentFault> {
        let pki = self.openbao.as_ref();
        let role = pki.and_then(|pki| pki.role.as_ref()).map(|role| ("a role", role));
        let pki = pki.map(|pki| [("an address of OpenBao", &pki.url), ("a mount", &pki.mount)]);
        let texts = [("an address of the gateway", &self.gateway)].into_iter().chain(pki.into_iter().flatten());
        for (what, text) in texts.chain(role) {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_plain || !(1..=PROFILE_ADDRESS_BYTES_MAX).contains(&text.len()) {
                return Err(ProfileDocumentFault::Address { what, found: text.chars().take(80).collect() });
            }
        }
        let pins = &self.gateway_spki_sha256;
        if self.gateway_ca.is_none() && pins.is_empty() {
            return Err(ProfileDocumentFault::NoPin);
        }
        let is_hash =
            |pin: &String| pin.len() == 64 && pin.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if pins.len() > PROFILE_PINS_MAX {
            return Err(ProfileDocumentFault::Pins { found: pins.len().to_string() });
        }
        match pins.iter().find(|pin| !is_hash(pin)) {
            Some(wrong) => Err(ProfileDocumentFault::Pins { found: format!("{:?}", wrong.get(..80).unwrap_or(wrong)) }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{keys, root_of, time};

    fn place() -> Place {
        Place {
            gateway: "https://api.corp.example:8443".to_owned(),
            gateway_ca: None,
            gateway_spki_sha256: vec!["ab".repeat(32)],
            openbao: None,
        }
    }

    fn document(release: Digest, place: Place) -> Result<ProfileDocument, ProfileDocumentFault> {
        let times = (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"));
        ProfileDocument::new("orders", release, 7, times, place)
    }

    #[test]
    fn signed_by_release_wider_for_one_release() {
        let (keys, release) = (keys(3), Digest::of(b"release"));
        let root = root_of(&keys, 2);
        let made = document(release, place()).unwrap();
        let mut envelope = made.to_envelope().unwrap();
        envelope.sign(&keys[0]).unwrap();
        let verify = |envelope: &Envelope, release| verify_profile_document(&envelope.to_bytes(), &root, release);
        assert!(matches!(verify(&envelope, &release), Err(ProfileDocumentFault::BelowThreshold(_))));
        envelope.sign(&keys[1]).unwrap();
        let verified = verify(&envelope, &release).unwrap();
        assert_eq!((verified.document, verified.signers.len()), (made, 2));
        let other = verify(&envelope, &Digest::of(b"another"));
        assert!(matches!(other, Err(ProfileDocumentFault::OtherRelease { .. })));
    }

    #[test]
    fn refuses_values_that_mean_nothing() {
        let release = Digest::of(b"release");
        let with = |change: fn(&mut Place)| {
            let mut place = place();
            change(&mut place);
            document(release, place)
        };
        assert!(with(|_| ()).is_ok());
        assert!(matches!(with(|place| place.gateway_spki_sha256.clear()), Err(ProfileDocumentFault::NoPin)));
        let address = with(|place| place.gateway = "https://a b".to_owned());
        assert!(matches!(address, Err(ProfileDocumentFault::Address { .. })));
        let long = with(|place| place.gateway = "x".repeat(PROFILE_ADDRESS_BYTES_MAX + 1));
        assert!(matches!(long, Err(ProfileDocumentFault::Address { .. })));
        let upper = with(|place| place.gateway_spki_sha256.push("AB".repeat(32)));
        assert!(matches!(upper, Err(ProfileDocumentFault::Pins { .. })));
        let many = with(|place| place.gateway_spki_sha256 = vec!["ab".repeat(32); PROFILE_PINS_MAX + 1]);
        assert!(matches!(many, Err(ProfileDocumentFault::Pins { .. })));
        let large = with(|place| place.gateway_ca = Some("x".repeat(Kind::ProfileDocument.payload_bytes_max())));
        assert!(matches!(large.unwrap().to_envelope(), Err(ProfileDocumentFault::Envelope(_))));
        assert!(matches!(ProfileDocument::read(b"{}"), Err(ProfileDocumentFault::Members(_))));
    }
}
