//! What a policy holds that identifies nobody any more: right in form, and hardly meant.

use control::assemble::tls::ends_unix_s;
use policy::model::Policy;
use policy_release::time::Timestamp;
use policy_source::{Diagnostic, Severity};

use super::place::{line_and_column, place};

/// What is to be said at `now_s` (Unix seconds) of a policy that was read from `text`.
pub fn warnings(policy: &Policy, text: &str, now_s: u64) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let ended = |ends: &[u64]| ends.iter().copied().max().filter(|end| *end <= now_s).map(date);
    for key in &policy.api_keys {
        if let Some(end) = ended(key.expires_s.as_slice()) {
            let message = format!("the API key `{}` expired at {end}", key.id);
            let said = (message, "make a new key with `adamant key new`, or remove it");
            found.push(warning(text, ("[[api_key]]", &key.id), "ended", said));
        }
    }
    for ca in &policy.client_cas {
        if let Some(end) = ended(&ends_unix_s(ca.certificates.as_bytes())) {
            let message = format!("the client CA `{}` ended at {end}: no certificate under it is accepted", ca.name);
            found.push(warning(text, ("[[client_ca]]", &ca.name), "ended", (message, "embed its successor")));
        }
    }
    for origin in &policy.origins {
        let Some(tls) = &origin.tls else { continue };
        if let Some(end) = ended(&ends_unix_s(tls.ca.as_bytes())) {
            let message =
                format!("the CA of origin `{}` ended at {end}: no connection to it will come about", origin.name);
            found.push(warning(text, ("[[origin]]", &origin.name), "ended", (message, "embed its successor")));
        }
    }
    found
}

fn date(unix_s: u64) -> String {
    Timestamp::from_seconds(unix_s).map_or_else(|| format!("{unix_s} s after 1970"), |time| time.to_string())
}

/// At the name of the table with this `header`.
fn warning(
    text: &str,
    (header, name): (&str, &str),
    code: &'static str,
    (message, hint): (String, &str),
) -> Diagnostic {
    let span = place(text, header, name, name).unwrap_or_default();
    let (line, column) = line_and_column(text, span);
    Diagnostic {
        severity: Severity::Warning,
        code,
        message,
        span,
        line,
        column,
        label: "this one".to_owned(),
        hint: Some(hint.to_owned()),
        related: Vec::new(),
    }
}
