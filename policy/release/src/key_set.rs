//! The key set of a channel: which API keys fill the ids that a release declares without a hash, signed by the role `keys`.
//!
//! It holds digests alone. Every set says all that is filled, so the newest alone counts: an id that is not in it has no key.
//! What a release pins, or does not declare, it cannot touch: that is for whoever puts it in force to see.

use policy::bounds::API_KEY_ID_BYTES_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bounds::{KEY_HASHES_MAX, KEY_SET_IDS_MAX, KEY_SET_LIFE_S_MAX};
use crate::envelope::{Kind, Role};
use crate::lists::{Head, ListFault, SignedList};
use crate::revocations::Sha256;
use crate::time::Timestamp;

/// Why what a set says of one id means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("expected an id of 1 to {API_KEY_ID_BYTES_MAX} of a-z, 0-9 and '-'")]
    Id,
    #[error("expected 1 to {KEY_HASHES_MAX} keys, found {found}")]
    Hashes { found: usize },
    #[error("expected hashes in ascending order, each once")]
    Order,
    #[error("expected an end after the beginning ({from}), found {until}")]
    Times { from: Timestamp, until: Timestamp },
}

/// What a key set says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    #[serde(rename = "type")]
    format: String,
    pub policy_name: String,
    pub channel: String,
    /// Never goes back within a policy and channel.
    pub serial: u64,
    pub issued: Timestamp,
    /// From then on its keys are refused.
    pub expires: Timestamp,
    /// Ascending by id, each once.
    keys: Vec<FilledId>,
}

/// The keys of one id: two while one takes the place of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilledId {
    pub id: String,
    /// Ascending, each once.
    pub hashes: Vec<KeyHash>,
}

/// One key, by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyHash {
    /// Over the whole key.
    #[serde(serialize_with = "write_sha256", deserialize_with = "read_sha256")]
    pub sha256: Sha256,
    /// Not valid before; valid at once where there is none.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Not valid from then on; as long as the set where there is none.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A member that is there has a value.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn write_sha256<S: Serializer>(sha256: &Sha256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(sha256)
}

fn read_sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

impl KeyHash {
    /// Valid as long as the set that it stands in.
    pub const fn new(sha256: Sha256) -> Self {
        Self { sha256, from: None, until: None }
    }

    /// Whether it is over at `now`.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What people tell it from others by: the first 12 digits.
    pub fn thumbprint(&self) -> String {
        let mut digits = self.sha256.to_string();
        digits.truncate(12);
        digits
    }
}

impl FilledId {
    fn check(&self) -> Result<(), KeyFault> {
        let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=API_KEY_ID_BYTES_MAX).contains(&self.id.len()) || !self.id.bytes().all(good) {
            return Err(KeyFault::Id);
        }
        if !(1..=KEY_HASHES_MAX).contains(&self.hashes.len()) {
            return Err(KeyFault::Hashes { found: self.hashes.len() });
        }
        if !self.hashes.is_sorted_by(|one, other| one.sha256 < other.sha256) {
            return Err(KeyFault::Order);
        }
        for hash in &self.hashes {
            if let (Some(from), Some(until)) = (hash.from, hash.until)
                && until <= from
            {
                return Err(KeyFault::Times { from, until });
            }
        }
        Ok(())
    }
}

impl KeySet {
    /// Sorts the ids and their hashes.
    pub fn new(
        policy_name: &str,
        channel: &str,
        serial: u64,
        issued: Timestamp,
        expires: Timestamp,
        mut keys: Vec<FilledId>,
    ) -> Result<Self, ListFault> {
        keys.sort_by(|one, other| one.id.cmp(&other.id));
        keys.iter_mut().for_each(|key| key.hashes.sort_by_key(|hash| hash.sha256));
        let format = Self::FORMAT.to_owned();
        let (policy_name, channel) = (policy_name.to_owned(), channel.to_owned());
        let set = Self { format, policy_name, channel, serial, issued, expires, keys };
        set.check()?;
        Ok(set)
    }

    /// Ascending by id, each once.
    pub fn keys(&self) -> &[FilledId] {
        &self.keys
    }

    pub fn of(&self, id: &str) -> Option<&FilledId> {
        let at = self.keys.binary_search_by(|key| key.id.as_str().cmp(id)).ok()?;
        self.keys.get(at)
    }
}

impl SignedList for KeySet {
    const KIND: Kind = Kind::KeySet;
    const ROLE: Role = Role::Keys;
    const FORMAT: &'static str = "adamant.key-set.v1";

    fn head(&self) -> Head<'_> {
        let Self { format, policy_name, channel, serial, issued, expires, .. } = self;
        Head { format, policy_name, channel, serial: *serial, issued: *issued, expires: *expires }
    }

    fn check_entries(&self) -> Result<(), ListFault> {
        let Self { issued, expires, .. } = *self;
        if expires > issued.later_by(KEY_SET_LIFE_S_MAX) {
            return Err(ListFault::Life { kind: Self::KIND, most_s: KEY_SET_LIFE_S_MAX, issued, expires });
        }
        if self.keys.len() > KEY_SET_IDS_MAX {
            return Err(ListFault::Entries { most: KEY_SET_IDS_MAX, found: self.keys.len() });
        }
        let mut previous: Option<&str> = None;
        for key in &self.keys {
            let told = || key.id.escape_default().to_string();
            key.check().map_err(|fault| ListFault::Key { id: told(), fault })?;
            if previous >= Some(key.id.as_str()) {
                return Err(ListFault::Order { entry: told() });
            }
            previous = Some(&key.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
