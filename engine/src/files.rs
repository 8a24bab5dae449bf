//! Files that commands read and write: bounded reads, atomic writes, owner-only modes for secrets.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use policy::credential;
use policy_release::envelope::{Envelope, EnvelopeFault, Kind};
use zeroize::Zeroizing;

use crate::failure::Failure;

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
    Replace,
}

impl Existing {
    /// As `--force` says.
    pub const fn replace_if(force: bool) -> Self {
        if force { Self::Replace } else { Self::Refuse }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("{}: cannot be {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("{}: expected at most {expected} bytes, found more", path.display())]
    Size { path: PathBuf, expected: usize },
    #[error("{}: expected a file, found something else", path.display())]
    NotFile { path: PathBuf },
    #[error("{}: expected UTF-8 text, found other bytes", path.display())]
    Text { path: PathBuf },
    #[error("{}: exists already", path.display())]
    Exists { path: PathBuf },
}

impl FileFault {
    pub fn help(&self) -> Option<String> {
        let io = |kind| matches!(self, Self::Io { source, .. } if source.kind() == kind);
        match self {
            Self::Exists { .. } => Some("choose another name, or replace it with --force".into()),
            Self::NotFile { .. } => Some("give the path of a file".into()),
            Self::Size { .. } | Self::Text { .. } => Some("is it the right file?".into()),
            Self::Io { action: "read", .. } if io(io::ErrorKind::NotFound) => Some("check the path".into()),
            Self::Io { .. } if io(io::ErrorKind::NotFound) => Some("check the path; its directory must exist".into()),
            Self::Io { .. } if io(io::ErrorKind::PermissionDenied) => Some("check the owner and mode of it".into()),
            Self::Io { .. } => None,
        }
    }
}

fn fault(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileFault {
    move |source| FileFault::Io { path: path.to_owned(), action, source }
}

/// The bytes of a file, `bytes_max` at most.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileFault> {
    let (file, length) = open(path)?;
    let mut bytes = Vec::with_capacity(length.min(bytes_max));
    take_in(path, file, bytes_max, &mut bytes)?;
    Ok(bytes)
}

/// A file that holds a secret.
pub struct Secret {
    /// Wiped when it goes.
    pub text: Zeroizing<String>,
    /// Others than the owner may read it.
    pub exposed: bool,
}

/// The text of a file that holds a secret, `bytes_max` at most.
pub fn read_secret(path: &Path, bytes_max: usize) -> Result<Secret, FileFault> {
    let (file, _) = open(path)?;
    let mode = file.metadata().map_err(fault(path, "read"))?.mode();
    // Of full capacity from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    take_in(path, file, bytes_max, &mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| FileFault::Text { path: path.to_owned() })?;
    Ok(Secret { text: Zeroizing::new(text.to_owned()), exposed: mode & 0o077 != 0 })
}

/// As [`read_secret`], of the file that `option` names. A path that does not exist is not shown: whoever gave the secret
/// itself in its place finds it in no log.
pub fn read_secret_of(option: &str, path: &Path, bytes_max: usize) -> Result<Secret, Failure> {
    read_secret(path, bytes_max).map_err(|fault| match fault {
        FileFault::Io { source, .. } if !path.exists() => Failure::new(format_args!(
            "the file that {option} names cannot be read: {source}"
        ))
        .help(format_args!("{option} takes the name of a file, which is not shown here in case it is the secret")),
        fault => fault.into(),
    })
}

/// Opens a regular file without waiting on a pipe or device.
fn open(path: &Path) -> Result<(File, usize), FileFault> {
    let found = fs::metadata(path).map_err(fault(path, "read"))?;
    if !found.is_file() {
        return Err(FileFault::NotFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(fault(path, "read"))?;
    Ok((file, usize::try_from(found.len()).unwrap_or(usize::MAX)))
}

fn take_in(path: &Path, file: File, bytes_max: usize, bytes: &mut Vec<u8>) -> Result<(), FileFault> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(bytes).map_err(fault(path, "read"))?;
    if bytes.len() > bytes_max {
        return Err(FileFault::Size { path: path.to_owned(), expected: bytes_max });
    }
    Ok(())
}

/// Writes a file whole or not at all: a temporary file in the same directory, fsync, rename, fsync of the directory.
/// A link is followed, so that what it names is replaced and not the link.
pub fn write(path: &Path, bytes: &[u8], access: Access, existing: Existing) -> Result<(), FileFault> {
    let write = |source| fault(path, "written")(source);
    let target = match existing {
        Existing::Replace => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        Existing::Refuse => path.to_owned(),
    };
    if target.is_dir() {
        return Err(FileFault::NotFile { path: path.to_owned() });
    }
    let directory = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mode = match access {
        Access::Everyone => 0o644,
        Access::OwnerOnly => 0o600,
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(".adamant-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)
        .map_err(write)?;
    temporary.write_all(bytes).map_err(write)?;
    temporary.as_file().sync_all().map_err(write)?;
    let persisted = match existing {
        Existing::Replace => temporary.persist(&target),
        Existing::Refuse => temporary.persist_noclobber(&target),
    };
    persisted.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => FileFault::Exists { path: path.to_owned() },
        _ => write(error.error),
    })?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(write)
}

/// The envelope of one kind in the bytes of a file, with nothing verified.
pub fn envelope(path: &Path, bytes: &[u8], kind: Kind) -> Result<Envelope, Failure> {
    Envelope::parse_kind(bytes, kind).map_err(|fault| match (fault, credential::kind_of(bytes)) {
        (EnvelopeFault::Json(_), Some(other)) if other != "JSON" => {
            Failure::at(path, format_args!("expected a {kind}, found {other}; is it the right file?"))
        }
        (fault, _) => Failure::at(path, fault),
    })
}

/// What is said of a file that does not hold what was `expected`: what it holds by its look, and nothing of it.
pub fn found(bytes: &[u8], expected: &str) -> String {
    let found = credential::kind_of(bytes).unwrap_or("something else (not shown: it may be a secret)");
    format!("expected {expected}, found {found}; is it the right file?")
}

/// Says before any work that `path` exists, so that nobody types a passphrase in vain. [`write()`] checks again.
pub fn expect_free(path: &Path, existing: Existing) -> Result<(), FileFault> {
    let taken = existing == Existing::Refuse && path.symlink_metadata().is_ok();
    if taken { Err(FileFault::Exists { path: path.to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn writes_whole_with_modes_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"one", Access::OwnerOnly, Existing::Refuse).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
        assert!(matches!(write(&path, b"two", Access::Everyone, Existing::Refuse), Err(FileFault::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", Access::OwnerOnly, Existing::Replace).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(matches!(
            write(directory.path(), b"", Access::Everyone, Existing::Replace),
            Err(FileFault::NotFile { .. })
        ));
        let nowhere = directory.path().join("no/such");
        assert!(matches!(write(&nowhere, b"", Access::Everyone, Existing::Replace), Err(FileFault::Io { .. })));
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, b"one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(write(&link, b"two", Access::Everyone, Existing::Refuse), Err(FileFault::Exists { .. })));
        write(&link, b"two", Access::Everyone, Existing::Replace).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn reads_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, &[b'x'; 10], Access::Everyone, Existing::Refuse).unwrap();
        assert_eq!(read(&path, 10).unwrap().len(), 10);
        assert!(matches!(read(&path, 9), Err(FileFault::Size { expected: 9, .. })));
        assert!(matches!(read_secret(&path, 9), Err(FileFault::Size { .. })));
        assert!(read_secret(&path, 10).unwrap().exposed);
        assert!(matches!(read(directory.path(), 9), Err(FileFault::NotFile { .. })));
        assert!(matches!(read(Path::new("/dev/zero"), 9), Err(FileFault::NotFile { .. })));
    }
}
