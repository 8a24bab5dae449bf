//! A directory as a store: a mount, a clone of a git repository, the target of an rsync.
//!
//! Whoever can write there can put anything there, also links, pipes and devices, and can change a file while it is
//! read. So every path is opened beneath the store without following a link (openat2(2), Linux 5.6), only regular files
//! are opened for reading, reads are bounded, and a file that changed meanwhile counts as not read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use policy_release::digest::Digest;
use policy_release::envelope::Kind;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::{Channel, Followed, Store, StoreFault, layout};

/// Files that were written so recently may be written again within the same tick of the file system's clock.
const FRESH: Duration = Duration::from_secs(2);

/// What tells one state of a file from another: device, inode, size, modification and change time.
type Seen = Option<(u64, u64, u64, i64, i64, i64, i64)>;

pub struct Directory {
    path: PathBuf,
    /// Pointer, revocation list, key set, directories of roots, releases and profile documents. None: look again, whatever
    /// is found.
    seen: Option<[Seen; 6]>,
}

impl Directory {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: None }
    }

    /// The store itself may be reached through links: its path is the operator's own word.
    fn root_descriptor(&self, what: &str) -> Result<OwnedFd, StoreFault> {
        openat(CWD, &self.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
            let cause =
                io::Error::new(errno.kind(), format!("the store {} cannot be opened: {errno}", self.path.display()));
            StoreFault::Io { what: what.to_owned(), cause }
        })
    }

    fn read(&self, what: String, bytes_max: usize) -> Result<Vec<u8>, StoreFault> {
        let root = self.root_descriptor(&what)?;
        // First without opening it: to open a device or a pipe does something already.
        let looked_at = open_beneath(&root, &what, OFlags::PATH)?;
        expect_regular(&what, &looked_at)?;
        let mut file = open_beneath(&root, &what, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let before = expect_regular(&what, &file)?;
        let fault = |cause| StoreFault::Io { what: what.clone(), cause };
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let length = usize::try_from(before.size()).unwrap_or(usize::MAX).min(bytes_max);
        let mut bytes = Vec::with_capacity(length.saturating_add(1));
        file.by_ref().take(limit).read_to_end(&mut bytes).map_err(fault)?;
        let after = file.metadata().map_err(fault)?;
        if fingerprint(&before) != fingerprint(&after) {
            return Err(StoreFault::Changing { what });
        }
        if bytes.len() > bytes_max {
            return Err(StoreFault::Size { what, expected_bytes_max: bytes_max });
        }
        Ok(bytes)
    }

    /// What is at `path` below the store, without a look into it.
    fn look(&self, path: &str) -> (Seen, bool) {
        let Ok(root) = self.root_descriptor(path) else { return (None, false) };
        let Ok(metadata) = open_beneath(&root, path, OFlags::PATH).and_then(|file| metadata_of(path, &file)) else {
            return (None, false);
        };
        let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(changed));
        (fingerprint(&metadata), age.is_ok_and(|age| age <= FRESH))
    }
}

impl Store for Directory {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// All of it is looked at, whoever asks: that costs next to nothing.
    fn changed(&mut self, channel: &Channel, _: Followed) -> bool {
        let of_channel = [layout::pointer, layout::revocations, layout::key_set].map(|place| place(channel));
        let [pointer, revocations, key_set] = of_channel.each_ref().map(String::as_str);
        let looked_at = [pointer, revocations, key_set, layout::ROOTS, layout::RELEASES, layout::PROFILES];
        let looks = looked_at.map(|path| self.look(path));
        let now = looks.map(|(seen, _)| seen);
        let fresh = looks.iter().any(|(_, fresh)| *fresh);
        let changed = self.seen != Some(now);
        self.seen = if fresh { None } else { Some(now) };
        changed
    }

    fn pointer(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.read(layout::pointer(channel), Kind::Pointer.envelope_bytes_max())
    }

    fn revocations(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.read(layout::revocations(channel), Kind::Revocations.envelope_bytes_max())
    }

    fn key_set(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.read(layout::key_set(channel), Kind::KeySet.envelope_bytes_max())
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, StoreFault> {
        self.read(layout::root(version), Kind::TrustRoot.envelope_bytes_max())
    }

    fn release(&self, digest: &Digest) -> Result<Vec<u8>, StoreFault> {
        self.read(layout::release(digest), Kind::Release.envelope_bytes_max())
    }

    fn profile(&self, release: &Digest) -> Result<Vec<u8>, StoreFault> {
        self.read(layout::profile(release), Kind::ProfileDocument.envelope_bytes_max())
    }
}

/// Opens `path` below `root`; neither a link nor `..` on the way leads out, because no link is followed at all.
fn open_beneath(root: &OwnedFd, path: &str, flags: OFlags) -> Result<File, StoreFault> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let what = || path.to_owned();
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(descriptor) => Ok(File::from(descriptor)),
        Err(Errno::NOENT) => Err(StoreFault::Missing { what: what() }),
        Err(Errno::LOOP | Errno::XDEV) => Err(StoreFault::Link { what: what() }),
        Err(Errno::AGAIN) => Err(StoreFault::Changing { what: what() }),
        Err(errno @ (Errno::NOSYS | Errno::PERM)) => {
            let cause =
                format!("openat2 gave \"{errno}\": the kernel (Linux 6.1) and its seccomp profile must allow it");
            Err(StoreFault::Io { what: what(), cause: io::Error::new(errno.kind(), cause) })
        }
        Err(errno) => Err(StoreFault::Io { what: what(), cause: errno.into() }),
    }
}

fn metadata_of(what: &str, file: &File) -> Result<std::fs::Metadata, StoreFault> {
    file.metadata().map_err(|cause| StoreFault::Io { what: what.to_owned(), cause })
}

fn expect_regular(what: &str, file: &File) -> Result<std::fs::Metadata, StoreFault> {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata = metadata_of(what, file)?;
    let kind = metadata.file_type();
    let found = if kind.is_file() {
        return Ok(metadata);
    } else if kind.is_symlink() {
        return Err(StoreFault::Link { what: what.to_owned() });
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(StoreFault::NotFile { what: what.to_owned(), found })
}

fn fingerprint(of: &std::fs::Metadata) -> Seen {
    Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()))
}

#[cfg(test)]
mod tests;
