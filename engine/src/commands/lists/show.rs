//! Showing the list of a channel that stands in the store.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::envelope::Envelope;
use policy_release::root::{Standing, TrustRoot};
use policy_release::time::Timestamp;
use serde_json::{Value, json};
use stores::Channel;

use super::Published;
use super::believed::{believed, expect_shown, recall};
use crate::commands::Format;
use crate::commands::memory::{self, Behind, Memory, MemoryArgs};
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
    #[command(flatten)]
    memory: MemoryArgs,
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

/// Shows the list as it stands, whoever signed it. Ends with a failure where a newer one was seen from here.
pub fn show<L: Shown>(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (store, now) = (Store::open(&args.access.at(&args.store)?)?, signing::now()?);
    let seen = match &args.trust_root {
        Some(root) => {
            let memory = args.memory.open();
            Some((pointing::remembered(&store, root, &memory)?, memory))
        }
        None => None,
    };
    store.expect_channel(&args.channel)?;
    let bytes = L::stored(&store, &args.channel)?;
    let behind = match &seen {
        Some((chain, memory)) => behind::<L>(bytes.as_deref(), (memory, chain), &args.channel, now),
        None => None,
    };
    let shown = match bytes {
        Some(bytes) => {
            let newest = seen.as_ref().and_then(|(chain, _)| chain.last());
            show_stored::<L>((args, &store), &bytes, newest, behind.as_ref(), now, out)
        }
        None => tell_none::<L>(args, behind.as_ref(), out),
    };
    // That nothing can be shown is told with it.
    let Some(Behind { told, path, .. }) = behind else { return shown };
    out.flush()?;
    let message = format!("{told} ({}): gateways that took that one go on by it", path.display());
    Err(Failure::new(message).help(format_args!(
        "who took it away? Put it back: {} publish {} --store {} --channel {} --trust-root …",
        L::WORDS.command,
        path.display(),
        args.store.display(),
        args.channel
    )))
}

fn show_stored<L: Shown>(
    (args, store): (&ShowArgs, &Store),
    bytes: &[u8],
    newest: Option<&TrustRoot>,
    behind: Option<&Behind>,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = store.path().join(L::place(&args.channel));
    let envelope = Envelope::parse_kind(bytes, L::KIND).map_err(|fault| Failure::at(&path, fault))?;
    let list = L::read(envelope.payload()).map_err(|fault| Failure::at(&path, fault))?;
    expect_shown(&list, store, &args.channel)?;
    let standing = newest.map(|root| root.standing(L::ROLE, &envelope));
    match args.format {
        Format::Json => writeln!(out, "{:#}", document(&list, now, standing.as_ref(), behind)?)?,
        Format::Text => tell(&list, now, standing.as_ref(), &envelope, out)?,
    }
    Ok(())
}

/// Where a newer list was seen from here than the store has, if it has one.
fn behind<L: Published>(
    stored: Option<&[u8]>,
    (memory, chain): (&Memory, &[TrustRoot]),
    channel: &Channel,
    now: Timestamp,
) -> Option<Behind> {
    // Not the policy of the pointer: whoever took the list away may have written that too.
    let (kept, path) = recall::<L>(memory, chain, channel, None)?;
    let stored = stored.map(|bytes| believed::<L>(bytes, chain, channel, None));
    let found = stored.as_ref().map(|of| of.as_ref().map(|of| &of.mark));
    memory::behind(L::KIND, (&kept.mark, &path), found, now)
}

fn tell_none<L: Shown>(args: &ShowArgs, behind: Option<&Behind>, out: &mut dyn Write) -> Result<(), Failure> {
    match (args.format, behind) {
        (Format::Json, None) => writeln!(out, "null")?,
        (Format::Json, Some(behind)) => {
            let document =
                json!({ "channel": args.channel.as_str(), "serial": null, "behind": behind_document(behind) });
            writeln!(out, "{document:#}")?;
        }
        (Format::Text, Some(_)) => writeln!(out, "channel {} has no {} in the store", args.channel, L::KIND)?,
        (Format::Text, None) => {
            let unverified = match args.trust_root {
                Some(_) => "",
                None => ", as far as the store tells (with --trust-root, what was seen from here is compared)",
            };
            writeln!(out, "{}{unverified}", L::none(&args.channel))?;
        }
    }
    Ok(())
}

fn behind_document(behind: &Behind) -> Value {
    json!({ "told": behind.told, "remembered": behind.path })
}

fn document<L: Shown>(
    list: &L,
    now: Timestamp,
    standing: Option<&Standing>,
    behind: Option<&Behind>,
) -> Result<Value, Failure> {
    let head = list.head();
    Ok(json!({
        "channel": head.channel,
        "policy": head.policy_name,
        "serial": head.serial,
        "issued": head.issued.to_string(),
        "expires": head.expires.to_string(),
        "expired": head.expires <= now,
        "signed": standing.map(Standing::is_met),
        "behind": behind.map(behind_document),
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
