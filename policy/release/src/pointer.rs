//! The pointer: "channel C runs release D, serial N, until T", signed by the pointer role.

use serde::{Deserialize, Serialize};

use crate::bounds::{INTEGER_MAX, NAME_BYTES_MAX, is_name};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::root::TrustRoot;
use crate::time::Timestamp;
use crate::verify::{BelowThreshold, Signer, VerifyError, verify};

const FORMAT: &str = "adamant.pointer.v1";

/// Why a pointer is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PointerFault {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("the pointer is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the pointer cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected the members of a pointer: {0}")]
    Members(#[from] serde_json::Error),
    #[error("expected format {FORMAT:?}, found {found:?}; this engine does not know it")]
    Format { found: String },
    #[error("expected a {what} of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name { what: &'static str },
    #[error("expected a pointer serial of 1 to {INTEGER_MAX}, found {found}")]
    Serial { found: u64 },
    #[error("expected a pointer that expires after it was issued ({issued}), found {expires}")]
    Times { issued: Timestamp, expires: Timestamp },
}

/// What a pointer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    #[serde(rename = "type")]
    format: String,
    pub policy_name: String,
    pub channel: String,
    /// Digest of the release that the channel runs.
    pub release: Digest,
    /// Never goes back within a policy and channel.
    pub serial: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
}

/// A pointer that enough keys signed. Whether it is the newest and still valid is for the gateway to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPointer {
    pub pointer: Pointer,
    /// Over the payload of the pointer itself.
    pub digest: Digest,
    pub signers: Vec<Signer>,
    /// What its signatures lack of the threshold of `release-wider`, if anything: a pointer back at what allows more
    /// needs it, because the signatures of the older release were given for another time.
    pub missing_for_wider: Option<BelowThreshold>,
}

/// Verifies a pointer by the pointer role of `root`.
pub fn verify_pointer(bytes: &[u8], root: &TrustRoot) -> Result<VerifiedPointer, PointerFault> {
    let verified = verify(bytes, root, Role::Pointer)?;
    let pointer = Pointer::read(verified.payload())?;
    Ok(VerifiedPointer {
        pointer,
        digest: verified.digest(),
        signers: verified.signers().to_vec(),
        missing_for_wider: verified.missing(root, Role::ReleaseWider),
    })
}

impl Pointer {
    pub fn new(
        policy_name: &str,
        channel: &str,
        release: Digest,
        serial: u64,
        issued: Timestamp,
        expires: Timestamp,
    ) -> Result<Self, PointerFault> {
        let format = FORMAT.to_owned();
        let (policy_name, channel) = (policy_name.to_owned(), channel.to_owned());
        let pointer = Self { format, policy_name, channel, release, serial, issued, expires };
        pointer.check()?;
        Ok(pointer)
    }

    /// An envelope around the pointer, without signatures.
    pub fn to_envelope(&self) -> Result<Envelope, PointerFault> {
        Ok(Envelope::new(Kind::Pointer, &canonical::to_bytes(self)?)?)
    }

    /// What a payload says. Nothing is verified.
    pub fn read(payload: &[u8]) -> Result<Self, PointerFault> {
        canonical::check(payload)?;
        let pointer: Self = serde_json::from_slice(payload)?;
        pointer.check()?;
        Ok(pointer)
    }

    fn check(&self) -> Result<(), PointerFault> {
        if self.format != FORMAT {
            return Err(PointerFault::Format { found: self.format.chars().take(80).collect() });
        }
        for (what, name) in [("policy name", &self.policy_name), ("channel", &self.channel)] {
            if !is_name(name) {
                return Err(PointerFault::Name { what });
            }
        }
        if !(1..=INTEGER_MAX).contains(&self.serial) {
            return Err(PointerFault::Serial { found: self.serial });
        }
        if self.expires <= self.issued {
            return Err(PointerFault::Times { issued: self.issued, expires: self.expires });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{keys, root_of, time};

    fn pointer(serial: u64) -> Pointer {
        let (issued, expires) = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
        Pointer::new("orders", "production", Digest::of(b"release"), serial, issued, expires).unwrap()
    }

    #[test]
    fn signed_by_the_pointer_role() {
        let keys = keys(3);
        let root = root_of(&keys, 2);
        let mut envelope = pointer(7).to_envelope().unwrap();
        envelope.sign(&keys[0]).unwrap();
        assert!(matches!(
            verify_pointer(&envelope.to_bytes(), &root),
            Err(PointerFault::Verify(VerifyError::BelowThreshold(_)))
        ));
        envelope.sign(&keys[2]).unwrap();
        let verified = verify_pointer(&envelope.to_bytes(), &root).unwrap();
        assert_eq!((verified.pointer, verified.signers.len()), (pointer(7), 2));
    }

    #[test]
    fn refuses_values_that_mean_nothing() {
        let (issued, expires) = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
        let new = |name: &str, channel: &str, serial, expires| {
            Pointer::new(name, channel, Digest::of(b"r"), serial, issued, expires)
        };
        assert!(matches!(new("", "c", 1, expires), Err(PointerFault::Name { what: "policy name" })));
        assert!(matches!(new("p", "c\u{1b}[2J", 1, expires), Err(PointerFault::Name { what: "channel" })));
        assert!(matches!(new("p", "c", 0, expires), Err(PointerFault::Serial { .. })));
        assert!(matches!(new("p", "c", 1 << 53, expires), Err(PointerFault::Serial { .. })));
        assert!(matches!(new("p", "c", 1, issued), Err(PointerFault::Times { .. })));
        assert!(matches!(Pointer::read(b"{}"), Err(PointerFault::Members(_))));
        assert!(matches!(Pointer::read(b"{} "), Err(PointerFault::Canonical(_))));
    }
}
