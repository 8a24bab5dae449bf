//! The payload of a release: one manifest that holds everything, in canonical form (see [`crate::canonical`]).
//!
//! Its bytes are a function of policy, version, parent, expiry and cases alone. The newest member that it uses
//! decides `engine_min`, not the tool that built it. `cost` came before the first engine was released; manifests without
//! it are read and written as they are.

use policy::case::Case;
use policy::compile::CompileError;
use policy::model::Policy;
use policy::text::{self, TextFault};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::bounds::{CASES_MAX, INTEGER_MAX, NAME_BYTES_MAX, is_name};
use crate::canonical::{self, CanonicalFault, WriteFault};
use crate::cost::ReleaseCost;
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind};
use crate::time::Timestamp;
use crate::version::EngineVersion;

const FORMAT: &str = "adamant.release.v1";
/// The first engine that reads this format.
const ENGINE_MIN: EngineVersion = EngineVersion { major: 0, minor: 1, patch: 0 };

/// Why a payload is not a manifest, or a manifest has no payload.
#[derive(Debug, thiserror::Error)]
pub enum ManifestFault {
    #[error("the release is not canonical: {0}")]
    Canonical(#[from] CanonicalFault),
    #[error("the release cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected format {FORMAT:?}, found {found:?}; this engine does not know it, use a newer one")]
    Format { found: String },
    #[error("expected an engine of at least {needed}, found {running}; upgrade the engine first")]
    Engine { needed: EngineVersion, running: EngineVersion },
    #[error("expected the members of a release: {0}")]
    Members(serde_json::Error),
    #[error("expected a release version of 1 to {INTEGER_MAX}, found {found}")]
    Version { found: u64 },
    #[error("expected a policy name of 1 to {NAME_BYTES_MAX} bytes without control characters, found {found:?}")]
    Name { found: String },
    #[error("expected policy_name {outer:?} and the name in the policy to be the same, found {inner:?}")]
    Names { outer: String, inner: String },
    #[error("expected at most {CASES_MAX} test cases, each an object; {found}")]
    Cases { found: String },
    #[error("test case {number} has a form that this version does not know: {fault}; use a newer one")]
    Case { number: usize, fault: serde_json::Error },
    #[error("the release is not what a policy source gives: {0}")]
    Text(#[from] TextFault),
    #[error("the policy does not compile, so nobody can say what a decision costs: {0}")]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
}

/// A release as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "type")]
    format: String,
    pub policy_name: String,
    pub version: u64,
    /// Digest of the release that this one was made from.
    pub parent: Option<Digest>,
    /// Not activated from then on. What serves already goes on serving.
    pub expires: Timestamp,
    pub engine_min: EngineVersion,
    pub policy: Policy,
    /// What a decision costs at most; none in releases of before there was such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "never_null")]
    pub cost: Option<ReleaseCost>,
    /// Test cases ([`Case`]), carried for people and tools. A gateway does not read them, so their form may grow.
    cases: Vec<Value>,
}

/// What every format version has, read before the rest, so that an old engine says "too old" and not "unknown member".
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    format: String,
    engine_min: EngineVersion,
}

impl Manifest {
    /// A manifest around a normalised policy. Cases are sorted by name: where they stood means nothing.
    pub fn new(
        policy: Policy,
        version: u64,
        parent: Option<Digest>,
        expires: Timestamp,
        mut cases: Vec<Case>,
    ) -> Result<Self, ManifestFault> {
        check_count(cases.len())?;
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        let value = |(index, case)| {
            serde_json::to_value(case).map_err(|fault| ManifestFault::Case { number: index + 1, fault })
        };
        let cases = cases.iter().enumerate().map(value).collect::<Result<_, _>>()?;
        let policy_name = policy.name.clone();
        let format = FORMAT.to_owned();
        let engine_min = ENGINE_MIN;
        let cost = None;
        let mut manifest = Self { format, policy_name, version, parent, expires, engine_min, policy, cost, cases };
        manifest.check()?;
        manifest.cost = Some(ReleaseCost::of(&manifest.policy)?);
        Ok(manifest)
    }

    /// How many test cases there are, of whatever form.
    pub fn case_count(&self) -> usize {
        self.cases.len()
    }

    /// The test cases.
    ///
    /// # Errors
    /// One has a form that this version does not know.
    pub fn cases(&self) -> Result<Vec<Case>, ManifestFault> {
        let case =
            |(index, case)| Case::deserialize(case).map_err(|fault| ManifestFault::Case { number: index + 1, fault });
        self.cases.iter().enumerate().map(case).collect()
    }

    /// The canonical bytes: equal manifests give equal bytes on any machine.
    pub fn to_payload(&self) -> Result<Vec<u8>, ManifestFault> {
        Ok(canonical::to_bytes(self)?)
    }

    /// An envelope around the payload, without signatures.
    pub fn to_envelope(&self) -> Result<Envelope, ManifestFault> {
        Ok(Envelope::new(Kind::Release, &self.to_payload()?)?)
    }

    /// Reads a payload for an engine of version `running`. Verify it first: this says nothing about who made it.
    pub fn parse(payload: &[u8], running: EngineVersion) -> Result<Self, ManifestFault> {
        canonical::check(payload)?;
        let head: Head = serde_json::from_slice(payload).map_err(ManifestFault::Members)?;
        if head.format != FORMAT {
            return Err(ManifestFault::Format { found: head.format.chars().take(80).collect() });
        }
        if head.engine_min > running {
            return Err(ManifestFault::Engine { needed: head.engine_min, running });
        }
        let manifest: Self = serde_json::from_slice(payload).map_err(ManifestFault::Members)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestFault> {
        if !(1..=INTEGER_MAX).contains(&self.version) {
            return Err(ManifestFault::Version { found: self.version });
        }
        if !is_name(&self.policy_name) {
            return Err(ManifestFault::Name { found: self.policy_name.chars().take(80).collect() });
        }
        if self.policy_name != self.policy.name {
            let short = |name: &str| name.chars().take(80).collect();
            return Err(ManifestFault::Names { outer: short(&self.policy_name), inner: short(&self.policy.name) });
        }
        text::check(&self.policy)?;
        check_count(self.cases.len())?;
        match self.cases.iter().position(|case| !case.is_object()) {
            Some(at) => Err(ManifestFault::Cases { found: format!("case {at} is not one") }),
            None => Ok(()),
        }
    }
}

/// A member that is there has a value: otherwise one manifest had two forms.
fn never_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ReleaseCost>, D::Error> {
    ReleaseCost::deserialize(from).map(Some)
}

fn check_count(cases: usize) -> Result<(), ManifestFault> {
    if cases <= CASES_MAX { Ok(()) } else { Err(ManifestFault::Cases { found: format!("found {cases}") }) }
}

#[cfg(test)]
mod tests;
