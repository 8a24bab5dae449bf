//! The key set in force, before the workers: it fills what the release leaves open, and nothing else.

use activation::filled::{Filled, Hash, Hashes};
use policy::model::Policy;
use policy::table::{ApiKeyIndex, Table};
use policy_release::key_set::{FilledId, KeyHash, KeySet};
use policy_release::time::Timestamp;

use crate::live::{self, Compile};

pub type Register = live::Register<KeySet>;

impl Compile for KeySet {
    type Compiled = Filled;

    fn compile(&self, policy: &Policy, _: &Table<sys::Image>, _: Timestamp, _: u64) -> Filled {
        let open = policy.api_keys.iter().zip(0..).filter(|(key, _)| key.sha256.is_none());
        let filled = open.filter_map(|(key, index)| Some((ApiKeyIndex(index), hashes(self.of(&key.id)?))));
        Filled::new(self.expires.seconds(), filled.collect())
    }

    /// None: workers hold the times of a set against the clock of each request.
    fn ends(&self) -> impl Iterator<Item = Timestamp> {
        std::iter::empty()
    }
}

fn hashes(filled: &FilledId) -> Hashes {
    let hash = |KeyHash { sha256, from, until }: &KeyHash| Hash {
        sha256: sha256.0,
        from_s: from.map_or(0, Timestamp::seconds),
        until_s: until.map_or(u64::MAX, Timestamp::seconds),
    };
    let mut hashes = filled.hashes.iter().map(hash);
    [hashes.next(), hashes.next()]
}

/// What a set is to a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit<'n> {
    /// Ids that the release leaves open and the set fills.
    pub filled: usize,
    /// Ids that the release leaves open and nothing fills.
    pub unfilled: Vec<&'n str>,
    /// Ids of the set that the release pins, or does not declare: nothing comes of them.
    pub ignored: Vec<&'n str>,
}

impl<'n> Fit<'n> {
    /// Of `set`, or of none, to `policy`.
    pub fn of(set: Option<&'n KeySet>, policy: &'n Policy) -> Self {
        let mut fit = Self::default();
        let is_open = |id: &str| {
            let at = policy.api_keys.binary_search_by(|key| key.id.as_str().cmp(id)).ok();
            at.and_then(|at| policy.api_keys.get(at)).is_some_and(|key| key.sha256.is_none())
        };
        for key in policy.api_keys.iter().filter(|key| key.sha256.is_none()) {
            match set.and_then(|set| set.of(&key.id)) {
                Some(_) => fit.filled += 1,
                None => fit.unfilled.push(&key.id),
            }
        }
        let of_set = set.into_iter().flat_map(KeySet::keys);
        fit.ignored.extend(of_set.map(|key| key.id.as_str()).filter(|id| !is_open(id)));
        fit
    }
}

#[cfg(test)]
mod tests;
