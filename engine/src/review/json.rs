//! A review as one JSON document.

use serde_json::{Value, json};

use super::anomalies::{Anomaly, Unjudged};
use super::bounds::ANOMALIES_TOLD_MAX;
use super::edit::Edit;
use super::findings::Finding;
use super::proof::{Proven, Written};
use super::scan::Window;
use super::text::Subject;
use crate::replay::line::time_text;

fn window(window: &Window) -> Value {
    json!({ "since": time_text(window.since_ns), "until": time_text(window.until_ns) })
}

fn head(subject: &Subject<'_>) -> Value {
    json!({
        "records": subject.records,
        "exchanges": subject.exchanges,
        "covered": window(&subject.covered),
        "holes": subject.standing.holes,
        "notes": subject.standing.notes,
        "verified": false,
    })
}

pub fn review(
    subject: &Subject<'_>,
    findings: &[Finding],
    edits: &[Edit],
    proven: Option<(&Proven, Option<&Written>)>,
    counts: (u64, u64),
) -> Value {
    let mut document = head(subject);
    let patch = proven.map(|(proven, written)| {
        let says = |index: &usize| edits.get(*index).map(Edit::says);
        let left_out = proven.left_out.iter().map(|(index, why)| json!({ "change": says(index), "why": why }));
        json!({
            "file": written.map(|written| written.path.display().to_string()),
            "apply_in": written.and_then(|written| Some(written.elsewhere.as_ref()?.display().to_string())),
            "changes": proven.edits.iter().map(says).collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
            "verdict": proven.verdict.name(),
            "decisions_made_again": proven.replayed,
            "cases_failing": proven.cases_failing,
            "cases_failing_names": proven.cases_failing_told,
        })
    });
    let judged = subject.standing.holes.is_empty() || subject.accepted_holes;
    let (refused_now, not_decided) = counts;
    let members = json!({
        "judged": judged,
        "findings": findings,
        "refused_by_this_policy": refused_now,
        "not_decided_by_the_policy": not_decided,
        "patch": patch,
    });
    join(&mut document, members);
    document
}

pub fn anomalies(subject: &Subject<'_>, baseline: &Window, anomalies: &[Anomaly], unjudged: &[Unjudged]) -> Value {
    let mut document = head(subject);
    let told: Vec<&Anomaly> = anomalies.iter().take(ANOMALIES_TOLD_MAX).collect();
    let members = json!({
        "baseline": window(baseline),
        "anomalies": told,
        "anomalies_count": anomalies.len(),
        "not_judged": unjudged,
    });
    join(&mut document, members);
    document
}

fn join(document: &mut Value, members: Value) {
    if let (Value::Object(document), Value::Object(members)) = (document, members) {
        document.extend(members);
    }
}
