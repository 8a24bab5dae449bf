//! `adamant revoke`: the kill switch. Makes the channel's next revocation list, signs it and publishes it, in one command.

mod desk;
mod known;
mod list;
mod next;
mod targets;

use std::io::Write;

use clap::{Args, Subcommand};
use policy::model::{Agent, Identity, Policy};
use policy_release::envelope::{Kind, Role};
use policy_release::revocations::Revocations;
use policy_release::time::Timestamp;

use self::desk::RevokeDesk;
use self::next::Next;
use self::targets::{Named, TargetArgs};
use super::Format;
use super::lists::{self, Begun, IssueArgs, PublishArgs, ShowArgs};
use super::signing::{self, MergeArgs, WitnessedArgs};
use super::trust::words;
use crate::failure::Failure;
use crate::pointing::Where;

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
    /// Take names that the release of the channel does not have.
    #[arg(long)]
    unknown: bool,
    /// Say what was done as text, or as one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    issue: IssueArgs,
}

#[derive(Debug, Subcommand)]
enum RevokeCommand {
    /// Show the list of a channel that stands in the store.
    List(ShowArgs),
    /// Sign a list that was written with --out.
    Sign(WitnessedArgs),
    /// Put signatures that several people made into one list.
    Merge(MergeArgs),
    /// Publish a list that enough people signed.
    Publish(PublishArgs),
}

pub fn run(args: &RevokeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match (&args.command, &args.make) {
        (Some(RevokeCommand::List(args)), _) => lists::show::<Revocations>(args, out),
        (Some(RevokeCommand::Sign(args)), _) => signing::sign_witnessed(args, Kind::Revocations, out),
        (Some(RevokeCommand::Merge(args)), _) => signing::merge(args, Kind::Revocations, out),
        (Some(RevokeCommand::Publish(args)), _) => publish(args, out),
        (None, Some(args)) => make(args, out),
        (None, None) => Err(Failure::new("expected what to revoke where, found nothing").help("adamant revoke --help")),
    }
}

fn make(args: &MakeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk: RevokeDesk = args.issue.open(&args.at)?;
    desk.warn_of_behind();
    if !args.lift {
        args.targets.expect_near(desk.now, desk.latest)?;
    }
    // What is lifted must be listed, and may have left the release since.
    let named = args.targets.read(desk.release.as_ref(), args.unknown || args.lift, desk.latest)?;
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
    let entries = next.entries.clone();
    let issued = args.issue.issue(&desk, |Begun { policy, serial, expires }| {
        Revocations::new(&policy, desk.channel.as_str(), serial, desk.now, expires, entries)
    })?;
    if args.format == Format::Json {
        return next.json(&issued, out);
    }
    next.tell(&issued.list, desk.now, out)?;
    issued.tell(&desk, out)?;
    if !args.lift {
        tell_certificates(&named, desk.release.as_ref(), out)?;
    }
    Ok(())
}

/// Whose the certificates are, and that their agents can have others.
fn tell_certificates(named: &[Named], release: Option<&Policy>, out: &mut dyn Write) -> Result<(), Failure> {
    for Named { target, names, .. } in named.iter().filter(|named| !named.names.is_empty()) {
        let shown: Vec<String> = names.iter().map(ToString::to_string).collect();
        writeln!(out, "{target} is of {}", shown.join(", "))?;
        let has_it = |agent: &&Agent| {
            let proofs = agent.identity.iter().filter_map(|identity| match identity {
                Identity::Proofs(proofs) => proofs.certificate.as_ref(),
                Identity::Anonymous => None,
            });
            proofs.into_iter().any(|proof| names.contains(&proof.name))
        };
        if let Some(agent) = release.and_then(|policy| policy.agents.iter().find(has_it)) {
            writeln!(
                out,
                "the CA issues to the same name again when it is asked to; what stops the agent itself: adamant revoke \
                 --agent {} …",
                agent.name
            )?;
        }
    }
    Ok(())
}

fn publish(args: &PublishArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (desk, envelope, list) = args.open::<Revocations>()?;
    Next::between(&desk, &list).tell(&list, desk.now, out)?;
    writeln!(out, "  signed   {}", words(&desk.root.standing(Role::Revocation, &envelope)))?;
    let path = desk.publish(&list, &envelope)?;
    writeln!(out, "wrote {}", path.display())?;
    Ok(())
}
