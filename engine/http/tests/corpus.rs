//! Replays the committed fuzzing corpora: what must hold for any bytes holds for these.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "../fuzz/checks.rs"]
mod checks;
mod gateway;

use std::path::Path;

#[test]
fn heads() {
    replay("head", checks::head);
}

#[test]
fn chunked_messages() {
    replay("chunked", checks::chunked);
}

#[test]
fn targets() {
    replay("target", checks::target);
}

fn replay(corpus: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 20, "{corpus}: {files} files");
}
