//! The list of valid vectors that are refused, with reasons: `tests/refusals.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    refusal: Vec<Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    source: String,
    cases: Vec<String>,
    reason: String,
}

/// Case to reason, for one source.
pub fn of(source: &str) -> BTreeMap<String, String> {
    let file: File = toml::from_str(include_str!("../refusals.toml")).unwrap();
    let mut cases = BTreeMap::new();
    for refusal in file.refusal.into_iter().filter(|refusal| refusal.source == source) {
        for case in refusal.cases {
            assert!(cases.insert(case, refusal.reason.clone()).is_none(), "a case is listed twice");
        }
    }
    cases
}

/// Fails with every case on one side only.
pub fn assert_listed(source: &str, refused: &[String]) {
    let listed: Vec<String> = of(source).into_keys().collect();
    let mut refused = refused.to_vec();
    refused.sort();
    assert_eq!(refused, listed, "left: valid but refused; right: listed in tests/refusals.toml");
}
