//! What a report can say stands in the documents.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const MANUAL: &str = include_str!("../../../../docs/records.md");

/// The names of all variants: serde tells them whoever asks for another one.
fn names<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let told = serde_json::from_str::<T>("\"-\"").map(drop).unwrap_err().to_string();
    told.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// The section under a heading.
fn section(heading: &str) -> &'static str {
    let (_, after) = MANUAL.split_once(&format!("\n## {heading}\n")).expect(heading);
    after.split("\n## ").next().unwrap_or(after)
}

#[test]
fn every_finding_has_a_row_in_the_manual() {
    let (names, findings) = (names::<Kind>(), section("Findings"));
    assert!(names.len() >= 12 && names.iter().any(|name| name == "beginning-missing"), "{names:?}");
    let rows: Vec<&str> = findings.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let told: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), told, "docs/records.md, Findings");
    assert_eq!(rows.len(), told.len(), "one row each: {rows:?}");
    for line in findings.lines().filter(|line| line.starts_with("| `")) {
        assert_eq!(line.trim_matches('|').split(" | ").count(), 3, "name, meaning, what to do: {line}");
    }
}

#[test]
fn every_member_of_a_report_has_a_row_in_the_manual() {
    let link = Some(AtLink { chain: "0".to_owned(), sequence: 1, leaf: 2 });
    let at = At { file: "f".to_owned(), line: 1, link };
    let proved = Proved { size: 1, at: at.clone(), signer: "node".to_owned(), held: vec!["place".to_owned()] };
    let run = Run {
        origin: Some("node/1".to_owned()),
        key: Some("key".to_owned()),
        first: at.clone(),
        last: at.clone(),
        lines_before: 0,
        lines: 1,
        lines_after: 0,
        gaps: false,
        chains: BTreeMap::new(),
        ended: Ended::Stop,
        proved: Some(proved.clone()),
        proved_outside: Some(proved),
        unsealed: 0,
        whole: Some(true),
    };
    let mut report = Report { runs: vec![run], order: vec!["f".to_owned()], ..Report::default() };
    report.find(Kind::Missing, Some(at), Some("node/1"), "what".to_owned());
    let mut members = BTreeSet::new();
    collect(&serde_json::to_value(&report).unwrap(), &mut members);
    assert!(members.len() > 20, "{members:?}");
    let manual = section("The JSON of audit verify");
    assert!(manual.contains(&format!("the first {},", crate::bounds::FINDINGS_MAX)), "`findings[]` is bounded");
    for name in members.into_iter().chain(names::<Ended>()).chain(names::<Extent>()) {
        let is_told = [format!("`{name}`"), format!("`{name}[]`")].iter().any(|form| manual.contains(form));
        assert!(is_told, "docs/records.md does not explain `{name}` of audit verify");
    }
}

fn collect(value: &Value, members: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| {
            members.insert(name.clone());
            collect(value, members);
        }),
        Value::Array(list) => list.iter().for_each(|value| collect(value, members)),
        _ => {}
    }
}
