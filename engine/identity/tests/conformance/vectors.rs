//! Where the vectors are.

use std::path::PathBuf;

use serde_json::Value;

/// A JSON file of `shared/conformance`, or none with a line that says so.
pub fn read(name: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance").join(name);
    #[allow(clippy::disallowed_methods, reason = "the crate itself reads no files; its vectors are files")]
    let text = std::fs::read_to_string(path);
    match text {
        Ok(text) => Some(serde_json::from_str(&text).expect("vectors are JSON")),
        Err(_) => {
            eprintln!("SKIPPED: ../shared/conformance/{name} is not there");
            None
        }
    }
}
