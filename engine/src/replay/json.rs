//! A replay as one JSON document.

use serde_json::{Value, json};

use super::line::time_text;
use super::tally::{Change, Place, Tally};

pub fn document(tally: &Tally, logs: &[String], candidate: Option<&str>) -> Value {
    let place = |place: &Place| json!({ "log": logs.get(place.log), "line": place.line });
    let mut document = json!({
        "logs": logs,
        "exchanges": tally.exchanges,
        "first": tally.first_unix_ns.map(time_text),
        "last": tally.last_unix_ns.map(time_text),
        "made_again": tally.made_again(),
        "permitted": tally.permitted,
        "refused": tally.refused,
        "granted_then_refused_by_the_gateway": tally.granted,
        "not_decided_by_the_policy": tally.not_decided,
        "releases": tally.releases.told,
        "of_further_releases": tally.releases.not_told,
        "other_lines": tally.other_kinds,
        "no_records": {
            "count": tally.no_records,
            "lines": tally.no_records_told.iter().map(|(at, why)| json!({ "at": place(at), "why": why })).collect::<Vec<_>>(),
        },
        "torn": tally.torn.as_ref().map(place),
    });
    let more = match candidate {
        None => own(tally, place),
        Some(candidate) => against(tally, candidate),
    };
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document
}

fn own(tally: &Tally, place: impl Fn(&Place) -> Value) -> Value {
    let differences = tally.differing_told.iter().map(|differs| {
        let members = differs.differences.iter();
        json!({
            "at": place(&differs.place),
            "request_id": differs.request_id,
            "members": members
                .map(|found| json!({ "what": found.what, "recorded": found.recorded, "follows": found.now }))
                .collect::<Vec<_>>(),
        })
    });
    json!({
        "outcome": if tally.status_own() == 0 { "same" } else { "different" },
        "differing": tally.differing,
        "differences": differences.collect::<Vec<_>>(),
        "missing_releases": tally.missing_releases.told,
        "of_further_missing_releases": tally.missing_releases.not_told,
        "without_release": tally.unnamed,
    })
}

fn against(tally: &Tally, candidate: &str) -> Value {
    let groups = tally.groups.iter().map(|(group, members)| {
        json!({
            "change": group.change,
            "agent": group.agent,
            "method": group.method,
            "route": group.route,
            "before": group.before,
            "after": group.after,
            "count": members.count,
            "first": time_text(members.first_unix_ns),
            "last": time_text(members.last_unix_ns),
            "request_id": members.request_id,
        })
    });
    let outcome = match tally.status_candidate() {
        0 => "same",
        10 => "newly-refused",
        11 => "newly-permitted",
        _ => "both",
    };
    json!({
        "against": candidate,
        "outcome": outcome,
        "newly_refused": tally.changed(Change::NewlyRefused),
        "newly_permitted": tally.changed(Change::NewlyPermitted),
        "otherwise": tally.changed(Change::Otherwise),
        "groups": groups.collect::<Vec<_>>(),
        "cannot_be_told": tally.unclear,
        "taken_for_granted": tally.notes,
    })
}
