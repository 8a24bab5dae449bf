//! The keys of API key ids that the release declares without a hash, as workers look them up: a key set compiled against one
//! table.

use identity::api_key;
use policy::reason::Reason;
use policy::table::ApiKeyIndex;

use crate::activation::Activation;

/// What a key set fills of one table.
#[derive(Debug, Default)]
pub struct Filled {
    /// Seconds since the Unix epoch; none of its keys is valid from then on.
    expires_s: u64,
    /// Ascending by index.
    keys: Box<[(ApiKeyIndex, Hashes)]>,
}

/// The keys of one id: the one that goes and the one that comes.
pub type Hashes = [Option<Hash>; 2];

/// One key, and when it is valid: seconds since the Unix epoch, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Over the whole key.
    pub sha256: [u8; 32],
    pub from_s: u64,
    pub until_s: u64,
}

/// When a key that somebody holds is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// By the release.
    declared_until_s: u64,
    /// By the key set.
    from_s: u64,
    until_s: u64,
    set_until_s: u64,
}

impl Filled {
    /// `keys` in any order.
    pub fn new(expires_s: u64, mut keys: Vec<(ApiKeyIndex, Hashes)>) -> Self {
        keys.sort_unstable_by_key(|(index, _)| *index);
        Self { expires_s, keys: keys.into() }
    }

    /// Ids that have a key.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn of(&self, index: ApiKeyIndex) -> Hashes {
        let at = self.keys.binary_search_by_key(&index, |(index, _)| *index).ok();
        at.and_then(|at| self.keys.get(at)).map_or([None; 2], |(_, hashes)| *hashes)
    }
}

impl Term {
    /// Why it is not valid at `now_s`.
    pub fn check(&self, now_s: u64) -> Result<(), Reason> {
        match now_s {
            _ if now_s >= self.declared_until_s => Err(Reason::ApiKeyExpired),
            _ if now_s < self.from_s || now_s >= self.until_s => Err(Reason::ApiKeyOutOfTerm),
            _ if now_s >= self.set_until_s => Err(Reason::KeySetExpired),
            _ => Ok(()),
        }
    }
}

impl Activation {
    /// When the key of `index` that `presented` is the hash of is valid; none where it is no key of that id. Of `None`, an
    /// id that is not declared, nothing is: found out in the same time.
    pub fn api_key_term(&self, index: Option<ApiKeyIndex>, presented: &[u8; 32]) -> Option<Term> {
        let declared = index.and_then(|index| self.api_keys.get(index.index()));
        let pinned = declared.and_then(|key| key.sha256);
        let always = |sha256| Some(Hash { sha256, from_s: 0, until_s: u64::MAX });
        let (hashes, set_until_s) = match (pinned, self.filled.now()) {
            (Some(sha256), _) => ([always(sha256), None], u64::MAX),
            (None, Some(filled)) => (index.map_or([None; 2], |index| filled.of(index)), filled.expires_s),
            (None, None) => ([None; 2], 0),
        };
        let mut found = None;
        for hash in hashes {
            // All of them, whichever it is.
            let same = api_key::matches(presented, &hash.map_or([0; 32], |hash| hash.sha256));
            found = hash.filter(|_| same).or(found);
        }
        let Hash { from_s, until_s, .. } = found?;
        Some(Term { declared_until_s: declared?.expires_s.unwrap_or(u64::MAX), from_s, until_s, set_until_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8, from_s: u64, until_s: u64) -> Hash {
        Hash { sha256: [byte; 32], from_s, until_s }
    }

    #[test]
    fn an_id_has_its_own_keys_alone() {
        let key = |index, byte| (ApiKeyIndex(index), [Some(hash(byte, 0, 1)), None]);
        let filled = Filled::new(9, vec![key(7, 7), key(2, 2), key(5, 5)]);
        for index in 0..10 {
            let expected = [2, 5, 7].contains(&index).then(|| hash(index.try_into().unwrap(), 0, 1));
            assert_eq!(filled.of(ApiKeyIndex(index)), [expected, None]);
        }
        assert_eq!((filled.len(), Filled::default().is_empty()), (3, true));
    }

    #[test]
    fn what_ends_first_is_the_reason_and_ends_are_not_included() {
        let term = Term { declared_until_s: 100, from_s: 10, until_s: 90, set_until_s: 80 };
        let checked: Vec<_> = [9, 10, 79, 80, 89, 90, 99, 100].map(|now_s| term.check(now_s).err()).into();
        let (out, over) = (Some(Reason::ApiKeyOutOfTerm), Some(Reason::KeySetExpired));
        assert_eq!(checked, [out, None, None, over, over, out, out, Some(Reason::ApiKeyExpired)]);
    }
}
