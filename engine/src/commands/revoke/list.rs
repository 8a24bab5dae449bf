//! `adamant revoke list`: the revocation list that stands.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::lists::SignedList as _;
use policy_release::revocations::Revocations;
use serde_json::json;
use stores::Channel;

use super::{Format, next};
use crate::commands::trust::words;
use crate::commands::{lists, signing};
use crate::failure::Failure;
use crate::pointing;
use crate::span::distance;
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The store: a directory, or a URL.
    #[arg(long, value_name = "DIR|URL")]
    store: PathBuf,
    /// The channel.
    #[arg(long, value_name = "NAME")]
    channel: Channel,
    /// The trust root that was placed on the gateways: says who signed, and whether that is enough.
    #[arg(long, value_name = "ROOT")]
    trust_root: Option<PathBuf>,
    /// One entry a line, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    access: StoreAccess,
}

pub fn run(args: &ListArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let at = args.access.at(&args.store)?;
    let newest = |root: &PathBuf| pointing::newest_root(root, Some(&at));
    let root = args.trust_root.as_ref().map(newest).transpose()?;
    let (store, now) = (Store::open(&at)?, signing::now()?);
    store.expect_channel(&args.channel)?;
    let Some(bytes) = store.revocations(&args.channel)? else {
        if args.format == Format::Json {
            writeln!(out, "null")?;
        } else {
            writeln!(out, "nothing is revoked on channel {}", args.channel)?;
        }
        return Ok(());
    };
    let path = store.path().join(stores::layout::revocations(&args.channel));
    let envelope = Envelope::parse_kind(&bytes, Kind::Revocations).map_err(|fault| Failure::at(&path, fault))?;
    let list = Revocations::read(envelope.payload()).map_err(|fault| Failure::at(&path, fault))?;
    lists::expect_shown(&list, &store, &args.channel)?;
    let standing = root.as_ref().map(|root| root.standing(Role::Revocation, &envelope));
    if args.format == Format::Json {
        let document = json!({
            "channel": list.channel,
            "policy": list.policy_name,
            "serial": list.serial,
            "issued": list.issued.to_string(),
            "expires": list.expires.to_string(),
            "expired": list.expires <= now,
            "signed": standing.as_ref().map(policy_release::root::Standing::is_met),
            "entries": next::entries(list.entries())?,
        });
        writeln!(out, "{document:#}")?;
        return Ok(());
    }
    writeln!(out, "revocations  channel {}, serial {}", list.channel, list.serial)?;
    writeln!(out, "  policy   {}", list.policy_name)?;
    writeln!(out, "  made     {} ({})", list.issued, distance(now, list.issued))?;
    writeln!(out, "  until    {} ({})", list.expires, distance(now, list.expires))?;
    if list.expires <= now {
        writeln!(out, "  EXPIRED  what is revoked stays revoked; gateways raise an alarm: adamant revoke --renew")?;
    }
    match standing {
        Some(standing) => writeln!(out, "  signed   {}", words(&standing))?,
        None => {
            let count = signing::plural(envelope.signatures().len(), "signature");
            writeln!(out, "  signed   {count}, not verified without --trust-root")?;
        }
    }
    for entry in list.entries() {
        let until = match entry.until {
            Some(until) if entry.has_lapsed(now) => format!(", lapsed {until}"),
            Some(until) => format!(", until {until}"),
            None => String::new(),
        };
        writeln!(out, "  {}, since {}{until}: {}", entry.target, entry.since, entry.why)?;
    }
    Ok(())
}
