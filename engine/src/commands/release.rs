//! `adamant release`: build, sign, show and verify releases.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use policy_release::candidate::{self, Expected, Purpose};
use policy_release::digest::Digest;
use policy_release::envelope::{Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use policy_release::verify::{Signer, Verified, verify};
use policy_release::version::EngineVersion;

use super::signing::{self, MergeArgs, SignArgs, plural};
use super::trust::read_root;
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::source;

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Build a release from a policy source. Equal arguments give equal bytes on any machine.
    #[command(after_help = "Example:\n  \
        adamant release build policy.toml --version 4 --expires 2027-01-31T00:00:00Z --parent sha256:… -o release.json")]
    Build(BuildArgs),
    /// Sign a release, in place or as a signature of its own.
    #[command(after_help = "Examples:\n  \
        adamant release sign release.json --key alice.key\n  \
        adamant release sign release.json --key bob.key --detached -o bob.sig\n  \
        adamant release merge release.json bob.sig")]
    Sign(SignArgs),
    /// Put signatures that several people made into one release.
    Merge(MergeArgs),
    /// Show what a release holds and who is said to have signed it.
    Show(ShowArgs),
    /// Verify a release as a gateway with this trust root would, at this time, with this engine.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The policy source.
    policy: PathBuf,
    /// Number of this release, from 1.
    #[arg(long, value_name = "N")]
    version: u64,
    /// When it may no longer be activated, like 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires: Timestamp,
    /// Digest of the release that this one was made from.
    #[arg(long, value_name = "DIGEST")]
    parent: Option<Digest>,
    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A release.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A release.
    file: PathBuf,
    /// The trust root.
    #[arg(long, value_name = "ROOT")]
    trust_root: PathBuf,
    /// The role whose threshold must be met: a first release, or one that allows anything new, needs the wider one.
    #[arg(long, value_enum, default_value_t = ReleaseRole::ReleaseWider)]
    role: ReleaseRole,
    /// The policy that it must be a release of; any when absent.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReleaseRole {
    ReleaseNarrower,
    ReleaseWider,
}

pub fn run(command: ReleaseCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Build(args) => build(&args, out),
        ReleaseCommand::Sign(args) => signing::sign(&args, Kind::Release, out),
        ReleaseCommand::Merge(args) => signing::merge(&args, Kind::Release, out),
        ReleaseCommand::Show(args) => show(&args, out),
        ReleaseCommand::Verify(args) => verify_release(&args, out),
    }
}

/// The version of this binary.
pub fn engine_version() -> Result<EngineVersion, Failure> {
    env!("CARGO_PKG_VERSION").parse().map_err(Failure::new)
}

fn build(args: &BuildArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    let policy = source::load(&args.policy)?;
    if args.expires <= signing::now()? {
        warn(format_args!("the release expires at {}, which is past: no gateway will activate it", args.expires));
    }
    let fail = |fault| Failure::at(&args.policy, fault);
    let manifest = Manifest::new(policy, args.version, args.parent, args.expires, Vec::new()).map_err(fail)?;
    let envelope = manifest.to_envelope().map_err(fail)?;
    files::write(&args.out, &envelope.to_bytes(), Access::Everyone, existing)?;
    writeln!(out, "{}", envelope.digest())?;
    writeln!(out, "# policy {} version {}, expires {}", manifest.policy_name, manifest.version, manifest.expires)?;
    writeln!(out, "# wrote {} without signatures; next: adamant release sign", args.out.display())?;
    Ok(())
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let envelope = signing::read_envelope(&args.file, Kind::Release)?;
    let manifest = Manifest::parse(envelope.payload(), engine_version()?);
    let manifest = manifest.map_err(|fault| Failure::at(&args.file, fault))?;
    let policy = &manifest.policy;
    let parent = manifest.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string());
    writeln!(out, "release     {}", envelope.digest())?;
    writeln!(out, "policy      {}", manifest.policy_name)?;
    writeln!(out, "version     {}", manifest.version)?;
    writeln!(out, "parent      {parent}")?;
    writeln!(out, "expires     {}", manifest.expires)?;
    writeln!(out, "engine      {} or newer", manifest.engine_min)?;
    writeln!(out, "size        {}", plural(envelope.payload().len(), "byte"))?;
    let limits = policy.agents.iter().map(|agent| agent.limits.len()).sum();
    for (noun, count) in [
        ("agent", policy.agents.len()),
        ("limit", limits),
        ("scope", policy.scopes.len()),
        ("route", policy.routes.len()),
        ("origin", policy.origins.len()),
        ("issuer", policy.issuers.len()),
        ("client CA", policy.client_cas.len()),
        ("API key", policy.api_keys.len()),
        ("test case", manifest.cases.len()),
    ] {
        writeln!(out, "  {}", plural(count, noun))?;
    }
    writeln!(
        out,
        "{}, not verified here (adamant release verify does)",
        plural(envelope.signatures().len(), "signature")
    )?;
    for signature in envelope.signatures() {
        writeln!(out, "  key {}", signature.key_id)?;
    }
    Ok(())
}

fn verify_release(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let root = read_root(&args.trust_root)?;
    let bytes = files::read(&args.file, Kind::Release.envelope_bytes_max())?;
    let (role, other) = match args.role {
        ReleaseRole::ReleaseNarrower => (Role::ReleaseNarrower, Role::ReleaseWider),
        ReleaseRole::ReleaseWider => (Role::ReleaseWider, Role::ReleaseNarrower),
    };
    let verified = verify(&bytes, &root, role).map_err(|fault| Failure::at(&args.file, fault))?;
    let engine = engine_version()?;
    let policy_name = match &args.policy {
        Some(name) => name.clone(),
        None => {
            let manifest = Manifest::parse(verified.payload(), engine);
            manifest.map_err(|fault| Failure::at(&args.file, fault))?.policy_name
        }
    };
    let expected = Expected { policy_name: &policy_name, engine, purpose: Purpose::Activate { now: signing::now()? } };
    let release = candidate::check(&verified, &root, &expected).map_err(|fault| Failure::at(&args.file, fault))?;
    writeln!(out, "verified {}", release.digest)?;
    writeln!(out, "  policy {policy_name} version {}, expires {}", release.version, release.expires)?;
    write_role(out, &root, role, Some(verified.signers()))?;
    write_role(out, &root, other, verified.meets(&root, other).ok().as_deref())?;
    write_not_counted(out, &verified)
}

fn write_role(out: &mut dyn Write, root: &TrustRoot, role: Role, met: Option<&[Signer]>) -> Result<(), Failure> {
    let threshold = root.role(role).threshold;
    match met {
        None => writeln!(out, "  {role}: fewer than the {threshold} needed")?,
        Some(signers) => {
            let owners: Vec<_> = signers.iter().map(|signer| signer.owner.as_str()).collect();
            writeln!(out, "  {role}: {} of {threshold} needed ({})", signers.len(), owners.join(", "))?;
        }
    }
    Ok(())
}

fn write_not_counted(out: &mut dyn Write, verified: &Verified) -> Result<(), Failure> {
    for ignored in verified.not_counted() {
        writeln!(out, "  not counted: key {} {}", ignored.key_id, ignored.why)?;
    }
    Ok(())
}
