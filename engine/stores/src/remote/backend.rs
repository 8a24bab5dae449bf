//! What a server can do for a store, whatever it speaks.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;

use crate::StoreFault;
use crate::http::{Answer, HttpFault};
use crate::openbao::{OpenBaoFault, printable};

/// The state of a file on its server, which alone can read it; empty where there never was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(super) String);

impl Version {
    pub(super) fn absent() -> Self {
        Self(String::new())
    }

    /// As a number, for servers that count; 0 where there never was one.
    pub(super) fn number(&self) -> u64 {
        self.0.parse().unwrap_or(0)
    }
}

pub(super) struct Got {
    /// None: it is not there.
    pub content: Option<Vec<u8>>,
    pub version: Version,
}

pub(super) trait Backend: Send {
    /// Which state a file is in: cheap, and to be compared with what this said before, alone. `bytes_max`: of the file.
    fn look(&mut self, file: &str, bytes_max: usize) -> Result<Version, Fault>;

    fn get(&mut self, file: &str, bytes_max: usize, within: Duration) -> Result<Got, Fault>;

    /// Replaces a file whose state is still `at`, as [`Backend::get`] gave it; whether it was.
    fn put(&mut self, file: &str, bytes: &[u8], at: &Version) -> Result<bool, Fault>;

    /// One that is not there is removed already.
    fn remove(&mut self, file: &str) -> Result<(), Fault>;

    fn names(&mut self, directory: &str) -> Result<Vec<String>, Fault>;

    /// Whether the version that is read is one that a look can give too. Where servers count, the same state never comes
    /// again, and a look says so soon enough.
    fn reads_what_it_looks_at(&self) -> bool {
        false
    }

    /// Whether a look itself waits for a change.
    fn waits(&self) -> bool {
        false
    }
}

/// Why a server gave nothing.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// More than asked for.
    Size,
    Server {
        said: String,
        help: String,
    },
}

impl Fault {
    pub(super) fn new(said: impl ToString, help: impl ToString) -> Self {
        Self::Server { said: said.to_string(), help: help.to_string() }
    }

    /// An answer that no server of its kind gives.
    pub(super) fn strange(expected: &str, found: impl ToString) -> Self {
        Self::new(format!("expected {expected}, found {}", found.to_string()), "is it the address of such a server?")
    }

    /// What a status says that is none of those that were expected.
    pub(super) fn refused(answer: &Answer, said: &str) -> Self {
        let status = answer.status;
        let said = printable(said);
        let said = if said.is_empty() { format!("the server says {status}") } else { format!("{status}: {said}") };
        let help = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "is the token still valid, and may it do this here?",
            StatusCode::PAYLOAD_TOO_LARGE => "the server takes smaller values alone",
            status if status.is_redirection() => "redirects are never followed: give the address itself",
            status if status.is_server_error() => "is the server up, and its cluster whole?",
            _ => "look into the log of the server",
        };
        Self::new(said, help)
    }

    /// As the fault of a file.
    pub(super) fn of(self, what: &str, bytes_max: usize) -> StoreFault {
        let what = what.to_owned();
        match self {
            Self::Size => StoreFault::Size { what, expected_bytes_max: bytes_max },
            Self::Server { said, help } => StoreFault::Server { what, said, help },
        }
    }
}

impl From<HttpFault> for Fault {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::Size { .. } => Self::Size,
            fault => {
                let help = fault.help();
                Self::new(fault, help)
            }
        }
    }
}

impl From<OpenBaoFault> for Fault {
    fn from(fault: OpenBaoFault) -> Self {
        match fault {
            OpenBaoFault::Http { cause, .. } => cause.into(),
            fault => Self::new(&fault, fault.help()),
        }
    }
}

/// The JSON of an answer.
pub(super) fn json(answer: &Answer) -> Result<Value, Fault> {
    crate::json::parse(&answer.content).map_err(|found| Fault::strange("an answer in JSON", found))
}
