//! The rotation log for people: what moved under the release, and the release itself. One line each, in the order of the
//! records, and in the same columns: time, what, its name, what came of it, why, from where, and the rest.

use serde_json::Value;

use super::show::{members_of, text, time_of};

/// Whether a line belongs to it.
pub fn is_rotation(record: &Value) -> bool {
    match text(record, "adamant.kind").unwrap_or_default() {
        // Others follow what the lines before them say.
        "activation" => record.get("adamant.release").is_some(),
        "refresh" => true,
        kind => columns(kind).is_some(),
    }
}

/// How a line of another kind than `refresh` is told: what it is about, the member that names it with what stands before it, and
/// what came of it where there is no `adamant.outcome`.
fn columns(kind: &str) -> Option<(&'static str, (&'static str, &'static str), &'static str)> {
    Some(match kind {
        "revocations" => ("revocations", ("serial-", "adamant.revocations.serial"), "?"),
        "trust-root" => ("trust-root", ("version-", "adamant.trust_root.version"), "accepted"),
        "pointer" => ("pointer", ("", "adamant.pointer.channel"), "renewed"),
        "pointer-expired" => ("pointer", ("", "adamant.pointer.channel"), "expired"),
        "accepted" => ("release", ("", "adamant.release"), "accepted"),
        "waiting" => ("release", ("", "adamant.release"), "waiting"),
        "activation" => ("release", ("", "adamant.release"), "serves"),
        "refused" => ("candidate", ("", "adamant.candidate"), "refused"),
        _ => return None,
    })
}

/// One line.
pub fn text_of(record: &Value) -> String {
    let kind = text(record, "adamant.kind").unwrap_or("?");
    let told = columns(kind).map_or_else(|| text_of_refresh(record), |columns| text_of_other(record, columns));
    format!("{} {told}", time_of(record))
}

fn text_of_refresh(record: &Value) -> String {
    let of = |name: &str| text(record, &format!("adamant.refresh.{name}")).unwrap_or("?");
    let mut shown = format!("{} {} {} ({}) {}", of("of"), of("name"), of("outcome"), of("why"), of("source"));
    for name in ["old", "new", "overlap"] {
        if let Some(thumbprints) = text(record, &format!("adamant.refresh.{name}")) {
            shown.push_str(&format!(" {name}={}", if thumbprints.is_empty() { "none" } else { thumbprints }));
        }
    }
    if let Some(overlap_s) = record.get("adamant.refresh.overlap_s") {
        shown.push_str(&format!(" overlap_s={overlap_s}"));
    }
    if let Some(error) = text(record, "error.message") {
        shown.push_str(&format!(": {error}"));
    }
    shown
}

fn text_of_other(
    record: &Value,
    (what, (before, name), outcome): (&str, (&str, &'static str), &'static str),
) -> String {
    let named = record.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let named = named.map_or_else(|| "-".to_owned(), |named| format!("{before}{named}"));
    let outcome = text(record, "adamant.outcome").unwrap_or(outcome);
    let source = text(record, "adamant.source").map_or_else(String::new, |source| format!(" {source}"));
    let rest = members_of(record, &[name, "adamant.outcome", "adamant.source"]);
    format!("{what} {named} {outcome}{source}{rest}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(mut record: Value) -> Option<String> {
        record["time"] = json!("2026-11-21T10:00:00.123456789Z");
        is_rotation(&record)
            .then(|| text_of(&record).strip_prefix("2026-11-21T10:00:00.123Z ").unwrap_or_default().to_owned())
    }

    #[test]
    fn each_kind_stands_in_the_same_columns() {
        for (record, expected) in [
            (
                json!({ "adamant.kind": "refresh", "adamant.refresh.of": "keyset", "adamant.refresh.name": "corp",
                    "adamant.refresh.source": "https://a/k", "adamant.refresh.why": "interval",
                    "adamant.refresh.outcome": "taken", "adamant.refresh.old": "k1 k2", "adamant.refresh.new": "k2",
                    "adamant.refresh.overlap": "k2", "adamant.refresh.overlap_s": 7 }),
                "keyset corp taken (interval) https://a/k old=k1 k2 new=k2 overlap=k2 overlap_s=7",
            ),
            (
                json!({ "adamant.kind": "revocations", "adamant.outcome": "accepted", "adamant.revocations.serial": 4,
                    "adamant.revocations.entries": 2, "adamant.chain": "control:1:2:x" }),
                "revocations serial-4 accepted revocations.entries=2",
            ),
            (
                json!({ "adamant.kind": "revocations", "adamant.outcome": "refused", "adamant.source": "s/r.json",
                    "adamant.check": "signature" }),
                "revocations - refused s/r.json check=signature",
            ),
            (json!({ "adamant.kind": "trust-root", "adamant.trust_root.version": 2 }), "trust-root version-2 accepted"),
            (
                json!({ "adamant.kind": "pointer", "adamant.pointer.channel": "main", "adamant.pointer.serial": 3 }),
                "pointer main renewed pointer.serial=3",
            ),
            (
                json!({ "adamant.kind": "activation", "adamant.activation": 9, "adamant.release": "sha256:a" }),
                "release sha256:a serves activation=9",
            ),
            (
                json!({ "adamant.kind": "refused", "adamant.source": "s", "adamant.check": "diff" }),
                "candidate - refused s check=diff",
            ),
        ] {
            assert_eq!(told(record).as_deref(), Some(expected));
        }
        for other in ["exchange", "start", "activation", "expiry", "origin", "table"] {
            assert_eq!(told(json!({ "adamant.kind": other })), None, "{other}");
        }
    }
}
