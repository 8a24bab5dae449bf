//! `adamant revoke`: the kill switch. Makes the channel's next revocation list, signs it and publishes it, in one command.

mod desk;
mod known;
mod list;
mod next;
mod targets;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::revocations::Revocations;
use policy_release::time::Timestamp;

use self::desk::RevokeDesk;
use self::next::Next;
use self::targets::TargetArgs;
use super::signing::{self, MergeArgs, WitnessedArgs};
use super::trust::words;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::pointing::Where;
use crate::signer::KeyArgs;
use crate::span::Span;

/// How long a list holds when nothing is said: from then on gateways raise an alarm, and go on with it.
const LIST_SPAN: Span = Span { seconds: 30 * 86_400 };

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RevokeArgs {
    #[command(subcommand)]
    command: Option<RevokeCommand>,
    #[command(flatten)]
    make: Option<MakeArgs>,
}

/// The group is named by hand: clap leaves it empty where arguments are flattened, and then finds it absent.
#[derive(Debug, Args)]
#[group(id = "revoking", args = ["channel"])]
pub struct MakeArgs {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    targets: TargetArgs,
    /// Why, for whoever reads the list: at most 256 bytes.
    #[arg(long, value_name = "TEXT", default_value = "revoked")]
    why: String,
    /// When the entry lapses, because the credential ends by itself; that of a certificate's file when absent, else never.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Take what is named out of the list: it holds again. Needs the signatures of release-wider too.
    #[arg(long, conflicts_with_all = ["until", "renew"])]
    lift: bool,
    /// Sign the list again as it is, with a later end.
    #[arg(long)]
    renew: bool,
    /// When the list ends, like 2027-01-31T00:00:00Z; 30 days from now when absent. What it revokes stays revoked after.
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    expires: Option<Timestamp>,
    /// How long the list holds: 90m, 12h, 30d or 4w.
    #[arg(long = "for", id = "span", value_name = "SPAN")]
    span: Option<Span>,
    /// Serial of the list; one above that of the present one when absent.
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Name of the policy, where the channel has neither a pointer nor a list that is believed.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Take names that the release of the channel does not have.
    #[arg(long)]
    unknown: bool,
    /// Write the list there and publish nothing, so that others can sign it first.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Say what was done as text, or as one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum RevokeCommand {
    /// Show the list of a channel that stands in the store.
    List(list::ListArgs),
    /// Sign a list that was written with --out.
    Sign(WitnessedArgs),
    /// Put signatures that several people made into one list.
    Merge(MergeArgs),
    /// Publish a list that enough people signed.
    Publish(PublishArgs),
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The list.
    file: PathBuf,
    #[command(flatten)]
    at: Where,
}

pub fn run(args: &RevokeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match (&args.command, &args.make) {
        (Some(RevokeCommand::List(args)), _) => list::run(args, out),
        (Some(RevokeCommand::Sign(args)), _) => signing::sign_witnessed(args, Kind::Revocations, out),
        (Some(RevokeCommand::Merge(args)), _) => signing::merge(args, Kind::Revocations, out),
        (Some(RevokeCommand::Publish(args)), _) => publish(args, out),
        (None, Some(args)) => make(args, out),
        (None, None) => Err(Failure::new("expected what to revoke where, found nothing").help("adamant revoke --help")),
    }
}

fn make(args: &MakeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = RevokeDesk::open(&args.at, args.policy.is_some())?;
    // What is lifted must be listed, and may have left the release since.
    let named = args.targets.read(desk.release.as_ref(), args.unknown || args.lift)?;
    if named.is_empty() != args.renew {
        let (found, help) = if args.renew {
            ("something to revoke beside --renew", "leave --renew away: every list begins a new term")
        } else {
            (
                "nothing",
                "--agent, --api-key, --certificate, --certificate-serial, --jti, --kid or --subject; or --renew for the \
                 same list with a later end",
            )
        };
        return Err(Failure::new(format_args!("expected what to revoke, found {found}")).help(help));
    }
    let next =
        if args.lift { Next::without(&desk, &named)? } else { Next::with(&desk, &named, args.until, &args.why)? };
    let expires = args.expires.or_else(|| args.span.unwrap_or(LIST_SPAN).after(desk.now));
    let expires = expires
        .filter(|expires| *expires > desk.now)
        .ok_or_else(|| Failure::new(format_args!("expected a list that expires in the future; it is {}", desk.now)))?;
    let (policy, serial) = (desk.policy_name(args.policy.as_deref())?, desk.serial(args.serial)?);
    let entries = next.entries.clone();
    let list = Revocations::new(&policy, desk.channel.as_str(), serial, desk.now, expires, entries)
        .map_err(|fault| Failure::new(fault).help("adamant revoke --help"))?;
    let mut envelope = list.to_envelope().map_err(Failure::new)?;
    let signers = args.keys.open()?;
    for signer in &signers {
        signing::may_sign(&desk.chain, &[Role::Revocation, Role::ReleaseWider], &signer.public())?;
    }
    for signer in &signers {
        signer.sign(&mut envelope)?;
    }
    if args.format == Format::Text {
        next.tell(&list, desk.now, out)?;
        writeln!(out, "  signed   {}", words(&desk.root.standing(Role::Revocation, &envelope)))?;
    }
    let written = match &args.out {
        Some(path) => {
            files::write(path, &envelope.to_bytes(), Access::Everyone, Existing::Refuse)?;
            path.clone()
        }
        None => desk.publish(&list, &envelope)?,
    };
    if args.format == Format::Json {
        return next.json(&list, &written, args.out.is_none(), out);
    }
    writeln!(out, "wrote {}", written.display())?;
    if args.out.is_some() {
        let (path, store) = (written.display(), desk.store.path().display());
        writeln!(out, "the store is as it was; next, each of the others: adamant revoke sign {path} --key KEY")?;
        writeln!(out, "then: adamant revoke publish {path} --store {store} …")?;
        return Ok(());
    }
    writeln!(out, "gateways of channel {} have it in force within a second of seeing that file", desk.channel)?;
    Ok(())
}

fn publish(args: &PublishArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (envelope, list) = read(&args.file)?;
    // Whoever made the list was asked whether the channel is meant.
    let desk = RevokeDesk::open(&args.at, true)?;
    desk.expect_next(&list).map_err(|failure| Failure::at(&args.file, failure))?;
    Next::between(&desk, &list).tell(&list, desk.now, out)?;
    writeln!(out, "  signed   {}", words(&desk.root.standing(Role::Revocation, &envelope)))?;
    let path = desk.publish(&list, &envelope)?;
    writeln!(out, "wrote {}", path.display())?;
    Ok(())
}

/// A list in a file, with nothing verified.
fn read(path: &std::path::Path) -> Result<(Envelope, Revocations), Failure> {
    let envelope = signing::read_envelope(path, Kind::Revocations)?;
    let list = Revocations::read(envelope.payload()).map_err(|fault| Failure::at(path, fault))?;
    Ok((envelope, list))
}
