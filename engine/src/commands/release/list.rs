//! `adamant release list`: the releases of a store, what tells them apart, and which channels point at them.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::manifest::Manifest;
use policy_release::pointer::{Pointer, verify_pointer};
use policy_release::root::{Standing, TrustRoot};
use policy_release::time::Timestamp;
use serde_json::{Value, json};

use super::engine_version;
use crate::commands::Format;
use crate::commands::signing::{self, plural};
use crate::commands::trust::words;
use crate::failure::Failure;
use crate::pointing::{self, RELEASE_ROLES};
use crate::span::distance;
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The store: a directory, or a URL.
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The trust root that was placed on the gateways; its successors come from the store. Says who signed, and which
    /// pointers count.
    #[arg(long, value_name = "ROOT")]
    trust_root: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    access: StoreAccess,
}

/// A release of the store, as far as it can be read.
struct Entry {
    digest: Digest,
    read: Result<(Manifest, Envelope), String>,
    /// Names, with what is to be said of the pointer.
    channels: Vec<String>,
}

pub fn run(args: &ListArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let at = args.access.at(&args.store)?;
    let store = Store::open(&at)?;
    let newest = |root: &PathBuf| pointing::newest_root(root, Some(&at));
    let root = args.trust_root.as_ref().map(newest).transpose()?;
    let now = signing::now()?;
    let pointers = pointers(&store, root.as_ref())?;
    let mut entries = Vec::new();
    for digest in store.releases()? {
        let points = |(_, release): &&(String, Digest)| *release == digest;
        let channels = pointers.iter().filter(points).map(|(channel, _)| channel.clone()).collect();
        entries.push(Entry { digest, read: read(&store, &digest), channels });
    }
    let version =
        |entry: &Entry| entry.read.as_ref().ok().map(|(manifest, _)| (manifest.policy_name.clone(), manifest.version));
    entries.sort_by_cached_key(version);
    match args.format {
        Format::Json => {
            let releases: Vec<Value> = entries.iter().map(|entry| document(entry, root.as_ref())).collect();
            serde_json::to_writer_pretty(&mut *out, &json!({ "releases": releases })).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Format::Text if entries.is_empty() => writeln!(out, "no releases in {}", args.store.display())?,
        Format::Text => entries.iter().try_for_each(|entry| tell(entry, root.as_ref(), now, out))?,
    }
    let faults = entries.iter().filter(|entry| entry.read.is_err()).count();
    if faults == 0 {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::new(format_args!("{} cannot be read", plural(faults, "release"))))
}

/// Which channel points where. With a trust root, it is said which pointers do not count under it.
fn pointers(store: &Store, root: Option<&TrustRoot>) -> Result<Vec<(String, Digest)>, Failure> {
    let mut found = Vec::new();
    for channel in store.channels()? {
        // What cannot be read points nowhere; adamant point show tells it.
        let Ok(Some(bytes)) = store.pointer(&channel) else { continue };
        let Ok(envelope) = Envelope::parse_kind(&bytes, Kind::Pointer) else { continue };
        let Ok(pointer) = Pointer::read(envelope.payload()) else { continue };
        let counts =
            pointer.channel == channel.as_str() && root.is_none_or(|root| verify_pointer(&bytes, root).is_ok());
        let doubt = if counts { "" } else { " (by a pointer that is not believed)" };
        found.push((format!("{channel}{doubt}"), pointer.release));
    }
    Ok(found)
}

fn read(store: &Store, digest: &Digest) -> Result<(Manifest, Envelope), String> {
    let bytes = store.release(digest).map_err(|fault| fault.to_string())?.ok_or("it is gone")?;
    let envelope = Envelope::parse_kind(&bytes, Kind::Release).map_err(|fault| fault.to_string())?;
    if envelope.digest() != *digest {
        return Err(format!("another release stands under its name: {}", envelope.digest()));
    }
    let engine = engine_version().map_err(|failure| failure.to_string())?;
    let manifest = Manifest::parse(envelope.payload(), engine).map_err(|fault| fault.to_string())?;
    Ok((manifest, envelope))
}

fn standings(envelope: &Envelope, root: Option<&TrustRoot>) -> Vec<Standing> {
    root.into_iter().flat_map(|root| RELEASE_ROLES.map(|role| root.standing(role, envelope))).collect()
}

fn tell(entry: &Entry, root: Option<&TrustRoot>, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{}", entry.digest)?;
    match &entry.read {
        Err(why) => writeln!(out, "  FAULT    {why}")?,
        Ok((manifest, envelope)) => {
            let Manifest { policy_name, version, expires, .. } = manifest;
            writeln!(out, "  policy   {policy_name} version {version}")?;
            let parent = manifest.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string());
            writeln!(out, "  parent   {parent}")?;
            writeln!(out, "  expires  {expires} ({})", distance(now, *expires))?;
            for standing in standings(envelope, root) {
                writeln!(out, "  signed   {}: {}", standing.role, words(&standing))?;
            }
            if root.is_none() {
                let count = plural(envelope.signatures().len(), "signature");
                writeln!(out, "  signed   {count}, not verified without --trust-root")?;
            }
        }
    }
    if !entry.channels.is_empty() {
        writeln!(out, "  channel  {}", entry.channels.join(", "))?;
    }
    Ok(())
}

fn document(entry: &Entry, root: Option<&TrustRoot>) -> Value {
    let Entry { digest, read, channels } = entry;
    let (manifest, envelope) = match read {
        Ok(read) => read,
        Err(why) => return json!({ "release": digest.to_string(), "fault": why, "channels": channels }),
    };
    let roles = standings(envelope, root).into_iter().map(|of| {
        let signed: Vec<_> = of.signed.iter().map(|key| key.owner.as_str()).collect();
        json!({ "role": of.role.word(), "threshold": of.threshold, "met": of.is_met(), "signed": signed })
    });
    json!({
        "release": digest.to_string(),
        "policy": manifest.policy_name,
        "version": manifest.version,
        "parent": manifest.parent.map(|parent| parent.to_string()),
        "expires": manifest.expires.to_string(),
        "signatures": envelope.signatures().len(),
        "roles": root.map(|_| roles.collect::<Vec<_>>()),
        "channels": channels,
    })
}
