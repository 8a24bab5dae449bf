//! The outcome of cases as JSON, for tools.

use serde_json::{Map, Value, json};

use super::Outcome;
use super::coverage::{Coverage, Part};

/// `{"cases": n, "passed": n, "failed": n, "policies": [{file, policy, release, cases: [{name, file, line, passed,
/// requests, failure}], left_out, coverage}]}`.
pub fn document(outcomes: &[Outcome]) -> Value {
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    json!({
        "cases": sum(|outcome| outcome.cases.len()),
        "passed": sum(Outcome::passed),
        "failed": sum(Outcome::failed),
        "policies": outcomes.iter().map(policy).collect::<Vec<_>>(),
    })
}

fn policy(outcome: &Outcome) -> Value {
    let case = |case: &super::Played| {
        let failure = case.failed.as_ref().map(|failed| {
            json!({
                "step": failed.step, "line": failed.line, "request_of_step": failed.nth, "request": failed.request,
                "expected": failed.expected, "got": failed.got, "how": failed.how,
            })
        });
        json!({
            "name": case.name, "file": case.file, "line": case.line, "passed": case.failed.is_none(),
            "requests": case.requests, "failure": failure,
        })
    };
    json!({
        "file": outcome.file,
        "policy": outcome.policy,
        "release": outcome.digest.map(|digest| digest.to_string()),
        "cases": outcome.cases.iter().map(case).collect::<Vec<_>>(),
        "left_out": outcome.left_out,
        "coverage": coverage(&outcome.coverage),
    })
}

/// `{percent, touched, of, routes: {of, permitted: […], refused: […], untouched: […]}, …}`.
fn coverage(coverage: &Coverage) -> Value {
    let (touched, of) = coverage.total();
    let mut members = Map::new();
    members.insert("percent".into(), coverage.percent().into());
    members.insert("touched".into(), touched.into());
    members.insert("of".into(), of.into());
    for part in Part::ALL {
        let document = json!({
            "of": coverage.part(part).len(),
            "permitted": coverage.names(part, |touched| touched.permitted > 0),
            "refused": coverage.names(part, |touched| touched.refused > 0),
            "untouched": coverage.names(part, |touched| !touched.is_touched()),
        });
        members.insert(part.nouns().into(), document);
    }
    Value::Object(members)
}
