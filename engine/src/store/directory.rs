//! Writes into a directory: whole files or none, one writer at a time, no link followed below the store.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags, fchmod, flock, mkdirat, openat, openat2,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::WriteFault;

/// Begins the names of files that are not whole yet; readers and git need not look at them.
const TEMPORARY_PREFIX: &str = ".adamant-";
/// Entries of a directory that are looked at.
const ENTRIES_MAX: usize = 100_000;
/// How often, and with what pause, a lock is asked for that somebody else holds.
const LOCK_TRIES_MAX: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// A directory that is written to.
pub struct Files {
    path: PathBuf,
    root: OwnedFd,
}

/// Held while it is written to.
pub struct FilesLock<'s> {
    store: &'s Files,
}

impl Files {
    /// Opens a directory, which must exist.
    pub fn open(path: &Path) -> Result<Self, WriteFault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| WriteFault::Open { path: path.to_owned(), cause: errno.into() })?;
        Ok(Self { path: path.to_owned(), root })
    }

    /// Names in a directory of the store, in order, without those that begin with a dot.
    pub fn names(&self, directory: &str) -> Result<Vec<String>, WriteFault> {
        let opened = match open_beneath(&self.root, directory) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened.map_err(|errno| self.fault(directory, errno))?,
        };
        let entries = Dir::read_from(&opened).map_err(|errno| self.fault(directory, errno))?;
        let mut names = Vec::new();
        for entry in entries.take(ENTRIES_MAX) {
            let entry = entry.map_err(|errno| self.fault(directory, errno))?;
            names.extend(entry.file_name().to_str().ok().filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Waits a few seconds for another writer on this machine. The lock is on the directory itself, so that it leaves
    /// no file behind; a file system without locks (some network ones) gives none, and the comparison before each
    /// write has to do.
    pub fn lock(&self) -> Result<FilesLock<'_>, WriteFault> {
        for _ in 0..LOCK_TRIES_MAX {
            match flock(&self.root, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
                Ok(()) | Err(_) => return Ok(FilesLock { store: self }),
            }
        }
        Err(WriteFault::Locked { path: self.path.clone() })
    }

    fn fault(&self, what: &str, errno: Errno) -> WriteFault {
        let path = self.path.join(what);
        match errno {
            Errno::LOOP | Errno::XDEV => WriteFault::Link { path },
            Errno::NOTDIR => WriteFault::NotDirectory { path },
            errno => WriteFault::Io { path, cause: errno.into() },
        }
    }
}

impl Drop for FilesLock<'_> {
    fn drop(&mut self) {
        let _ = flock(&self.store.root, FlockOperation::Unlock);
    }
}

impl FilesLock<'_> {
    /// Writes a file of the layout, such as `roots/2.json`, whole or not at all, mode 0644; replaces what is there.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), WriteFault> {
        let store = self.store;
        let fault = |errno| store.fault(file, errno);
        let (directory, name) = file.rsplit_once('/').ok_or_else(|| fault(Errno::INVAL))?;
        let opened = self.directory(directory)?;
        match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(fault(errno)),
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => {}
                FileType::Symlink => return Err(fault(Errno::LOOP)),
                _ => return Err(WriteFault::NotFile { path: store.path.join(file) }),
            },
        }
        sweep(&opened);
        let temporary = format!("{TEMPORARY_PREFIX}{}", std::process::id());
        let written = write_new(&opened, &temporary, bytes)
            .and_then(|()| renameat(&opened, &temporary, &opened, name).map_err(io::Error::from));
        if let Err(cause) = written {
            let _ = unlinkat(&opened, &temporary, AtFlags::empty());
            return Err(WriteFault::Io { path: store.path.join(file), cause });
        }
        rustix::fs::fsync(&opened).map_err(fault)
    }

    /// Opens a directory of the store, making what is missing on the way.
    fn directory(&self, path: &str) -> Result<OwnedFd, WriteFault> {
        let mut parent: Option<OwnedFd> = None;
        let (mut told, root) = (String::new(), &self.store.root);
        for name in path.split('/') {
            told = if told.is_empty() { name.to_owned() } else { format!("{told}/{name}") };
            let fault = |errno| self.store.fault(&told, errno);
            let above = parent.as_ref().unwrap_or(root);
            let opened = match open_beneath(above, name) {
                Err(Errno::NOENT) => {
                    match mkdirat(above, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(fault(errno)),
                    }
                    rustix::fs::fsync(above).map_err(fault)?;
                    open_beneath(above, name).map_err(fault)?
                }
                opened => opened.map_err(fault)?,
            };
            parent = Some(opened);
        }
        parent.ok_or_else(|| self.store.fault(path, Errno::INVAL))
    }
}

fn open_beneath(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        // A link where a directory is expected: said as what it is.
        Err(Errno::NOTDIR) if is_link(root, path) => Err(Errno::LOOP),
        opened => opened,
    }
}

fn is_link(root: &OwnedFd, path: &str) -> bool {
    let found = statat(root, path, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

fn write_new(directory: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::from_raw_mode(0o600))?);
    file.write_all(bytes)?;
    fchmod(&file, Mode::from_raw_mode(0o644))?;
    file.sync_all()
}

/// Takes away what a writer that was killed left behind; nobody else writes while the lock is held.
fn sweep(directory: &OwnedFd) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.take(ENTRIES_MAX).flatten() {
        if entry.file_name().to_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
            let _ = unlinkat(directory, entry.file_name(), AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests;
