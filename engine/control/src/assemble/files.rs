//! Reading small files that belong to the node: bounded, and private keys only when they are private.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Where systemd puts the credentials of a unit (systemd.exec(5)).
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: cannot be read: {cause}: name a file that the gateway's user can read", .path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: expected a regular file, found something else: move it away, or name another one", .path.display())]
    NotFile { path: PathBuf },
    #[error("{}: expected at most {most} bytes, found more: is this the right file?", .path.display())]
    TooLarge { path: PathBuf, most: usize },
    #[error(
        "{path}: a private key or secret must not be open to others, its mode is {mode:o}: run chmod 600 {path}",
        path = .path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
}

impl FileError {
    /// Whether nothing was read: that may be over in a moment, with the file as it was.
    pub const fn is_unread(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::NotFile { .. })
    }
}

/// The whole file, at most `most` bytes.
pub fn read(path: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let (file, found) = open(path)?;
    take_in(file, &found, path, most, &mut bytes)?;
    Ok(bytes)
}

/// A private key's file: refused when group or others have any right on it. The bytes are wiped when they go.
pub fn read_private(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let (file, found) = open(path)?;
    // Of the open file: nobody can put another in its place between the two.
    let mode = found.mode() & 0o7777;
    // systemd lets the unit's user read a credential by an access control list, whose mask stat shows as rights of the
    // group.
    let shared = if is_credential(path) { 0o037 } else { 0o077 };
    if mode & shared != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::default();
    take_in(file, &found, path, most, &mut bytes)?;
    Ok(bytes)
}

fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from);
    directory.is_some_and(|directory| directory.is_absolute() && path.parent() == Some(&directory))
}

fn open(path: &Path) -> Result<(File, Metadata), FileError> {
    let opened = ::files::open_regular(path).map_err(|cause| FileError::Read { path: path.to_owned(), cause })?;
    opened.ok_or_else(|| FileError::NotFile { path: path.to_owned() })
}

fn take_in(file: File, found: &Metadata, path: &Path, most: usize, bytes: &mut Vec<u8>) -> Result<(), FileError> {
    // Large enough from the start where the size is told: a secret that grows leaves copies behind.
    let told = usize::try_from(found.len()).unwrap_or(most);
    bytes.reserve_exact(told.min(most) + 1);
    let read = file.take(most as u64 + 1).read_to_end(bytes);
    read.map_err(|cause| FileError::Read { path: path.to_owned(), cause })?;
    if bytes.len() > most {
        return Err(FileError::TooLarge { path: path.to_owned(), most });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use rustix::fs::{CWD, FileType, RenameFlags, mknodat, renameat_with};

    use super::*;

    #[test]
    fn keys_must_be_private_and_files_small() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, b"12345678").unwrap();
        for (mode, private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_private(&path, 8).is_ok(), private, "{mode:o}");
        }
        assert!(read(&path, 7).unwrap_err().to_string().contains("at most 7 bytes"));
        let missing = read(&directory.path().join("none"), 7).unwrap_err().to_string();
        assert!(missing.contains("none: cannot be read"), "{missing}");
    }

    /// What `work` gives; a failure where it takes longer than anything that does not wait.
    fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, awaited) = mpsc::channel();
        std::thread::spawn(move || done.send(work()));
        awaited.recv_timeout(Duration::from_secs(20)).expect("it waits")
    }

    #[test]
    fn what_is_no_file_is_told_and_not_waited_on() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, socket) = (directory.path().join("pipe"), directory.path().join("socket"));
        mknodat(CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [pipe, socket, directory.path().to_owned(), "/dev/null".into()] {
            let (of, private) = (path.clone(), path);
            assert!(matches!(soon(move || read(&of, 9)), Err(FileError::NotFile { .. })));
            assert!(matches!(soon(move || read_private(&private, 9)), Err(FileError::NotFile { .. })));
        }
    }

    /// Whoever may write in the directory exchanges the file with a pipe, again and again.
    #[test]
    fn a_pipe_in_the_place_of_a_file_at_any_moment_is_not_waited_on() {
        let directory = tempfile::tempdir().unwrap();
        let (path, pipe) = (directory.path().join("file"), directory.path().join("pipe"));
        std::fs::write(&path, b"text").unwrap();
        mknodat(CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        let (begun, watched) = (Instant::now(), path.clone());
        let goes_on = move || begun.elapsed() < Duration::from_secs(1);
        let exchanging = std::thread::spawn(move || {
            while goes_on() {
                renameat_with(CWD, &path, CWD, &pipe, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let (files, others) = soon(move || {
            let (mut files, mut others) = (0, 0);
            while goes_on() {
                match read(&watched, 9) {
                    Ok(bytes) => files += usize::from(bytes == b"text"),
                    Err(error) => others += usize::from(matches!(error, FileError::NotFile { .. })),
                }
            }
            (files, others)
        });
        exchanging.join().unwrap();
        assert!(files > 0 && others > 0, "{files} times the file, {others} times the pipe");
    }
}
