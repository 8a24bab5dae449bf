//! What `agent run` knows of each kind of credential.

use tokio::time::Instant;

use crate::schedule::Nearness;

/// What is kept in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Certificate,
    /// Of an authorization server: it has a life of its own.
    Token,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
        }
    }
}

/// The life of what is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// Tells it from another one.
    pub thumbprint: Option<String>,
    pub from: String,
    pub obtained_s: u64,
    pub begins_s: u64,
    pub ends_s: u64,
    /// It is of terms that the release has no more.
    pub is_outdated: bool,
}

/// One kind, over time.
#[derive(Default)]
pub struct Track {
    /// In a row.
    pub failures: u32,
    /// What is in use, and when it is renewed.
    pub planned: Option<(InUse, u64)>,
    /// What was said of its end.
    pub told: Nearness,
    /// Why it was begun and did not end well, and when it is gone on with.
    pub again: Option<(&'static str, Instant)>,
}

/// What is there of a kind.
pub enum Found {
    InUse(InUse),
    Nothing,
    /// The profile has none of it to renew.
    NotWanted,
}

impl Found {
    /// When what is in use ends, seconds since the Unix epoch.
    pub const fn ends_s(&self) -> Option<u64> {
        match self {
            Self::InUse(in_use) => Some(in_use.ends_s),
            Self::Nothing | Self::NotWanted => None,
        }
    }
}
