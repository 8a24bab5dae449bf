//! What a signer remembers of a channel: the newest list that was seen or published from here, as it was signed. Whoever may
//! write to the store can put an older one back, with everything in it valid; a signer that goes on from there would take up
//! again what was removed since, under a serial that gateways refuse.
//!
//! Nothing here is believed for standing there either: it is verified like what is in the store. Where nothing is remembered,
//! the store alone tells.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use policy_release::root::TrustRoot;
use stores::Channel;

use super::{Believed, Published, believed};
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};

/// Below the directory of the state, one directory for each trust root.
const LISTS: &str = "lists";

#[derive(Clone, Debug, Default, Args)]
pub struct MemoryArgs {
    /// Directory that remembers the newest lists seen from here, so that an older one that was put back into the store is
    /// noticed; $XDG_STATE_HOME/adamant when absent, or ~/.local/state/adamant.
    #[arg(long, value_name = "DIR")]
    memory: Option<PathBuf>,
}

pub struct Memory {
    /// None: this user has no home.
    directory: Option<PathBuf>,
}

/// A list that is remembered.
pub struct Kept<L> {
    pub of: Believed<L>,
    pub bytes: Vec<u8>,
    pub path: PathBuf,
}

impl MemoryArgs {
    pub fn open(&self) -> Memory {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let of_user = || {
            let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
            state.map(|state| state.join("adamant"))
        };
        let directory = self.memory.clone().or_else(of_user);
        if directory.is_none() {
            warn(
                "nothing is remembered of the lists that are signed here, because $HOME is not set: that an older one was \
                 put back into the store goes unnoticed (--memory DIR)",
            );
        }
        Memory { directory }
    }
}

impl Memory {
    fn path<L: Published>(&self, root: &TrustRoot, channel: &Channel) -> Option<PathBuf> {
        let of_root = root.digest().to_string().replace(':', "-");
        Some(self.directory.as_ref()?.join(LISTS).join(of_root).join(L::place(channel)))
    }

    /// The newest list of the channel that was kept under any root of the chain. `policy`: what the channel is of by now.
    pub fn recall<L: Published>(
        &self,
        chain: &[TrustRoot],
        channel: &Channel,
        policy: Option<&str>,
    ) -> Option<Kept<L>> {
        let read = |root: &TrustRoot| {
            let path = self.path::<L>(root, channel)?;
            let bytes = files::read(&path, L::KIND.envelope_bytes_max()).ok()?;
            Some(Kept { of: believed::<L>(&bytes, chain, channel, policy).ok()?, bytes, path })
        };
        chain.iter().filter_map(read).max_by_key(|kept| kept.of.rank())
    }

    /// Remembers `bytes`, a list that verifies. That this cannot be done stops nobody who has something to revoke.
    pub fn keep<L: Published>(&self, root: &TrustRoot, channel: &Channel, bytes: &[u8]) {
        let Some(path) = self.path::<L>(root, channel) else { return };
        if let Err(failure) = write(&path, bytes) {
            warn(format_args!(
                "the {} is not remembered: {failure}; that an older one was put back into the store goes unnoticed",
                L::KIND
            ));
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(files::parent(path));
    made.map_err(|error| Failure::at(files::parent(path), format_args!("cannot be made: {error}")))?;
    Ok(files::write(path, bytes, Access::OwnerOnly, Existing::ReplaceLink)?)
}
