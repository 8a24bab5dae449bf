//! Diagnostics as JSON, for editors and CI.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Severity};

/// `{"errors": n, "warnings": n, "diagnostics": [{severity, code, message, span: {start, end}, line, column, label,
/// hint, related: [{span, line, column, label}]}]}`. Spans are bytes; lines and columns (characters) count from 1.
pub fn to_json(diagnostics: &[Diagnostic]) -> Value {
    let count = |severity| diagnostics.iter().filter(|found| found.severity == severity).count();
    json!({
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "diagnostics": diagnostics,
    })
}
