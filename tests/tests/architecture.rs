//! The structure that DESIGN promises, as an ordinary test: floors, purity, file lengths, islands of unsafe.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Lines that a source file may have; tests may have a little more.
const LINES_MAX: usize = 420;
/// Files above it. May only shrink: take an entry out when its file was split.
const LONGER_FILES: &[(&str, usize)] = &[];

/// Floor of each crate: imports go down only, or stay on the floor where the list below says so.
const FLOORS: &[(&str, u8)] = &[
    ("policy", 0),
    ("policy-source", 0),
    ("policy-release", 0),
    ("policy-diff", 0),
    ("policy-evaluate", 0),
    ("chain", 0),
    ("http1", 0),
    ("identity", 0),
    ("activation", 0),
    ("sys", 0),
    ("files", 0),
    ("age-format", 0),
    ("tuning", 0),
    ("loadtest", 0),
    ("proxy", 1),
    ("stores", 1),
    ("agent", 1),
    ("control", 1),
    ("adamant", 2),
    ("bench", 2),
    ("bench-counts", 2),
    ("tests", 3),
];

/// Crates without I/O, clock or randomness may depend on these alone (and on each other).
const PURE: &[(&str, &[&str])] = &[
    ("policy", &["serde", "thiserror", "xxhash-rust"]),
    ("policy-source", &["policy", "serde", "serde_json", "toml", "schemars", "base64", "unicode-width"]),
    (
        "policy-release",
        &["policy", "serde", "serde_json", "thiserror", "sha2", "base64", "aws-lc-rs", "pkcs8", "zeroize"],
    ),
    ("policy-diff", &["policy", "serde", "thiserror"]),
    ("policy-evaluate", &["policy", "serde", "serde_json", "thiserror"]),
    ("chain", &["policy-release", "serde", "serde_json", "thiserror", "sha2", "base64"]),
    ("http1", &["httparse", "itoa", "thiserror"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Normal dependencies of each workspace crate.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn imports_go_down_only() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    for (name, dependencies) in dependencies() {
        let floor = floors.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no floor: add it to FLOORS"));
        for ours in dependencies.iter().filter_map(|dependency| floors.get_key_value(dependency.as_str())) {
            assert!(ours.1 <= floor, "{name} (floor {floor}) imports {} (floor {})", ours.0, ours.1);
        }
    }
}

#[test]
fn the_load_generator_knows_only_the_wire() {
    let ours: BTreeSet<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
    for dependency in &dependencies()["loadtest"] {
        assert!(!ours.contains(dependency.as_str()), "loadtest imports {dependency}");
    }
}

#[test]
fn pure_crates_depend_on_nothing_that_acts() {
    let dependencies = dependencies();
    for (name, allowed) in PURE {
        for dependency in &dependencies[*name] {
            assert!(allowed.contains(&dependency.as_str()), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn files_stay_short() {
    let root = root();
    for path in sources() {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        let allowed = LONGER_FILES.iter().find(|(longer, _)| *longer == name).map_or(LINES_MAX, |(_, lines)| *lines);
        assert!(lines <= allowed, "{name} has {lines} lines, {allowed} are allowed: split it by noun");
    }
}

#[test]
fn unsafe_stands_in_its_island() {
    let root = root();
    for path in sources() {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        // Counting allocators of tests implement an unsafe trait.
        if name.starts_with("engine/sys/") || name.ends_with("allocation.rs") || name.ends_with("allocations.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|form| code.contains(form));
            assert!(!is_unsafe || code.starts_with("//") || code.contains('"'), "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn every_block_of_unsafe_says_why_it_is_sound() {
    let island = root().join("engine/sys/src");
    for path in sources().into_iter().filter(|path| path.starts_with(&island)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if !line.contains("unsafe {") && !line.contains("unsafe impl") {
                continue;
            }
            let above = &lines[number.saturating_sub(6)..number];
            assert!(
                above.iter().any(|line| line.contains("// SAFETY:")),
                "{}:{}: no SAFETY",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn nothing_is_left_over() {
    // Spelled in two parts, so that this file does not find itself.
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!("), concat!("#[ign", "ore")];
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}
