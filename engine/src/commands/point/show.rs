//! `adamant point show`: what each channel of a store runs, and what a pointer in a file says.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::pointer::Pointer;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Location};

use crate::commands::signing;
use crate::commands::trust::words;
use crate::failure::Failure;
use crate::pointing;
use crate::span::distance;
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["file", "store"])))]
pub struct ShowArgs {
    /// A pointer.
    file: Option<PathBuf>,
    /// A store: all its channels, or with FILE the trust roots that gateways follow.
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    /// This channel alone.
    #[arg(long, value_name = "NAME", requires = "store", conflicts_with = "file")]
    channel: Option<Channel>,
    /// The trust root that was placed on the gateways: says who signed, and whether that is enough.
    #[arg(long, value_name = "ROOT")]
    trust_root: Option<PathBuf>,
    #[command(flatten)]
    access: StoreAccess,
}

pub fn run(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let at = args.access.of(args.store.as_ref())?;
    let newest = |root| pointing::newest_root(root, at.as_ref());
    let root = args.trust_root.as_deref().map(newest).transpose()?;
    let now = signing::now()?;
    match (&at, &args.file) {
        (Some(store), None) => channels(args, store, root, now, out),
        (_, Some(file)) => {
            let (envelope, pointer) = pointing::read_pointer(file)?;
            tell(&envelope, &pointer, root.as_ref(), now, out)?;
            if let Some(root) = &root {
                let wider = root.standing(Role::ReleaseWider, &envelope);
                writeln!(
                    out,
                    "  wider    {}: {} (asked for where it leads back to what allows more)",
                    wider.role,
                    words(&wider)
                )?;
            }
            Ok(())
        }
        (None, None) => Err(Failure::new("expected a pointer or --store DIR, found neither")),
    }
}

fn channels(
    args: &ShowArgs,
    at: &Location,
    root: Option<TrustRoot>,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = Store::open(at)?;
    let channels = match &args.channel {
        Some(channel) => {
            store.expect_channel(channel)?;
            vec![channel.clone()]
        }
        None => store.channels()?,
    };
    if channels.is_empty() {
        writeln!(out, "no channels in {at}; adamant point makes one")?;
    }
    let mut faults = 0_usize;
    for channel in channels {
        let told = match store.pointer(&channel) {
            Ok(Some(bytes)) => read(&bytes, &channel).map_err(|fault| fault.to_string()),
            Ok(None) => Err("it has no pointer".to_owned()),
            Err(fault) => Err(fault.to_string()),
        };
        match told {
            Ok((envelope, pointer)) => {
                tell(&envelope, &pointer, root.as_ref(), now, out)?;
                if store.release(&pointer.release)?.is_none() {
                    writeln!(out, "  missing  the store does not have that release")?;
                }
            }
            Err(why) => {
                faults += 1;
                writeln!(out, "channel {channel}: {why}")?;
            }
        }
    }
    if faults == 0 {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::new(format_args!("{} cannot be read", signing::plural(faults, "channel"))))
}

fn read(bytes: &[u8], channel: &Channel) -> Result<(Envelope, Pointer), Box<dyn std::error::Error>> {
    let envelope = Envelope::parse_kind(bytes, Kind::Pointer)?;
    let pointer = Pointer::read(envelope.payload())?;
    if pointer.channel == channel.as_str() {
        Ok((envelope, pointer))
    } else {
        Err(format!("its pointer is of channel {:?}", pointer.channel).into())
    }
}

fn tell(
    envelope: &Envelope,
    pointer: &Pointer,
    root: Option<&TrustRoot>,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    pointing::tell_pointer(pointer, now, out)?;
    if pointer.expires <= now {
        writeln!(out, "  EXPIRED  gateways go on with what they serve and take nothing new")?;
    }
    writeln!(out, "  policy   {}", pointer.policy_name)?;
    writeln!(out, "  made     {} ({})", pointer.issued, distance(now, pointer.issued))?;
    match root {
        Some(root) => {
            let standing = root.standing(Role::Pointer, envelope);
            writeln!(out, "  signed   {}", words(&standing))?;
            if !standing.is_met() {
                writeln!(out, "  REFUSED  by every gateway that has trust root {}", root.version())?;
            }
        }
        None => {
            let count = signing::plural(envelope.signatures().len(), "signature");
            writeln!(out, "  signed   {count}, not verified without --trust-root")?;
        }
    }
    Ok(())
}
