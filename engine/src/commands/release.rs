//! `adamant release`: build, sign, show and verify releases, and say where they come from.

mod build;
mod cost;
mod list;
mod provenance;
mod revision;
mod show;
mod verify;

use std::io::Write;

use clap::Subcommand;
use policy_release::envelope::Kind;
use policy_release::version::EngineVersion;

use super::signing::{self, MergeArgs, WitnessedArgs};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Build a release from a policy source whose test cases pass. Equal arguments give equal bytes on any machine.
    #[command(after_help = "Examples:\n  \
        adamant release build policy.toml --version 1 --expires 2027-01-31T00:00:00Z -o release.json\n  \
        adamant release build policy.toml --version 2 --expires 2027-04-30T00:00:00Z --parent release.json -o next.json\n\n\
        The release holds the policy, the files that it pins, and its test cases. Nothing else varies its bytes: \
        not the machine, the directory, the time, the owner of files. A release whose cases fail is not built.")]
    Build(build::BuildArgs),
    /// Sign a release, in place or as a signature of its own.
    #[command(after_help = "Examples:\n  \
        adamant release sign release.json --key alice.key\n  \
        adamant release sign release.json --key bob.key --detached -o bob.sig\n  \
        adamant release merge release.json bob.sig")]
    Sign(WitnessedArgs),
    /// Put signatures that several people made into one release.
    Merge(MergeArgs),
    /// Show what a release holds, what a decision costs at most, and who is said to have signed it.
    #[command(after_help = "Examples:\n  \
        adamant release show release.json\n  \
        adamant release show release.json --measure\n\n\
        --measure times decisions of made-up requests on this machine: a figure of here and now, beside a bound that \
        holds everywhere.")]
    Show(show::ShowArgs),
    /// List the releases of a store: version, parent, expiry, who signed, and which channels point at them.
    #[command(after_help = "Examples:\n  \
        adamant release list /srv/adamant --trust-root root.json\n  \
        adamant release list /srv/adamant --format json")]
    List(list::ListArgs),
    /// Verify a release as a gateway with this trust root would, at this time, with this engine.
    #[command(after_help = "Examples:\n  \
        adamant release verify release.json --trust-root root.json --store /srv/adamant\n  \
        adamant release verify release.json --trust-root root.json --role release-narrower\n\n\
        Ends with 0 when it verifies, 3 when signatures are missing and nothing else is wrong, 1 otherwise.")]
    Verify(verify::VerifyArgs),
    /// State where a release comes from, signed: source revision, files, builder, tool, outcome of its test cases.
    #[command(after_help = "Examples:\n  \
        adamant release provenance release.json --source policy.toml --key ci.key -o provenance.json\n  \
        adamant release verify release.json --trust-root root.json --provenance provenance.json\n\n\
        The source is built again, and must give this release to the byte; its test cases are run again. The \
        statement is an in-toto Statement v1 with a SLSA provenance v1 predicate.")]
    Provenance(provenance::ProvenanceArgs),
}

pub fn run(command: ReleaseCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Build(args) => build::run(&args, out),
        ReleaseCommand::Sign(args) => signing::sign_witnessed(&args, Kind::Release, out),
        ReleaseCommand::Merge(args) => signing::merge(&args, Kind::Release, out),
        ReleaseCommand::Show(args) => show::run(&args, out),
        ReleaseCommand::List(args) => list::run(&args, out),
        ReleaseCommand::Verify(args) => verify::run(&args, out),
        ReleaseCommand::Provenance(args) => provenance::run(&args, out),
    }
}

/// The version of this binary.
pub fn engine_version() -> Result<EngineVersion, Failure> {
    env!("CARGO_PKG_VERSION").parse().map_err(Failure::new)
}
