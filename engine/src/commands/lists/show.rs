//! Showing the list of a channel that stands in the store.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::envelope::Envelope;
use policy_release::root::Standing;
use policy_release::time::Timestamp;
use serde_json::{Value, json};
use stores::Channel;

use super::Published;
use crate::commands::Format;
use crate::commands::signing;
use crate::commands::trust::words;
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
    /// One entry a line, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    access: StoreAccess,
}

/// How a kind of list is shown.
pub trait Shown: Published {
    const TITLE: &'static str;
    /// What it means that its time is over.
    const EXPIRED: &'static str;
    /// What its entries are called in JSON.
    const MEMBER: &'static str;

    /// Where the channel has none.
    fn none(channel: &Channel) -> String;

    fn to_json(&self) -> Result<Value, Failure>;

    /// One entry a line.
    fn lines(&self, now: Timestamp) -> Vec<String>;
}

/// Shows the list as it stands, whoever signed it.
pub fn show<L: Shown>(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let at = args.access.at(&args.store)?;
    let newest = |root: &PathBuf| pointing::newest_root(root, Some(&at));
    let root = args.trust_root.as_ref().map(newest).transpose()?;
    let (store, now) = (Store::open(&at)?, signing::now()?);
    store.expect_channel(&args.channel)?;
    let Some(bytes) = L::stored(&store, &args.channel)? else {
        let none = L::none(&args.channel);
        writeln!(out, "{}", if args.format == Format::Json { "null" } else { &none })?;
        return Ok(());
    };
    let path = store.path().join(L::place(&args.channel));
    let envelope = Envelope::parse_kind(&bytes, L::KIND).map_err(|fault| Failure::at(&path, fault))?;
    let list = L::read(envelope.payload()).map_err(|fault| Failure::at(&path, fault))?;
    super::expect_shown(&list, &store, &args.channel)?;
    let standing = root.as_ref().map(|root| root.standing(L::ROLE, &envelope));
    match args.format {
        Format::Json => writeln!(out, "{:#}", document(&list, now, standing.as_ref())?)?,
        Format::Text => tell(&list, now, standing.as_ref(), &envelope, out)?,
    }
    Ok(())
}

fn document<L: Shown>(list: &L, now: Timestamp, standing: Option<&Standing>) -> Result<Value, Failure> {
    let head = list.head();
    Ok(json!({
        "channel": head.channel,
        "policy": head.policy_name,
        "serial": head.serial,
        "issued": head.issued.to_string(),
        "expires": head.expires.to_string(),
        "expired": head.expires <= now,
        "signed": standing.map(Standing::is_met),
        L::MEMBER: list.to_json()?,
    }))
}

fn tell<L: Shown>(
    list: &L,
    now: Timestamp,
    standing: Option<&Standing>,
    envelope: &Envelope,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let head = list.head();
    writeln!(out, "{}  channel {}, serial {}", L::TITLE, head.channel, head.serial)?;
    writeln!(out, "  policy   {}", head.policy_name)?;
    writeln!(out, "  made     {} ({})", head.issued, distance(now, head.issued))?;
    writeln!(out, "  until    {} ({})", head.expires, distance(now, head.expires))?;
    if head.expires <= now {
        writeln!(out, "  EXPIRED  {}", L::EXPIRED)?;
    }
    match standing {
        Some(standing) => writeln!(out, "  signed   {}", words(standing))?,
        None => {
            let count = signing::plural(envelope.signatures().len(), "signature");
            writeln!(out, "  signed   {count}, not verified without --trust-root")?;
        }
    }
    list.lines(now).iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    Ok(())
}
