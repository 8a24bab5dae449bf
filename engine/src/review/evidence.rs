//! What the records are as evidence: what they cover, and what is missing from them.
//!
//! The chain of each gateway's lines is followed (`chain::verify`), so that a line or a run that is not there is seen.
//! Whether a gateway's key vouches for them is not looked at: that is `adamant audit verify`.

use std::collections::{BTreeMap, HashMap, HashSet};

use chain::report::{Ended, Report};
use chain::verify::{Extent, Verifier};
use policy_release::digest::Digest;
use serde::Serialize;
use serde_json::Value;

use super::bounds::{CHAIN_FINDINGS_MAX, COVERAGE_SLACK_PARTS, COVERAGE_SLACK_S, GATEWAYS_MAX, HOLES_TOLD_MAX};
use super::scan::Window;
use crate::commands::signing::plural;
use crate::replay::line::{Exchange, parse_time, time_text};

const NS_PER_S: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * NS_PER_S;
/// Releases that are counted apart.
const RELEASES_MAX: usize = 1_000;
/// Lines that are looked at twice where they were written again: a batch of the audit writer at most.
const LEAVES_SEEN_MAX: usize = 65_536;

/// All that is known about the records themselves.
pub struct Evidence {
    pub window: Window,
    pub lines: u64,
    /// In the window.
    pub exchanges: u64,
    /// Lines of exchanges outside it.
    pub outside: u64,
    /// Lines that are no records, and the first few.
    pub foreign: u64,
    pub foreign_told: Vec<String>,
    pub torn: u64,
    /// Of any line.
    pub first_ns: Option<u64>,
    pub last_ns: Option<u64>,
    /// Records that found no room, and denials told by their number alone.
    pub lost: u64,
    pub aggregated: u64,
    /// Exchanges of the window by release.
    pub releases: HashMap<Digest, u64>,
    pub without_release: u64,
    files: Vec<String>,
    file: String,
    gateways: BTreeMap<String, Verifier>,
    gateway: String,
    /// Counters of `loss` lines by worker, in this run.
    losses: HashMap<u64, u64>,
    /// Places of lines in the run that lines written again may repeat.
    leaves: HashSet<u64>,
}

/// What is said about the evidence.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Standing {
    /// Why nothing can be said to be unused.
    pub holes: Vec<String>,
    /// What is worth knowing and speaks against nothing.
    pub notes: Vec<String>,
}

impl Evidence {
    pub fn new(window: Window) -> Self {
        Self {
            window,
            lines: 0,
            exchanges: 0,
            outside: 0,
            foreign: 0,
            foreign_told: Vec::new(),
            torn: 0,
            first_ns: None,
            last_ns: None,
            lost: 0,
            aggregated: 0,
            releases: HashMap::new(),
            without_release: 0,
            files: Vec::new(),
            file: String::new(),
            gateways: BTreeMap::new(),
            gateway: String::new(),
            losses: HashMap::new(),
            leaves: HashSet::new(),
        }
    }

    pub fn begin_file(&mut self, name: &str) {
        name.clone_into(&mut self.file);
        self.files.push(name.to_owned());
    }

    /// The lines of the file that follow are of this gateway, as far as that is known.
    pub fn begin_gateway(&mut self, node: Option<&str>) {
        let node = node.unwrap_or_default();
        if node != self.gateway {
            self.losses.clear();
            self.leaves.clear();
        }
        node.clone_into(&mut self.gateway);
        if self.gateways.contains_key(node) || self.gateways.len() < GATEWAYS_MAX {
            let new = || Verifier::new(Vec::new(), Extent::Part);
            self.gateways.entry(node.to_owned()).or_insert_with(new).begin_file(&self.file);
        }
    }

    pub fn end_file(&mut self) {
        self.file.clear();
    }

    /// Puts a line into its chain. Whether it is there for the first time.
    pub fn chained(&mut self, line: &[u8]) -> bool {
        self.lines += 1;
        if let Some(verifier) = self.gateways.get_mut(&self.gateway).filter(|of| of.findings() < CHAIN_FINDINGS_MAX) {
            verifier.line(line);
        }
        let Some(chained) = chain::line::read(line) else { return true };
        if self.leaves.len() >= LEAVES_SEEN_MAX {
            self.leaves.clear();
        }
        if chained.link.leaf == 0 {
            self.leaves.clear();
        }
        self.leaves.insert(chained.link.leaf)
    }

    pub fn exchange(&mut self, exchange: &Exchange) {
        self.time(exchange.time_unix_ns);
        if !self.window.holds(exchange.time_unix_ns) {
            self.outside += 1;
            return;
        }
        self.exchanges += 1;
        match exchange.release {
            None => self.without_release += 1,
            Some(digest) if self.releases.contains_key(&digest) || self.releases.len() < RELEASES_MAX => {
                *self.releases.entry(digest).or_default() += 1;
            }
            Some(_) => {}
        }
    }

    pub fn other(&mut self, kind: &str, line: &[u8]) {
        if kind == "intent" {
            return;
        }
        let Ok(record) = serde_json::from_slice::<Value>(line) else { return };
        let time = record.get("time").and_then(Value::as_str).and_then(parse_time);
        if let Some(time) = time {
            self.time(time);
        }
        let in_window = time.is_some_and(|time| self.window.holds(time));
        let number = |name: &str| record.get(name).and_then(Value::as_u64).unwrap_or(0);
        match kind {
            "start" => self.losses.clear(),
            "loss" => {
                let before = self.losses.insert(number("adamant.worker"), number("adamant.records_lost")).unwrap_or(0);
                if in_window {
                    self.lost = self.lost.saturating_add(number("adamant.records_lost").saturating_sub(before));
                }
                if self.losses.len() > LEAVES_SEEN_MAX {
                    self.losses.clear();
                }
            }
            "denials-aggregated" if in_window => {
                self.aggregated = self.aggregated.saturating_add(number("adamant.count"));
            }
            _ => {}
        }
    }

    pub fn no_record(&mut self, why: String) {
        self.foreign += 1;
        if self.foreign_told.len() < HOLES_TOLD_MAX {
            self.foreign_told.push(format!("{}: {why}", self.file));
        }
    }

    fn time(&mut self, time_ns: u64) {
        self.first_ns = Some(self.first_ns.map_or(time_ns, |first| first.min(time_ns)));
        self.last_ns = Some(self.last_ns.map_or(time_ns, |last| last.max(time_ns)));
    }

    /// The part of the window that the records cover.
    pub fn covered(&self) -> Window {
        let since_ns = self.first_ns.map_or(self.window.since_ns, |first| first.max(self.window.since_ns));
        let until_ns = self.last_ns.map_or(since_ns, |last| last.saturating_add(1).min(self.window.until_ns));
        Window { since_ns, until_ns }
    }

    /// What is to be said about them; `digest` is the release under review.
    pub fn standing(&mut self, digest: Option<&Digest>) -> Standing {
        let (mut holes, mut notes) = (Vec::new(), Vec::new());
        self.look_at_coverage(&mut holes);
        if self.lost > 0 {
            holes.push(format!("{} lost: the gateway had no room for them", counted(self.lost, "record")));
        }
        let foreign = self.foreign_told.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
        if self.foreign > 0 {
            holes.push(format!("{} no record of this version: {foreign}", are(self.foreign)));
        }
        for (_, verifier) in std::mem::take(&mut self.gateways) {
            look_at_chain(&verifier.finish(), &mut holes, &mut notes);
        }
        if self.torn > 0 {
            notes.push(format!("{} cut off at the end of a file, and left out", are(self.torn)));
        }
        if self.aggregated > 0 {
            notes.push(format!(
                "{} told by their number alone: who was refused there is not known",
                counted(self.aggregated, "denial")
            ));
        }
        let others = match digest {
            Some(digest) => self.releases.iter().filter(|(of, _)| *of != digest).map(|(_, lines)| lines).sum::<u64>(),
            None => 0,
        };
        if others > 0 {
            notes.push(format!(
                "{} made with other releases; names were mapped, and each was decided again with this policy",
                counted(others, "exchange")
            ));
        }
        if digest.is_none() && self.releases.len() > 1 {
            notes.push(format!("{} releases made these exchanges; each was decided again", self.releases.len()));
        }
        holes.truncate(HOLES_TOLD_MAX);
        Standing { holes, notes }
    }

    fn look_at_coverage(&self, holes: &mut Vec<String>) {
        let (Some(first), Some(last)) = (self.first_ns, self.last_ns) else {
            holes.push("there are no records".to_owned());
            return;
        };
        if self.exchanges == 0 {
            holes.push("no exchange lies in the window".to_owned());
        }
        if self.window == Window::ALL {
            return;
        }
        let length = self.window.until_ns.saturating_sub(self.window.since_ns);
        let slack = (length / COVERAGE_SLACK_PARTS).max(COVERAGE_SLACK_S * NS_PER_S).min(length / 2);
        let asked = span_text(length);
        if first > self.window.since_ns.saturating_add(slack) {
            let what = format!("the records begin at {}", time_text(first));
            holes.push(format!("{what}: they do not cover the {asked} that are asked for"));
        }
        if last < self.window.until_ns.saturating_sub(slack) {
            let what = format!("the records end at {}", time_text(last));
            holes.push(format!("{what}: they do not cover the {asked} that are asked for"));
        }
    }
}

/// `30 days`, `12 hours`, `90 seconds`.
pub fn span_text(ns: u64) -> String {
    let seconds = ns / NS_PER_S;
    let (number, unit) = match seconds {
        _ if ns >= 2 * DAY_NS => (seconds / 86_400, "day"),
        7_200.. => (seconds / 3_600, "hour"),
        120.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    plural(usize::try_from(number).unwrap_or(usize::MAX), unit)
}

fn look_at_chain(report: &Report, holes: &mut Vec<String>, notes: &mut Vec<String>) {
    for finding in report.findings.iter().take(HOLES_TOLD_MAX) {
        let at = finding.at.as_ref().map_or_else(String::new, |at| format!("{}:{}: ", at.file, at.line));
        holes.push(format!("{at}{}", finding.what));
    }
    let more = report.findings.len().saturating_sub(HOLES_TOLD_MAX) as u64 + report.findings_not_told;
    if more > 0 {
        holes.push(format!("{more} more findings in the chain (adamant audit verify tells them)"));
    }
    let last = report.runs.len().saturating_sub(1);
    for (index, run) in report.runs.iter().enumerate() {
        let name = run.origin.as_deref().unwrap_or("a run whose beginning is not there");
        if (index < last && run.lines_after > 0) || (index > 0 && run.lines_before > 0) {
            holes.push(format!("lines of {name} are in none of the files"));
        } else if run.gaps && report.findings.is_empty() {
            holes.push(format!("lines of {name} are missing"));
        }
        if run.ended == Ended::Killed {
            notes.push(format!("{name} was killed: records of its last moments may never have been written"));
        }
    }
    if report.lines > 0 && report.runs.is_empty() {
        holes.push("no line is chained: nothing would show that lines are missing".to_owned());
    }
}

fn counted(number: u64, noun: &str) -> String {
    let verb = if number == 1 { "was" } else { "were" };
    format!("{} {verb}", plural(usize::try_from(number).unwrap_or(usize::MAX), noun))
}

fn are(number: u64) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", plural(usize::try_from(number).unwrap_or(usize::MAX), "line"))
}
