//! Why a store cannot be read or written by whoever publishes.

use std::io;
use std::path::PathBuf;

use stores::{Channel, StoreFault};

use crate::failure::Failure;

/// Channels that are named where another one was asked for.
const CHANNELS_TOLD_MAX: usize = 8;

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
    #[error("{}: cannot be written: {said}", path.display())]
    Server { path: PathBuf, said: String, help: String },
    #[error("{}: somebody else wrote it meanwhile, and it is as they wrote it", path.display())]
    Meanwhile { path: PathBuf },
    #[error("{}: an https store is read only", path.display())]
    ReadOnly { path: PathBuf },
    /// With those that there are.
    #[error("{}: the store has no channel {channel}", path.display())]
    NoChannel { path: PathBuf, channel: Channel, there: Vec<Channel> },
}

impl WriteFault {
    /// The channel that was likely meant.
    pub fn nearest(&self) -> Option<&str> {
        match self {
            Self::NoChannel { channel, there, .. } => near(channel, there),
            _ => None,
        }
    }
}

fn near<'t>(channel: &Channel, there: &'t [Channel]) -> Option<&'t str> {
    policy_source::nearest(channel.as_str(), there.iter().map(Channel::as_str))
}

/// `did you mean production? The store has: production, staging`
fn instead(channel: &Channel, there: &[Channel]) -> String {
    if there.is_empty() {
        return "it has no channels at all: is it the right directory? adamant point makes a channel".to_owned();
    }
    let told: Vec<_> = there.iter().map(Channel::as_str).take(CHANNELS_TOLD_MAX).collect();
    let more = if there.len() > CHANNELS_TOLD_MAX { ", …" } else { "" };
    let all = format!("{}{more}", told.join(", "));
    match near(channel, there) {
        Some(near) => format!("did you mean {near}? The store has: {all}"),
        None => format!("the store has: {all}"),
    }
}

impl From<WriteFault> for Failure {
    fn from(fault: WriteFault) -> Self {
        let help = match &fault {
            WriteFault::Open { path, cause } if cause.kind() == io::ErrorKind::NotFound => {
                format!("is it the right path? A new store is made by: mkdir {}", path.display())
            }
            WriteFault::NoChannel { channel, there, .. } => instead(channel, there),
            WriteFault::Open { cause, .. } if cause.kind() == io::ErrorKind::NotADirectory => {
                "a store is a directory: is it the right path?".into()
            }
            WriteFault::Server { help, .. } | WriteFault::Read { cause: StoreFault::Server { help, .. }, .. } => {
                help.clone()
            }
            WriteFault::Meanwhile { .. } => "look at what is there now, and run this again".into(),
            WriteFault::ReadOnly { .. } => {
                "publish into the directory or the server that it is made from: --store DIR, openbao+https://, \
                 etcd+https:// or consul+https://"
                    .into()
            }
            WriteFault::Open { .. } | WriteFault::Io { .. } => "check owner, mode and free space".into(),
            WriteFault::Read { cause: StoreFault::Torn { .. }, .. } => "publish it again".into(),
            WriteFault::Read { cause: StoreFault::Changing { .. }, .. } | WriteFault::Locked { .. } => {
                "try again in a moment; nothing was changed".into()
            }
            WriteFault::Read { cause: StoreFault::Io { .. }, .. } => "check owner and mode".into(),
            WriteFault::Read { .. }
            | WriteFault::Link { .. }
            | WriteFault::NotDirectory { .. }
            | WriteFault::NotFile { .. } => "look at who put it there, and take it away".into(),
        };
        Self::new(fault).help(help)
    }
}
