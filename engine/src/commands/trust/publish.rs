//! `adamant trust publish`: a successor goes into a store, after the chain to it was verified.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::envelope::{Envelope, Kind};
use policy_release::root::{RootClaims, verify_successor};
use stores::layout;

use super::{outdated, read_root};
use crate::commands::signing;
use crate::failure::{Failure, warn};
use crate::files;
use crate::pointing;
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The successor: version 2 or later.
    file: PathBuf,
    /// The store: a directory, or a URL.
    #[arg(long, value_name = "DIR|URL")]
    store: PathBuf,
    /// The trust root that was placed on the gateways; versions between come from the store.
    #[arg(long, value_name = "ROOT")]
    trust_root: PathBuf,
    #[command(flatten)]
    access: StoreAccess,
}

pub fn run(args: &PublishArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let bytes = files::read(&args.file, Kind::TrustRoot.envelope_bytes_max())?;
    let at = |fault: &dyn std::fmt::Display| Failure::at(&args.file, fault);
    let mut envelope = Envelope::parse_kind(&bytes, Kind::TrustRoot).map_err(|fault| at(&fault))?;
    let new = RootClaims::read(&envelope).map_err(|fault| at(&fault))?;
    let first = read_root(&args.trust_root)?;
    if new.version <= first.version() {
        let found = format!("expected a version after {}, which gateways hold, found {}", first.version(), new.version);
        return Err(at(&found).help("adamant trust add, remove, rotate and renew make the next version"));
    }
    let store = Store::open(&args.access.at(&args.store)?)?;
    let lock = store.lock()?;
    let chain = pointing::follow(&store, first)?;
    let before = chain.iter().find(|root| root.version() + 1 == new.version).ok_or_else(|| {
        let next = chain.last().map_or(1, |root| root.version() + 1);
        let found = format!("expected version {next}, the next of this store, found {}", new.version);
        at(&found).help(format_args!("publish version {next} first: gateways take every version in turn"))
    })?;
    if let Some(there) = chain.iter().find(|root| root.version() == new.version) {
        if there.digest() != envelope.digest() {
            let found = format!("the store has another version {}: {}", new.version, there.digest());
            return Err(
                at(&found).help(format_args!("make your change to that one: the next version is {}", new.version + 1))
            );
        }
        if let Some(known) =
            store.root(new.version)?.and_then(|bytes| Envelope::parse_kind(&bytes, Kind::TrustRoot).ok())
        {
            envelope.merge_envelope(&known).map_err(|fault| at(&fault))?;
        }
    }
    let root = verify_successor(before, &envelope.to_bytes()).map_err(|fault| at(&fault))?;
    if let Err(fault) = root.check_expiry(signing::now()?) {
        warn(format_args!("{fault}: nothing holds by it until its successor is published too"));
    }
    let place = layout::root(root.version());
    lock.write(&place, Kind::TrustRoot, &envelope.to_bytes())?;
    writeln!(out, "{}", signing::describe(&envelope))?;
    writeln!(out, "wrote {}", store.path().join(place).display())?;
    writeln!(out, "gateways with version {} take it at their next look at the store", before.version())?;
    if chain.last().is_none_or(|newest| newest.version() <= root.version()) {
        outdated::warn_of(&store, &chain, &root, &args.trust_root)?;
    }
    Ok(())
}
