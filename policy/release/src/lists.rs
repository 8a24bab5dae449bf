//! What moves under a frozen release by a signed word of its own, for one channel: the revocation list and the key set.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bounds::{INTEGER_MAX, NAME_BYTES_MAX, is_name};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::key_set::KeyFault;
use crate::revocations::EntryFault;
use crate::root::TrustRoot;
use crate::time::Timestamp;
use crate::verify::{BelowThreshold, Signer, VerifyError, verify};

/// Why such a list is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ListFault {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("the payload is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the payload cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected the members of a {kind}: {fault}")]
    Members { kind: Kind, fault: serde_json::Error },
    #[error("expected format {expected:?}, found {found:?}; this engine does not know it")]
    Format { expected: &'static str, found: String },
    #[error("expected a {what} of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name { what: &'static str },
    #[error("expected a serial of 1 to {INTEGER_MAX}, found {found}")]
    Serial { found: u64 },
    #[error("expected a {kind} that expires after it was issued ({issued}), found {expires}")]
    Times { kind: Kind, issued: Timestamp, expires: Timestamp },
    #[error("expected a {kind} that ends within {} days of its issue ({issued}), found {expires}", most_s / 86_400)]
    Life { kind: Kind, most_s: u64, issued: Timestamp, expires: Timestamp },
    #[error("expected at most {most} entries, found {found}; entries whose credential has expired can go")]
    Entries { most: usize, found: usize },
    #[error("expected entries in ascending order, each once; {entry} stands twice or out of order")]
    Order { entry: String },
    #[error("{target}: {fault}")]
    Entry { target: String, fault: EntryFault },
    #[error("API key {id}: {fault}")]
    Key { id: String, fault: KeyFault },
}

/// What every list says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'l> {
    pub format: &'l str,
    pub policy_name: &'l str,
    pub channel: &'l str,
    /// Never goes back within a policy and channel.
    pub serial: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
}

/// A list of one channel, of which the newest alone counts.
pub trait SignedList: Clone + Serialize + DeserializeOwned {
    const KIND: Kind;
    /// Who signs it.
    const ROLE: Role;
    const FORMAT: &'static str;

    fn head(&self) -> Head<'_>;

    /// Whether what follows the head means something.
    fn check_entries(&self) -> Result<(), ListFault>;

    /// An envelope around the list, without signatures.
    fn to_envelope(&self) -> Result<Envelope, ListFault> {
        Ok(Envelope::new(Self::KIND, &canonical::to_bytes(self)?)?)
    }

    /// What a payload says. Nothing is verified.
    fn read(payload: &[u8]) -> Result<Self, ListFault> {
        canonical::check(payload)?;
        let members = |fault| ListFault::Members { kind: Self::KIND, fault };
        let list: Self = serde_json::from_slice(payload).map_err(members)?;
        list.check()?;
        Ok(list)
    }

    fn check(&self) -> Result<(), ListFault> {
        let Head { format, policy_name, channel, serial, issued, expires } = self.head();
        if format != Self::FORMAT {
            return Err(ListFault::Format { expected: Self::FORMAT, found: format.chars().take(80).collect() });
        }
        for (what, name) in [("policy name", policy_name), ("channel", channel)] {
            if !is_name(name) {
                return Err(ListFault::Name { what });
            }
        }
        if !(1..=INTEGER_MAX).contains(&serial) {
            return Err(ListFault::Serial { found: serial });
        }
        if expires <= issued {
            return Err(ListFault::Times { kind: Self::KIND, issued, expires });
        }
        self.check_entries()
    }
}

/// A list that enough keys signed. Whether it is the newest is for the gateway to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedList<L> {
    pub list: L,
    /// Over the payload of the list.
    pub digest: Digest,
    pub signers: Vec<Signer>,
    /// What the signatures of a revocation list lack of the threshold of `release-wider`, if anything: lifting needs it.
    pub missing_for_wider: Option<BelowThreshold>,
}

/// Verifies a list by its role in `root`.
pub fn verify_list<L: SignedList>(bytes: &[u8], root: &TrustRoot) -> Result<VerifiedList<L>, ListFault> {
    let verified = verify(bytes, root, L::ROLE)?;
    let list = L::read(verified.payload())?;
    Ok(VerifiedList {
        list,
        digest: verified.digest(),
        signers: verified.signers().to_vec(),
        missing_for_wider: verified.missing(root, Role::ReleaseWider),
    })
}
