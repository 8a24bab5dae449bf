//! Who of a role has signed an envelope and who has not yet: for gathering signatures. Nothing is accepted here.

use std::collections::BTreeMap;

use super::{RoleKeys, RootClaims, RootKey, TrustRoot};
use crate::envelope::{Envelope, Role};
use crate::key::KeyId;
use crate::verify;

/// The keys of one role, told apart by whether their signature is on an envelope and verifies; in the order of their
/// owners' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    /// Of the trust root whose role it is.
    pub root_version: u64,
    pub threshold: u32,
    pub signed: Vec<RootKey>,
    pub missing: Vec<RootKey>,
}

impl Standing {
    /// Whether enough keys have signed.
    pub fn is_met(&self) -> bool {
        self.lacking() == 0
    }

    /// How many signatures are still needed.
    pub fn lacking(&self) -> u32 {
        self.threshold.saturating_sub(u32::try_from(self.signed.len()).unwrap_or(u32::MAX))
    }
}

impl TrustRoot {
    /// Who of `role` has signed `envelope`.
    pub fn standing(&self, role: Role, envelope: &Envelope) -> Standing {
        standing(self.version, &self.keys, role, self.role(role), envelope)
    }
}

impl RootClaims {
    /// Who of `role` has signed `envelope`, by what these claims say.
    pub fn standing(&self, role: Role, envelope: &Envelope) -> Standing {
        let keys = self.keys.iter().map(|key| (key.id, key.clone())).collect();
        standing(self.version, &keys, role, self.roles.of(role), envelope)
    }
}

fn standing(
    root_version: u64,
    keys: &BTreeMap<KeyId, RootKey>,
    role: Role,
    of_role: &RoleKeys,
    envelope: &Envelope,
) -> Standing {
    let tally = verify::tally(envelope, keys);
    let mut of_role_keys: Vec<RootKey> = of_role.keys.iter().filter_map(|id| keys.get(id)).cloned().collect();
    of_role_keys.sort_by(|one, other| (&one.owner, one.id).cmp(&(&other.owner, other.id)));
    let (signed, missing) = of_role_keys.into_iter().partition(|key| tally.has(&key.id));
    Standing { role, root_version, threshold: of_role.threshold, signed, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::testing::{claims, keys, root_of};

    #[test]
    fn tells_signed_from_missing_and_counts_no_key_twice() {
        let keys = keys(3);
        let root = root_of(&keys, 2);
        let claims = claims(2, &keys, 2);
        let mut envelope = claims.to_envelope().unwrap();
        let standing = root.standing(Role::Root, &envelope);
        assert_eq!((standing.signed.len(), standing.missing.len(), standing.lacking()), (0, 3, 2));
        envelope.sign(&keys[1]).unwrap();
        envelope.sign(&keys[1]).unwrap();
        envelope.sign(&SigningKey::generate([99; 32]).unwrap()).unwrap();
        let standing = claims.standing(Role::Root, &envelope);
        assert_eq!((standing.signed[0].id, standing.lacking(), standing.is_met()), (keys[1].public().id(), 1, false));
        envelope.sign(&keys[2]).unwrap();
        assert!(root.standing(Role::Root, &envelope).is_met());
    }
}
