//! What a replay found, counted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use policy_evaluate::Evaluation;
use policy_release::digest::Digest;
use serde::Serialize;

use super::compare::{Difference, Standing, outcome};
use super::line::Exchange;

/// Differences that are told in full; all are counted.
const DIFFERENCES_TOLD_MAX: usize = 100;
/// Groups of changes; more are counted together.
const GROUPS_MAX: usize = 10_000;
/// Lines that are no records and are named.
const NO_RECORDS_TOLD_MAX: usize = 20;
/// Kinds of other lines that are named, and bytes of the name of one.
const KINDS_MAX: usize = 100;
const KIND_BYTES_MAX: usize = 100;
/// Releases that are named: those that decisions were made with, and those that nobody has. More are counted together.
const RELEASES_MAX: usize = 1_000;

/// A line of a log; logs are counted from 0, lines from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub log: usize,
    pub line: u64,
}

/// A decision that does not follow from its record.
#[derive(Clone, Debug)]
pub struct Differs {
    pub place: Place,
    pub request_id: String,
    pub differences: Vec<Difference>,
}

/// How a candidate decides otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    NewlyRefused,
    NewlyPermitted,
    /// Still permitted or still refused, but by another rule.
    Otherwise,
}

/// Requests that change in the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub change: Change,
    pub agent: String,
    pub method: String,
    /// Host and path pattern are those of this route; `none` where neither policy has one.
    pub route: String,
    pub before: String,
    pub after: String,
}

/// How many of them there are, and when they came.
#[derive(Clone, Debug)]
pub struct Members {
    pub count: u64,
    pub first_unix_ns: u64,
    pub last_unix_ns: u64,
    /// Of the first.
    pub request_id: String,
}

/// Decisions by release.
#[derive(Debug, Default)]
pub struct ByRelease {
    pub told: BTreeMap<Digest, u64>,
    /// Decisions of releases that are not named: too many are.
    pub not_told: u64,
}

impl ByRelease {
    pub fn add(&mut self, digest: Digest) {
        let is_full = self.told.len() >= RELEASES_MAX;
        match self.told.entry(digest) {
            Entry::Occupied(known) => *known.into_mut() += 1,
            Entry::Vacant(free) if !is_full => drop(free.insert(1)),
            Entry::Vacant(_) => self.not_told += 1,
        }
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    /// Lines of kind exchange.
    pub exchanges: u64,
    /// Of those: decided by the policy, and decided again.
    pub permitted: u64,
    /// By reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Granted by the policy, refused by the gateway; by reason.
    pub granted: BTreeMap<&'static str, u64>,
    /// By reason, or what else it was.
    pub not_decided: BTreeMap<&'static str, u64>,
    /// Why it cannot be told what a candidate had done.
    pub unclear: BTreeMap<&'static str, u64>,
    /// Without the name of their release.
    pub unnamed: u64,
    pub missing_releases: ByRelease,
    pub other_kinds: BTreeMap<String, u64>,
    pub no_records: u64,
    pub no_records_told: Vec<(Place, String)>,
    pub torn: Option<Place>,
    pub differing: u64,
    pub differing_told: Vec<Differs>,
    pub groups: BTreeMap<Group, Members>,
    /// Changes that found no group.
    pub ungrouped: BTreeMap<Change, u64>,
    pub first_unix_ns: Option<u64>,
    pub last_unix_ns: Option<u64>,
    /// Releases that the records name.
    pub releases: ByRelease,
    pub notes: Vec<String>,
}

impl Tally {
    pub fn exchange(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        let time = exchange.time_unix_ns;
        self.first_unix_ns = Some(self.first_unix_ns.map_or(time, |first| first.min(time)));
        self.last_unix_ns = Some(self.last_unix_ns.map_or(time, |last| last.max(time)));
    }

    pub fn no_record(&mut self, place: Place, why: String) {
        self.no_records += 1;
        if self.no_records_told.len() < NO_RECORDS_TOLD_MAX {
            self.no_records_told.push((place, why));
        }
    }

    pub fn other(&mut self, kind: String) {
        let is_told = kind.len() <= KIND_BYTES_MAX && self.other_kinds.len() < KINDS_MAX;
        let kind = if is_told || self.other_kinds.contains_key(&kind) { kind } else { "further kinds".to_owned() };
        *self.other_kinds.entry(kind).or_default() += 1;
    }

    pub fn not_decided(&mut self, why: &'static str) {
        *self.not_decided.entry(why).or_default() += 1;
    }

    pub fn unclear(&mut self, why: &'static str) {
        *self.unclear.entry(why).or_default() += 1;
    }

    /// A decision that was made again with its own release.
    pub fn decided(&mut self, place: Place, exchange: &Exchange, standing: Standing, differences: Vec<Difference>) {
        self.count(exchange, standing);
        if differences.is_empty() {
            return;
        }
        self.differing += 1;
        if self.differing_told.len() < DIFFERENCES_TOLD_MAX {
            self.differing_told.push(Differs { place, request_id: exchange.request_id.clone(), differences });
        }
    }

    /// An exchange that cannot be read follows from nothing.
    pub fn unreadable(&mut self, place: Place, why: String) {
        self.differing += 1;
        if self.differing_told.len() < DIFFERENCES_TOLD_MAX {
            let differences = vec![Difference { what: "record", recorded: why, now: "nothing".to_owned() }];
            self.differing_told.push(Differs { place, request_id: "unknown".to_owned(), differences });
        }
    }

    /// Counts a decision as it was recorded.
    fn count(&mut self, exchange: &Exchange, standing: Standing) {
        if let Some(digest) = exchange.release {
            self.releases.add(digest);
        }
        let reason = exchange.decided.reason.map_or("no reason", policy::reason::Reason::name);
        match standing {
            Standing::Granted => *self.granted.entry(reason).or_default() += 1,
            _ if exchange.decided.permitted => self.permitted += 1,
            _ => *self.refused.entry(reason).or_default() += 1,
        }
    }

    /// A decision that was made again by a candidate.
    pub fn compared(&mut self, exchange: &Exchange, standing: Standing, found: &Evaluation) {
        self.count(exchange, standing);
        let decided = &exchange.decided;
        // What the gateway refused of its own accord counts as what the policy said: it was granted.
        let permitted = decided.permitted || standing == Standing::Granted;
        let reason = decided.reason.filter(|_| !permitted);
        let same_rule = (&decided.agent, &decided.granted_by, &decided.route, &decided.scope)
            == (&found.agent, &found.granted_by, &found.route, &found.scope);
        let change = match (permitted, found.permitted) {
            // Its limits were not asked then.
            (true, false) if standing == Standing::Granted && found.route.is_some() => return,
            (true, false) => Change::NewlyRefused,
            (false, true) => Change::NewlyPermitted,
            (true, true) if !same_rule => Change::Otherwise,
            (false, false) if reason != found.reason => Change::Otherwise,
            _ => return,
        };
        let name = |before: &Option<String>, after: &Option<String>| match (before, after) {
            (Some(before), Some(after)) if before != after => format!("{before} → {after}"),
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => "nobody".to_owned(),
        };
        let route = match (&decided.route, &found.route) {
            (None, None) => "none".to_owned(),
            (before, after) => name(before, after),
        };
        let scope = |permitted: bool, scope: &Option<String>| match scope {
            Some(scope) if permitted && change == Change::Otherwise => format!(" by {scope}"),
            _ => String::new(),
        };
        let group = Group {
            change,
            agent: name(&decided.agent, &found.agent),
            method: exchange.request.method.clone(),
            route,
            before: format!("{}{}", outcome(permitted, reason), scope(permitted, &decided.scope)),
            after: format!("{}{}", outcome(found.permitted, found.reason), scope(found.permitted, &found.scope)),
        };
        self.group(group, exchange);
    }

    fn group(&mut self, group: Group, exchange: &Exchange) {
        let time = exchange.time_unix_ns;
        if let Some(members) = self.groups.get_mut(&group) {
            members.count += 1;
            members.first_unix_ns = members.first_unix_ns.min(time);
            members.last_unix_ns = members.last_unix_ns.max(time);
        } else if self.groups.len() < GROUPS_MAX {
            let request_id = exchange.request_id.clone();
            self.groups.insert(group, Members { count: 1, first_unix_ns: time, last_unix_ns: time, request_id });
        } else {
            *self.ungrouped.entry(group.change).or_default() += 1;
        }
    }

    /// Requests that change in this way.
    pub fn changed(&self, change: Change) -> u64 {
        let grouped = self.groups.iter().filter(|(group, _)| group.change == change).map(|(_, members)| members.count);
        grouped.sum::<u64>() + self.ungrouped.get(&change).copied().unwrap_or(0)
    }

    /// Decisions that were made again.
    pub fn made_again(&self) -> u64 {
        self.permitted + self.refused.values().sum::<u64>() + self.granted.values().sum::<u64>()
    }

    /// Decisions of the policy that were not made again: their release is not known, or not there.
    pub fn not_made_again(&self) -> u64 {
        self.missing_releases.told.values().sum::<u64>() + self.missing_releases.not_told + self.unnamed
    }

    /// Exit status of a replay with the releases of the records: 1 unless every decision came out as recorded.
    pub fn status_own(&self) -> u8 {
        u8::from(self.differing > 0 || self.not_made_again() > 0)
    }

    /// Exit status of a replay against a candidate: 0, or 10 newly refused, 11 newly permitted, 12 both.
    pub fn status_candidate(&self) -> u8 {
        match (self.changed(Change::NewlyRefused) > 0, self.changed(Change::NewlyPermitted) > 0) {
            (false, false) => 0,
            (true, false) => 10,
            (false, true) => 11,
            (true, true) => 12,
        }
    }
}
