//! Fields that no origin can get from the gateway. What they are is the HTTP crate's to say, of which the language knows
//! nothing.

use control::assemble::origins::check_credential;
use policy::model::Policy;
use policy_source::{Diagnostic, Severity};

use super::place::{line_and_column, place};

/// What is wrong with a policy that was read from `text`.
pub fn errors(policy: &Policy, text: &str) -> Vec<Diagnostic> {
    let of_origin = |origin: &policy::model::Origin| {
        let credential = origin.credential.as_ref().filter(|_| check_credential(origin).is_err())?;
        // The header is known in lower case, and stands there as somebody wrote it.
        let written = text.to_ascii_lowercase();
        let name = origin.name.to_ascii_lowercase();
        let span = place(&written, "[[origin]]", &name, &credential.header);
        let span = span.or_else(|| place(&written, "[[origin]]", &name, &name)).unwrap_or_default();
        let (line, column) = line_and_column(text, span);
        Some(Diagnostic {
            severity: Severity::Error,
            code: "bad-credentials",
            message: format!("origin `{}` cannot get its secret in the field `{}`", origin.name, credential.header),
            span,
            line,
            column,
            label: "set or removed by the gateway itself".to_owned(),
            hint: Some(
                "name the field that the origin reads its key from, such as `X-Api-Key` or `X-Origin-Key`".to_owned(),
            ),
            related: Vec::new(),
        })
    };
    policy.origins.iter().filter_map(of_origin).collect()
}
