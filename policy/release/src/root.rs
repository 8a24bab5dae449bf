//! The trust root: which keys may sign what, and how many must.
//!
//! Itself an envelope. Version 1 is taken on the word of whoever places the file; it must be signed by the threshold
//! of its own `root` role. Version N + 1 must be signed by N's `root` threshold and its own (as in TUF 1.0 §5.3).

pub mod edit;
mod standing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounds::{INTEGER_MAX, KEYS_MAX, NAME_BYTES_MAX, is_name};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::key::{KeyId, PublicKey};
use crate::time::Timestamp;
use crate::verify::{self, BelowThreshold, Signer};

pub use self::standing::Standing;

const FORMAT: &str = "adamant.trust-root.v1";

/// Why a trust root is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RootFault {
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("the trust root is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the trust root cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected the members of a trust root: {0}")]
    Members(#[from] serde_json::Error),
    #[error("expected format {FORMAT:?}, found {found:?}; this engine does not know it")]
    Format { found: String },
    #[error("expected a trust root version of 1 to {INTEGER_MAX}, found {found}")]
    Version { found: u64 },
    #[error("expected 1 to {KEYS_MAX} keys in ascending order of id, each once; {found}")]
    Keys { found: String },
    #[error("expected key id {expected} for {public_key}, found {found}")]
    KeyId { expected: KeyId, found: KeyId, public_key: PublicKey },
    #[error("expected an owner of 1 to {NAME_BYTES_MAX} bytes without control characters for key {key_id}")]
    Owner { key_id: KeyId },
    #[error("role {role}: expected {expected}, found {found}")]
    Role { role: Role, expected: &'static str, found: String },
    #[error(
        "expected thresholds release-narrower ≤ release-wider ≤ root, found {narrower}, {wider} and {root}; a weaker \
         role could otherwise give itself the power of a stronger one"
    )]
    Thresholds { narrower: u32, wider: u32, root: u32 },
    #[error("the trust root is not signed by its own threshold: {0}")]
    Own(BelowThreshold),
    #[error("the new trust root is not signed by the threshold of the one before: {0}")]
    Predecessor(BelowThreshold),
    #[error("expected trust root version {expected}, found {found}; give every version in turn")]
    Succession { expected: u64, found: u64 },
    #[error("the trust root (version {version}) expired at {expires}, it is {now}; place its successor")]
    Expired { version: u64, expires: Timestamp, now: Timestamp },
}

/// One key of a trust root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKey {
    pub id: KeyId,
    /// Who holds the key; for people and records only.
    pub owner: String,
    pub public_key: PublicKey,
}

impl RootKey {
    pub fn new(owner: &str, public_key: PublicKey) -> Self {
        Self { id: public_key.id(), owner: owner.into(), public_key }
    }
}

/// The keys of one role and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleKeys {
    /// Ascending, each once.
    pub keys: Vec<KeyId>,
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Roles {
    /// None: nobody signs key sets, as in every trust root from before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<RoleKeys>,
    pub pointer: RoleKeys,
    pub release_narrower: RoleKeys,
    pub release_wider: RoleKeys,
    pub revocation: RoleKeys,
    pub root: RoleKeys,
}

/// What a trust root says, before anybody has checked who says it. For building and for showing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootClaims {
    #[serde(rename = "type")]
    format: String,
    pub version: u64,
    pub expires: Timestamp,
    pub keys: Vec<RootKey>,
    pub roles: Roles,
}

/// A verified trust root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoot {
    version: u64,
    expires: Timestamp,
    keys: BTreeMap<KeyId, RootKey>,
    roles: Roles,
    digest: Digest,
}

/// Verifies a trust root that was placed by hand. Its expiry is not looked at: see [`TrustRoot::check_expiry`].
pub fn verify_root(bytes: &[u8]) -> Result<TrustRoot, RootFault> {
    let envelope = Envelope::parse_kind(bytes, Kind::TrustRoot)?;
    let root = TrustRoot::of(RootClaims::read(&envelope)?, envelope.digest());
    require(&envelope, &root).map_err(RootFault::Own)?;
    Ok(root)
}

/// Verifies the version after `old`: its number is one higher, and both thresholds signed it.
pub fn verify_successor(old: &TrustRoot, new_bytes: &[u8]) -> Result<TrustRoot, RootFault> {
    let envelope = Envelope::parse_kind(new_bytes, Kind::TrustRoot)?;
    let new = TrustRoot::of(RootClaims::read(&envelope)?, envelope.digest());
    let expected = old.version + 1;
    if new.version != expected {
        return Err(RootFault::Succession { expected, found: new.version });
    }
    require(&envelope, old).map_err(RootFault::Predecessor)?;
    require(&envelope, &new).map_err(RootFault::Own)?;
    Ok(new)
}

fn require(envelope: &Envelope, by: &TrustRoot) -> Result<Vec<Signer>, BelowThreshold> {
    let tally = verify::tally(envelope, by.keys());
    Ok(verify::count(&tally, by, Role::Root)?.0)
}

/// A role without keys, whose threshold nobody meets.
static NOBODY: RoleKeys = RoleKeys { keys: Vec::new(), threshold: 1 };

impl Roles {
    pub const fn of(&self, role: Role) -> &RoleKeys {
        match role {
            Role::Root => &self.root,
            Role::ReleaseNarrower => &self.release_narrower,
            Role::ReleaseWider => &self.release_wider,
            Role::Pointer => &self.pointer,
            Role::Revocation => &self.revocation,
            Role::Keys => match &self.keys {
                Some(keys) => keys,
                None => &NOBODY,
            },
        }
    }

    /// Whether the trust root has the role at all.
    pub const fn has(&self, role: Role) -> bool {
        !matches!(role, Role::Keys) || self.keys.is_some()
    }
}

impl RootClaims {
    /// Sorts keys and roles into canonical order and checks them.
    pub fn new(version: u64, expires: Timestamp, mut keys: Vec<RootKey>, mut roles: Roles) -> Result<Self, RootFault> {
        keys.sort_by_key(|key| key.id);
        let Roles { keys: of_keys, pointer, release_narrower, release_wider, revocation, root } = &mut roles;
        let roles_there = [pointer, release_narrower, release_wider, revocation, root].into_iter().chain(of_keys);
        roles_there.for_each(|role| role.keys.sort_unstable());
        let claims = Self { format: FORMAT.into(), version, expires, keys, roles };
        claims.check()?;
        Ok(claims)
    }

    /// Owners who hold several keys of a role that asks for several: a threshold counts keys, so one person could
    /// stand for two. Such a root is read and followed; none is made.
    pub fn owners_twice(&self) -> Vec<(Role, &str)> {
        let mut twice = Vec::new();
        for role in Role::ALL.into_iter().filter(|role| self.roles.of(*role).threshold > 1) {
            let of_role = self.keys.iter().filter(|key| self.roles.of(role).keys.contains(&key.id));
            let mut owners: Vec<&str> = of_role.map(|key| key.owner.as_str()).collect();
            owners.sort_unstable();
            let repeated = owners.chunk_by(|left, right| left == right).filter(|same| same.len() > 1);
            twice.extend(repeated.filter_map(|same| Some((role, *same.first()?))));
        }
        twice
    }

    /// An envelope around these claims, without signatures.
    pub fn to_envelope(&self) -> Result<Envelope, RootFault> {
        Ok(Envelope::new(Kind::TrustRoot, &canonical::to_bytes(self)?)?)
    }

    /// What the payload says. Nothing is verified.
    pub fn read(envelope: &Envelope) -> Result<Self, RootFault> {
        canonical::check(envelope.payload())?;
        let claims: Self = serde_json::from_slice(envelope.payload())?;
        claims.check()?;
        Ok(claims)
    }

    fn check(&self) -> Result<(), RootFault> {
        if self.format != FORMAT {
            return Err(RootFault::Format { found: self.format.chars().take(80).collect() });
        }
        if !(1..=INTEGER_MAX).contains(&self.version) {
            return Err(RootFault::Version { found: self.version });
        }
        if !(1..=KEYS_MAX).contains(&self.keys.len()) {
            return Err(RootFault::Keys { found: format!("found {}", self.keys.len()) });
        }
        if let Some(key) = not_ascending(self.keys.iter().map(|key| key.id)) {
            return Err(RootFault::Keys { found: format!("{key} stands twice or out of order") });
        }
        for RootKey { id, owner, public_key } in &self.keys {
            if *id != public_key.id() {
                return Err(RootFault::KeyId { expected: public_key.id(), found: *id, public_key: *public_key });
            }
            if !is_name(owner) {
                return Err(RootFault::Owner { key_id: *id });
            }
        }
        Role::ALL.into_iter().try_for_each(|role| self.check_role(role))?;
        let threshold = |role| self.roles.of(role).threshold;
        let (narrower, wider, root) =
            (threshold(Role::ReleaseNarrower), threshold(Role::ReleaseWider), threshold(Role::Root));
        if narrower <= wider && wider <= root { Ok(()) } else { Err(RootFault::Thresholds { narrower, wider, root }) }
    }

    fn check_role(&self, role: Role) -> Result<(), RootFault> {
        if !self.roles.has(role) {
            return Ok(());
        }
        let RoleKeys { keys, threshold } = self.roles.of(role);
        let fault = |expected, found| Err(RootFault::Role { role, expected, found });
        if let Some(key) = not_ascending(keys.iter().copied()) {
            return fault("key ids in ascending order, each once", format!("{key} twice or out of order"));
        }
        if let Some(key) = keys.iter().find(|id| self.keys.iter().all(|key| key.id != **id)) {
            return fault("keys that stand in the trust root", key.to_string());
        }
        if *threshold == 0 || usize::try_from(*threshold).is_ok_and(|threshold| threshold > keys.len()) {
            return fault("a threshold of at least 1 and at most its keys", format!("{threshold} of {}", keys.len()));
        }
        Ok(())
    }
}

fn not_ascending(ids: impl Iterator<Item = KeyId>) -> Option<KeyId> {
    let mut previous = None;
    for id in ids {
        if previous >= Some(id) {
            return Some(id);
        }
        previous = Some(id);
    }
    None
}

impl TrustRoot {
    fn of(claims: RootClaims, digest: Digest) -> Self {
        let keys = claims.keys.into_iter().map(|key| (key.id, key)).collect();
        Self { version: claims.version, expires: claims.expires, keys, roles: claims.roles, digest }
    }

    pub const fn version(&self) -> u64 {
        self.version
    }

    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    pub const fn keys(&self) -> &BTreeMap<KeyId, RootKey> {
        &self.keys
    }

    pub const fn role(&self, role: Role) -> &RoleKeys {
        self.roles.of(role)
    }

    /// Whether it has the role at all.
    pub const fn has(&self, role: Role) -> bool {
        self.roles.has(role)
    }

    /// SHA-256 over the payload.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Nothing new is accepted under an expired root.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), RootFault> {
        if now < self.expires {
            Ok(())
        } else {
            Err(RootFault::Expired { version: self.version, expires: self.expires, now })
        }
    }
}

#[cfg(test)]
mod tests;
