//! The release that gateways of a channel can be taken to serve, as far as a store shows it.
//!
//! A channel may point at a release that lacks signatures (`--below-threshold`, or somebody else's tool): gateways
//! refused it, and compare the next one with what they took before. So the releases before it are looked at as well,
//! back to one that enough signed for anything, and from there forward again as a gateway would. A store does not tell what was
//! rolled back in between: where that matters, nothing is taken for known.

use std::collections::VecDeque;

use policy::compile::compile;
use policy::model::Policy;
use policy::table::Table;
use policy_diff::Side;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::step::Step;

use super::Desk;
use crate::commands::release::engine_version;

/// Releases that are looked back at.
const LOOKS_MAX: usize = 64;
/// Releases that one is compared with, to see from which it follows.
const COMPARED_MAX: usize = 8;

/// A release of the store.
pub struct Base {
    pub digest: Digest,
    pub version: u64,
    /// It is not the one that the channel points at.
    pub behind: bool,
    /// It follows from one that `release-wider` signed: everybody would take that one, and from there on it is known what
    /// gateways took.
    firm: bool,
    policy: Policy,
    table: Table<Vec<u8>>,
}

impl Base {
    /// What gateways serve when the channel points at `current`: it, or the newest before it that they had reason to take.
    pub fn find(desk: &Desk, current: &Digest) -> Result<Self, String> {
        let mut way = vec![Look::read(desk, current)?];
        while let Some(last) = way.last()
            && !last.wider
            && way.len() < LOOKS_MAX
            && let Some(before) = before(desk, last)
        {
            way.push(before);
        }
        let Some(first) = way.pop() else { return Err("it has no release".into()) };
        if !first.wider {
            // Nothing before it is known that everybody would take: the store was begun with it, or old files are gone.
            let current = way.into_iter().next().unwrap_or(first);
            if current.narrower {
                return current.into_base();
            }
            return Err(format!(
                "{} lacks signatures, and the store shows none before it that gateways took",
                current.digest
            ));
        }
        // The newest first.
        let mut taken = VecDeque::from([first.into_base()?]);
        while let Some(next) = way.pop() {
            if !next.narrower {
                continue;
            }
            let candidate = next.into_base()?;
            let from = taken.iter().position(|base| base.is_followed_by(&candidate));
            if let (Some(1..), Some(newest)) = (from, taken.front()) {
                // As after a rollback, or as one that nobody took.
                return Err(format!(
                    "{} (version {}) does not follow from version {}, but from one before: it is not known which of them \
                     gateways have. --parent of adamant release build says it",
                    candidate.digest, candidate.version, newest.version
                ));
            }
            if from.is_some() {
                taken.push_front(candidate);
                taken.truncate(COMPARED_MAX);
            }
        }
        let mut base = taken.pop_front().ok_or("it has no release")?;
        base.firm = true;
        base.behind = base.digest != *current;
        Ok(base)
    }

    /// Whether gateways that serve this one take the other one by the signatures of `release-narrower`.
    fn is_followed_by(&self, candidate: &Self) -> bool {
        let needs_wider = policy_diff::diff(self.side(), candidate.side()).needs_wider();
        Step::of(candidate.version, self.version).role(needs_wider) == Role::ReleaseNarrower
    }

    /// Refuses one that is only likely: whoever can remove files of the store, and sign what is narrower, can make any
    /// release the oldest that the store has.
    pub fn expect_firm(self) -> Result<Self, String> {
        if self.firm {
            return Ok(self);
        }
        Err(format!(
            "release-narrower alone signed {}, and the store shows none before it that release-wider signed",
            self.digest
        ))
    }

    pub fn policy_name(&self) -> &str {
        &self.policy.name
    }

    pub const fn side(&self) -> Side<'_, Vec<u8>> {
        Side { policy: &self.policy, table: &self.table }
    }
}

pub fn table_of(policy: &Policy, digest: &Digest) -> Result<Table<Vec<u8>>, String> {
    let compiled = compile(policy, *digest.as_bytes()).map_err(|fault| fault.to_string())?;
    Table::load(compiled).map_err(|fault| fault.to_string())
}

/// One release on the way back, and whose thresholds its signatures meet by any root of the chain: signers may have
/// left since gateways took it.
struct Look {
    digest: Digest,
    manifest: Manifest,
    wider: bool,
    narrower: bool,
}

impl Look {
    fn read(desk: &Desk, digest: &Digest) -> Result<Self, String> {
        let bytes = desk.store.release(digest).map_err(|fault| fault.to_string())?;
        let bytes = bytes.ok_or_else(|| format!("the store does not have {digest}"))?;
        let envelope = Envelope::parse_kind(&bytes, Kind::Release).map_err(|fault| fault.to_string())?;
        if envelope.digest() != *digest {
            return Err(format!("the store has another release under the name of {digest}"));
        }
        let engine = engine_version().map_err(|failure| failure.to_string())?;
        let manifest = Manifest::parse(envelope.payload(), engine).map_err(|fault| fault.to_string())?;
        let meets = |role| desk.chain.iter().any(|root| root.standing(role, &envelope).is_met());
        Ok(Self { digest: *digest, manifest, wider: meets(Role::ReleaseWider), narrower: meets(Role::ReleaseNarrower) })
    }

    fn into_base(self) -> Result<Base, String> {
        let Self { digest, manifest, .. } = self;
        let table = table_of(&manifest.policy, &digest)?;
        Ok(Base { digest, version: manifest.version, behind: false, firm: false, policy: manifest.policy, table })
    }
}

/// Whether a release allows more than the one before it that enough signed, where the store has both.
pub fn widens(desk: &Desk, digest: &Digest) -> bool {
    let Ok(look) = Look::read(desk, digest) else { return false };
    let before = before(desk, &look).filter(|before| before.wider || before.narrower);
    let Some(Ok(before)) = before.map(Look::into_base) else { return false };
    look.into_base().is_ok_and(|base| policy_diff::diff(before.side(), base.side()).needs_wider())
}

/// The release before `look`: its parent, where that is stated and in the store, else the one of the highest lower
/// version of the same policy.
fn before(desk: &Desk, look: &Look) -> Option<Look> {
    let older = |other: &Look| {
        other.manifest.policy_name == look.manifest.policy_name && other.manifest.version < look.manifest.version
    };
    let parent = look.manifest.parent.and_then(|parent| Look::read(desk, &parent).ok()).filter(older);
    parent.or_else(|| {
        let digests = desk.store.releases().ok()?;
        let looks = digests.iter().filter_map(|digest| Look::read(desk, digest).ok().filter(older));
        looks.max_by_key(|look| look.manifest.version)
    })
}
