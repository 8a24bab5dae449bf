//! The log of `agent run`: one JSON object a line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Log;
use super::track::Kind;
use crate::bounds::{RUN_LIST_MAX, RUN_TEXT_BYTES_MAX};
use crate::clock;
use crate::fault::Fault;
use crate::profile::Profile;

/// In place of what was cut off.
const CUT: &str = "…";

/// One refresh, or a word about one that is missing: a line of the log.
#[derive(Serialize)]
pub struct Line {
    time: String,
    kind: &'static str,
    what: &'static str,
    why: &'static str,
    from: String,
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
    /// How long the old one holds beside the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks_failed: Vec<String>,
}

impl Line {
    pub fn new(
        (kind, what): (&'static str, &'static str),
        why: &'static str,
        from: &str,
        outcome: &'static str,
    ) -> Self {
        Self {
            time: clock::shown(clock::now_s()).to_string(),
            kind,
            what,
            why,
            from: from.to_owned(),
            outcome,
            old_sha256: None,
            new_sha256: None,
            key_sha256: None,
            release: None,
            changes: Vec::new(),
            until: None,
            overlap_s: None,
            error: None,
            todo: None,
            again_in_ms: None,
            hooks_failed: Vec::new(),
        }
    }

    /// What is the matter with the log itself.
    pub fn of_log(why: &'static str, outcome: &'static str, fault: &Fault) -> Self {
        let mut line = Self::new(("warning", "log"), why, "", outcome);
        (line.error, line.todo) = (Some(fault.to_string()), fault.hint().map(str::to_owned));
        line.capped()
    }

    /// As it is told: what somebody else has a say in is cut where it is long.
    pub fn capped(mut self) -> Self {
        cap(&mut self.from);
        [&mut self.error, &mut self.todo].into_iter().flatten().for_each(cap);
        for list in [&mut self.changes, &mut self.hooks_failed] {
            if let Some(more) = list.len().checked_sub(RUN_LIST_MAX).filter(|more| *more > 0) {
                list.truncate(RUN_LIST_MAX);
                list.push(format!("and {more} more"));
            }
            list.iter_mut().for_each(cap);
        }
        self
    }
}

fn cap(text: &mut String) {
    if text.len() > RUN_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(RUN_TEXT_BYTES_MAX - CUT.len()));
        text.push_str(CUT);
    }
}

/// What is done from now on: the first line.
#[derive(Serialize)]
pub struct Started {
    time: String,
    kind: &'static str,
    profile: PathBuf,
    agent: String,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_renews: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_renews: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

impl Started {
    pub fn new(directory: &Path, profile: &Profile, metrics: Option<SocketAddr>) -> Self {
        Self {
            time: clock::shown(clock::now_s()).to_string(),
            kind: "started",
            profile: directory.to_owned(),
            agent: profile.agent.clone(),
            from: profile.certificate.shown(),
            certificate_until: None,
            certificate_renews: None,
            token_until: None,
            token_renews: None,
            follows: profile.follows.as_ref().map(ToString::to_string),
            metrics: metrics.map(|bound| format!("http://{bound}/metrics")),
        }
    }

    /// When what is in use ends, and when it is renewed.
    pub fn plan(&mut self, kind: Kind, ends_s: Option<u64>, renews_s: Option<u64>) {
        let shown = |time_s: Option<u64>| time_s.map(|time_s| clock::shown(time_s).to_string());
        let (until, renews) = match kind {
            Kind::Certificate => (&mut self.certificate_until, &mut self.certificate_renews),
            Kind::Token => (&mut self.token_until, &mut self.token_renews),
        };
        (*until, *renews) = (shown(ends_s), shown(renews_s));
    }
}

pub fn tell(line: &impl Serialize, log: Log<'_>) {
    if let Ok(text) = serde_json::to_string(line) {
        log(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let mut line = Line::new(("refresh", "profile"), "channel", &"f".repeat(RUN_TEXT_BYTES_MAX), "failed");
        // Of three bytes each.
        line.error = Some("€".repeat(RUN_TEXT_BYTES_MAX));
        line.todo = Some("short".to_owned());
        line.changes = vec!["x".repeat(RUN_TEXT_BYTES_MAX + 1); RUN_LIST_MAX + 3];
        line.hooks_failed = vec!["exec false".to_owned(); RUN_LIST_MAX];
        let line = line.capped();
        assert_eq!((line.from.len(), line.todo.as_deref()), (RUN_TEXT_BYTES_MAX, Some("short")));
        let error = line.error.as_deref().unwrap_or_default();
        assert!((RUN_TEXT_BYTES_MAX - 2..=RUN_TEXT_BYTES_MAX).contains(&error.len()), "{}", error.len());
        assert!(error.ends_with("€…"));
        assert_eq!((line.changes.len(), line.hooks_failed.len()), (RUN_LIST_MAX + 1, RUN_LIST_MAX));
        assert_eq!(line.changes.last().map(String::as_str), Some("and 3 more"));
        assert!(line.changes.iter().all(|change| change.len() <= RUN_TEXT_BYTES_MAX));
    }
}
