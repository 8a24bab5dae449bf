//! Files of commands and of the agent's side: bounded reads, atomic writes, owner-only modes for secrets.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::TempPath;
use zeroize::Zeroizing;

mod fault;

pub use fault::FileFault;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// 0644, less what the umask takes away.
    Everyone,
    /// 0600.
    OwnerOnly,
}

/// What happens when the file is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    /// Where a link stands, what it leads to is replaced: for files that a person names.
    Replace,
    /// Where a link stands, the link itself is replaced: where others may put one, and what it leads to is not theirs to
    /// choose.
    ReplaceLink,
}

impl Existing {
    /// As `--force` says.
    pub const fn replace_if(force: bool) -> Self {
        if force { Self::Replace } else { Self::Refuse }
    }

    /// As `--force` says of a file in a directory that others write as well.
    pub const fn replace_link_if(force: bool) -> Self {
        if force { Self::ReplaceLink } else { Self::Refuse }
    }
}

fn fault(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileFault {
    move |source| FileFault::io(path, action, source)
}

/// The bytes of a regular file, `bytes_max` at most.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileFault> {
    let (file, found) = open(path)?;
    let length = usize::try_from(found.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length.min(bytes_max));
    take_in(path, file, bytes_max, &mut bytes)?;
    Ok(bytes)
}

/// The text of a regular file, `bytes_max` at most.
pub fn read_text(path: &Path, bytes_max: usize) -> Result<String, FileFault> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| FileFault::Text { path: path.to_owned() })
}

/// A file that holds a secret.
pub struct Secret {
    /// Wiped when it goes.
    pub text: Zeroizing<String>,
    /// Others than this user and root may read it, or put another one in its place.
    pub exposed: Option<Exposed>,
}

/// To whom a secret is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// The mode lets group or others at it.
    Mode(u32),
    /// It belongs to another user.
    Owner(u32),
}

impl std::fmt::Display for Exposed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "mode {mode:04o}"),
            Self::Owner(uid) => write!(f, "owner uid {uid}"),
        }
    }
}

/// To whom what was found is open beside this user and root.
pub fn exposed(found: &fs::Metadata) -> Option<Exposed> {
    exposed_to(found.uid(), found.mode() & 0o777, rustix::process::geteuid().as_raw())
}

const fn exposed_to(owner: u32, mode: u32, own: u32) -> Option<Exposed> {
    if owner != own && owner != 0 {
        return Some(Exposed::Owner(owner));
    }
    if mode & 0o077 != 0 { Some(Exposed::Mode(mode)) } else { None }
}

/// The text of a file that holds a secret, `bytes_max` at most. Owner and mode are those of the file that is read, whatever
/// its name leads to meanwhile.
pub fn read_secret(path: &Path, bytes_max: usize) -> Result<Secret, FileFault> {
    let (file, found) = open(path)?;
    // Of full capacity from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    take_in(path, file, bytes_max, &mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| FileFault::Text { path: path.to_owned() })?;
    Ok(Secret { text: Zeroizing::new(text.to_owned()), exposed: exposed(&found) })
}

/// The same, where no process but this one may go by the secret: what others may read is refused. systemd lets the unit's user
/// read a credential by an access control list, whose mask stat shows as a right of the group.
pub fn read_private(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, FileFault> {
    let secret = read_secret(path, bytes_max)?;
    match secret.exposed {
        Some(Exposed::Mode(mode)) if mode & 0o037 == 0 && is_credential(path) => Ok(secret.text),
        Some(exposed) => Err(FileFault::Exposed { path: path.to_owned(), exposed }),
        None => Ok(secret.text),
    }
}

fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    directory.is_some_and(|directory| directory.is_absolute() && path.parent() == Some(&directory))
}

/// Opens a regular file for reading; none where something else is there. Never waits, as the opening of a pipe or device does:
/// what was opened is looked at, and not what stood there before, which somebody may have exchanged since.
pub fn open_regular(path: &Path) -> io::Result<Option<(File, fs::Metadata)>> {
    let flags = flags(OFlags::NONBLOCK | OFlags::NOCTTY);
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        // A socket, or a device that nobody drives.
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    Ok(found.is_file().then_some((file, found)))
}

/// Opens (or makes, for its owner alone) a file to be locked; none where something else than a regular file is there. No link is
/// followed. What others may open they may lock.
pub fn open_lock(path: &Path) -> io::Result<Option<File>> {
    let flags = flags(OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW);
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(flags);
    let file = match options.open(path) {
        Err(error) if [Errno::NXIO, Errno::LOOP].iter().any(|of| error.raw_os_error() == Some(of.raw_os_error())) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(None);
    }
    if found.mode() & 0o077 != 0 {
        // Of an earlier version. That it cannot be changed, as where it is another user's, is no reason to go without.
        let _ = file.set_permissions(Permissions::from_mode(0o600));
    }
    Ok(Some(file))
}

/// Whether a process listens on a socket file; it is not waited for, where it takes no connections for now.
pub fn is_listened_on(path: &Path) -> bool {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else { return false };
    let Ok(address) = SocketAddrUnix::new(path) else { return false };
    matches!(connect(&socket, &address), Ok(()) | Err(Errno::AGAIN))
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

fn open(path: &Path) -> Result<(File, fs::Metadata), FileFault> {
    let opened = open_regular(path).map_err(fault(path, "read"))?;
    opened.ok_or_else(|| FileFault::NotFile { path: path.to_owned() })
}

fn take_in(path: &Path, file: File, bytes_max: usize, bytes: &mut Vec<u8>) -> Result<(), FileFault> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(bytes).map_err(fault(path, "read"))?;
    if bytes.len() > bytes_max {
        return Err(FileFault::Size { path: path.to_owned(), expected: bytes_max });
    }
    Ok(())
}

/// What names of files begin with that are not in their place yet.
const UNFINISHED: &str = ".adamant-";
/// Age of one that nobody is at work on any more, seconds.
const UNFINISHED_S_MAX: u64 = 600;

/// Removes what a process that was killed left behind in a directory: there may be a secret in it.
pub fn remove_unfinished(directory: &Path) {
    let left = |entry: &fs::DirEntry| {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let found = entry.metadata().ok().filter(|found| is_unfinished && found.is_file());
        let age = found.and_then(|found| found.modified().ok()?.elapsed().ok());
        age.is_some_and(|age| age.as_secs() >= UNFINISHED_S_MAX)
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten().filter(left) {
        let _ = fs::remove_file(entry.path());
    }
}

/// A file that is whole on disk under another name, and goes away unless it is put in its place.
#[must_use = "a staged file is not in its place yet"]
pub struct Staged {
    temporary: TempPath,
    /// As it was named, for messages.
    path: PathBuf,
    target: PathBuf,
    existing: Existing,
}

/// The first half of [`write()`]: everything that can run out of room.
pub fn stage(path: &Path, bytes: &[u8], access: Access, existing: Existing) -> Result<Staged, FileFault> {
    let write = |source| fault(path, "written")(source);
    let target = match existing {
        Existing::Replace => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        Existing::ReplaceLink | Existing::Refuse => path.to_owned(),
    };
    if target.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Err(FileFault::NotFile { path: path.to_owned() });
    }
    let mode = match access {
        Access::Everyone => 0o644,
        Access::OwnerOnly => 0o600,
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(parent(&target))
        .map_err(|error| write(plain(error)))?;
    temporary.as_file_mut().write_all(bytes).map_err(write)?;
    temporary.as_file().sync_all().map_err(write)?;
    Ok(Staged { temporary: temporary.into_temp_path(), path: path.to_owned(), target, existing })
}

/// Without the name of the temporary file, which is another one at each attempt: the same failure reads the same.
fn plain(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((what, _)) if error.get_ref().is_some() => io::Error::new(error.kind(), what),
        _ => error,
    }
}

impl Staged {
    /// The second half: a rename, and fsync of the directory.
    pub fn put(self) -> Result<(), FileFault> {
        let Self { temporary, path, target, existing } = self;
        let persisted = match existing {
            Existing::Replace | Existing::ReplaceLink => temporary.persist(&target),
            Existing::Refuse => temporary.persist_noclobber(&target),
        };
        persisted.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => FileFault::Exists { path: path.clone() },
            _ => fault(&path, "written")(error.error),
        })?;
        sync_directory(parent(&target)).map_err(fault(&path, "written"))
    }
}

/// Writes a file whole or not at all: a temporary file in the same directory, fsync, rename, fsync of the directory.
pub fn write(path: &Path, bytes: &[u8], access: Access, existing: Existing) -> Result<(), FileFault> {
    stage(path, bytes, access, existing)?.put()
}

/// Writes over bytes that a file has already, `at` so many bytes from its beginning, and waits until they are on disk. Needs
/// no room where the file system writes in place; a crash leaves old and new bytes mixed.
pub fn overwrite(path: &Path, at: usize, bytes: &[u8]) -> Result<(), FileFault> {
    let file = File::options().write(true).open(path).map_err(fault(path, "written"))?;
    let written = file.write_all_at(bytes, u64::try_from(at).unwrap_or(u64::MAX));
    written.and_then(|()| file.sync_data()).map_err(fault(path, "written"))
}

/// Where a file stands.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Has the entries of a directory on disk.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::options().read(true).custom_flags(flags(OFlags::DIRECTORY)).open(path)?.sync_all()
}

/// Says before any work that `path` exists, so that nobody types a passphrase in vain. [`write()`] checks again.
pub fn expect_free(path: &Path, existing: Existing) -> Result<(), FileFault> {
    let taken = existing == Existing::Refuse && path.symlink_metadata().is_ok();
    if taken { Err(FileFault::Exists { path: path.to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
