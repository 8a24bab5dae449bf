//! What is said of overlapping routes, held against trying every short path.

use std::collections::BTreeSet;
use std::fmt::Write;

use proptest::prelude::*;

use crate::tests::{BASE, load_text};

/// Paths of up to five segments. `z` stands in no pattern, so it tells what only parameters match.
fn paths() -> Vec<Vec<&'static str>> {
    let mut paths = vec![vec![]];
    let mut all = Vec::new();
    for _ in 0..5 {
        let longer: Vec<Vec<&str>> = paths
            .iter()
            .flat_map(|path| ["a", "b", "z"].map(|segment| [path.as_slice(), &[segment]].concat()))
            .collect();
        all.extend(paths.iter().map(|path| [path.as_slice(), &[""]].concat()));
        all.extend(longer.iter().cloned());
        paths = longer;
    }
    all
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["{r...}"], [_, ..]) => true,
        (["{p}", pattern @ ..], [segment, path @ ..]) => !segment.is_empty() && matches(pattern, path),
        ([literal, pattern @ ..], [segment, path @ ..]) => literal == segment && matches(pattern, path),
        _ => false,
    }
}

/// Smaller is more specific: the order in which a segment is looked for.
fn rank(pattern: &[&str]) -> Vec<u8> {
    pattern.iter().map(|segment| if *segment == "{r...}" { 2 } else { u8::from(*segment == "{p}") }).collect()
}

/// The pattern of what both match, as the language would write it.
fn both<'p>(a: &[&'p str], b: &[&'p str]) -> Vec<&'p str> {
    match (a, b) {
        (["{r...}"], rest) | (rest, ["{r...}"]) => rest.to_vec(),
        ([x, a @ ..], [y, b @ ..]) => [&[if *x == "{p}" { *y } else { *x }], both(a, b).as_slice()].concat(),
        _ => Vec::new(),
    }
}

fn any_pattern() -> impl Strategy<Value = Vec<&'static str>> {
    let segment = proptest::sample::select(&["a", "b", "{p}"][..]);
    let end = proptest::sample::select(&[None, None, Some(""), Some("{r...}")][..]);
    (proptest::collection::vec(segment, 0..=3), end).prop_filter_map("not empty", |(mut pattern, end)| {
        pattern.extend(end);
        (!pattern.is_empty()).then_some(pattern)
    })
}

fn written(pattern: &[&str]) -> String {
    let mut parameters = 0;
    pattern.iter().fold(String::new(), |mut path, segment| {
        parameters += usize::from(*segment == "{p}");
        let _ = write!(path, "/{}", segment.replace("{p}", &format!("{{p{parameters}}}")));
        path
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlaps_are_those_that_trying_finds(patterns in proptest::collection::btree_set(any_pattern(), 1..8)) {
        let patterns: Vec<Vec<&str>> = patterns.into_iter().collect();
        let mut text = BASE.replace("\"read\"", "\"r0\"").replace("[[route]]\nname = \"r0\"\nhost = \"api.example\"", "[[route]]\nname = \"old\"\nhost = \"api.example\"");
        for (n, pattern) in patterns.iter().enumerate() {
            let path = written(pattern);
            let _ = write!(text, "[[route]]\nname = \"r{n}\"\nhost = \"t\"\nmethods = [\"GET\"]\npath = \"{path}\"\norigin = \"orders\"\n");
        }
        let loaded = load_text(&text);
        let path_at = |found: &crate::Diagnostic| text[found.span.start + 1..found.span.end - 1].to_owned();
        let said = |code: &str| -> BTreeSet<String> { loaded.diagnostics.iter().filter(|found| found.code == code).map(path_at).collect() };

        let paths = paths();
        let matching: Vec<BTreeSet<usize>> = patterns.iter().map(|pattern| (0..paths.len()).filter(|at| matches(pattern, &paths[*at])).collect()).collect();
        let mut reached = BTreeSet::new();
        for at in 0..paths.len() {
            let best = (0..patterns.len()).filter(|n| matching[*n].contains(&at)).min_by_key(|n| rank(&patterns[*n]));
            reached.extend(best);
        }
        let unreached: BTreeSet<String> = (0..patterns.len()).filter(|n| !reached.contains(n)).map(|n| written(&patterns[n])).collect();
        prop_assert_eq!(said("unreachable-route"), unreached);

        let mut losers = BTreeSet::new();
        for (n, a) in patterns.iter().enumerate() {
            for (m, b) in patterns.iter().enumerate() {
                let common = matching[n].intersection(&matching[m]).next().is_some();
                let neither = !matching[n].is_subset(&matching[m]) && !matching[m].is_subset(&matching[n]);
                if n != m && common && neither && rank(a) < rank(b) && !patterns.contains(&both(a, b)) {
                    losers.insert(written(b));
                }
            }
        }
        prop_assert_eq!(said("ambiguous-routes"), losers);
    }
}
