//! `adamant point`: signed pointers, and the store they stand in.

mod live;
mod show;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use policy_release::envelope::Kind;

use super::signing::{self, MergeArgs, WitnessedArgs};
use crate::failure::Failure;
use crate::pointing::{self, Consent, Desk, Making, ReleaseChoice, Target, WayBack, Where};
use crate::store::Named;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct PointArgs {
    #[command(subcommand)]
    command: Option<PointCommand>,
    #[command(flatten)]
    make: Option<MakeArgs>,
}

/// The group is named by hand: clap leaves it empty where arguments are flattened, and then finds it absent.
#[derive(Debug, Args)]
#[group(id = "make", args = ["release"])]
pub struct MakeArgs {
    #[command(flatten)]
    at: Where,
    /// The release: a file, sha256:… of one in the store (8 digits of it do), or `current` to renew the pointer.
    #[arg(long, value_name = "RELEASE")]
    release: ReleaseChoice,
    /// The statement of its provenance, verified and put beside it.
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    provenance: Option<PathBuf>,
    #[command(flatten)]
    making: Making,
}

#[derive(Debug, Subcommand)]
enum PointCommand {
    /// Sign a pointer that was written with --out.
    Sign(WitnessedArgs),
    /// Put signatures that several people made into one pointer.
    Merge(MergeArgs),
    /// Publish a pointer that enough people signed, and the release it points at.
    #[command(after_help = "Example:\n  \
        adamant point publish pointer.json --store /srv/adamant --channel production --trust-root root.json \\\n    \
        --release release.json")]
    Publish(PublishArgs),
    /// What a channel runs, by signatures alone: release, version, serial, and the version to build next.
    #[command(after_help = "Example:\n  \
        adamant point live --store /srv/adamant --channel production --trust-root root.json\n\n\
        Nothing in the store is believed: the pointer and the release count by their signatures under the trust root. \
        `release` is what gateways of the channel can be taken to run, and is named by its digest: where `adamant diff` \
        reads it with --store, that is checked again. `next` is one above the highest version that \
        the threshold of a release role signed.\n\n\
        Where the channel points at what lacks signatures, `release` is the newest before it that gateways took, and a \
        warning says so.\n\n\
        Ends with 0 when there is one, 4 when there is none (no pointer yet, or nothing that enough signed), 1 when \
        the pointer is not believed or the store cannot be read. An expired pointer is told, and counts. A channel that the \
        store does not have, with a name near that of one that it has, ends with 1 too, unless --new-channel says that it is \
        meant.")]
    Live(live::LiveArgs),
    /// Show the channels of a store, or a pointer in a file.
    #[command(after_help = "Examples:\n  \
        adamant point show --store /srv/adamant --trust-root root.json\n  \
        adamant point show pointer.json --store /srv/adamant --trust-root root.json")]
    Show(show::ShowArgs),
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The pointer.
    file: PathBuf,
    #[command(flatten)]
    at: Where,
    /// The release, when the store does not have it yet.
    #[arg(long, value_name = "FILE")]
    release: Option<PathBuf>,
    #[command(flatten)]
    consent: Consent,
}

pub fn run(args: &PointArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match (&args.command, &args.make) {
        (Some(PointCommand::Sign(args)), _) => signing::sign_witnessed(args, Kind::Pointer, out),
        (Some(PointCommand::Merge(args)), _) => signing::merge(args, Kind::Pointer, out),
        (Some(PointCommand::Publish(args)), _) => publish(args, out),
        (Some(PointCommand::Live(args)), _) => live::run(args, out),
        (Some(PointCommand::Show(args)), _) => show::run(args, out),
        (None, Some(args)) => {
            let mut desk = Desk::open(&args.at)?;
            let mut target = Target::load(&desk, &args.release)?;
            if let Some(path) = &args.provenance {
                target.state_provenance(&desk, path)?;
            }
            pointing::make(&mut desk, &target, &args.making, out)
        }
        (None, None) => Err(Failure::new("expected what to point where, found nothing").help("adamant point --help")),
    }
}

fn publish(args: &PublishArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (envelope, pointer) = pointing::read_pointer(&args.file)?;
    let mut desk = Desk::open(&args.at)?;
    if desk.has(&pointer, &envelope)? {
        writeln!(out, "channel {} has this pointer already, serial {}", desk.channel, pointer.serial)?;
        return Ok(());
    }
    let of_policy = desk.expect_policy("pointer", &pointer.policy_name, args.consent);
    of_policy.map_err(|failure| failure.in_file(&args.file))?;
    desk.expect_meant(args.consent.new_channel)?;
    if let Some(current) = desk.current.pointer().filter(|current| !desk.counts_on_from(current, pointer.serial)) {
        let message = format!(
            "expected a serial above {}, that of the present pointer, found {}",
            current.serial, pointer.serial
        );
        return Err(Failure::at(&args.file, message).help("somebody pointed the channel since; make the pointer again"));
    }
    desk.check_serial(pointer.serial, args.consent)?;
    desk.warn_of_doubt();
    let choice = match &args.release {
        Some(path) => ReleaseChoice::File(path.clone()),
        None => ReleaseChoice::Stored(Named::Whole(pointer.release)),
    };
    let target = Target::load(&desk, &choice)?;
    let needed = target.tell(&desk, out)?;
    target.expect_enough(&desk, &needed, args.consent)?;
    if let Some(way_back) = WayBack::of(&desk, &target, &needed, &envelope)? {
        way_back.expect_signed(args.consent)?;
    }
    pointing::tell_renewed(&desk, &target, &envelope, out)?;
    pointing::tell_pointer(&pointer, desk.now, out)?;
    target.warn_of_end(&pointer, desk.now);
    pointing::publish(&desk, &pointer, &envelope, &target, out)
}
