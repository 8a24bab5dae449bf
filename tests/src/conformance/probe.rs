//! Http11Probe's own verdicts (pass, warn, fail) on its cases, as its expectations word them.

use super::corpus::{Case, ProbeCase};
use super::judge::{Answered, Judgement, Observation};
use crate::client::Ended;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Score {
    Pass,
    Warn,
    Fail,
    /// The check concerns what a final server does with the request, not what a gateway does.
    NotJudged,
}

/// Scores one case; `None` where it is none of Http11Probe's.
pub fn score(case: &Case, seen: &Observation, judgement: &Judgement) -> Option<Score> {
    let probe = case.probe.as_ref()?;
    let first = judgement.answers.first();
    let first_ended = seen.steps.first().map_or(Ended::Open, |step| step.ended);
    if !probe.pass_on.is_empty() {
        return Some(by_lists(case, probe, first, first_ended));
    }
    if case.steps.len() > 1 || case.name.contains("SMUGGLED") {
        return Some(by_sequence(case, seen, judgement));
    }
    Some(by_name(&case.name, first, judgement))
}

/// Cases with lists of statuses, `close` (without a response) and `timeout`.
fn by_lists(case: &Case, probe: &ProbeCase, first: Option<&Answered>, ended: Ended) -> Score {
    if case.name.ends_with("NO-1XX-HTTP10") && first.is_some_and(|answer| answer.interim) {
        return Score::Fail;
    }
    let matches = |token: &String| match (first, token.as_str()) {
        (None, "close") => ended != Ended::Open,
        (None, "timeout") => ended == Ended::Open,
        (Some(answer), token) => match token.split_once('+') {
            Some((status, _)) => status == answer.status.to_string() && ended != Ended::Open,
            None => token == answer.status.to_string(),
        },
        (None, _) => false,
    };
    if probe.pass_on.iter().any(matches) {
        Score::Pass
    } else if probe.warn_on.iter().any(matches) {
        Score::Warn
    } else {
        Score::Fail
    }
}

/// Cases of several steps, or with a second request hidden in the first.
fn by_sequence(case: &Case, seen: &Observation, judgement: &Judgement) -> Score {
    let wanted = case.expectation.rsplit(" | ").next().unwrap_or_default();
    let served = |answer: &Answered| (200..300).contains(&answer.status);
    let first = judgement.answers.first();
    let refused = first.is_some_and(|answer| answer.status >= 400) || (first.is_none() && judgement.closed);
    let closed = seen.steps.first().is_some_and(|step| step.ended != Ended::Open) || judgement.closed;
    if wanted.starts_with("2xx + 2xx") {
        let both = judgement.answers.len() == 2 && judgement.answers.iter().all(served);
        return if both { Score::Pass } else { Score::Fail };
    }
    if case.name.starts_with("h11probe/CAP-") {
        return Score::NotJudged;
    }
    if wanted.contains("= warn") {
        let poisoned = judgement.answers.len() > case.steps.len()
            || judgement.answers.get(1).is_some_and(|answer| answer.status >= 400);
        return if poisoned { Score::Warn } else { Score::Pass };
    }
    let extra = judgement.answers.len() > 1;
    match (refused, extra, closed) {
        (true, false, _) => Score::Pass,
        (_, true, _) => Score::Fail,
        (false, false, true) => Score::Pass,
        (false, false, false) => Score::Warn,
    }
}

/// Cases that look at more than the status.
fn by_name(name: &str, first: Option<&Answered>, judgement: &Judgement) -> Score {
    let name = name.trim_start_matches("h11probe/");
    let served = first.filter(|answer| (200..300).contains(&answer.status));
    let has = |field: &str| first.is_some_and(|answer| crate::first_value(&answer.fields, field).is_some());
    let echoed = match name {
        "COMP-POST-CL-BODY" | "COMP-CHUNKED-BODY" | "COMP-CHUNKED-EXTENSION" | "COMP-CHUNKED-TRAILER-VALID" => "hello",
        "COMP-CHUNKED-MULTI" => "hello world",
        "COMP-CHUNKED-HEX-UPPERCASE" => "helloworld",
        _ => "",
    };
    let good = |condition: bool| if condition { Score::Pass } else { Score::Fail };
    match name {
        _ if !echoed.is_empty() => match served {
            Some(answer) if answer.content == echoed.as_bytes() => Score::Pass,
            None if name == "COMP-CHUNKED-EXTENSION" => Score::Warn,
            _ => Score::Fail,
        },
        "COMP-HEAD-NO-BODY" => good(served.is_some_and(|answer| answer.content.is_empty())),
        "COMP-405-ALLOW" => good(first.is_some_and(|answer| answer.status != 405) || has("Allow")),
        "COMP-DATE-HEADER" | "COMP-DATE-FORMAT" => good(has("Date")),
        "COMP-NO-CL-IN-204" => good(first.is_some_and(|answer| answer.status != 204) || !has("Content-Length")),
        "COMP-OPTIONS-ALLOW" => good(has("Allow")),
        "COMP-CONTENT-TYPE" => good(has("Content-Type")),
        _ if name.starts_with("NORM-") => match (served, judgement.violations.is_empty()) {
            (None, _) => Score::Pass,
            (Some(_), true) => Score::Warn,
            (Some(_), false) => Score::Fail,
        },
        _ => Score::NotJudged,
    }
}
