//! The revocation list of a channel: "from now on these credentials hold no more", signed by the revocation role.
//!
//! It can only deny. Every list holds all that is revoked, so the newest alone counts; what has not lapsed may be missing
//! from the next one only where the threshold of `release-wider` stands behind that too: see [`lifted`].

mod entry;
mod wire;

use serde::{Deserialize, Serialize};

use crate::bounds::{INTEGER_MAX, NAME_BYTES_MAX, REVOCATIONS_MAX, is_name};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::root::TrustRoot;
use crate::time::Timestamp;
use crate::verify::{BelowThreshold, Signer, VerifyError, verify};

pub use self::entry::{Entry, EntryFault, SerialNumber, Sha256, Target};

const FORMAT: &str = "adamant.revocations.v1";

/// Why a revocation list is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RevocationsFault {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("the revocation list is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the revocation list cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected the members of a revocation list: {0}")]
    Members(#[from] serde_json::Error),
    #[error("expected format {FORMAT:?}, found {found:?}; this engine does not know it")]
    Format { found: String },
    #[error("expected a {what} of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name { what: &'static str },
    #[error("expected a serial of 1 to {INTEGER_MAX}, found {found}")]
    Serial { found: u64 },
    #[error("expected a revocation list that expires after it was issued ({issued}), found {expires}")]
    Times { issued: Timestamp, expires: Timestamp },
    #[error("expected at most {REVOCATIONS_MAX} entries, found {found}; entries whose credential has expired can go")]
    Entries { found: usize },
    #[error("expected entries in ascending order, each once; {target} stands twice or out of order")]
    Order { target: String },
    #[error("{target}: {fault}")]
    Entry { target: String, fault: EntryFault },
}

/// What a revocation list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    #[serde(rename = "type")]
    format: String,
    pub policy_name: String,
    pub channel: String,
    /// Never goes back within a policy and channel.
    pub serial: u64,
    pub issued: Timestamp,
    /// From then on gateways raise an alarm; what is revoked stays revoked.
    pub expires: Timestamp,
    /// Ascending by target, each once.
    entries: Vec<Entry>,
}

/// A revocation list that enough keys signed. Whether it is the newest is for the gateway to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRevocations {
    pub list: Revocations,
    /// Over the payload of the list.
    pub digest: Digest,
    pub signers: Vec<Signer>,
    /// What its signatures lack of the threshold of `release-wider`, if anything: lifting needs it.
    pub missing_for_wider: Option<BelowThreshold>,
}

/// Verifies a revocation list by the revocation role of `root`.
pub fn verify_revocations(bytes: &[u8], root: &TrustRoot) -> Result<VerifiedRevocations, RevocationsFault> {
    let verified = verify(bytes, root, Role::Revocation)?;
    let list = Revocations::read(verified.payload())?;
    Ok(VerifiedRevocations {
        list,
        digest: verified.digest(),
        signers: verified.signers().to_vec(),
        missing_for_wider: verified.missing(root, Role::ReleaseWider),
    })
}

/// The entries of `before` that have not lapsed at `now` and that `after` does not hold as widely: they would be lifted.
/// Both in the order of a list.
pub fn lifted<'b>(before: &'b [Entry], after: &[Entry], now: Timestamp) -> Vec<&'b Entry> {
    let mut rest = after;
    let mut lifted = Vec::new();
    for entry in before.iter().filter(|entry| !entry.has_lapsed(now)) {
        let at = rest.partition_point(|other| other.target.key() < entry.target.key());
        rest = rest.get(at..).unwrap_or_default();
        if !rest.first().is_some_and(|other| other.covers(entry)) {
            lifted.push(entry);
        }
    }
    lifted
}

impl Revocations {
    /// Sorts the entries; of several with one target the last one counts.
    pub fn new(
        policy_name: &str,
        channel: &str,
        serial: u64,
        issued: Timestamp,
        expires: Timestamp,
        mut entries: Vec<Entry>,
    ) -> Result<Self, RevocationsFault> {
        entries.reverse();
        entries.sort_by(|left, right| left.target.key().cmp(&right.target.key()));
        entries.dedup_by(|later, kept| later.target.key() == kept.target.key());
        let format = FORMAT.to_owned();
        let (policy_name, channel) = (policy_name.to_owned(), channel.to_owned());
        let list = Self { format, policy_name, channel, serial, issued, expires, entries };
        list.check()?;
        Ok(list)
    }

    /// Ascending by target, each once.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same list with `more`: nothing that it or one of them revokes is missing.
    pub fn with(&self, more: &[&Entry]) -> Result<Self, RevocationsFault> {
        let at = |entry: &Entry| self.entries.binary_search_by(|known| known.target.key().cmp(&entry.target.key()));
        let known = |entry: &Entry| at(entry).ok().and_then(|at| self.entries.get(at));
        let joined = more.iter().map(|entry| match known(entry) {
            Some(known) => known.clone().joined(entry),
            None => (*entry).clone(),
        });
        let entries = self.entries.iter().cloned().chain(joined).collect();
        Self::new(&self.policy_name, &self.channel, self.serial, self.issued, self.expires, entries)
    }

    /// An envelope around the list, without signatures.
    pub fn to_envelope(&self) -> Result<Envelope, RevocationsFault> {
        Ok(Envelope::new(Kind::Revocations, &canonical::to_bytes(self)?)?)
    }

    /// What a payload says. Nothing is verified.
    pub fn read(payload: &[u8]) -> Result<Self, RevocationsFault> {
        canonical::check(payload)?;
        let list: Self = serde_json::from_slice(payload)?;
        list.check()?;
        Ok(list)
    }

    fn check(&self) -> Result<(), RevocationsFault> {
        if self.format != FORMAT {
            return Err(RevocationsFault::Format { found: self.format.chars().take(80).collect() });
        }
        for (what, name) in [("policy name", &self.policy_name), ("channel", &self.channel)] {
            if !is_name(name) {
                return Err(RevocationsFault::Name { what });
            }
        }
        if !(1..=INTEGER_MAX).contains(&self.serial) {
            return Err(RevocationsFault::Serial { found: self.serial });
        }
        if self.expires <= self.issued {
            return Err(RevocationsFault::Times { issued: self.issued, expires: self.expires });
        }
        if self.entries.len() > REVOCATIONS_MAX {
            return Err(RevocationsFault::Entries { found: self.entries.len() });
        }
        let mut previous: Option<&Target> = None;
        for entry in &self.entries {
            let told = || entry.target.to_string();
            entry.check().map_err(|fault| RevocationsFault::Entry { target: told(), fault })?;
            if previous.is_some_and(|previous| previous.key() >= entry.target.key()) {
                return Err(RevocationsFault::Order { target: told() });
            }
            previous = Some(&entry.target);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
