//! Where a release comes from: a statement of its own over the digest, because the release itself is a function of its
//! source alone.
//!
//! An in-toto Statement v1 with a SLSA provenance v1 predicate, in canonical form, in a DSSE envelope. A gateway does
//! not read it. It is believed when any key of the release roles signed it: whoever may sign the release may also say
//! where it comes from.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bounds::{NAME_BYTES_MAX, PROVENANCE_INPUTS_MAX, is_name};
use crate::canonical::{self, WriteFault};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeFault, Kind, Role};
use crate::root::TrustRoot;
use crate::time::Timestamp;
use crate::verify::{Signer, tally};
use crate::version::EngineVersion;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE: &str = "urn:adamant:release-build:v1";
/// Names of the parts of a statement that are Adamant's own.
const SOURCE: &str = "source";
const TEST_OUTCOME: &str = "test-outcome";

#[derive(Debug, thiserror::Error)]
pub enum ProvenanceFault {
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("the provenance cannot be written: {0}")]
    Write(#[from] WriteFault),
    #[error("expected a provenance statement as `adamant release provenance` makes it: {0}")]
    Members(#[from] serde_json::Error),
    #[error("expected {what} {expected:?} in the provenance, found {found:?}")]
    Type { what: &'static str, expected: &'static str, found: String },
    #[error("expected {what} of 1 to {NAME_BYTES_MAX} bytes without control characters, found {found:?}")]
    Name { what: &'static str, found: String },
    #[error("expected at most {PROVENANCE_INPUTS_MAX} inputs, found {found}")]
    Inputs { found: usize },
    #[error("expected provenance of release {expected}, found one of {found}; give the file that belongs to it")]
    OtherRelease { expected: Digest, found: String },
    #[error("expected {what} in the provenance, found none")]
    Missing { what: &'static str },
    #[error(
        "expected a signature by a key of the release roles (trust root version {root_version}), found {found} that \
         {} not count; was the file changed, or signed by somebody else?",
        if *found == 1 { "does" } else { "do" }
    )]
    NotSigned { root_version: u64, found: usize },
}

/// Where a release comes from, as somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Digest of the release.
    pub release: Digest,
    pub policy_name: String,
    pub version: u64,
    pub parent: Option<Digest>,
    pub expires: Timestamp,
    /// Who built it.
    pub builder: String,
    /// Version of `adamant`.
    pub tool: EngineVersion,
    pub source: Option<Revision>,
    /// Every file that the release was built from.
    pub inputs: Vec<Input>,
    pub outcome: TestOutcome,
    /// When this was stated.
    pub made: Timestamp,
}

/// The state of the source tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub revision: String,
    /// The files were not as that revision has them.
    pub dirty: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// As the policy source names it.
    pub name: String,
    pub digest: Digest,
}

/// What came of the test cases of a release; one that fails is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOutcome {
    pub cases: u64,
    pub passed: u64,
    pub coverage_percent: u8,
}

/// Provenance that a key of the release roles signed.
#[derive(Clone, Debug)]
pub struct Verified {
    pub provenance: Provenance,
    pub signers: Vec<Signer>,
}

impl Provenance {
    /// An envelope around the statement, without signatures.
    pub fn to_envelope(&self) -> Result<Envelope, ProvenanceFault> {
        self.check()?;
        let mut dependencies: Vec<Value> = self.inputs.iter().map(|input| file(&input.name, &input.digest)).collect();
        dependencies.extend(self.source.as_ref().map(source));
        let subject = file(&format!("{} version {}", self.policy_name, self.version), &self.release);
        let statement = json!({
            "_type": STATEMENT,
            "subject": [subject],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "policy_name": self.policy_name,
                        "version": self.version,
                        "parent": self.parent,
                        "expires": self.expires,
                    },
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": { "id": self.builder, "version": { "adamant": self.tool } },
                    "metadata": { "finishedOn": self.made },
                    "byproducts": [{ "name": TEST_OUTCOME, "annotations": self.outcome }],
                },
            },
        });
        Ok(Envelope::new(Kind::Provenance, &canonical::to_bytes(&statement)?)?)
    }

    /// Reads a statement. Nothing is known about who made it.
    pub fn parse(payload: &[u8]) -> Result<Self, ProvenanceFault> {
        let Statement { kind, subject, predicate_type, predicate } = serde_json::from_slice(payload)?;
        let Predicate { build_definition: build, run_details: run } = predicate;
        expect("a statement of type", STATEMENT, kind)?;
        expect("a predicate of type", PREDICATE, predicate_type)?;
        expect("a build of type", BUILD_TYPE, build.build_type)?;
        let missing = |what| ProvenanceFault::Missing { what };
        let [subject] = subject.as_slice() else { return Err(missing("one subject")) };
        let outcome = run.byproducts.into_iter().find(|product| product.name.as_deref() == Some(TEST_OUTCOME));
        let outcome = outcome.and_then(|product| product.annotations).ok_or_else(|| missing("the test outcome"))?;
        let mut source = None;
        let mut inputs = Vec::new();
        for dependency in build.resolved_dependencies {
            match (dependency.name, dependency.annotations) {
                (Some(name), Some(found)) if name == SOURCE => source = Some(serde_json::from_value(found)?),
                (Some(name), _) => inputs.push(Input { name, digest: sha256(dependency.digest.as_ref())? }),
                (None, _) => {}
            }
        }
        let source = source.map(|RevisionWire { revision, dirty }| Revision { revision, dirty });
        let asked = build.external_parameters;
        let provenance = Self {
            release: sha256(subject.digest.as_ref())?,
            policy_name: asked.policy_name,
            version: asked.version,
            parent: asked.parent,
            expires: asked.expires,
            builder: run.builder.id,
            tool: run.builder.version.adamant,
            source,
            inputs,
            outcome: serde_json::from_value(outcome)?,
            made: run.metadata.finished_on,
        };
        provenance.check()?;
        Ok(provenance)
    }

    /// Names are shown on terminals, and all of it has bounds.
    fn check(&self) -> Result<(), ProvenanceFault> {
        let wrong = |what, name: &str| ProvenanceFault::Name { what, found: name.chars().take(80).collect() };
        let revision = self.source.as_ref().map(|source| ("a source revision", &source.revision));
        let names = [("a policy name", &self.policy_name), ("a builder", &self.builder)];
        if let Some((what, name)) = names.into_iter().chain(revision).find(|(_, name)| !is_name(name)) {
            return Err(wrong(what, name));
        }
        // Paths may be longer than names.
        let is_path = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
        if let Some(input) = self.inputs.iter().find(|input| !is_path(&input.name)) {
            return Err(wrong("a file name", &input.name));
        }
        let found = self.inputs.len();
        if found <= PROVENANCE_INPUTS_MAX { Ok(()) } else { Err(ProvenanceFault::Inputs { found }) }
    }
}

/// Verifies the provenance of the release `expected`.
pub fn verify(bytes: &[u8], root: &TrustRoot, expected: &Digest) -> Result<Verified, ProvenanceFault> {
    let envelope = Envelope::parse_kind(bytes, Kind::Provenance)?;
    let tally = tally(&envelope, root.keys());
    let may_say =
        |id| [Role::ReleaseWider, Role::ReleaseNarrower].into_iter().any(|role| root.role(role).keys.contains(id));
    let counted = root.keys().iter().filter(|(id, _)| tally.has(id) && may_say(*id));
    let mut signers: Vec<Signer> = counted.map(|(id, key)| Signer { key_id: *id, owner: key.owner.clone() }).collect();
    signers.sort_unstable();
    if signers.is_empty() {
        let found = envelope.signatures().len();
        return Err(ProvenanceFault::NotSigned { root_version: root.version(), found });
    }
    let provenance = Provenance::parse(envelope.payload())?;
    if provenance.release != *expected {
        return Err(ProvenanceFault::OtherRelease { expected: *expected, found: provenance.release.to_string() });
    }
    Ok(Verified { provenance, signers })
}

fn expect(what: &'static str, expected: &'static str, found: String) -> Result<(), ProvenanceFault> {
    if found == expected {
        return Ok(());
    }
    Err(ProvenanceFault::Type { what, expected, found: found.chars().take(80).collect() })
}

/// A resource descriptor of in-toto.
fn file(name: &str, digest: &Digest) -> Value {
    json!({ "name": name, "digest": { "sha256": hex(digest) } })
}

fn source(source: &Revision) -> Value {
    let Revision { revision, dirty } = source;
    let mut descriptor = json!({ "name": SOURCE, "annotations": { "revision": revision, "dirty": dirty } });
    let is_commit = matches!(revision.len(), 40 | 64) && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(members) = descriptor.as_object_mut().filter(|_| is_commit && !dirty) {
        members.insert("digest".to_owned(), json!({ "gitCommit": revision }));
    }
    descriptor
}

fn hex(digest: &Digest) -> String {
    digest.to_string().trim_start_matches("sha256:").to_owned()
}

fn sha256(digest: Option<&DigestSet>) -> Result<Digest, ProvenanceFault> {
    let hex = digest.and_then(|digest| digest.sha256.as_deref());
    let found = hex.and_then(|hex| format!("sha256:{hex}").parse().ok());
    found.ok_or(ProvenanceFault::Missing { what: "a SHA-256 of each subject and file" })
}

// The statement as it is read. Members that others may add are passed over, as in-toto asks of a reader.

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Descriptor>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: ExternalParameters,
    resolved_dependencies: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct ExternalParameters {
    policy_name: String,
    version: u64,
    parent: Option<Digest>,
    expires: Timestamp,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
    metadata: Metadata,
    byproducts: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
    version: BuilderVersion,
}

#[derive(Deserialize)]
struct BuilderVersion {
    adamant: EngineVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    finished_on: Timestamp,
}

#[derive(Deserialize)]
struct Descriptor {
    name: Option<String>,
    digest: Option<DigestSet>,
    annotations: Option<Value>,
}

#[derive(Deserialize)]
struct DigestSet {
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct RevisionWire {
    revision: String,
    dirty: bool,
}

#[cfg(test)]
mod tests;
