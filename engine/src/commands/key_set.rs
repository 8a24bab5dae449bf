//! `adamant key-set`: makes, signs and publishes the set of API keys that fills the ids which a release leaves open.

mod change;
mod show;

use std::io::Write;

use clap::Subcommand;
use control::accept::key_set;
use control::accept::lists::Words;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::key_set::KeySet;
use policy_release::lists::ListFault;
use stores::{Channel, layout};

use self::change::{AddArgs, Next, RemoveArgs, RenewArgs, RotateArgs};
use super::lists::{self, ListDesk, PublishArgs, Published, ShowArgs};
use super::signing::{self, MergeArgs, WitnessedArgs};
use super::trust::words;
use crate::failure::Failure;
use crate::span::Span;
use crate::store::{Store, WriteFault};

pub type KeySetDesk = ListDesk<KeySet>;

#[derive(Debug, Subcommand)]
pub enum KeySetCommand {
    /// Give an id its key.
    #[command(after_help = "Examples:\n  \
        adamant key new --id ci-1 --moving --out ci-1.key\n  \
        adamant key-set add --store /srv/adamant --channel production --trust-root root.json \\\n    \
        --key-file ci-1.key --key keys.key\n  \
        adamant key-set add … --id ci-1 --sha256 6b86b2… --key keys.key --for 30d")]
    Add(AddArgs),
    /// Give an id a new key; the one before holds on beside it for a while.
    #[command(after_help = "Examples:\n  \
        adamant key-set rotate … --key-file ci-1-new.key --overlap 12h --key keys.key\n  \
        adamant key-set rotate … --key-file ci-1-new.key --at-once --key keys.key")]
    Rotate(RotateArgs),
    /// Take an id's keys out, or one of them.
    #[command(after_help = "Example:\n  adamant key-set remove … --id ci-1 --key keys.key")]
    Remove(RemoveArgs),
    /// Sign the set again as it is, with a later end.
    Renew(RenewArgs),
    /// Show the set of a channel that stands in the store.
    Show(ShowArgs),
    /// Sign a set that was written with --out.
    Sign(WitnessedArgs),
    /// Put signatures that several people made into one set.
    Merge(MergeArgs),
    /// Publish a set that enough people signed.
    Publish(PublishArgs),
}

impl Published for KeySet {
    const WORDS: &'static Words = &key_set::WORDS;
    const ROLES: &'static [Role] = &[Role::Keys];
    /// From then on gateways refuse its keys.
    const SPAN: Span = Span { seconds: 90 * 86_400 };
    const CARRIED: &'static str = "Whoever has a key in it goes on calling";
    const REPLACED: &'static str = "add all keys that are to hold: those in it are not carried on";

    fn stored(store: &Store, channel: &Channel) -> Result<Option<Vec<u8>>, WriteFault> {
        store.key_set(channel)
    }

    fn place(channel: &Channel) -> String {
        layout::key_set(channel)
    }

    fn beside(&self, _: &Self) -> Result<Self, ListFault> {
        Ok(self.clone())
    }

    /// Gateways go by the time of issue too: a serial may have begun again from below.
    fn may_follow(desk: &KeySetDesk, set: &Self, _: &Envelope) -> Result<(), Failure> {
        let present = desk.list.as_ref().map(|present| present.issued);
        match present.filter(|issued| set.issued < *issued && *issued <= desk.now) {
            None => Ok(()),
            Some(issued) => Err(Failure::new(format_args!(
                "expected a key set issued at {issued} or later, when the present one was, found {}; gateways take it for \
                 an old one that was put back",
                set.issued
            ))
            .help("make it again; and see the clock of this machine")),
        }
    }
}

pub fn run(command: KeySetCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        KeySetCommand::Add(args) => args.run(out),
        KeySetCommand::Rotate(args) => args.run(out),
        KeySetCommand::Remove(args) => args.run(out),
        KeySetCommand::Renew(args) => args.run(out),
        KeySetCommand::Show(args) => lists::show::<KeySet>(&args, out),
        KeySetCommand::Sign(args) => signing::sign_witnessed(&args, Kind::KeySet, out),
        KeySetCommand::Merge(args) => signing::merge(&args, Kind::KeySet, out),
        KeySetCommand::Publish(args) => publish(&args, out),
    }
}

fn publish(args: &PublishArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (desk, envelope, set) = args.open::<KeySet>()?;
    Next::between(&desk, &set).tell(&set, desk.now, out)?;
    writeln!(out, "  signed   {}", words(&desk.root.standing(Role::Keys, &envelope)))?;
    writeln!(out, "wrote {}", desk.publish(&set, &envelope)?.display())?;
    Ok(())
}
