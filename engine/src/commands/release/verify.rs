//! `adamant release verify`: would a gateway take this release, and where does it come from?

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use control::accept::Check;
use policy_release::candidate::{self, Expected, Purpose};
use policy_release::digest::Digest;
use policy_release::envelope::{Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::provenance::{self, Provenance};
use policy_release::root::TrustRoot;
use policy_release::verify::{Signer, Verified, VerifyError, Why, verify};

use super::engine_version;
use crate::commands::signing::{self, plural};
use crate::failure::{Failure, SIGNATURES_MISSING};
use crate::store::StoreAccess;
use crate::{files, fit, pointing};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A release.
    file: PathBuf,
    /// The trust root that was placed on the gateways; with --store, its successors come from there.
    #[arg(long, value_name = "ROOT")]
    trust_root: PathBuf,
    /// The store whose trust roots gateways follow. Without it, ROOT alone counts.
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    #[command(flatten)]
    access: StoreAccess,
    /// The role whose threshold must be met: a first release, or one that allows anything new, needs the wider one.
    #[arg(long, value_enum, default_value_t = ReleaseRole::ReleaseWider)]
    role: ReleaseRole,
    /// The policy that it must be a release of; any when absent.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Its provenance statement, signed by a key of the release roles: verified and shown.
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReleaseRole {
    ReleaseNarrower,
    ReleaseWider,
}

pub fn run(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let root = pointing::newest_root(&args.trust_root, args.access.of(args.store.as_ref())?.as_ref())?;
    let bytes = files::read(&args.file, Kind::Release.envelope_bytes_max())?;
    let (role, other) = match args.role {
        ReleaseRole::ReleaseNarrower => (Role::ReleaseNarrower, Role::ReleaseWider),
        ReleaseRole::ReleaseWider => (Role::ReleaseWider, Role::ReleaseNarrower),
    };
    let verified = verify(&bytes, &root, role).map_err(|fault| match &fault {
        VerifyError::BelowThreshold(missing) if missing.not_counted.iter().all(|one| one.why != Why::BadSignature) => {
            Failure::at(&args.file, &fault).status(SIGNATURES_MISSING)
        }
        _ => Failure::at(&args.file, &fault),
    })?;
    let engine = engine_version()?;
    let manifest = Manifest::parse(verified.payload(), engine).map_err(|fault| Failure::at(&args.file, fault))?;
    let policy_name = match &args.policy {
        Some(name) => name.clone(),
        None => manifest.policy_name.clone(),
    };
    let expected = Expected { policy_name: &policy_name, engine, purpose: Purpose::Activate { now: signing::now()? } };
    let release = candidate::check(&verified, &root, &expected).map_err(|fault| Failure::at(&args.file, fault))?;
    fit::release(&release).map_err(|why| {
        let message =
            format_args!("gateways would refuse this release at the check {}: {why}", Check::ReleaseTable.word());
        Failure::at(&args.file, message).help("check the policy and build it again")
    })?;
    writeln!(out, "verified {}", release.digest)?;
    writeln!(out, "  trust root version {}", root.version())?;
    writeln!(out, "  policy {policy_name} version {}, expires {}", release.version, release.expires)?;
    write_role(out, &root, role, Some(verified.signers()))?;
    write_role(out, &root, other, verified.meets(&root, other).ok().as_deref())?;
    write_not_counted(out, &verified)?;
    match &args.provenance {
        Some(path) => write_provenance(path, &root, &release.digest, manifest.case_count(), out),
        None => Ok(()),
    }
}

fn write_role(out: &mut dyn Write, root: &TrustRoot, role: Role, met: Option<&[Signer]>) -> Result<(), Failure> {
    let threshold = root.role(role).threshold;
    match met {
        None => writeln!(out, "  {role}: fewer than the {threshold} needed")?,
        Some(signers) => {
            let count = u32::try_from(signers.len()).unwrap_or(u32::MAX);
            let told = match count > threshold {
                true => format!("{}, {threshold} needed", plural(signers.len(), "signature")),
                false => format!("{count} of {threshold} needed"),
            };
            writeln!(out, "  {role}: {told} ({})", owners(signers))?;
        }
    }
    Ok(())
}

fn owners(signers: &[Signer]) -> String {
    let owners: Vec<_> = signers.iter().map(|signer| signer.owner.as_str()).collect();
    owners.join(", ")
}

fn write_not_counted(out: &mut dyn Write, verified: &Verified) -> Result<(), Failure> {
    for ignored in verified.not_counted() {
        writeln!(out, "  not counted: key {} {}", ignored.key_id, ignored.why)?;
    }
    Ok(())
}

fn write_provenance(
    path: &Path,
    root: &TrustRoot,
    release: &Digest,
    cases_held: usize,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let bytes = files::read(path, Kind::Provenance.envelope_bytes_max())?;
    let verified = provenance::verify(&bytes, root, release).map_err(|fault| Failure::at(path, fault))?;
    let Provenance { builder, tool, source, inputs, outcome, made, .. } = &verified.provenance;
    writeln!(out, "provenance, signed by {}", owners(&verified.signers))?;
    writeln!(out, "  stated    {made}")?;
    writeln!(out, "  builder   {builder}, adamant {tool}")?;
    match source {
        None => writeln!(out, "  source    no revision")?,
        Some(source) => {
            let dirty = if source.dirty { " dirty: the files were not as in that revision" } else { "" };
            writeln!(out, "  source    {}{dirty}", source.revision)?;
        }
    }
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let (stated, passed) = (count(outcome.cases), count(outcome.passed));
    let cases = plural(stated, "test case");
    writeln!(out, "  tests     {} of {cases} passed, coverage {} %", outcome.passed, outcome.coverage_percent)?;
    for (index, input) in inputs.iter().enumerate() {
        let label = if index == 0 { "inputs" } else { "" };
        writeln!(out, "  {label:<8}  {}  {}", input.digest, input.name)?;
    }
    // A release is built only when all of its cases pass; a statement that says otherwise is none of such a build.
    if (stated, passed) == (cases_held, cases_held) {
        return Ok(());
    }
    out.flush()?;
    let held = plural(cases_held, "test case");
    let message = format!("expected that the {held} of the release passed, found {passed} of {cases} passed");
    Err(Failure::at(path, message)
        .help("state it again with: adamant release provenance; who signed this one, and why?"))
}
