use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::fixture::{hostile, quiet};
use super::*;

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    for results in [quiet(1), hostile()] {
        write(&path, &results).unwrap();
        let again = read(&path).unwrap();
        // NaN is not equal to itself, JSON has no infinities, and reading may move the last digit.
        assert_eq!(rounded(serde_json::to_value(&again).unwrap()), rounded(serde_json::to_value(&results).unwrap()));
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["results.json"], "nothing else is left");
}

#[test]
fn a_file_that_cannot_be_replaced_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "x").unwrap();
    assert!(write(&path, &quiet(1)).unwrap_err().to_string().contains("taken"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_formats_are_refused_by_number() {
    let mut value = serde_json::to_value(quiet(1)).unwrap();
    value["format"] = 2.into();
    value["experiments"] = "something new".into();
    let refusal = parse(value.to_string().as_bytes(), "new.json").unwrap_err().to_string();
    assert!(refusal.starts_with("new.json: expected results of format 1, found format 2"), "{refusal}");
    for text in ["", "{}", "[]", "{\"format\":1}", "{\"format\":-1}", "{\"format\":\"1\"}", "\u{0}"] {
        let refusal = parse(text.as_bytes(), "x.json").unwrap_err().to_string();
        assert!(refusal.starts_with("x.json: expected results of"), "{text:?}: {refusal}");
    }
    assert!(read(std::path::Path::new("/nonexistent.json")).unwrap_err().to_string().contains("reading"));
}

#[test]
fn numbers_that_are_none_are_null() {
    let text = serde_json::to_string(&Estimate::once(1.5)).unwrap();
    assert_eq!(text, r#"{"value":1.5,"low":null,"high":null}"#);
    let again: Estimate = serde_json::from_str(&text).unwrap();
    assert!(again.value == 1.5 && again.low.is_nan());
}

#[test]
fn goals_are_met_only_by_the_whole_interval() {
    let outcome = |bound, low, high| Goal::judge("", "", bound, Estimate { value: low, low, high }).outcome;
    assert_eq!(outcome(Bound::AtMost(1.0), 0.8, 1.0), Outcome::Met);
    assert_eq!(outcome(Bound::AtMost(1.0), 0.8, 1.1), Outcome::Undecided);
    assert_eq!(outcome(Bound::AtMost(1.0), 1.01, 1.1), Outcome::Missed);
    assert_eq!(outcome(Bound::AtLeast(1.0), 1.0, 1.1), Outcome::Met);
    assert_eq!(outcome(Bound::AtLeast(1.0), 0.9, 1.1), Outcome::Undecided);
    assert_eq!(outcome(Bound::AtLeast(1.0), 0.8, 0.9), Outcome::Missed);
    assert_eq!(outcome(Bound::AtMost(1.0), 0.5, f64::NAN), Outcome::NotMeasured);
    assert_eq!(outcome(Bound::AtMost(1.0), f64::NEG_INFINITY, 0.5), Outcome::NotMeasured);
    assert_eq!(outcome(Bound::AtMost(f64::NAN), 0.5, 0.6), Outcome::Undecided);
}

/// Numbers with twelve digits.
fn rounded(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) => format!("{:.12e}", number.as_f64().unwrap()).into(),
        serde_json::Value::Array(values) => values.into_iter().map(rounded).collect(),
        serde_json::Value::Object(members) => members.into_iter().map(|(name, value)| (name, rounded(value))).collect(),
        other => other,
    }
}
