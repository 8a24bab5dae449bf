//! What the baseline is too small, or too new, to judge: silence about it is no good sign.

use serde::Serialize;

use super::super::bounds::{DAY_CALLS_MIN, DAY_DAYS_MIN, HOURS_ALIKE_MIN, NAMES_TOLD_MAX, PREFIXES_MAX};
use super::super::evidence::span_text;
use super::super::profile::Profile;
use super::super::scan::Window;
use super::{DAY_HOURS, Kind, Span};

/// Kinds of findings that could not come, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    pub kinds: Vec<Kind>,
    pub why: String,
}

pub fn unjudged(baseline: &Profile, now: &Profile) -> Vec<Unjudged> {
    let mut all = hours(baseline, now);
    all.extend(credentials(baseline, now));
    all
}

/// What is judged by the hour.
fn hours(baseline: &Profile, now: &Profile) -> Vec<Unjudged> {
    let (span, mut all) = (Span::of(baseline), Vec::new());
    let Window { since_ns, until_ns } = baseline.covered();
    let covered = span_text(until_ns.saturating_sub(since_ns));
    if span.hours() < HOURS_ALIKE_MIN as u64 {
        let why = format!("the baseline covers {covered}, and {HOURS_ALIKE_MIN} whole hours are needed");
        all.push(Unjudged { kinds: vec![Kind::Rate, Kind::DenialBurst], why });
    }
    if span.hours() < DAY_DAYS_MIN * DAY_HOURS {
        let why = format!("the baseline covers {covered}, and {DAY_DAYS_MIN} days are needed");
        all.push(Unjudged { kinds: vec![Kind::TimeOfDay], why });
        return all;
    }
    let is_few = |agent: &&String| baseline.agents.get(*agent).is_some_and(|hours| span.calls(hours) < DAY_CALLS_MIN);
    let few: Vec<&str> = now.agents.keys().filter(is_few).map(String::as_str).collect();
    if !few.is_empty() {
        let why = format!("the baseline has less than {DAY_CALLS_MIN} calls of {}", told(&few));
        all.push(Unjudged { kinds: vec![Kind::TimeOfDay], why });
    }
    all
}

/// What is judged by credentials that were there before.
fn credentials(baseline: &Profile, now: &Profile) -> Vec<Unjudged> {
    let mut all = Vec::new();
    let mut push = |kind: Kind, names: &[&str], why: &str| {
        if !names.is_empty() {
            all.push(Unjudged { kinds: vec![kind], why: format!("{why} {}", told(names)) });
        }
    };
    let of = |is: &dyn Fn(&String) -> bool| -> Vec<&str> {
        now.credentials.keys().filter(|credential| is(credential)).map(String::as_str).collect()
    };
    push(
        Kind::NewPrefix,
        &of(&|credential| !baseline.credentials.contains_key(credential)),
        "the baseline does not have",
    );
    push(
        Kind::NewPrefix,
        &of(&|credential| baseline.credentials.get(credential).is_some_and(|from| from.len() >= PREFIXES_MAX)),
        &format!("from {PREFIXES_MAX} networks or more, too many to tell a new one, came"),
    );
    let is_known = |issuer: &str| baseline.kids.keys().any(|(of, _)| of == issuer);
    let mut issuers: Vec<&str> = now.kids.keys().map(|(issuer, _)| issuer.as_str()).collect();
    issuers.dedup();
    issuers.retain(|issuer| !is_known(issuer));
    push(Kind::NewKey, &issuers, "the baseline has no token of");
    let had = |agent: &str| baseline.certificates.keys().filter(|(of, _)| of == agent).take(2).count();
    let mut agents: Vec<&str> = now.certificates.keys().map(|(agent, _)| agent.as_str()).collect();
    agents.dedup();
    let (none, rest): (Vec<&str>, Vec<&str>) = agents.into_iter().partition(|agent| had(agent) == 0);
    push(Kind::NewCertificate, &none, "the baseline has no certificate of");
    let several: Vec<&str> = rest.into_iter().filter(|agent| had(agent) > 1).collect();
    push(Kind::NewCertificate, &several, "the baseline has several certificates, so that another one is no news, of");
    all
}

/// The first of some names, and how many more there are.
fn told(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_TOLD_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_TOLD_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
