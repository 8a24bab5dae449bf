//! Files of the agent's side: bounded reads, atomic writes, owner-only modes, locks.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use crate::fault::Fault;

/// Mode of what the owner alone may read.
pub const OWNER_ONLY: u32 = 0o600;
/// Mode of what everybody may read.
pub const EVERYBODY: u32 = 0o644;

/// What happened to a file, and what that usually means.
pub fn told(path: &Path, action: &str, error: &io::Error) -> Fault {
    let fault = Fault::at(path, format_args!("cannot be {action}: {error}"));
    match error.kind() {
        io::ErrorKind::NotFound => fault.help("check the path; its directory must exist"),
        io::ErrorKind::PermissionDenied => fault.help("check the owner and mode of it and of its directory"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            fault.help("make room; what was there before is still there, whole")
        }
        _ => fault,
    }
}

/// The bytes of a regular file, `bytes_max` at most.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let failed = |error: io::Error| told(path, "read", &error);
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Fault::at(path, "expected a file, found something else"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(Fault::at(path, format_args!("expected at most {bytes_max} bytes, found more")));
    }
    Ok(bytes)
}

/// The text of a regular file.
pub fn read_text(path: &Path, bytes_max: usize) -> Result<String, Fault> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| Fault::at(path, "expected UTF-8 text, found other bytes"))
}

/// The text of a file that holds a secret; one that others may read is refused.
pub fn read_secret(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Fault> {
    let mode = fs::metadata(path).map_err(|error| told(path, "read", &error))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("expected a file that its owner alone may read, found mode {mode:04o}");
        let help = format!("think about who may have read it, then: chmod 600 {}", path.display());
        return Err(Fault::at(path, message).help(help));
    }
    let bytes = Zeroizing::new(read(path, bytes_max)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::at(path, "expected UTF-8 text, found other bytes"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The first line of a file that holds a secret.
pub fn read_secret_line(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Fault> {
    let text = read_secret(path, bytes_max)?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned());
    if line.is_empty() { Err(Fault::at(path, "expected a secret in the first line, found none")) } else { Ok(line) }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes a file whole or not at all: temporary file beside it, fsync, rename, fsync of the directory.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fault> {
    let done = (|| {
        let mut temporary = tempfile::Builder::new()
            .prefix(".adamant-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(parent(path))?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        sync_directory(parent(path))
    })();
    done.map_err(|error| told(path, "written", &error))
}

/// Adds a line to a log, whole or not at all, and has it on disk.
pub fn append(path: &Path, line: &str) -> Result<(), Fault> {
    let done = (|| {
        let mut file = File::options().create(true).append(true).mode(OWNER_ONLY).open(path)?;
        let length = file.seek(io::SeekFrom::End(0))?;
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            file.set_len(length)?;
        }
        written
    })();
    done.map_err(|error| told(path, "written", &error))
}

/// Has the entries of a directory on disk.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a directory of mode 0700; refuses one that others may write.
pub fn private_directory(path: &Path) -> Result<(), Fault> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(told(path, "made", &error)),
    }
    let found = fs::metadata(path).map_err(|error| told(path, "read", &error))?;
    if !found.is_dir() {
        return Err(Fault::at(path, "expected a directory, found something else"));
    }
    if found.mode() & 0o077 != 0 {
        let message = format!("expected a directory for its owner alone, found mode {:04o}", found.mode() & 0o777);
        return Err(Fault::at(path, message).help(format_args!("chmod 700 {}", path.display())));
    }
    Ok(())
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock file `path` at once; who holds it is told where it is taken.
pub fn lock(path: &Path) -> Result<Lock, Fault> {
    let failed = |error: io::Error| told(path, "locked", &error);
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(OWNER_ONLY)
        .open(path)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let _ = (&mut file).take(64).read_to_string(&mut holder);
            let whose = match holder.trim() {
                "" => "another process".to_owned(),
                holder => format!("process {holder}"),
            };
            return Err(Fault::at(path, format_args!("in use by {whose}"))
                .help("one at a time; end that one, or send it SIGHUP to renew at once"));
        }
        Err(error) => return Err(failed(error.into())),
    }
    // Who holds it is a courtesy: a full disk must not keep a lock from being held.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}

/// As [`lock`], and waits for whoever holds it.
pub fn lock_waiting(path: &Path) -> Result<Lock, Fault> {
    let failed = |error: io::Error| told(path, "locked", &error);
    let file = File::options().create(true).truncate(false).write(true).mode(OWNER_ONLY).open(path).map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(Lock { _file: file })
}

/// Bytes of the kernel's random generator.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Fault::new(format_args!("the kernel gives no random bytes: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_owner_only_and_locks_exclude() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"one\n", OWNER_ONLY).unwrap();
        assert_eq!(&*read_secret_line(&path, 10).unwrap(), "one");
        assert!(read(&path, 3).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = read_secret(&path, 10).unwrap_err();
        assert!(refused.to_string().contains("0640") && refused.hint().unwrap().contains("chmod 600"));
        let at = directory.path().join("lock");
        let held = lock(&at).unwrap();
        assert!(lock(&at).unwrap_err().to_string().contains(&std::process::id().to_string()));
        drop(held);
        lock(&at).unwrap();
    }
}
