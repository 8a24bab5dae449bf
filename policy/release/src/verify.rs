//! From an envelope to a verdict: m of n distinct keys of a role signed exactly these bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::key::{KeyId, PublicKey};
use crate::root::{RootKey, TrustRoot};

/// Why an envelope is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error(transparent)]
    BelowThreshold(#[from] BelowThreshold),
}

/// Too few keys of a role signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected {expected} signature{} of role {role} (trust root version {root_version}), found {}{}; {}",
    if *expected == 1 { "" } else { "s by different keys" },
    Owners(found),
    Reasons(not_counted),
    remedy(not_counted)
)]
pub struct BelowThreshold {
    pub role: Role,
    pub root_version: u64,
    pub expected: u32,
    /// Those that count.
    pub found: Vec<Signer>,
    pub not_counted: Vec<NotCounted>,
}

/// What to do about too few signatures.
fn remedy(not_counted: &[NotCounted]) -> &'static str {
    if not_counted.iter().any(|signature| signature.why == Why::BadSignature) {
        "the file was changed after it was signed: take it again from where it was signed"
    } else {
        "let more owners of that role sign"
    }
}

/// A key that signed, and whose it is. Ordered by its owner's name: key ids are as good as random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    pub owner: String,
    pub key_id: KeyId,
}

/// A signature that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCounted {
    pub key_id: KeyId,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The trust root does not hold the key.
    UnknownKey,
    /// It is not over these bytes, or not by this key.
    BadSignature,
    /// The key has signed already.
    Duplicate,
    /// The key is known, but not in this role.
    OtherRole,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "not in the trust root",
            Self::BadSignature => "does not verify",
            Self::Duplicate => "signed twice",
            Self::OtherRole => "not in this role",
        })
    }
}

/// Signed by enough keys of a role. The payload is what was received.
#[derive(Clone, Debug)]
pub struct Verified {
    envelope: Envelope,
    digest: Digest,
    role: Role,
    signers: Vec<Signer>,
    valid: BTreeSet<KeyId>,
    not_counted: Vec<NotCounted>,
}

/// Verifies `bytes` as what `role` signs, by the threshold of that role in `root`. Whether the root itself has
/// expired is not looked at here: [`crate::candidate::check`] does.
pub fn verify(bytes: &[u8], root: &TrustRoot, role: Role) -> Result<Verified, VerifyError> {
    verify_envelope(Envelope::parse_kind(bytes, role.kind())?, root, &[role])
}

/// As [`verify`], of an envelope that is parsed already, by the first of `roles` whose threshold is met. An error is
/// that of the last one.
pub fn verify_envelope(envelope: Envelope, root: &TrustRoot, roles: &[Role]) -> Result<Verified, VerifyError> {
    if let Some(other) = roles.iter().find(|role| role.kind() != envelope.kind()) {
        return Err(EnvelopeFault::Kind { expected: other.kind(), found: envelope.kind() }.into());
    }
    let tally = tally(&envelope, root.keys());
    let met = |role: &Role| count(&tally, root, *role).map(|counted| (*role, counted));
    let (last, others) = roles.split_last().unwrap_or((&Role::Root, &[]));
    let (role, (signers, not_counted)) = others.iter().find_map(|role| met(role).ok()).map_or_else(|| met(last), Ok)?;
    Ok(Verified { digest: envelope.digest(), envelope, role, signers, valid: tally.valid, not_counted })
}

impl Verified {
    pub fn payload(&self) -> &[u8] {
        self.envelope.payload()
    }

    pub fn kind(&self) -> Kind {
        self.envelope.kind()
    }

    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub const fn role(&self) -> Role {
        self.role
    }

    /// Distinct keys of the role, by key id.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Signatures that were there but did not count.
    pub fn not_counted(&self) -> &[NotCounted] {
        &self.not_counted
    }

    /// Whether the same signatures are enough for another role that signs this kind: verified for
    /// `release-narrower`, a candidate may turn out to need `release-wider`.
    pub fn meets(&self, root: &TrustRoot, role: Role) -> Result<Vec<Signer>, VerifyError> {
        if role.kind() != self.kind() {
            return Err(EnvelopeFault::Kind { expected: role.kind(), found: self.kind() }.into());
        }
        Ok(self.count_of(root, role)?)
    }

    /// What is missing until enough keys of `role` stand behind it as well, whatever kind that role signs on its own.
    pub(crate) fn missing(&self, root: &TrustRoot, role: Role) -> Option<BelowThreshold> {
        self.count_of(root, role).err()
    }

    fn count_of(&self, root: &TrustRoot, role: Role) -> Result<Vec<Signer>, BelowThreshold> {
        let tally = Tally { valid: self.valid.clone(), invalid: Vec::new() };
        Ok(count(&tally, root, role)?.0)
    }
}

/// Who signed these bytes, whatever it is good for.
pub(crate) struct Tally {
    valid: BTreeSet<KeyId>,
    invalid: Vec<NotCounted>,
}

impl Tally {
    /// Whether `key` signed, and its signature verifies.
    pub(crate) fn has(&self, key: &KeyId) -> bool {
        self.valid.contains(key)
    }
}

/// Checks every signature against the key that it names.
pub(crate) fn tally(envelope: &Envelope, keys: &BTreeMap<KeyId, RootKey>) -> Tally {
    let mut tally = Tally { valid: BTreeSet::new(), invalid: Vec::new() };
    let verifies = |public: &PublicKey, bytes| public.verifies(envelope.signed_bytes(), bytes);
    for signature in envelope.signatures() {
        let key_id = signature.key_id;
        let why = match keys.get(&key_id) {
            None => Why::UnknownKey,
            Some(_) if tally.valid.contains(&key_id) => Why::Duplicate,
            Some(key) if verifies(&key.public_key, &signature.bytes) => {
                tally.valid.insert(key_id);
                continue;
            }
            Some(_) => Why::BadSignature,
        };
        tally.invalid.push(NotCounted { key_id, why });
    }
    tally
}

/// The signers that count for `role`, if they are enough.
pub(crate) fn count(
    tally: &Tally,
    root: &TrustRoot,
    role: Role,
) -> Result<(Vec<Signer>, Vec<NotCounted>), BelowThreshold> {
    let of_role = root.role(role);
    let mut found = Vec::new();
    let mut not_counted = tally.invalid.clone();
    for key_id in &tally.valid {
        match root.keys().get(key_id).filter(|_| of_role.keys.contains(key_id)) {
            Some(key) => found.push(Signer { key_id: *key_id, owner: key.owner.clone() }),
            None => not_counted.push(NotCounted { key_id: *key_id, why: Why::OtherRole }),
        }
    }
    found.sort_unstable();
    let expected = of_role.threshold;
    if u32::try_from(found.len()).is_ok_and(|found| found >= expected) {
        Ok((found, not_counted))
    } else {
        Err(BelowThreshold { role, root_version: root.version(), expected, found, not_counted })
    }
}

struct Owners<'a>(&'a [Signer]);

impl fmt::Display for Owners<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.len())?;
        for (i, signer) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { " (" } else { ", " }, signer.owner)?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

struct Reasons<'a>(&'a [NotCounted]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, NotCounted { key_id, why }) in self.0.iter().enumerate() {
            write!(f, "{}{} {why}", if i == 0 { "; not counted: " } else { ", " }, key_id.short())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
