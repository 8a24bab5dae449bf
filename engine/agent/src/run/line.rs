//! The log of `agent run`: one JSON object a line.

use serde::Serialize;

use super::Log;
use crate::clock;
use crate::fault::Fault;

/// One refresh, or a word about one that is missing: a line of the log.
#[derive(Serialize)]
pub struct Line<'a> {
    time: String,
    kind: &'static str,
    what: &'static str,
    why: &'static str,
    from: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
    /// Of what a channel runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks_failed: Vec<String>,
}

impl<'a> Line<'a> {
    pub fn new(
        (kind, what): (&'static str, &'static str),
        why: &'static str,
        from: &'a str,
        outcome: &'static str,
    ) -> Self {
        Self {
            time: clock::shown(clock::now_s()).to_string(),
            kind,
            what,
            why,
            from,
            outcome,
            old_sha256: None,
            new_sha256: None,
            key_sha256: None,
            release: None,
            changes: Vec::new(),
            until: None,
            error: None,
            todo: None,
            again_in_ms: None,
            hooks_failed: Vec::new(),
        }
    }
}

pub fn tell(line: &Line<'_>, log: Log<'_>) -> Result<(), Fault> {
    log(&serde_json::to_string(line).map_err(Fault::new)?)
}
