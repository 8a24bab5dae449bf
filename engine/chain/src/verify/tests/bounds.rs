//! Memory does not grow with what somebody makes up: each bound is reached, and told.

use super::*;
use crate::bounds::{CHAINS_MAX, NOTES_MAX, RUNS_MAX, WORKERS_MAX};

/// The start line of a run that somebody made up: it takes no key.
fn start(number: usize) -> String {
    Story::begin(&format!("node/{number:08}"), None).lines.remove(0)
}

#[test]
fn behind_the_last_run_that_is_looked_at_nothing_is_claimed() {
    let mut real = Story::begin("node/99999999", None);
    real.work(3).checkpoint(true);
    let mut verifier = Verifier::new(real.held.clone(), Extent::Whole);
    verifier.begin_file("log");
    for number in 0..RUNS_MAX {
        verifier.line(start(number).as_bytes());
    }
    for line in real.lines.iter().chain(&[start(7), "no line".to_owned()]) {
        verifier.line(line.as_bytes());
    }
    verifier.begin_file("another");
    verifier.line(start(0).as_bytes());
    let remembered = (verifier.seen.len(), verifier.newest.len());
    let report = verifier.finish();
    assert_eq!((report.runs.len(), remembered), (RUNS_MAX, (RUNS_MAX, 1)));
    assert_eq!((report.lines, report.lines_not_looked_at, report.intact), (RUNS_MAX as u64 + 7, 7, false));
    assert!(report.runs.iter().all(|run| run.proved.is_none()));
    // That the checkpoint's run is missing cannot be said: it is behind the bound.
    let kinds: Vec<_> = report.findings.iter().map(|of| (of.kind, of.at.as_ref().map(|at| at.line))).collect();
    assert_eq!(kinds, [(Kind::NotLookedAt, Some(RUNS_MAX as u64 + 1))], "{:?}", report.findings);
    assert!(report.notes.len() == NOTES_MAX && report.notes_not_told as usize == RUNS_MAX - 1 - NOTES_MAX);
}

#[test]
fn as_many_runs_as_are_looked_at_are_looked_at() {
    let mut verifier = Verifier::new(Vec::new(), Extent::Whole);
    verifier.begin_file("log");
    (0..RUNS_MAX).for_each(|number| verifier.line(start(number).as_bytes()));
    let report = verifier.finish();
    assert_eq!((report.runs.len(), report.lines_not_looked_at, report.intact), (RUNS_MAX, 0, true));
}

#[test]
fn chains_are_bounded_in_a_run_and_over_all_runs() {
    assert_eq!(Chain::read(&(WORKERS_MAX - 1).to_string()), Some(Chain::Worker(WORKERS_MAX - 1)));
    assert_eq!(Chain::read(&WORKERS_MAX.to_string()), None);
    let mut verifier = Verifier::new(Vec::new(), Extent::Whole);
    verifier.begin_file("log");
    let of_run = WORKERS_MAX as usize + 1;
    for number in 0..=CHAINS_MAX / of_run + 1 {
        let origin = format!("node/{number:08}");
        let mut story = Story { log: Log::new(origin.clone(), of_run - 1), lines: Vec::new(), held: Vec::new() };
        story.control("start", &format!(",\"{}\":\"{origin}\"", log::ORIGIN));
        (0..WORKERS_MAX).for_each(|worker| story.put(Chain::Worker(worker), "\"adamant.kind\":\"exchange\""));
        story.lines.iter().for_each(|line| verifier.line(line.as_bytes()));
    }
    let report = verifier.finish();
    assert!(report.lines_not_looked_at > 0, "{}", report.runs.len());
    assert!(report.runs.iter().map(|run| run.chains.len()).sum::<usize>() < CHAINS_MAX + of_run);
}
