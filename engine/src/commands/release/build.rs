//! `adamant release build`: from a policy source whose cases pass to the bytes that people sign.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use policy_release::bounds::VERSION_STEP_MAX;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::manifest::Manifest;
use policy_release::time::Timestamp;

use crate::cases::{Outcome, Suite, text};
use crate::commands::signing::{self, plural};
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::source::{self, Source, Warnings};

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
    /// The release that this one was made from: its file, or its digest.
    #[arg(long, value_name = "FILE|DIGEST")]
    parent: Option<String>,
    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Build it although its expiry is past, as to check an old release by building it again.
    #[arg(long)]
    already_expired: bool,
    /// Take a version more than 1000000 above the parent's. It then needs release-wider, and versions end at
    /// 9007199254740991.
    #[arg(long)]
    version_jump: bool,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

pub fn run(args: &BuildArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    let now = signing::now()?;
    if args.expires <= now && !args.already_expired {
        return Err(Failure::new(format_args!(
            "expected an expiry in the future, found {}; it is {now}, and no gateway would take the release",
            args.expires
        ))
        .help("give a later one with --expires; to build an old release again, say --already-expired"));
    }
    let parent = args.parent.as_deref().map(|parent| parent_of(parent, args)).transpose()?;
    let source = source::read(&args.policy)?;
    let digest = parent.as_ref().map(|(digest, _)| *digest);
    let (manifest, outcome) = build(&source, args.version, digest, args.expires)?;
    if let Some((_, Some(name))) =
        parent.filter(|(_, name)| name.as_ref().is_some_and(|name| *name != manifest.policy_name))
    {
        let message = format!("expected a parent of policy {:?}, found one of {name:?}", manifest.policy_name);
        return Err(Failure::new(format_args!("--parent: {message}"))
            .help("give the release of this policy that runs now; the first one has no --parent"));
    }
    let envelope = manifest.to_envelope().map_err(|fault| Failure::at(&args.policy, fault))?;
    files::write(&args.out, &envelope.to_bytes(), Access::Everyone, existing)?;
    writeln!(out, "{}", envelope.digest())?;
    writeln!(out, "# policy {} version {}, expires {}", manifest.policy_name, manifest.version, manifest.expires)?;
    match outcome.cases.len() {
        0 => writeln!(out, "# no test cases: nobody knows what it shall permit (adamant test says how to write one)")?,
        cases => {
            let percent = outcome.coverage.percent();
            writeln!(out, "# {} passed, coverage {percent} %", plural(cases, "test case"))?;
        }
    }
    writeln!(out, "# wrote {} without signatures; next: adamant release sign", args.out.display())?;
    Ok(())
}

/// A digest as it was typed, or that of a release in a file, of which this one must be able to be the next, with the name
/// of its policy.
fn parent_of(typed: &str, args: &BuildArgs) -> Result<(Digest, Option<String>), Failure> {
    if typed.starts_with("sha256:") {
        let digest = typed.parse().map_err(|fault| Failure::new(format_args!("--parent: {fault}")))?;
        return Ok((digest, None));
    }
    let path = Path::new(typed);
    let envelope: Envelope = signing::read_envelope(path, Kind::Release)?;
    let parent = Manifest::parse(envelope.payload(), super::engine_version()?);
    let parent = parent.map_err(|fault| Failure::at(path, fault))?;
    if parent.version >= args.version {
        let message =
            format!("--parent {typed} has version {}, and this one is to be {}", parent.version, args.version);
        return Err(Failure::new(message).help("count on: a release has a greater version than its parent"));
    }
    let most = parent.version.saturating_add(VERSION_STEP_MAX);
    if args.version > most && !args.version_jump {
        let message = format!(
            "expected a version of at most {most}, found {}: gateways take one that is so far above the parent's {} only \
             with the threshold of release-wider, and none below it comes after it",
            args.version, parent.version
        );
        return Err(Failure::new(message).help("count on, or say --version-jump if it is meant"));
    }
    Ok((envelope.digest(), Some(parent.policy_name)))
}

/// The manifest of a source, whose cases have passed.
pub fn build(
    source: &Source,
    version: u64,
    parent: Option<Digest>,
    expires: Timestamp,
) -> Result<(Manifest, Outcome), Failure> {
    let name = source.name();
    let fail = |fault: &dyn std::fmt::Display| Failure::new(format_args!("{name}: {fault}"));
    let suite = Suite::of_source(source, Warnings::Shown)?;
    let outcome = suite.run("").map_err(|fault| fail(&fault))?;
    if outcome.failed() > 0 {
        let mut words = Vec::new();
        for (case, failed) in outcome.cases.iter().filter_map(|case| Some((case, case.failed.as_ref()?))) {
            text::write_failed(case, failed, &mut words)?;
        }
        eprintln!("{}", crate::terminal::text(&String::from_utf8_lossy(&words)));
        let of = plural(outcome.cases.len(), "test case");
        let message = format!("{name}: {} of {of} failed, so no release was built", outcome.failed());
        return Err(Failure::new(message).help("correct the policy or the case; adamant test --watch runs them again"));
    }
    let cases = suite.cases.into_iter().map(|located| located.case).collect();
    let manifest = Manifest::new(suite.policy, version, parent, expires, cases);
    Ok((manifest.map_err(|fault| fail(&fault))?, outcome))
}
