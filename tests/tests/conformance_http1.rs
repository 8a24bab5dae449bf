//! All cases of the conformance corpus through the real gateway, judged by what reaches the origin and by what the
//! client sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tests::conformance::corpus::{self, Case};
use tests::conformance::drive::{self, LANES, Lane};
use tests::conformance::judge::{Judgement, judge};
use tests::conformance::probe::{self, Score};
use tests::conformance::refusals;
use tests::gateway::Gateway;
use tests::policy::PolicyText;

struct Outcome {
    case: Case,
    judgement: Judgement,
    score: Option<Score>,
}

/// One run for all tests; nothing where the corpus is not there.
static OUTCOMES: LazyLock<Option<Vec<Outcome>>> = LazyLock::new(|| {
    let cases = corpus::load()?;
    let origins: Vec<_> = (0..LANES).map(|_| drive::origin()).collect();
    let gateways: Vec<Gateway> = origins
        .iter()
        .map(|origin| {
            let policy = PolicyText::new()
                .origin("origin", &[origin.address()])
                .route_with("all", "*", "/{rest...}", "origin", "encoded_slash = true\npath_parameters = true")
                .scope("all", &["all"])
                .anonymous(&["all"], &[]);
            Gateway::dev(&policy.text())
        })
        .collect();
    let lanes: Vec<Lane<'_>> =
        gateways.iter().zip(&origins).map(|(gateway, origin)| Lane { proxy: gateway.address(), origin }).collect();
    let seen = drive::run(&cases, &lanes);
    let outcomes = cases.into_iter().zip(&seen).map(|(case, seen)| {
        let lane = lanes.first().unwrap();
        // What did not come in time may have come a moment later. What reached the origin is never looked at twice.
        let is_late = |of: &String| of.starts_with("an unfinished response") || of.contains("stays open");
        let violations = judge(&case, seen).violations;
        let again = if !violations.is_empty() && violations.iter().all(is_late) {
            lane.origin.take_raw();
            drive::run(std::slice::from_ref(&case), std::slice::from_ref(lane))
        } else {
            Vec::new()
        };
        let seen = again.first().unwrap_or(seen);
        let judgement = judge(&case, seen);
        let score = probe::score(&case, seen, &judgement);
        Outcome { case, judgement, score }
    });
    Some(outcomes.collect())
});

#[test]
fn every_case_reaches_the_origin_as_one_unambiguous_request_or_not_at_all() {
    let Some(outcomes) = &*OUTCOMES else { return };
    let broken: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.judgement.violations.is_empty())
        .map(|outcome| format!("{}: {}", outcome.case.name, outcome.judgement.violations.join("; ")))
        .collect();
    assert!(broken.is_empty(), "{} of {} cases:\n{}", broken.len(), outcomes.len(), broken.join("\n"));
}

#[test]
fn every_refusal_of_what_its_source_accepts_is_listed_with_a_reason() {
    let Some(outcomes) = &*OUTCOMES else { return };
    let refused: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.judgement.refused).map(|outcome| outcome.case.name.as_str()).collect();
    let differences = refusals::differences(&refusals::load(), &refused);
    assert!(differences.is_empty(), "{}:\n{}", refusals::path().display(), differences.join("\n"));
}

#[test]
fn no_case_that_http11probe_calls_a_must_fails() {
    let Some(outcomes) = &*OUTCOMES else { return };
    let mut counts: BTreeMap<Score, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for outcome in outcomes {
        let (Some(score), Some(probe)) = (outcome.score, &outcome.case.probe) else { continue };
        *counts.entry(score).or_default() += 1;
        if score == Score::Fail {
            let statuses: Vec<u16> = outcome.judgement.answers.iter().map(|answer| answer.status).collect();
            let line = format!("{} ({}): {statuses:?}", outcome.case.name, outcome.case.expectation);
            println!("failed: {line}");
            if probe.must && probe.scored {
                failed.push(line);
            }
        }
    }
    println!("Http11Probe: {counts:?}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
