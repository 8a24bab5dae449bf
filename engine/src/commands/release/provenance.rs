//! `adamant release provenance`: states where a release comes from, after building it again.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use policy_release::digest::Digest;
use policy_release::envelope::Kind;
use policy_release::manifest::Manifest;
use policy_release::provenance::{Input, Provenance, Revision, TestOutcome};
use stores::layout;

use super::{build, engine_version, revision};
use crate::cases::Outcome;
use crate::commands::signing::{self, plural};
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::signer::KeyArgs;
use crate::source::{self, Source};
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
pub struct ProvenanceArgs {
    /// A release.
    file: PathBuf,
    /// The policy source that it was built from.
    #[arg(long, value_name = "POLICY", default_value = "policy.toml")]
    source: PathBuf,
    /// Revision of the source; that of its git work tree when absent, marked dirty where its files differ.
    #[arg(long, value_name = "REVISION")]
    source_revision: Option<String>,
    /// Who builds, like the name of a CI job.
    #[arg(long, value_name = "NAME", default_value = "local")]
    builder: String,
    /// Where to write the statement.
    #[arg(short, long, value_name = "FILE", required_unless_present = "store")]
    out: Option<PathBuf>,
    /// A store that it goes into, in the place of this release; replaces an older statement.
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    #[command(flatten)]
    access: StoreAccess,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

pub fn run(args: &ProvenanceArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    args.out.as_ref().map_or(Ok(()), |path| files::expect_free(path, existing))?;
    let release = signing::read_envelope(&args.file, Kind::Release)?;
    let manifest = Manifest::parse(release.payload(), engine_version()?);
    let manifest = manifest.map_err(|fault| Failure::at(&args.file, fault))?;
    let source = source::read(&args.source);
    let source = source.map_err(|failure| failure.help("--source names the policy source that it was built from"))?;
    let outcome = build_again(args, &source, &manifest, release.digest())?;
    let revision = revision_of(args, &source);
    let provenance = Provenance {
        release: release.digest(),
        policy_name: manifest.policy_name,
        version: manifest.version,
        parent: manifest.parent,
        expires: manifest.expires,
        builder: args.builder.clone(),
        tool: engine_version()?,
        source: revision,
        inputs: inputs(&source),
        outcome: TestOutcome {
            cases: outcome.cases.len() as u64,
            passed: outcome.passed() as u64,
            coverage_percent: u8::try_from(outcome.coverage.percent()).unwrap_or(100),
        },
        made: signing::now()?,
    };
    let mut envelope = provenance.to_envelope().map_err(Failure::new)?;
    for signer in args.keys.open()? {
        signer.sign(&mut envelope)?;
    }
    let (bytes, mut written) = (envelope.to_bytes(), Vec::new());
    if let Some(path) = &args.out {
        files::write(path, &bytes, Access::Everyone, existing)?;
        written.push(path.clone());
    }
    if let Some(path) = &args.store {
        let file = layout::provenance(&provenance.release);
        Store::open(&args.access.at(path)?)?.lock()?.write(&file, Kind::Provenance, &bytes)?;
        written.push(path.join(file));
    }
    writeln!(out, "provenance of {}", provenance.release)?;
    writeln!(out, "  {} builds to it, byte for byte", args.source.display())?;
    match &provenance.source {
        Some(Revision { revision, dirty: true }) => writeln!(out, "  source revision {revision}, dirty")?,
        Some(Revision { revision, dirty: false }) => writeln!(out, "  source revision {revision}")?,
        None => writeln!(out, "  no source revision: not in a git work tree (--source-revision names one)")?,
    }
    let cases = plural(outcome.cases.len(), "test case");
    writeln!(out, "  {cases} passed, coverage {} %", provenance.outcome.coverage_percent)?;
    for path in written {
        writeln!(out, "wrote {} ({})", path.display(), plural(envelope.signatures().len(), "signature"))?;
    }
    Ok(())
}

/// Builds the source as the release was built; anything but the same digest is refused.
fn build_again(
    args: &ProvenanceArgs,
    source: &Source,
    manifest: &Manifest,
    expected: Digest,
) -> Result<Outcome, Failure> {
    let (again, outcome) = build::build(source, manifest.version, manifest.parent, manifest.expires)?;
    let found = again.to_envelope().map_err(|fault| Failure::at(&args.source, fault))?.digest();
    if found == expected {
        return Ok(outcome);
    }
    let message = format!("expected {} to build to {expected}, found {found}", args.source.display());
    let what = match (again.policy == manifest.policy, again.cases().ok() == manifest.cases().ok()) {
        (false, _) => "the policy differs: is it the source of this release, as it was then?",
        (true, false) => "the test cases differ: is it the source of this release, as it was then?",
        (true, true) => "was the release built by another version of adamant?",
    };
    Err(Failure::new(message).help(what))
}

fn revision_of(args: &ProvenanceArgs, source: &Source) -> Option<Revision> {
    if let Some(revision) = &args.source_revision {
        return Some(Revision { revision: revision.clone(), dirty: false });
    }
    let directory = directory_of(&args.source);
    let paths: Vec<&Path> = source.inputs().iter().map(|input| input.path.as_path()).collect();
    let found = revision::of(directory, &paths);
    if found.as_ref().is_some_and(|found| found.dirty) {
        warn("the source is not as its git revision has it: the statement says dirty");
    }
    found
}

fn directory_of(source: &Path) -> &Path {
    source.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Every file once, by its path from the directory of the source.
fn inputs(source: &Source) -> Vec<Input> {
    let base = source.inputs().first().and_then(|source| source.path.parent()).map(Path::to_owned).unwrap_or_default();
    let name = |path: &Path| path.strip_prefix(&base).unwrap_or(path).display().to_string();
    let read = source
        .inputs()
        .iter()
        .filter_map(|input| Some(Input { name: name(&input.path), digest: Digest::of(input.bytes.as_ref()?) }));
    let mut inputs: Vec<Input> = read.collect();
    // The source itself stays first.
    if let Some((_, others)) = inputs.split_first_mut() {
        others.sort_by(|a, b| a.name.cmp(&b.name));
    }
    inputs.dedup();
    inputs
}
