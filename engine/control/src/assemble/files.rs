//! Reading small files that belong to the node: bounded, and private keys only when they are private.

use std::fs::File;
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

/// The whole file, at most `most` bytes.
pub fn read(path: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    take_in(open(path)?, path, most, &mut bytes)?;
    Ok(bytes)
}

/// A private key's file: refused when group or others have any right on it. The bytes are wiped when they go.
pub fn read_private(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |cause| FileError::Read { path: path.to_owned(), cause };
    let file = open(path)?;
    // Asked of the open file: nobody can put another in its place between the two.
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    // systemd lets the unit's user read a credential by an access control list, whose mask stat shows as rights of the
    // group.
    let shared = if is_credential(path) { 0o037 } else { 0o077 };
    if mode & shared != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::default();
    take_in(file, path, most, &mut bytes)?;
    Ok(bytes)
}

fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from);
    directory.is_some_and(|directory| directory.is_absolute() && path.parent() == Some(&directory))
}

/// Looked at before it is opened, because opening a pipe waits until somebody writes into it.
fn open(path: &Path) -> Result<File, FileError> {
    let failed = |cause| FileError::Read { path: path.to_owned(), cause };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FileError::NotFile { path: path.to_owned() });
    }
    File::open(path).map_err(failed)
}

fn take_in(file: File, path: &Path, most: usize, bytes: &mut Vec<u8>) -> Result<(), FileError> {
    // Large enough from the start where the size is told: a secret that grows leaves copies behind.
    let told = file.metadata().map_or(0, |of| usize::try_from(of.len()).unwrap_or(most));
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
}
