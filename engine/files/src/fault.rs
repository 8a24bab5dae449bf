//! What can be wrong with a file, and what that usually means.

use std::io;
use std::path::{Path, PathBuf};

use crate::Exposed;

/// What happened to a file.
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
    #[error("{}: expected a file that its owner alone may read, found {exposed}", path.display())]
    Exposed { path: PathBuf, exposed: Exposed },
}

impl FileFault {
    /// What the system said of a file; `action` is what could not be done to it: read, written.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }

    /// What to do.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Exists { .. } => "choose another name, or replace it with --force",
            Self::Exposed { path, exposed: Exposed::Mode(_) } => {
                return Some(format!("think about who may have read it, then: chmod 600 {}", path.display()));
            }
            Self::Exposed { .. } => "that user may read it and change it: own it (chown), or name another one",
            Self::NotFile { .. } => "give the path of a file",
            Self::Size { .. } | Self::Text { .. } => "is it the right file?",
            Self::Io { action, source, .. } => match source.kind() {
                io::ErrorKind::NotFound if *action == "read" => "check the path",
                io::ErrorKind::NotFound => "check the path; its directory must exist",
                io::ErrorKind::PermissionDenied => "check the owner and mode of it and of its directory",
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    "make room; what was there before is still there, whole"
                }
                _ => return None,
            },
        };
        Some(help.to_owned())
    }
}
