//! Why an order at an ACME server comes to nothing.

use std::io;

use files::FileFault;

use super::ChallengeKind;
use crate::http::{HttpFault, TRUST_HELP, TrustFault};

/// Why an order comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AcmeFault {
    #[error("{directory}: {cause}")]
    Trust { directory: String, cause: TrustFault },
    #[error(transparent)]
    File(#[from] FileFault),
    #[error("{0}: expected the external account key in base64url, found something else")]
    ExternalKey(String),
    #[error("{directory}: {cause}")]
    Http { directory: String, cause: HttpFault, retry_after_s: u64 },
    #[error("{directory}: {said}")]
    Problem { directory: String, said: String, kind: String, retry_after_s: u64 },
    #[error("{directory}: expected an answer of an ACME server (RFC 8555), found {found}")]
    Protocol { directory: String, found: String },
    #[error("{directory}: expected {awaited}, found the order pending after {after_s} s")]
    Slow { directory: String, awaited: &'static str, after_s: u64 },
    #[error("{directory} could not see that {names} is ours: {said}")]
    Unproven { directory: String, names: String, said: String, retry_after_s: u64, kind: ChallengeKind },
    #[error("{directory}: expected {kind} among the challenges for {name}, found others alone")]
    NoChallenge { directory: String, name: String, kind: ChallengeKind },
    #[error("the challenge cannot be answered: {0}")]
    Desk(String),
    #[error("the account cannot be kept: {0}")]
    Account(io::Error),
    #[error("no certificate for a challenge can be made: {0}")]
    Challenge(rcgen::Error),
}

impl AcmeFault {
    /// Whether the server was not reached, or is not well. What it refused costs something each time that it is asked;
    /// so does an order whose challenge could not be answered here ([`Self::Desk`]): it stood there already.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Http { cause: HttpFault::Status { .. }, .. } => true,
            Self::Http { cause, .. } => crate::issue::is_of_the_network(cause),
            Self::Problem { kind, .. } => self.is_bad_nonce() || kind.ends_with(":serverInternal"),
            _ => false,
        }
    }

    /// Whether the server wants nothing but the same with another nonce.
    pub fn is_bad_nonce(&self) -> bool {
        matches!(self, Self::Problem { kind, .. } if kind.ends_with(":badNonce"))
    }

    /// How long the server says that it is not to be asked again, seconds.
    pub const fn retry_after_s(&self) -> u64 {
        match self {
            Self::Problem { retry_after_s, .. }
            | Self::Unproven { retry_after_s, .. }
            | Self::Http { retry_after_s, .. } => *retry_after_s,
            _ => 0,
        }
    }

    pub fn help(&self) -> String {
        match self {
            Self::Trust { .. } => TRUST_HELP.into(),
            Self::File(fault) => fault.help().unwrap_or_else(|| "check the file".into()),
            Self::ExternalKey(_) => "write the key as the CA gave it, in one line".into(),
            Self::Http { cause: HttpFault::Status { .. }, .. } => {
                "is the address right, and the server up (OpenBao: and unsealed)?".into()
            }
            Self::Http { cause, .. } => cause.help().into(),
            Self::Problem { kind, .. } if kind.ends_with("externalAccountRequired") => {
                "the server wants external_account = { key_id = \"…\", key = \"FILE\" }".into()
            }
            Self::Unproven { kind: ChallengeKind::TlsAlpn, .. } => {
                "the name must lead to this gateway, and its port 443 to a listener with tls".into()
            }
            Self::Unproven { kind: ChallengeKind::Http, .. } => {
                "the name must lead to this gateway, and its port 80 to the address of http_challenge".into()
            }
            Self::Problem { .. } if self.is_bad_nonce() => {
                "the server took none of the nonces that it gave out itself (do several stand behind one address?): ask again".into()
            }
            Self::Problem { .. } => "it is tried again by itself".into(),
            Self::Slow { .. } => "can the server reach what answers for the name? It is tried again by itself".into(),
            Self::Desk(_) => "is something else listening there? It is tried again by itself".into(),
            Self::Protocol { .. } => "is it the address of the server's directory?".into(),
            Self::NoChallenge { kind, .. } => format!("the server must offer {kind}"),
            Self::Account(_) => "see the room and the mode of the state directory".into(),
            Self::Challenge(_) => "are the names right?".into(),
        }
    }
}
