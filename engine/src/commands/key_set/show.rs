//! `adamant key-set show`: the key set that stands.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::key_set::KeySet;
use policy_release::lists::SignedList as _;
use policy_release::root::Standing;
use serde_json::json;
use stores::Channel;

use super::change::shown;
use crate::commands::trust::words;
use crate::commands::{lists, signing};
use crate::failure::Failure;
use crate::pointing;
use crate::span::distance;
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The store: a directory, or a URL.
    #[arg(long, value_name = "DIR|URL")]
    store: PathBuf,
    /// The channel.
    #[arg(long, value_name = "NAME")]
    channel: Channel,
    /// The trust root that was placed on the gateways: says who signed, and whether that is enough.
    #[arg(long, value_name = "ROOT")]
    trust_root: Option<PathBuf>,
    /// One key a line, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    access: StoreAccess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let at = args.access.at(&args.store)?;
    let newest = |root: &PathBuf| pointing::newest_root(root, Some(&at));
    let root = args.trust_root.as_ref().map(newest).transpose()?;
    let (store, now) = (Store::open(&at)?, signing::now()?);
    store.expect_channel(&args.channel)?;
    let Some(bytes) = store.key_set(&args.channel)? else {
        let none = format!("channel {} has no key set", args.channel);
        writeln!(out, "{}", if args.format == Format::Json { "null" } else { &none })?;
        return Ok(());
    };
    let path = store.path().join(stores::layout::key_set(&args.channel));
    let envelope = Envelope::parse_kind(&bytes, Kind::KeySet).map_err(|fault| Failure::at(&path, fault))?;
    let set = KeySet::read(envelope.payload()).map_err(|fault| Failure::at(&path, fault))?;
    lists::expect_shown(&set, &store, &args.channel)?;
    let standing = root.as_ref().map(|root| root.standing(Role::Keys, &envelope));
    if args.format == Format::Json {
        let document = json!({
            "channel": set.channel,
            "policy": set.policy_name,
            "serial": set.serial,
            "issued": set.issued.to_string(),
            "expires": set.expires.to_string(),
            "expired": set.expires <= now,
            "signed": standing.as_ref().map(Standing::is_met),
            "keys": serde_json::to_value(set.keys()).map_err(Failure::new)?,
        });
        writeln!(out, "{document:#}")?;
        return Ok(());
    }
    writeln!(out, "key set  channel {}, serial {}", set.channel, set.serial)?;
    writeln!(out, "  policy   {}", set.policy_name)?;
    writeln!(out, "  made     {} ({})", set.issued, distance(now, set.issued))?;
    writeln!(out, "  until    {} ({})", set.expires, distance(now, set.expires))?;
    if set.expires <= now {
        writeln!(out, "  EXPIRED  gateways refuse its keys: adamant key-set renew")?;
    }
    match standing {
        Some(standing) => writeln!(out, "  signed   {}", words(&standing))?,
        None => {
            let count = signing::plural(envelope.signatures().len(), "signature");
            writeln!(out, "  signed   {count}, not verified without --trust-root")?;
        }
    }
    for key in set.keys() {
        for hash in &key.hashes {
            let over = if hash.has_ended(now) { ", over" } else { "" };
            writeln!(out, "  {}{over}", shown(&key.id, hash))?;
        }
    }
    Ok(())
}
