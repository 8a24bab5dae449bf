//! What the gateways should serve.

use std::path::Path;

use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::pointer::Pointer;
use serde::Serialize;
use stores::Channel;

use crate::commands::memory::MemoryArgs;
use crate::failure::Failure;
use crate::files;
use crate::pointing::{Current, Desk, Where};
use crate::store::{Store, StoreAccess};

/// A release, and where a pointer named it the pointer's serial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expectation {
    pub release: Digest,
    pub channel: Option<String>,
    pub serial: Option<u64>,
    /// Whether the pointer's signatures were verified; none without a pointer.
    pub is_signed: Option<bool>,
}

impl Expectation {
    pub const fn of(release: Digest) -> Self {
        Self { release, channel: None, serial: None, is_signed: None }
    }

    /// The release of a file. Nothing is verified: its digest is all that is taken from it.
    pub fn from_release(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path, Kind::Release.envelope_bytes_max())?;
        let envelope = files::envelope(path, &bytes, Kind::Release)?;
        Ok(Self::of(envelope.digest()))
    }

    /// What a store says that a channel runs, by the signatures that count under a trust root and its successors.
    pub fn from_signed(
        named: &Path,
        access: &StoreAccess,
        channel: &Channel,
        trust_root: &Path,
    ) -> Result<Self, Failure> {
        let (store, trust_root, access) = (named.to_owned(), trust_root.to_owned(), access.clone());
        let desk =
            Desk::open(&Where { store, channel: channel.clone(), trust_root, access, memory: MemoryArgs::none() })?;
        desk.store.expect_channel(channel)?;
        let pointer = match desk.current {
            Current::Verified(pointer) => pointer,
            Current::None => return Err(Failure::at(named, format_args!("channel {channel} has no pointer"))),
            Current::Doubtful(why) => {
                return Err(Failure::at(named, format_args!("the pointer of channel {channel}: {why}")));
            }
        };
        let (channel, serial) = (Some(pointer.channel), Some(pointer.serial));
        Ok(Self { release: pointer.release, channel, serial, is_signed: Some(true) })
    }

    /// What a store says that a channel runs. Its signatures are for gateways to verify.
    pub fn from_store(named: &Path, access: &StoreAccess, channel: &Channel) -> Result<Self, Failure> {
        let unread = |why: &dyn std::fmt::Display| {
            let message = format!("the pointer of channel {channel} cannot be taken from the store: {why}");
            Failure::at(named, message).help("is it the right directory, and the right channel?")
        };
        let store = Store::open(&access.at(named)?)?;
        store.expect_channel(channel)?;
        let bytes = store.pointer(channel)?.ok_or_else(|| unread(&"it has none"))?;
        let envelope = Envelope::parse_kind(&bytes, Kind::Pointer).map_err(|fault| unread(&fault))?;
        let pointer = Pointer::read(envelope.payload()).map_err(|fault| unread(&fault))?;
        if pointer.channel != channel.as_str() {
            return Err(unread(&format_args!("it is a pointer of channel {:?}", pointer.channel)));
        }
        let (channel, serial) = (Some(pointer.channel), Some(pointer.serial));
        Ok(Self { release: pointer.release, channel, serial, is_signed: Some(false) })
    }
}
