//! What the records are as evidence: what they cover, and what is missing from them.
//!
//! The chain of each gateway's lines is followed (`chain::verify`), so that a line or a run that is not there is seen.
//! Whether a gateway's key vouches for them is not looked at: that is `adamant audit verify`.

use std::collections::{HashMap, HashSet};

use chain::line::Chain;
use chain::report::{Ended, Report};
use policy_release::digest::Digest;
use serde::Serialize;
use serde_json::Value;

use super::bounds::{CHAIN_FINDINGS_MAX, GATEWAYS_MAX, HOLES_TOLD_MAX};
use super::scan::Window;
use crate::commands::signing::plural;
use crate::replay::line::{Exchange, parse_time};

mod gateway;

use gateway::{Gateway, look_at_coverage};

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
    /// Exchanges outside it.
    pub outside: u64,
    /// Exchanges of the window that have begun and of which no end is told.
    pub cut_short: u64,
    /// Lines that are no records, and the first few.
    pub foreign: u64,
    pub foreign_told: Vec<String>,
    pub torn: u64,
    /// Records that found no room, and denials told by their number alone.
    pub lost: u64,
    pub aggregated: u64,
    /// Exchanges of the window by release.
    pub releases: HashMap<Digest, u64>,
    pub without_release: u64,
    files: Vec<String>,
    file: String,
    gateways: Vec<Gateway>,
    /// Place in `gateways` by name, and that of the present one: none where there are too many.
    places: HashMap<String, usize>,
    gateway: Option<usize>,
    /// Of the present line.
    chain: Option<Chain>,
    /// Files of gateways that found no place.
    files_left_out: u64,
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
            cut_short: 0,
            foreign: 0,
            foreign_told: Vec::new(),
            torn: 0,
            lost: 0,
            aggregated: 0,
            releases: HashMap::new(),
            without_release: 0,
            files: Vec::new(),
            file: String::new(),
            gateways: Vec::new(),
            places: HashMap::new(),
            gateway: None,
            chain: None,
            files_left_out: 0,
            losses: HashMap::new(),
            leaves: HashSet::new(),
        }
    }

    pub fn begin_file(&mut self, name: &str) {
        name.clone_into(&mut self.file);
        self.files.push(name.to_owned());
    }

    /// The lines that follow are of this gateway; of no known one where it is empty. `from_line`: those before it in the
    /// file are of another.
    pub fn begin_gateway(&mut self, name: &str, from_line: Option<u64>) {
        let place = self.places.get(name).copied().or_else(|| self.new_gateway(name));
        if place != self.gateway {
            self.losses.clear();
            self.leaves.clear();
        }
        self.gateway = place;
        let file = match from_line {
            None => self.file.clone(),
            Some(line) => format!("{} (from line {line} on)", self.file),
        };
        match self.gateway() {
            Some(gateway) => gateway.chain.begin_file(&file),
            None => self.files_left_out += 1,
        }
    }

    fn new_gateway(&mut self, name: &str) -> Option<usize> {
        let place = self.gateways.len();
        if place >= GATEWAYS_MAX {
            return None;
        }
        self.places.insert(name.to_owned(), place);
        self.gateways.push(Gateway::new(name));
        Some(place)
    }

    /// Whether a line is the one that comes next in the run of the present gateway.
    pub fn goes_on(&self, line: &[u8]) -> bool {
        let next = self.gateway.and_then(|place| self.gateways.get(place)?.leaf_next);
        next.is_some() && next == chain::line::read(line).map(|chained| chained.link.leaf)
    }

    fn gateway(&mut self) -> Option<&mut Gateway> {
        self.gateways.get_mut(self.gateway?)
    }

    pub fn end_file(&mut self) {
        self.file.clear();
    }

    /// Puts a line into its chain. Whether it is there for the first time.
    pub fn chained(&mut self, line: &[u8]) -> bool {
        self.lines += 1;
        let chained = chain::line::read(line);
        self.chain = chained.map(|chained| chained.link.chain);
        if let Some(gateway) = self.gateway() {
            gateway.leaf_next = chained.map(|chained| chained.link.leaf.saturating_add(1)).or(gateway.leaf_next);
            if gateway.chain.findings() < CHAIN_FINDINGS_MAX {
                gateway.chain.line_apart(line, chained);
            }
        }
        let Some(chained) = chained else { return true };
        if self.leaves.len() >= LEAVES_SEEN_MAX {
            self.leaves.clear();
        }
        if chained.link.leaf == 0 {
            self.leaves.clear();
        }
        self.leaves.insert(chained.link.leaf)
    }

    /// `is_new`: its line stands there for the first time.
    pub fn exchange(&mut self, exchange: &Exchange, is_new: bool) {
        self.record();
        if !is_new {
            return;
        }
        // One that took longer than a record can tell was written at some later time.
        if !exchange.outlasts_its_record() {
            self.time(exchange.ended_unix_ns());
        }
        if !self.window.meets_exchange(exchange) {
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

    /// Of a line of another kind: its time.
    pub fn other(&mut self, kind: &str, line: &[u8], is_new: bool) -> Option<u64> {
        self.record();
        // Much the same as its exchange, which will be there.
        if kind == "intent" {
            return None;
        }
        let record = serde_json::from_slice::<Value>(line).ok()?;
        let time = record.get("time").and_then(Value::as_str).and_then(parse_time);
        if let Some(time) = time.filter(|_| is_new) {
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
        time
    }

    pub fn no_record(&mut self, why: String) {
        self.foreign += 1;
        if self.foreign_told.len() < HOLES_TOLD_MAX {
            self.foreign_told.push(format!("{}: {why}", self.file));
        }
    }

    fn record(&mut self) {
        if let Some(gateway) = self.gateway() {
            gateway.records += 1;
        }
    }

    /// When the present line was written.
    fn time(&mut self, at_ns: u64) {
        let (window, chain) = (self.window, self.chain);
        if let Some(gateway) = self.gateway() {
            gateway.written(chain, at_ns, window);
        }
    }

    /// The part of the window in which there are records of any gateway.
    pub fn covered(&self) -> Window {
        let times = || self.gateways.iter().filter_map(|gateway| gateway.times);
        let (first, last) = (times().map(|(first, _)| first).min(), times().map(|(_, last)| last).max());
        let since_ns = first.map_or(self.window.since_ns, |first| first.max(self.window.since_ns));
        let until_ns = last.map_or(since_ns, |last| last.saturating_add(1).min(self.window.until_ns));
        Window { since_ns, until_ns }
    }

    /// What is to be said about them; `digest` is the release under review.
    pub fn standing(&mut self, digest: Option<&Digest>) -> Standing {
        let (mut holes, mut notes) = (Vec::new(), Vec::new());
        look_at_coverage(&self.gateways, self.window, &mut holes);
        if self.exchanges + self.cut_short == 0 && self.gateways.iter().any(|gateway| gateway.records > 0) {
            holes.push("no exchange lies in the window".to_owned());
        }
        if self.lost > 0 {
            holes.push(format!("{} lost: the gateway had no room for them", counted(self.lost, "record")));
        }
        let foreign = self.foreign_told.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
        if self.foreign > 0 {
            holes.push(format!("{} no record of this version: {foreign}", are(self.foreign)));
        }
        if self.files_left_out > 0 {
            let files = are(self.files_left_out).replacen("line", "file", 1);
            holes.push(format!("{files} of more than {GATEWAYS_MAX} gateways, and not looked into"));
        }
        for gateway in std::mem::take(&mut self.gateways) {
            look_at_chain(&gateway.chain.finish(), &mut holes, &mut notes);
        }
        if self.torn > 0 {
            notes.push(format!("{} cut off at the end of a file, and left out", are(self.torn)));
        }
        let exchanges = |number: u64| plural(usize::try_from(number).unwrap_or(usize::MAX), "exchange");
        if self.cut_short > 0 {
            notes.push(format!(
                "{} began, and no line tells of the end (a crash, or still going on): counted as used",
                exchanges(self.cut_short)
            ));
        }
        if self.outside > 0 {
            notes.push(format!("{} outside of the window, and left out", exchanges(self.outside)));
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

#[cfg(test)]
mod tests;
