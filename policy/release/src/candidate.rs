//! The last check of a verified release: is it for this gateway, at this time, and can this engine serve it?

use policy::model::Policy;

use crate::cost::ReleaseCost;
use crate::digest::Digest;
use crate::envelope::{EnvelopeFault, Kind};
use crate::manifest::{Manifest, ManifestFault};
use crate::root::{RootFault, TrustRoot};
use crate::time::Timestamp;
use crate::verify::{Signer, Verified};
use crate::version::EngineVersion;

/// Why a release is not served. Every message says what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Kind(#[from] EnvelopeFault),
    #[error(transparent)]
    Root(#[from] RootFault),
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    #[error("expected a release of policy {expected:?}, found one of {found:?}; give this gateway its own release")]
    PolicyName { expected: String, found: String },
    #[error(
        "the release (version {version}) expired at {expires}, it is {now}; build and sign one with a later expiry"
    )]
    Expired { version: u64, expires: Timestamp, now: Timestamp },
}

/// What the gateway is and when it asks.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub policy_name: &'a str,
    pub engine: EngineVersion,
    pub purpose: Purpose,
}

#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// It shall serve from now on: neither it nor the trust root may have expired.
    Activate { now: Timestamp },
    /// It was accepted before and is read back from the state directory: expiry blocks activation, not service.
    Resume,
}

/// A release that may be compiled and served.
#[derive(Clone, Debug)]
pub struct Release {
    pub digest: Digest,
    pub version: u64,
    pub parent: Option<Digest>,
    pub expires: Timestamp,
    pub engine_min: EngineVersion,
    pub policy: Policy,
    /// What it says decisions cost at most. Whoever compiles the policy holds it against the table.
    pub cost: Option<ReleaseCost>,
    pub signers: Vec<Signer>,
}

/// Checks a release that [`crate::verify::verify`] accepted under `root`.
pub fn check(verified: &Verified, root: &TrustRoot, expected: &Expected<'_>) -> Result<Release, Refusal> {
    if verified.kind() != Kind::Release {
        return Err(EnvelopeFault::Kind { expected: Kind::Release, found: verified.kind() }.into());
    }
    let manifest = Manifest::parse(verified.payload(), expected.engine)?;
    if manifest.policy_name != expected.policy_name {
        return Err(Refusal::PolicyName { expected: expected.policy_name.into(), found: manifest.policy_name });
    }
    if let Purpose::Activate { now } = expected.purpose {
        root.check_expiry(now)?;
        check_expiry(manifest.version, manifest.expires, now)?;
    }
    Ok(Release {
        digest: verified.digest(),
        version: manifest.version,
        parent: manifest.parent,
        expires: manifest.expires,
        engine_min: manifest.engine_min,
        policy: manifest.policy,
        cost: manifest.cost,
        signers: verified.signers().to_vec(),
    })
}

/// Nothing that has expired is served from now on.
pub fn check_expiry(version: u64, expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if now < expires { Ok(()) } else { Err(Refusal::Expired { version, expires, now }) }
}

#[cfg(test)]
mod tests;
