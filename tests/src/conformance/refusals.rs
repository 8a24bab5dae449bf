//! The committed list of cases that their source accepts and the gateway refuses, each with its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the list lies.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/refusals.toml")
}

/// Name of the case → reason.
pub fn load() -> BTreeMap<String, String> {
    let path = path();
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let list: BTreeMap<String, String> =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(list.values().all(|reason| !reason.trim().is_empty()), "a refusal without a reason in {}", path.display());
    list
}

/// What is wrong with the list: refusals that are not on it, and entries that are no longer refused.
pub fn differences(listed: &BTreeMap<String, String>, refused: &[&str]) -> Vec<String> {
    let missing = refused.iter().filter(|name| !listed.contains_key(**name));
    let stale = listed.keys().filter(|name| !refused.contains(&name.as_str()));
    missing
        .map(|name| format!("refused and not listed: {name:?}"))
        .chain(stale.map(|name| format!("listed and not refused: {name:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{differences, load};

    #[test]
    fn the_list_parses_and_both_kinds_of_difference_are_found() {
        assert!(!load().is_empty());
        let listed = [("a".to_owned(), "why".to_owned()), ("b".to_owned(), "why".to_owned())].into();
        assert_eq!(
            differences(&listed, &["b", "c"]),
            ["refused and not listed: \"c\"", "listed and not refused: \"a\""]
        );
    }
}
