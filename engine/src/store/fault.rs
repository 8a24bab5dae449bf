//! Why a store cannot be read or written by whoever publishes.

use std::io;
use std::path::PathBuf;

use stores::StoreFault;

use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    #[error("{}: the store cannot be opened: {cause}", path.display())]
    Open { path: PathBuf, cause: io::Error },
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: StoreFault },
    #[error("{}: expected a store without links, found a symbolic link", path.display())]
    Link { path: PathBuf },
    #[error("{}: expected a directory, found something else", path.display())]
    NotDirectory { path: PathBuf },
    #[error("{}: expected a regular file or nothing, found something else", path.display())]
    NotFile { path: PathBuf },
    #[error("{}: somebody else is writing to this store", path.display())]
    Locked { path: PathBuf },
    #[error("{}: cannot be written: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
}

impl From<WriteFault> for Failure {
    fn from(fault: WriteFault) -> Self {
        let help = match &fault {
            WriteFault::Open { path, cause } if cause.kind() == io::ErrorKind::NotFound => {
                format!("make it first: mkdir {}", path.display())
            }
            WriteFault::Open { .. } | WriteFault::Io { .. } => "check owner, mode and free space".into(),
            WriteFault::Read { cause: StoreFault::Changing { .. }, .. } | WriteFault::Locked { .. } => {
                "try again in a moment; nothing was changed".into()
            }
            WriteFault::Read { .. }
            | WriteFault::Link { .. }
            | WriteFault::NotDirectory { .. }
            | WriteFault::NotFile { .. } => "look at who put it there, and take it away".into(),
        };
        Self::new(fault).help(help)
    }
}
