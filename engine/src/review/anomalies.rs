//! A window of traffic against a baseline: what is new, and what is more than chance allows.

mod unjudged;

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use super::bounds::{
    BURST_MIN, DAY_CALLS_MIN, DAY_DAYS_MIN, DEVIATIONS, FALSE_ALARM, HOURS_ALIKE_MIN, HOURS_MAX, PREFIXES_MAX,
    RATE_EXCESS_MIN,
};
use super::odds;
use super::profile::{HOUR_NS, Hours, Profile, Some1};
use crate::replay::line::time_text;

pub use self::unjudged::{Unjudged, unjudged};

const DAY_HOURS: u64 = 24;
const WEEK_HOURS: u64 = 168;
/// A rate of so many times the median, and a burst of so many denials an hour, is severe.
const RATE_SEVERE: f64 = 10.0;
const BURST_SEVERE: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    NewPrefix,
    DenialBurst,
    Rate,
    NewPair,
    NewAgent,
    NewKey,
    TimeOfDay,
    NewCertificate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    High,
    Medium,
    Low,
}

/// One thing that is unlike the baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    pub severity: Severity,
    pub kind: Kind,
    pub who: String,
    /// Why it is unusual.
    pub why: String,
    pub count: u64,
    #[serde(rename = "first", serialize_with = "as_time")]
    pub first_ns: u64,
    #[serde(rename = "last", serialize_with = "as_time")]
    pub last_ns: u64,
    /// One of them.
    pub request_id: String,
}

fn as_time<S: Serializer>(ns: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*ns))
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::NewPrefix,
        Self::DenialBurst,
        Self::Rate,
        Self::NewPair,
        Self::NewAgent,
        Self::NewKey,
        Self::TimeOfDay,
        Self::NewCertificate,
    ];

    /// As in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewPrefix => "new-prefix",
            Self::DenialBurst => "denial-burst",
            Self::Rate => "rate",
            Self::NewPair => "new-pair",
            Self::NewAgent => "new-agent",
            Self::NewKey => "new-key",
            Self::TimeOfDay => "time-of-day",
            Self::NewCertificate => "new-certificate",
        }
    }

    pub const fn heading(self) -> &'static str {
        match self {
            Self::NewPrefix => "credential from a new network",
            Self::DenialBurst => "burst of denials",
            Self::Rate => "more calls than usual",
            Self::NewPair => "route that is new to its agent",
            Self::NewAgent => "agent that never called before",
            Self::NewKey => "token key that was not seen before",
            Self::TimeOfDay => "calls at an unusual hour",
            Self::NewCertificate => "certificate that was not seen before",
        }
    }
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// All that is unlike, the most severe first.
pub fn compare(baseline: &Profile, now: &Profile) -> Vec<Anomaly> {
    let mut all = Vec::new();
    agents(baseline, now, &mut all);
    denials(baseline, now, &mut all);
    credentials(baseline, now, &mut all);
    all.sort_by(|one, other| {
        let key = |found: &Anomaly| (found.severity, found.kind, std::cmp::Reverse(found.count));
        key(one).cmp(&key(other)).then_with(|| one.who.cmp(&other.who))
    });
    all
}

fn anomaly(severity: Severity, kind: Kind, who: String, why: String, of: &Some1) -> Anomaly {
    let (count, first_ns, last_ns) = (of.count, of.first_ns, of.last_ns);
    Anomaly { severity, kind, who, why, count, first_ns, last_ns, request_id: of.request_id.to_string() }
}

/// Several hours of one finding.
fn joined<'h>(hours: impl Iterator<Item = &'h Some1>) -> Option<Some1> {
    hours.fold(None, |all: Option<Some1>, hour| {
        let Some(mut all) = all else { return Some(hour.clone()) };
        all.count += hour.count;
        if hour.first_ns < all.first_ns {
            all.request_id.clone_from(&hour.request_id);
        }
        all.first_ns = all.first_ns.min(hour.first_ns);
        all.last_ns = all.last_ns.max(hour.last_ns);
        Some(all)
    })
}

fn agents(baseline: &Profile, now: &Profile, all: &mut Vec<Anomaly>) {
    let span = Span::of(baseline);
    for (agent, hours) in &now.agents {
        let Some(before) = baseline.agents.get(agent) else {
            if let Some(calls) = joined(hours.values()) {
                let why =
                    "the baseline has no call of it: a policy that gives it something is new, or it slept".to_owned();
                all.push(anomaly(Severity::Medium, Kind::NewAgent, format!("agent {agent}"), why, &calls));
            }
            continue;
        };
        rates(agent, before, hours, span, all);
        times_of_day(agent, before, hours, span, all);
    }
    for ((agent, route), calls) in &now.pairs {
        let is_known = baseline.pairs.contains_key(&(agent.clone(), route.clone()));
        if is_known || !baseline.agents.contains_key(agent) {
            continue;
        }
        let why = format!("the baseline has calls of {agent}, none to this route");
        all.push(anomaly(Severity::Medium, Kind::NewPair, format!("agent {agent}, route {route}"), why, calls));
    }
}

/// The whole hours of a baseline: from, and until.
#[derive(Clone, Copy)]
struct Span {
    since: u64,
    until: u64,
}

impl Span {
    fn of(profile: &Profile) -> Self {
        let covered = profile.covered();
        let (since, until) = (covered.since_ns.div_ceil(HOUR_NS), covered.until_ns / HOUR_NS);
        Self { since: since.max(until.saturating_sub(HOURS_MAX as u64)), until }
    }

    const fn hours(self) -> u64 {
        self.until.saturating_sub(self.since)
    }

    /// Those of `hours` that lie in it, whole or not.
    fn within(self, hours: &Hours) -> impl Iterator<Item = (&u64, &Some1)> {
        hours.range(self.since.saturating_sub(1)..=self.until)
    }

    fn calls(self, hours: &Hours) -> u64 {
        self.within(hours).map(|(_, of)| of.count).sum()
    }

    /// Hours that are like this one: of the week, else of the day, else all.
    fn alike(self, hour: u64) -> impl Iterator<Item = u64> {
        let every = |step: u64| {
            let first = self.since + (hour % step + step - self.since % step) % step;
            (first..self.until).step_by(usize::try_from(step).unwrap_or(1))
        };
        let steps = [WEEK_HOURS, DAY_HOURS];
        every(steps.into_iter().find(|step| every(*step).count() >= HOURS_ALIKE_MIN).unwrap_or(1))
    }
}

/// An hour that has more than chance and habit allow.
struct Excess {
    /// Of the hours alike.
    median: f64,
    hours: usize,
}

/// Both must hold: more than an even Poisson stream has in a millionth of its hours, and far above the median by the
/// deviations that the baseline has.
fn excess(before: &Hours, now: u64, hour: u64, span: Span, least: u32) -> Option<Excess> {
    let mut counts: Vec<u32> = span
        .alike(hour)
        .map(|hour| before.get(&hour).map_or(0, |of| u32::try_from(of.count).unwrap_or(u32::MAX)))
        .collect();
    if counts.len() < HOURS_ALIKE_MIN {
        return None;
    }
    let sum: u64 = counts.iter().copied().map(u64::from).sum();
    if odds::at_least(now, sum, counts.len() as u64) > FALSE_ALARM {
        return None;
    }
    let (median, deviation) = odds::middle(&mut counts);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let above = now as f64 - median;
    let is_far = above >= f64::from(least) && above > DEVIATIONS * deviation;
    is_far.then_some(Excess { median, hours: counts.len() })
}

fn rates(agent: &str, before: &Hours, hours: &Hours, span: Span, all: &mut Vec<Anomaly>) {
    let found = hours.iter().filter_map(|(hour, calls)| {
        excess(before, calls.count, *hour, span, RATE_EXCESS_MIN).map(|excess| (calls, excess))
    });
    let found: Vec<(&Some1, Excess)> = found.collect();
    let Some((worst, excess)) = found.iter().max_by_key(|(calls, _)| calls.count) else { return };
    let Some(calls) = joined(found.iter().map(|(calls, _)| *calls)) else { return };
    let why = format!(
        "{} calls in an hour; the median of {} hours alike is {}{}",
        worst.count,
        excess.hours,
        excess.median,
        if found.len() > 1 { format!(" ({} such hours)", found.len()) } else { String::new() }
    );
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let severe = worst.count as f64 >= RATE_SEVERE * excess.median.max(1.0);
    let severity = if severe { Severity::High } else { Severity::Medium };
    all.push(anomaly(severity, Kind::Rate, format!("agent {agent}"), why, &calls));
}

/// Calls in an hour of the day in which, and next to which, there were none.
fn times_of_day(agent: &str, before: &Hours, hours: &Hours, span: Span, all: &mut Vec<Anomaly>) {
    let calls = span.calls(before);
    if calls < DAY_CALLS_MIN || span.hours() < DAY_DAYS_MIN * DAY_HOURS {
        return;
    }
    let usual: BTreeSet<u64> = span.within(before).map(|(hour, _)| hour % DAY_HOURS).collect();
    let near = |hour: u64| {
        let around = [hour + DAY_HOURS - 1, hour, hour + 1];
        around.into_iter().any(|hour| usual.contains(&(hour % DAY_HOURS)))
    };
    let odd: Vec<(&u64, &Some1)> = hours.iter().filter(|(hour, _)| !near(**hour)).collect();
    let Some(first) = odd.first().map(|(hour, _)| **hour % DAY_HOURS) else { return };
    if let Some(of) = joined(odd.iter().map(|(_, of)| *of)) {
        let why = format!("at {first:02}:00 UTC; none of {calls} calls of the baseline came within an hour of that");
        all.push(anomaly(Severity::Low, Kind::TimeOfDay, format!("agent {agent}"), why, &of));
    }
}

fn denials(baseline: &Profile, now: &Profile, all: &mut Vec<Anomaly>) {
    let span = Span::of(baseline);
    let none = Hours::new();
    for ((reason, client), hours) in &now.denials {
        let before = baseline.denials.get(&(*reason, client.clone())).unwrap_or(&none);
        let found = hours.iter().filter_map(|(hour, denials)| {
            excess(before, denials.count, *hour, span, BURST_MIN).map(|excess| (denials, excess))
        });
        let found: Vec<(&Some1, Excess)> = found.collect();
        let Some((worst, excess)) = found.iter().max_by_key(|(denials, _)| denials.count) else { continue };
        let Some(of) = joined(found.iter().map(|(denials, _)| *denials)) else { continue };
        let why =
            format!("{} in an hour; the median of {} hours alike is {}", worst.count, excess.hours, excess.median);
        let severity = if worst.count >= BURST_SEVERE { Severity::High } else { Severity::Medium };
        all.push(anomaly(severity, Kind::DenialBurst, format!("{reason}, {client}"), why, &of));
    }
}

fn credentials(baseline: &Profile, now: &Profile, all: &mut Vec<Anomaly>) {
    for (credential, prefixes) in &now.credentials {
        let Some(before) = baseline.credentials.get(credential).filter(|before| before.len() < PREFIXES_MAX) else {
            continue;
        };
        let new: Vec<(&String, &Some1)> = prefixes.iter().filter(|(prefix, _)| !before.contains_key(*prefix)).collect();
        let Some(of) = joined(new.iter().map(|(_, of)| *of)) else { continue };
        let names: Vec<&str> = new.iter().map(|(prefix, _)| prefix.as_str()).take(5).collect();
        let more = if new.len() > 5 { format!(" and {} more", new.len() - 5) } else { String::new() };
        let networks =
            if before.len() == 1 { "1 other network".to_owned() } else { format!("{} other networks", before.len()) };
        let why = format!("from {}{more}; in the baseline it came from {networks}", names.join(", "));
        // A certificate comes with its key; the others are whoever's that read them.
        let severity = if credential.starts_with("certificate ") { Severity::Medium } else { Severity::High };
        all.push(anomaly(severity, Kind::NewPrefix, credential.clone(), why, &of));
    }
    let issuers: BTreeSet<&str> = baseline.kids.keys().map(|(issuer, _)| issuer.as_str()).collect();
    for ((issuer, kid), of) in now.kids.iter().filter(|(key, _)| !baseline.kids.contains_key(*key)) {
        if issuers.contains(issuer.as_str()) {
            let why =
                "no token of the baseline was signed with it: keys were rotated, or somebody has one more".to_owned();
            all.push(anomaly(Severity::Medium, Kind::NewKey, format!("issuer {issuer}, key {kid}"), why, of));
        }
    }
    for ((agent, hash), of) in now.certificates.iter().filter(|(key, _)| !baseline.certificates.contains_key(*key)) {
        // Where certificates are renewed all the time, a new one is no news.
        let known =
            baseline.certificates.range((agent.clone(), String::new())..).take_while(|((of, _), _)| of == agent);
        if known.take(2).count() == 1 {
            let short = hash.get(..12).unwrap_or(hash);
            let why = "the agent had one certificate in all of the baseline".to_owned();
            all.push(anomaly(Severity::Low, Kind::NewCertificate, format!("agent {agent}, {short}…"), why, of));
        }
    }
}

#[cfg(test)]
mod tests;
