//! The revocation list of a channel: "from now on these credentials hold no more", signed by the revocation role.
//!
//! It can only deny. Every list holds all that is revoked, so the newest alone counts; what has not lapsed may be missing
//! from the next one only where the threshold of `release-wider` stands behind that too: see [`lifted`].

mod entry;
mod wire;

use serde::{Deserialize, Serialize};

use crate::bounds::REVOCATIONS_MAX;
use crate::envelope::{Kind, Role};
use crate::lists::{Head, ListFault, SignedList, VerifiedList, verify_list};
use crate::root::TrustRoot;
use crate::time::Timestamp;

pub use self::entry::{Entry, EntryFault, SerialNumber, Sha256, Target};

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

/// A revocation list that enough keys signed.
pub type VerifiedRevocations = VerifiedList<Revocations>;

/// Verifies a revocation list by the revocation role of `root`.
pub fn verify_revocations(bytes: &[u8], root: &TrustRoot) -> Result<VerifiedRevocations, ListFault> {
    verify_list(bytes, root)
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
    ) -> Result<Self, ListFault> {
        entries.reverse();
        entries.sort_by(|left, right| left.target.key().cmp(&right.target.key()));
        entries.dedup_by(|later, kept| later.target.key() == kept.target.key());
        let format = Self::FORMAT.to_owned();
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
    pub fn with(&self, more: &[&Entry]) -> Result<Self, ListFault> {
        let at = |entry: &Entry| self.entries.binary_search_by(|known| known.target.key().cmp(&entry.target.key()));
        let known = |entry: &Entry| at(entry).ok().and_then(|at| self.entries.get(at));
        let joined = more.iter().map(|entry| match known(entry) {
            Some(known) => known.clone().joined(entry),
            None => (*entry).clone(),
        });
        let entries = self.entries.iter().cloned().chain(joined).collect();
        Self::new(&self.policy_name, &self.channel, self.serial, self.issued, self.expires, entries)
    }
}

impl SignedList for Revocations {
    const KIND: Kind = Kind::Revocations;
    const ROLE: Role = Role::Revocation;
    const FORMAT: &'static str = "adamant.revocations.v1";

    fn head(&self) -> Head<'_> {
        let Self { format, policy_name, channel, serial, issued, expires, .. } = self;
        Head { format, policy_name, channel, serial: *serial, issued: *issued, expires: *expires }
    }

    fn check_entries(&self) -> Result<(), ListFault> {
        if self.entries.len() > REVOCATIONS_MAX {
            return Err(ListFault::Entries { most: REVOCATIONS_MAX, found: self.entries.len() });
        }
        let mut previous: Option<&Target> = None;
        for entry in &self.entries {
            let told = || entry.target.to_string();
            entry.check().map_err(|fault| ListFault::Entry { target: told(), fault })?;
            if previous.is_some_and(|previous| previous.key() >= entry.target.key()) {
                return Err(ListFault::Order { entry: told() });
            }
            previous = Some(&entry.target);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
