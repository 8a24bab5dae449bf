//! From text to policy: parse, read, check, normalise.

use policy::model::Policy;
use toml::de::DeTable;

use crate::bounds::SOURCE_BYTES_MAX;
use crate::check;
use crate::codes;
use crate::diagnostic::{Diagnostic, Lines, Severity, Sink, Span};
use crate::draft::Draft;
use crate::read;
use crate::reading::Reading;
use crate::syntax;
use crate::{Files, Loaded};

/// Reads a policy source. `name` is only for messages; `files` gives the files that the policy embeds.
///
/// Finds all mistakes in one run. There is a policy only when none of them is an error.
pub fn load(_name: &str, text: &str, files: &dyn Files) -> Loaded {
    if text.len() > SOURCE_BYTES_MAX {
        let message = format!("the source has {} bytes, the most is {SOURCE_BYTES_MAX}", text.len());
        let mut sink = Sink::default();
        sink.push(Diagnostic::new(codes::INPUT_TOO_LARGE, Span::default(), message));
        return Loaded { policy: None, diagnostics: sink.finish("") };
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading::new(text, files);
    if !errors.is_empty() {
        syntax::report(&errors, text, &Lines::new(text), &mut reading.sink);
    }
    let draft = read::document(root.get_ref(), &mut reading);
    if !reading.sink.is_broken() {
        check::run(&draft, &mut reading);
    }
    let broken = reading.sink.has_errors();
    let policy = normalise(draft).filter(|_| !broken);
    let diagnostics = reading.sink.finish(text);
    debug_assert_eq!(policy.is_none(), diagnostics.iter().any(|found| found.severity == Severity::Error));
    Loaded { policy, diagnostics }
}

/// The policy with every list sorted by name.
fn normalise(draft: Draft<'_>) -> Option<Policy> {
    let mut policy = Policy {
        name: draft.name?,
        audit: draft.audit,
        transport: draft.transport,
        issuers: draft.issuers,
        client_cas: draft.client_cas,
        origins: draft.origins,
        routes: draft.routes.into_iter().map(|draft| draft.route).collect(),
        scopes: draft.scopes,
        agents: draft.agents.into_iter().map(|draft| draft.agent).collect(),
        api_keys: draft.api_keys,
    };
    policy.issuers.sort_by(|a, b| a.name.cmp(&b.name));
    policy.client_cas.sort_by(|a, b| a.name.cmp(&b.name));
    policy.origins.sort_by(|a, b| a.name.cmp(&b.name));
    policy.routes.sort_by(|a, b| a.name.cmp(&b.name));
    policy.scopes.sort_by(|a, b| a.name.cmp(&b.name));
    policy.agents.sort_by(|a, b| a.name.cmp(&b.name));
    policy.api_keys.sort_by(|a, b| a.id.cmp(&b.id));
    Some(policy)
}
