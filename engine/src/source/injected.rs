//! Fields that no origin can get from the gateway. What they are is the HTTP crate's to say, of which the language knows
//! nothing.

use control::assemble::origins::check_credential;
use policy::model::Policy;
use policy_source::{DIAGNOSTICS_MAX, Diagnostic, Severity};

use super::place::{Place, Tables};

/// What is wrong with a policy that was read from `text`; the first of it, where that is much.
pub fn errors(policy: &Policy, text: &str) -> Vec<Diagnostic> {
    let refused = policy.origins.iter().filter_map(|origin| {
        let credential = origin.credential.as_ref().filter(|_| check_credential(origin).is_err())?;
        Some((origin.name.as_str(), credential.header.as_str()))
    });
    let mut refused = refused.take(DIAGNOSTICS_MAX).peekable();
    if refused.peek().is_none() {
        return Vec::new();
    }
    let tables = Tables::of(text);
    let error = |(origin, header): (&str, &str)| {
        // The header is known in lower case, and stands there as somebody wrote it.
        let Place { span, line, column } = tables.place("origin", origin, header);
        Diagnostic {
            severity: Severity::Error,
            code: "bad-credentials",
            message: format!("origin `{origin}` cannot get its secret in the field `{header}`"),
            span,
            line,
            column,
            label: "set or removed by the gateway itself".to_owned(),
            hint: Some(
                "name the field that the origin reads its key from, such as `X-Api-Key` or `X-Origin-Key`".to_owned(),
            ),
            related: Vec::new(),
        }
    };
    refused.map(error).collect()
}
