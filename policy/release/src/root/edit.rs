//! The next version of a trust root: keys come, go and are replaced, thresholds and expiry move.
//!
//! Nothing is signed here, and version N is never touched: what comes out is version N + 1, to be signed by N's root
//! threshold and its own.

use super::{RoleKeys, Roles, RootClaims, RootFault, RootKey};
use crate::envelope::Role;
use crate::key::{KeyId, PublicKey};
use crate::time::Timestamp;

/// Why a trust root cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum EditFault {
    #[error("nothing would change: the trust root says that already")]
    Nothing,
    #[error("expected a key that the trust root does not hold, found the one of {owner}")]
    Held { owner: String },
    #[error("expected an owner of the trust root ({known}), found {owner:?}")]
    Owner { owner: String, known: String },
    #[error("expected an owner of one key, found {owner:?} with {count}")]
    SeveralKeys { owner: String, count: usize },
    #[error("expected a key of the trust root, found {key}")]
    Key { key: KeyId },
    #[error("expected {owner} in role {role}, found that key in other roles alone")]
    NotInRole { owner: String, role: Role },
    #[error("role {role} would have a threshold of {threshold} with {keys} key{} to meet it", if *keys == 1 { "" } else { "s" })]
    Unreachable { role: Role, threshold: u32, keys: usize },
    #[error(transparent)]
    Root(#[from] RootFault),
}

/// A trust root in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    before: RootClaims,
    expires: Timestamp,
    keys: Vec<RootKey>,
    roles: Roles,
}

impl Roles {
    fn of_mut(&mut self, role: Role) -> &mut RoleKeys {
        match role {
            Role::Root => &mut self.root,
            Role::ReleaseNarrower => &mut self.release_narrower,
            Role::ReleaseWider => &mut self.release_wider,
            Role::Pointer => &mut self.pointer,
            Role::Revocation => &mut self.revocation,
            Role::Keys => self.keys.get_or_insert(RoleKeys { keys: Vec::new(), threshold: 1 }),
        }
    }

    /// The roles that `key` is in.
    pub fn with(&self, key: KeyId) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.of(*role).keys.contains(&key)).collect()
    }
}

impl RootClaims {
    /// The keys of an owner; at least one.
    pub fn keys_of(&self, owner: &str) -> Result<Vec<&RootKey>, EditFault> {
        let keys: Vec<_> = self.keys.iter().filter(|key| key.owner == owner).collect();
        if keys.is_empty() {
            let mut known: Vec<_> = self.keys.iter().map(|key| key.owner.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(EditFault::Owner { owner: owner.into(), known: known.join(", ") });
        }
        Ok(keys)
    }

    /// The key of an owner who has one.
    pub fn key_of(&self, owner: &str) -> Result<&RootKey, EditFault> {
        match self.keys_of(owner)?[..] {
            [key] => Ok(key),
            ref keys => Err(EditFault::SeveralKeys { owner: owner.into(), count: keys.len() }),
        }
    }

    /// Begins the version after this one.
    pub fn successor(&self) -> Draft {
        Draft { before: self.clone(), expires: self.expires, keys: self.keys.clone(), roles: self.roles.clone() }
    }
}

impl Draft {
    /// Puts a key into roles. One that is there under the same owner gets the roles it does not have.
    pub fn add(&mut self, key: &RootKey, roles: &[Role]) -> Result<(), EditFault> {
        match self.keys.iter().find(|held| held.id == key.id) {
            Some(held) if held.owner != key.owner => return Err(EditFault::Held { owner: held.owner.clone() }),
            Some(_) => {}
            None => self.keys.push(key.clone()),
        }
        for role in roles {
            let keys = &mut self.roles.of_mut(*role).keys;
            if !keys.contains(&key.id) {
                keys.push(key.id);
            }
        }
        Ok(())
    }

    /// Takes a key out of roles, or out of all when none is named. A key without a role leaves the root.
    pub fn remove(&mut self, key: KeyId, roles: &[Role]) -> Result<(), EditFault> {
        let held = self.keys.iter().find(|held| held.id == key).ok_or(EditFault::Key { key })?;
        for role in roles {
            if !self.roles.of(*role).keys.contains(&key) {
                return Err(EditFault::NotInRole { owner: held.owner.clone(), role: *role });
            }
        }
        for role in self.roles.with(key).into_iter().filter(|role| roles.is_empty() || roles.contains(role)) {
            self.roles.of_mut(role).keys.retain(|id| *id != key);
        }
        // Without a key the role is gone: no gateway needs anybody for it.
        self.roles.keys.take_if(|role| role.keys.is_empty());
        if self.roles.with(key).is_empty() {
            self.keys.retain(|held| held.id != key);
        }
        Ok(())
    }

    /// Puts `new` in the place of `old` in every role; the owner stays.
    pub fn rotate(&mut self, old: KeyId, new: PublicKey) -> Result<(), EditFault> {
        if let Some(held) = self.keys.iter().find(|held| held.id == new.id()) {
            return Err(EditFault::Held { owner: held.owner.clone() });
        }
        let held = self.keys.iter_mut().find(|held| held.id == old).ok_or(EditFault::Key { key: old })?;
        *held = RootKey::new(&held.owner, new);
        for role in self.roles.with(old) {
            let keys = self.roles.of_mut(role).keys.iter_mut();
            keys.filter(|id| **id == old).for_each(|id| *id = new.id());
        }
        Ok(())
    }

    /// Sets how many keys of a role must sign.
    pub fn set_threshold(&mut self, role: Role, threshold: u32) {
        self.roles.of_mut(role).threshold = threshold;
    }

    pub fn set_expires(&mut self, expires: Timestamp) {
        self.expires = expires;
    }

    /// The next version, if it can be used: every role can be met, and something changed.
    pub fn finish(self) -> Result<RootClaims, EditFault> {
        for role in Role::ALL.into_iter().filter(|role| self.roles.has(*role)) {
            let RoleKeys { keys, threshold } = self.roles.of(role);
            if usize::try_from(*threshold).map_or(true, |threshold| threshold > keys.len()) {
                return Err(EditFault::Unreachable { role, threshold: *threshold, keys: keys.len() });
            }
        }
        let after = RootClaims::new(self.before.version + 1, self.expires, self.keys, self.roles)?;
        let same =
            (after.expires, &after.keys, &after.roles) == (self.before.expires, &self.before.keys, &self.before.roles);
        if same { Err(EditFault::Nothing) } else { Ok(after) }
    }
}

/// What `new` changes in `old`, in words, one change a line; empty when nothing but the version differs.
pub fn changes(old: &RootClaims, new: &RootClaims) -> Vec<String> {
    let mut lines = Vec::new();
    let words = |roles: &[Role]| roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(", ");
    let holds = |root: &RootClaims, id| root.keys.iter().any(|key: &RootKey| key.id == id);
    for RootKey { id, owner, .. } in old.keys.iter().filter(|key| !holds(new, key.id)) {
        lines.push(format!("- {owner}, key {}, was in {}", id.short(), words(&old.roles.with(*id))));
    }
    for RootKey { id, owner, .. } in &new.keys {
        let now = new.roles.with(*id);
        let Some(before) = old.keys.iter().find(|key| key.id == *id) else {
            lines.push(format!("+ {owner}, key {}, in {}", id.short(), words(&now)));
            continue;
        };
        if before.owner != *owner {
            lines.push(format!("owner of key {}: {} → {owner}", id.short(), before.owner));
        }
        let was = old.roles.with(*id);
        if was != now {
            lines.push(format!("{owner}: {} → {}", words(&was), words(&now)));
        }
    }
    for role in Role::ALL {
        let (before, after) = (old.roles.of(role).threshold, new.roles.of(role).threshold);
        if before != after {
            lines.push(format!("threshold of {role}: {before} → {after}"));
        }
    }
    if old.expires != new.expires {
        lines.push(format!("expires: {} → {}", old.expires, new.expires));
    }
    lines
}

#[cfg(test)]
mod tests;
