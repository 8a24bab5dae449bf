//! Which version numbers of a policy are used already: those of releases that enough signed. Anybody who can write to
//! the store can put files there with any number, so that nothing unsigned counts.

use policy_release::bounds::VERSION_STEP_MAX;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
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

/// Versions in the store of releases that meet a threshold of the newest trust root.
#[derive(Default)]
struct Used {
    /// The highest that `release-wider` signed; 0 where there is none.
    wider: u64,
    /// Above it, by `release-narrower` alone.
    narrower: Vec<u64>,
}

impl Used {
    /// Of `policy`, or of all policies; without the release `except`.
    fn find(desk: &Desk, policy: Option<&str>, except: Option<Digest>) -> Result<Self, Failure> {
        let mut used = Self::default();
        for digest in desk.store.releases()?.into_iter().filter(|digest| Some(*digest) != except) {
            let Some((Head { policy_name, version }, envelope)) = head(desk, &digest) else { continue };
            if policy.is_some_and(|policy| policy != policy_name) || version <= used.wider {
                continue;
            }
            let meets = |role| desk.root.standing(role, &envelope).is_met();
            if meets(Role::ReleaseWider) {
                used.wider = version;
            } else if meets(Role::ReleaseNarrower) {
                used.narrower.push(version);
            }
        }
        Ok(used)
    }
}

/// The version that the next release should have: one above all that gateways of the channel may have taken. They took
/// none that is too far above the one before for who signed it, so those do not count.
pub fn next(desk: &Desk, base: Option<&Base>) -> Result<u64, Failure> {
    let used = Used::find(desk, base.map(Base::policy_name), None)?;
    let firm = used.wider.max(base.map_or(0, |base| base.version));
    let near = firm.saturating_add(VERSION_STEP_MAX);
    let narrower = used.narrower.into_iter().filter(|version| *version < near).max().unwrap_or(0);
    Ok(firm.max(narrower).saturating_add(1))
}

/// Whether enough signed a release of `policy` with a higher version than this one.
pub fn is_older(desk: &Desk, policy: &str, version: u64) -> Result<bool, Failure> {
    let used = Used::find(desk, Some(policy), None)?;
    Ok(used.narrower.into_iter().chain([used.wider]).any(|other| other > version))
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
