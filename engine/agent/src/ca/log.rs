//! The log of what a CA issued and revoked: JSON lines, each on disk before its certificate is handed out.

use std::path::Path;

use policy_release::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bounds::{ISSUED_LINES_MAX, LOG_BYTES_MAX};
use crate::fault::Fault;
use crate::files;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    pub time: Timestamp,
    /// Lower-case hex.
    pub serial: String,
    /// The SPIFFE id, or the names of a server with commas between.
    pub name: String,
    /// Over the certificate, lower-case hex.
    pub sha256: String,
    pub until: Timestamp,
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub time: Timestamp,
    pub serial: String,
    pub until: Timestamp,
    pub why: String,
}

/// The lines of a log; none where there is no file yet.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Fault> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = files::read_text(path, LOG_BYTES_MAX)?;
    let line = |(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            Fault::at(path, format_args!("line {}: expected a line of this log, found {error}", number + 1))
        })
    };
    text.lines().take(ISSUED_LINES_MAX).enumerate().map(line).collect()
}

/// Adds a line.
pub fn add<T: Serialize>(path: &Path, entry: &T) -> Result<(), Fault> {
    let line = serde_json::to_string(entry).map_err(|error| Fault::at(path, error))?;
    files::append(path, &format!("{line}\n"))
}
