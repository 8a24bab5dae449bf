//! Which version numbers of a policy are used already: those of releases that enough signed. Anybody who can write to
//! the store can put files there with any number, so that nothing unsigned counts.

use std::slice;

use policy_release::bounds::VERSION_STEP_MAX;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::root::TrustRoot;
use policy_release::step::Step;
use serde::Deserialize;

use super::Desk;
use super::base::Base;
use crate::failure::Failure;

/// What tells a release from another of its policy.
#[derive(Deserialize)]
pub struct Head {
    pub policy_name: String,
    pub version: u64,
}

/// The head of a release in the store, with its signatures not looked at. None where there is none that can be read:
/// such a file is told where it matters.
pub fn head(desk: &Desk, digest: &Digest) -> Option<(Head, Envelope)> {
    let bytes = desk.store.release(digest).ok()??;
    let envelope = Envelope::parse_kind(&bytes, Kind::Release).ok()?;
    let head = serde_json::from_slice(envelope.payload()).ok()?;
    (envelope.digest() == *digest).then_some((head, envelope))
}

/// Versions in the store of releases that meet a threshold of one of some trust roots.
#[derive(Default)]
struct Used {
    /// The highest that `release-wider` signed; 0 where there is none.
    wider: u64,
    /// Above it, by `release-narrower` alone.
    narrower: Vec<u64>,
}

impl Used {
    /// Of `policy`, or of all policies, by the newest trust root; without the release `except`.
    fn find(desk: &Desk, policy: Option<&str>, except: Option<Digest>) -> Result<Self, Failure> {
        Self::by(slice::from_ref(&desk.root), desk, policy, except)
    }

    /// As [`Self::find`], by any of `roots`.
    fn by(roots: &[TrustRoot], desk: &Desk, policy: Option<&str>, except: Option<Digest>) -> Result<Self, Failure> {
        let mut used = Self::default();
        for digest in desk.store.releases()?.into_iter().filter(|digest| Some(*digest) != except) {
            let Some((Head { policy_name, version }, envelope)) = head(desk, &digest) else { continue };
            if policy.is_some_and(|policy| policy != policy_name) || version <= used.wider {
                continue;
            }
            let meets = |role| roots.iter().any(|root| root.standing(role, &envelope).is_met());
            if meets(Role::ReleaseWider) {
                used.wider = version;
            } else if meets(Role::ReleaseNarrower) {
                used.narrower.push(version);
            }
        }
        Ok(used)
    }

    /// The highest that gateways may have taken, where they run `running`: none that is too far above the one before for
    /// who signed it.
    fn highest(self, running: u64) -> u64 {
        let firm = self.wider.max(running);
        let near = firm.saturating_add(VERSION_STEP_MAX);
        firm.max(self.narrower.into_iter().filter(|version| *version < near).max().unwrap_or(0))
    }
}

/// The version that the next release should have: one above all that gateways of the channel may have taken.
pub fn next(desk: &Desk, base: Option<&Base>) -> Result<u64, Failure> {
    let used = Used::find(desk, base.map(Base::policy_name), None)?;
    Ok(used.highest(base.map_or(0, |base| base.version)).saturating_add(1))
}

/// The highest version of `policy` in the store that gateways may have taken, by whatever root of the chain: signers may
/// have left since. 0 where there is none.
pub fn highest(desk: &Desk, policy: &str) -> Result<u64, Failure> {
    Ok(Used::by(&desk.chain, desk, Some(policy), None)?.highest(0))
}

/// The highest version known, where `version` of the release `digest` is so far above it that the wider role must sign.
pub fn jumped(desk: &Desk, base: &Base, digest: Digest, version: u64) -> Result<Option<u64>, Failure> {
    let is_far = |highest: u64| Step::of(version, highest) == Step::Jump;
    if !is_far(base.version) {
        return Ok(None);
    }
    let highest = Used::find(desk, Some(base.policy_name()), Some(digest))?.wider.max(base.version);
    Ok(Some(highest).filter(|highest| is_far(*highest)))
}
