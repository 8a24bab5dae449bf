//! A store that is published into: a directory, or a server. Whole files or none.
//!
//! What stands where is in [`stores::layout`]. Other writers may be elsewhere (another clone, another machine), so whoever
//! publishes also compares what is there with what was seen before; a server does the same with each file at the moment of
//! the write.

mod access;
mod directory;
mod fault;
mod named;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy_release::digest::Digest;
use policy_release::envelope::Kind;
use stores::{Channel, Directory, Location, Protocol, Remote, Store as _, StoreFault, Version, Written, layout};

pub use self::access::StoreAccess;
use self::directory::{Files, FilesLock};
pub use self::fault::WriteFault;
pub use self::named::Named;
use crate::failure::warn;

/// A store that is read and written.
pub struct Store {
    /// As it is named; a URL too.
    path: PathBuf,
    side: Side,
}

enum Side {
    Directory { files: Files, reader: Directory },
    Server { remote: Remote, seen: RefCell<BTreeMap<String, Version>> },
}

/// Held while a store is written to.
pub struct Lock<'s> {
    store: &'s Store,
    /// A server has none: it compares.
    files: Option<FilesLock<'s>>,
}

impl Store {
    /// Opens a store; a directory must exist.
    pub fn open(location: &Location) -> Result<Self, WriteFault> {
        let side = match location {
            Location::Directory(path) => Side::Directory { files: Files::open(path)?, reader: Directory::new(path) },
            Location::Server(server) => {
                Side::Server { remote: Remote::new((**server).clone()), seen: RefCell::default() }
            }
        };
        Ok(Self { path: PathBuf::from(location.to_string()), side })
    }

    /// Where it is, for people: what is joined to it names a file of it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pointer of a channel; None when there is none.
    pub fn pointer(&self, channel: &Channel) -> Result<Option<Vec<u8>>, WriteFault> {
        self.read(&layout::pointer(channel), Kind::Pointer, |reader| reader.pointer(channel))
    }

    /// The revocation list of a channel; None when there is none.
    pub fn revocations(&self, channel: &Channel) -> Result<Option<Vec<u8>>, WriteFault> {
        self.read(&layout::revocations(channel), Kind::Revocations, |reader| reader.revocations(channel))
    }

    /// The key set of a channel; None when there is none.
    pub fn key_set(&self, channel: &Channel) -> Result<Option<Vec<u8>>, WriteFault> {
        self.read(&layout::key_set(channel), Kind::KeySet, |reader| reader.key_set(channel))
    }

    /// A release; None when there is none.
    pub fn release(&self, digest: &Digest) -> Result<Option<Vec<u8>>, WriteFault> {
        self.read(&layout::release(digest), Kind::Release, |reader| reader.release(digest))
    }

    /// The profile document of a release; None when there is none.
    pub fn profile(&self, release: &Digest) -> Result<Option<Vec<u8>>, WriteFault> {
        self.read(&layout::profile(release), Kind::ProfileDocument, |reader| reader.profile(release))
    }

    /// A successor of the first trust root; None when there is none.
    pub fn root(&self, version: u64) -> Result<Option<Vec<u8>>, WriteFault> {
        self.read(&layout::root(version), Kind::TrustRoot, |reader| reader.root(version))
    }

    /// A file, of which a server's state is remembered for the write that may follow.
    fn read(
        &self,
        file: &str,
        kind: Kind,
        of_directory: impl FnOnce(&Directory) -> Result<Vec<u8>, StoreFault>,
    ) -> Result<Option<Vec<u8>>, WriteFault> {
        let found = match &self.side {
            Side::Directory { reader, .. } => of_directory(reader).map(Some),
            Side::Server { remote, seen } => remote.read(file, kind).map(|(content, version)| {
                seen.borrow_mut().insert(file.to_owned(), version);
                content
            }),
        };
        match found {
            Err(StoreFault::Missing { .. }) => Ok(None),
            found => found.map_err(|cause| WriteFault::Read { path: self.path.clone(), cause }),
        }
    }

    /// Names of the channels, in order. What is no channel's name is passed over.
    pub fn channels(&self) -> Result<Vec<Channel>, WriteFault> {
        Ok(self.names(layout::CHANNELS)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Refuses a channel that the store does not have: its name was mistyped, or the store is another one.
    pub fn expect_channel(&self, channel: &Channel) -> Result<(), WriteFault> {
        // Some servers do not tell what they have.
        let there = match self.tells_names() {
            true => self.channels()?,
            false if self.pointer(channel)?.is_some() || self.revocations(channel)?.is_some() => return Ok(()),
            false => Vec::new(),
        };
        if there.contains(channel) {
            return Ok(());
        }
        Err(WriteFault::NoChannel { path: self.path.clone(), channel: channel.clone(), there })
    }

    /// Digests of the releases, in order.
    pub fn releases(&self) -> Result<Vec<Digest>, WriteFault> {
        let digest = |name: &String| name.strip_suffix(".json")?.replacen('-', ":", 1).parse().ok();
        Ok(self.names(layout::RELEASES)?.iter().filter_map(digest).collect())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, WriteFault> {
        match &self.side {
            Side::Directory { files, .. } => files.names(directory),
            Side::Server { remote, .. } => {
                remote.names(directory).map_err(|cause| WriteFault::Read { path: self.path.clone(), cause })
            }
        }
    }

    fn tells_names(&self) -> bool {
        !matches!(&self.side, Side::Server { remote, .. } if remote.protocol() == Protocol::Https)
    }

    /// Refuses a store that cannot be written to.
    pub fn expect_writable(&self) -> Result<(), WriteFault> {
        match &self.side {
            Side::Server { remote, .. } if remote.protocol() == Protocol::Https => {
                Err(WriteFault::ReadOnly { path: self.path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Waits a few seconds for another writer on this machine, where the store is a directory of it.
    pub fn lock(&self) -> Result<Lock<'_>, WriteFault> {
        self.expect_writable()?;
        let files = match &self.side {
            Side::Directory { files, .. } => Some(files.lock()?),
            Side::Server { .. } => None,
        };
        Ok(Lock { store: self, files })
    }
}

impl Lock<'_> {
    /// Writes a file of the layout, such as `roots/2.json`, whole or not at all; replaces what is there, if that is what was
    /// read of it last.
    pub fn write(&self, file: &str, kind: Kind, bytes: &[u8]) -> Result<(), WriteFault> {
        let path = || self.store.path.join(file);
        match (&self.store.side, &self.files) {
            (Side::Directory { .. }, files) => files.as_ref().map_or(Ok(()), |files| files.write(file, bytes)),
            (Side::Server { remote, seen }, _) => {
                let of_server = |cause| match cause {
                    StoreFault::Server { said, help, .. } => WriteFault::Server { path: path(), said, help },
                    cause => WriteFault::Read { path: path(), cause },
                };
                let before = seen.borrow_mut().remove(file);
                let before = before.map_or_else(|| remote.version(file, kind), Ok);
                match remote.write(file, bytes, &before.map_err(of_server)?).map_err(of_server)? {
                    Written::Whole => {}
                    Written::Leaving { part, why, help } => warn(format_args!(
                        "{}: written; but parts of what stood there before, which nobody reads, stay in the store: {part} \
                         cannot be removed: {why} ({help})",
                        path().display()
                    )),
                    Written::Meanwhile => return Err(WriteFault::Meanwhile { path: path() }),
                }
                Ok(())
            }
        }
    }
}
