//! Where releases and pointers come from, and the client for what moves under them. A store is a transport and nothing in
//! it is trusted: what comes out of it is bytes of bounded length, which `control::accept` verifies.

use std::fmt;
use std::str::FromStr;

use policy_release::digest::Digest;

mod directory;
pub mod http;
pub mod issue;
mod json;
pub mod layout;
pub mod local;
mod location;
pub mod oauth;
pub mod openbao;
mod remote;
pub mod seats;

pub use directory::Directory;
pub use location::{Access, Location, LocationFault, Protocol, Server};
pub use remote::{Remote, Version, Written};

/// A transport of signed files.
pub trait Store: Send {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// Whether anything that is followed may have changed since the last call; true on the first. Cheap where nothing did.
    fn changed(&mut self, channel: &Channel, followed: Followed) -> bool;

    /// The envelope of a channel's pointer.
    fn pointer(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault>;

    /// The envelope of a channel's revocation list.
    fn revocations(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault>;

    /// The envelope of a channel's key set.
    fn key_set(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault>;

    /// The envelope of a trust root.
    fn root(&self, version: u64) -> Result<Vec<u8>, StoreFault>;

    /// The envelope of a release. Whether its payload has this digest is for the reader to check.
    fn release(&self, digest: &Digest) -> Result<Vec<u8>, StoreFault>;

    /// The envelope of the profile document of a release.
    fn profile(&self, release: &Digest) -> Result<Vec<u8>, StoreFault>;
}

/// What somebody follows in a store: one of them must not pay, or wait, for what is of another alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The pointer, the next trust root, the release that is named, and its profile document where that was asked for.
    Releases,
    /// The revocation list.
    Revocations,
    /// The key set.
    KeySet,
}

/// Why a store gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    #[error("{what} is not there")]
    Missing { what: String },
    /// A writer is at work: whole again at the next look, or a fault of another kind.
    #[error("{what} changed while it was read")]
    Changing { what: String },
    #[error("{what}: expected at most {expected_bytes_max} bytes, found more")]
    Size { what: String, expected_bytes_max: usize },
    #[error("{what}: expected a regular file, found {found}")]
    NotFile { what: String, found: &'static str },
    #[error("{what}: expected directories and a file, found a symbolic link in its path")]
    Link { what: String },
    #[error("{what} cannot be read: {cause}")]
    Io { what: String, cause: std::io::Error },
    /// In parts of which not all are there, or are others: a writer is at work, or the store is damaged.
    #[error("{what} is not whole: {found}")]
    Torn { what: String, found: String },
    /// A server did not give it, or gave something else.
    #[error("{what} cannot be read: {said}")]
    Server { what: String, said: String, help: String },
}

impl StoreFault {
    /// What to do, where the fault itself does not say it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Server { help, .. } => Some(help),
            _ => None,
        }
    }

    /// Whether the file is simply not there (yet), or not whole (yet).
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Changing { .. } | Self::Torn { .. })
    }
}

/// Bytes of a channel's name.
pub const CHANNEL_BYTES_MAX: usize = 64;

/// The name of a channel: 1 to 64 of `a-z 0-9 . _ -`, the first a letter or digit. It can be a directory's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a channel of 1 to {CHANNEL_BYTES_MAX} characters a-z, 0-9, \".\", \"_\", \"-\" that begins with a letter or digit, \
     found {found:?}"
)]
pub struct ChannelFault {
    found: String,
}

impl Channel {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = ChannelFault;

    fn from_str(text: &str) -> Result<Self, ChannelFault> {
        let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = text.len() <= CHANNEL_BYTES_MAX
            && text.bytes().next().is_some_and(first)
            && text.bytes().all(|byte| first(byte) || matches!(byte, b'.' | b'_' | b'-'));
        if good { Ok(Self(text.to_owned())) } else { Err(ChannelFault { found: text.chars().take(80).collect() }) }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_a_plain_name() {
        for good in ["production", "a", "0", "eu-west.1_b", &"x".repeat(64)] {
            assert!(good.parse::<Channel>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "A", "-a", "_a", "a b", "a\0", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<Channel>().is_err(), "{bad}");
        }
    }
}
