//! The targets of a comparison: what a proxy is told by its file, how it is obtained, started and stopped.
//!
//! A target is a file (`targets/NAME.toml`) with templates of its configuration beside it; nothing here knows any proxy.

mod file;
pub mod material;
mod obtain;
pub mod process;
mod running;
mod template;
mod token;

use std::path::PathBuf;

pub use file::{Target, load, shipped};
pub use material::Material;
pub use obtain::{Obtained, Place, obtain, peers_folder};
pub use running::{Context, LIMIT_NONE, LIMIT_SMALL, Running};
pub use token::{Algorithm, Flaw};

use serde::Deserialize;

use crate::failure::Failure;

/// What a target can be asked to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Every request goes to the origin.
    PassThrough,
    /// The same over TLS, clients without certificate.
    Tls,
    /// A known key, a path that it may have, a limit.
    ApiKey,
    /// An ES256 token, its scope, a limit.
    Es256,
    /// An RS256 token, its scope, a limit.
    Rs256,
    /// TLS with a client certificate whose name is looked up, and a path that it may have.
    Mtls,
    /// As [`Work::Es256`], with two limits and a record: what Adamant is made for.
    FullPolicy,
}

/// What a client and a target speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
    Mtls,
}

/// What a request shows of who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    None,
    ApiKey,
    Token(Algorithm),
    Certificate,
}

impl Work {
    pub const ALL: [Self; 7] =
        [Self::PassThrough, Self::Tls, Self::ApiKey, Self::Es256, Self::Rs256, Self::Mtls, Self::FullPolicy];

    /// As it stands in files and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::PassThrough => "pass-through",
            Self::Tls => "tls",
            Self::ApiKey => "api-key",
            Self::Es256 => "es256",
            Self::Rs256 => "rs256",
            Self::Mtls => "mtls",
            Self::FullPolicy => "full-policy",
        }
    }

    pub fn transport(self) -> Transport {
        match self {
            Self::Tls => Transport::Tls,
            Self::Mtls => Transport::Mtls,
            _ => Transport::Plain,
        }
    }

    pub fn credential(self) -> Credential {
        match self {
            Self::PassThrough | Self::Tls => Credential::None,
            Self::ApiKey => Credential::ApiKey,
            Self::Rs256 => Credential::Token(Algorithm::Rs256),
            Self::Mtls => Credential::Certificate,
            Self::Es256 | Self::FullPolicy => Credential::Token(Algorithm::Es256),
        }
    }

    /// Whether a limit is part of it.
    pub fn is_limited(self) -> bool {
        matches!(self.credential(), Credential::ApiKey | Credential::Token(_))
    }
}

impl Transport {
    /// As it stands in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Mtls => "mtls",
        }
    }

    pub fn is_tls(self) -> bool {
        self != Self::Plain
    }
}

/// What is wrong with a target, on the side of its file or of its program.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{place}: {what}")]
    File { place: String, what: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("expected the name of a target ({known}) or a path that ends with .toml, found {found:?}")]
    Unknown { found: String, known: String },
    #[error("not available: {0}")]
    NotAvailable(String),
    #[error("{target} was not asked to do {work}: {why}")]
    Cannot { target: String, work: &'static str, why: String },
    #[error("{target} does not listen on {address} within {seconds} s while doing {work}; it said: {said}")]
    NotReady { target: String, work: String, address: std::net::SocketAddr, seconds: u64, said: String },
    #[error("{target} ended while starting to do {work}; it said: {said}")]
    Ended { target: String, work: String, said: String },
    #[error("cannot make credentials: {0}")]
    Material(String),
}

impl Fault {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn material(error: impl std::fmt::Display) -> Self {
        Self::Material(error.to_string())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io { what, source } => Self::Io { what, source },
            other => Self::Subject(other.to_string()),
        }
    }
}

/// The folder of the targets that come with loadtest.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/targets"))
}

#[cfg(test)]
mod tests;
