//! What a verification found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::line::{Chain, Link};

/// The outcome over all lines that were given.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Nothing was found that must not be.
    pub intact: bool,
    /// What was expected of the files: what lies outside it is not missed.
    pub extent: Extent,
    pub lines: u64,
    /// Beginnings of lines that a crash may have left, or whoever could write the files: no checkpoint covers them.
    pub cut_off: u64,
    pub runs: Vec<Run>,
    pub findings: Vec<Finding>,
    /// Findings beyond the bound, told by their number alone.
    pub findings_not_told: u64,
    /// What is normal but worth knowing, and what could not be known.
    pub notes: Vec<String>,
    /// The files in their order, where their first lines say that they came in another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
}

/// Which part of the gateway's whole log the files are said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// All of it, from the gateway's first line on.
    #[default]
    Whole,
    /// Its later part: older files are kept elsewhere.
    Later,
    /// Any part of it.
    Part,
}

/// One run of one gateway, as far as its lines are there.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// None when neither a start nor a later file's first line says it.
    pub origin: Option<String>,
    /// The public key that the run says is its own.
    pub key: Option<String>,
    pub first: At,
    pub last: At,
    /// Lines of the run before the first one here.
    pub lines_before: u64,
    pub lines: u64,
    /// Lines of the run after the last one here that a checkpoint or the run after it tells of; there may be more.
    pub lines_after: u64,
    /// Lines between the first and the last one here are missing or out of place. Behind them nothing is compared with
    /// checkpoints, until a line of the gateway says where everything stands.
    pub gaps: bool,
    /// Lines by chain.
    pub chains: BTreeMap<String, u64>,
    pub ended: Ended,
    /// The last checkpoint that matches.
    pub proved: Option<Proved>,
    /// The last one of those that are held elsewhere than beside the log.
    pub proved_outside: Option<Proved>,
    /// Lines after the last checkpoint that matches: chained, not sealed.
    pub unsealed: u64,
    /// Whether the run is here from its start line to its stop line. None: nothing is known to be missing, but no stop
    /// line says where the run ended.
    pub whole: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// With a `stop` line.
    Stop,
    /// Another run begins: this one was killed.
    Killed,
    /// With a `rotation` line: it goes on in another file.
    Rotation,
    /// Nothing says: it may still run, or was killed.
    Open,
}

/// Everything of a run up to a line is what the gateway signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// Lines of the run that the checkpoint covers.
    pub size: u64,
    /// The last of them.
    pub at: At,
    pub signer: String,
    /// Where such a checkpoint was found.
    pub held: Vec<String>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct At {
    pub file: String,
    /// From 1.
    pub line: u64,
    /// What its chain member says, if it has one.
    #[serde(flatten)]
    pub link: Option<AtLink>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtLink {
    pub chain: String,
    pub sequence: u64,
    pub leaf: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A line has no chain member, or it is damaged.
    Unchained,
    /// A line is not what was chained.
    Changed,
    /// Lines are not there.
    Missing,
    /// Lines do not stand where they were written.
    Moved,
    /// Lines that do not belong there: of another run, or made up.
    Foreign,
    /// Lines stand twice.
    Repeated,
    /// The end of a run is not there.
    Truncated,
    /// The first lines of a run are not there.
    BeginningMissing,
    /// A whole run is not there.
    RunMissing,
    /// A signed checkpoint does not match the lines.
    Root,
    /// A checkpoint is not signed as it should be.
    Signature,
    /// Nothing is wrong with a run, but no checkpoint vouches for it.
    Unproved,
}

#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub at: Option<At>,
    pub run: Option<String>,
    /// One sentence.
    pub what: String,
}

impl At {
    pub fn new(file: &str, line: u64, link: Option<&Link>) -> Self {
        let link = link.map(|link| AtLink { chain: link.chain.to_string(), sequence: link.sequence, leaf: link.leaf });
        Self { file: file.to_owned(), line, link }
    }
}

/// `FILE:LINE (worker 0, sequence 17, line 50 of its run)`; lines of a run are counted from 1.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        let Some(link) = &self.link else { return Ok(()) };
        let whose = match Chain::read(&link.chain) {
            Some(Chain::Worker(index)) => format!("worker {index}"),
            _ => link.chain.clone(),
        };
        write!(f, " ({whose}, sequence {}, line {} of its run)", link.sequence, link.leaf.saturating_add(1))
    }
}

impl Report {
    /// Tells a finding; gives its place among them, to be told better later.
    pub(crate) fn find(&mut self, kind: Kind, at: Option<At>, run: Option<&str>, what: String) -> Option<usize> {
        if self.findings.len() >= crate::bounds::FINDINGS_MAX {
            self.findings_not_told += 1;
            return None;
        }
        self.findings.push(Finding { kind, at, run: run.map(str::to_owned), what });
        Some(self.findings.len() - 1)
    }
}

/// `1 line`, `2 lines`.
pub fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

#[cfg(test)]
mod tests;
