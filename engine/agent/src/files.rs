//! Files of the agent's side: secrets that nobody else may read or change, private directories, locks; and what is common to
//! all files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ::files::{Existing, Exposed, exposed};
use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

pub use ::files::{Access, FileFault, parent, read, read_text, remove_unfinished, sync_directory};

use crate::bounds::{LOCK_LOOK_MS, LOCK_S_MAX};
use crate::fault::Fault;

/// What happened to a file, and what that usually means.
pub fn told(path: &Path, action: &'static str, error: io::Error) -> Fault {
    FileFault::io(path, action, error).into()
}

/// Whether something is there; an error where that cannot be seen, for want of rights, say.
pub fn is_there(path: &Path) -> Result<bool, Fault> {
    path.try_exists().map_err(|error| told(path, "read", error))
}

/// The text of a file that holds a secret; one that others may read, or that belongs to another user than this one and
/// root, is refused.
pub fn read_secret(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Fault> {
    Ok(::files::read_private(path, bytes_max)?)
}

/// The first line of a file that holds a secret.
pub fn read_secret_line(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Fault> {
    let text = read_secret(path, bytes_max)?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned());
    if line.is_empty() { Err(Fault::at(path, "expected a secret in the first line, found none")) } else { Ok(line) }
}

/// Writes a file whole or not at all, over what was there. A link is not followed: some directories are shared.
pub fn write(path: &Path, bytes: &[u8], access: Access) -> Result<(), Fault> {
    Ok(::files::write(path, bytes, access, Existing::ReplaceLink)?)
}

/// Makes a directory of mode 0700; refuses one that others may write, or that belongs to another user.
pub fn private_directory(path: &Path) -> Result<(), Fault> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(told(path, "made", error)),
    }
    let found = fs::metadata(path).map_err(|error| told(path, "read", error))?;
    if !found.is_dir() {
        return Err(Fault::at(path, "expected a directory, found something else"));
    }
    match exposed(&found) {
        None => Ok(()),
        Some(exposed) => {
            let message = format!("expected a directory for its owner alone, found {exposed}");
            let help = match exposed {
                Exposed::Mode(_) => format!("think about who may have read it, then: chmod 700 {}", path.display()),
                Exposed::Owner(_) => {
                    "that user may read it and change it: own it (chown), or name another one".to_owned()
                }
            };
            Err(Fault::at(path, message).help(help))
        }
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock file `path` at once; who holds it is told where it is taken. What was left unfinished beside it goes.
pub fn lock(path: &Path) -> Result<Lock, Fault> {
    let mut file = lock_file(path)?;
    if !is_taken(path, &file)? {
        let mut holder = String::new();
        let _ = (&mut file).take(64).read_to_string(&mut holder);
        let whose = match holder.trim() {
            "" => "another process".to_owned(),
            holder => format!("process {holder}"),
        };
        return Err(Fault::at(path, format_args!("in use by {whose}"))
            .help(
                "one at a time: end that one first. SIGHUP makes an adamant agent run renew at once, from the gateway and CA \
                 that it was enrolled with",
            ));
    }
    // Who holds it is a courtesy: a full disk must not keep a lock from being held.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    remove_unfinished(parent(path));
    Ok(Lock { _file: file })
}

/// As [`lock`], and waits a while for whoever holds it.
pub fn lock_waiting(path: &Path) -> Result<Lock, Fault> {
    lock_within(path, Duration::from_secs(LOCK_S_MAX))
}

fn lock_within(path: &Path, within: Duration) -> Result<Lock, Fault> {
    let (file, begun) = (lock_file(path)?, Instant::now());
    while !is_taken(path, &file)? {
        if begun.elapsed() >= within {
            let message = format!("expected it to be free within {} s, found it held", within.as_secs());
            return Err(Fault::at(path, message)
                .help(format_args!("end the process that holds it: fuser {} names it", path.display())));
        }
        std::thread::sleep(Duration::from_millis(LOCK_LOOK_MS));
    }
    remove_unfinished(parent(path));
    Ok(Lock { _file: file })
}

/// A link is not followed, and a pipe not waited for: the lock's holder writes into it.
fn lock_file(path: &Path) -> Result<File, Fault> {
    let file = ::files::open_lock(path).map_err(|error| told(path, "locked", error))?;
    file.ok_or_else(|| {
        Fault::at(path, "expected a regular file as lock, found something else").help("who put it there? Remove it")
    })
}

/// Whether the lock is this process's now.
fn is_taken(path: &Path, file: &File) -> Result<bool, Fault> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(told(path, "locked", error.into())),
    }
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
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_owner_only_and_locks_exclude() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"one\n", Access::OwnerOnly).unwrap();
        assert_eq!(&*read_secret_line(&path, 10).unwrap(), "one");
        assert!(read(&path, 3).is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = read_secret(&path, 10).unwrap_err();
        assert!(refused.to_string().contains("0640") && refused.hint().unwrap().contains("chmod 600"));
        let at = directory.path().join("lock");
        let held = lock(&at).unwrap();
        assert!(lock(&at).unwrap_err().to_string().contains(&std::process::id().to_string()));
        let waited = lock_within(&at, Duration::from_millis(120)).unwrap_err();
        assert!(waited.to_string().contains("found it held") && waited.hint().is_some(), "{waited}");
        drop(held);
        lock_within(&at, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_follows_no_link_and_waits_for_no_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let [victim, link, pipe] = ["victim", "link", "pipe"].map(|name| directory.path().join(name));
        fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        for path in [&link, &pipe] {
            assert!(lock(path).unwrap_err().to_string().contains("regular file"), "{}", path.display());
            assert!(lock_waiting(path).is_err());
        }
        assert_eq!(fs::read(&victim).unwrap(), b"kept");
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let exposed = FileFault::Exposed { path: "key".into(), exposed: Exposed::Owner(7) };
        let told = Fault::from(exposed);
        assert!(told.to_string().contains("owner uid 7") && told.hint().unwrap().contains("chown"), "{told}");
        // Where the test may give files away, as root may.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"one\n", Access::OwnerOnly).unwrap();
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
            assert!(read_secret(&path, 10).unwrap_err().to_string().contains("owner uid 65534"));
        }
    }
}
