//! From text to policy: parse, read, check, normalise.

use std::collections::HashMap;

use policy::model::Policy;
use toml::de::DeTable;

use crate::bounds::SOURCE_BYTES_MAX;
use crate::check;
use crate::codes;
use crate::diagnostic::{Diagnostic, Lines, Severity, Sink, Span};
use crate::draft::{CaseDraft, Draft};
use crate::other;
use crate::read;
use crate::reading::{Kind, Names, Reading};
use crate::syntax;
use crate::{CaseFile, Files, Loaded, PlacedCase};

/// Reads a policy source. `name` is only for messages; `files` gives the files that the policy embeds.
///
/// Finds all mistakes in one run. There is a policy only when none of them is an error.
pub fn load(name: &str, text: &str, files: &dyn Files) -> Loaded {
    if text.len() > SOURCE_BYTES_MAX {
        let message = format!("the source has {} bytes, the most is {SOURCE_BYTES_MAX}", text.len());
        let mut sink = Sink::default();
        sink.push(Diagnostic::new(codes::INPUT_TOO_LARGE, Span::default(), message));
        return Loaded { diagnostics: sink.finish(""), ..Loaded::default() };
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(found) = other::found(text, root.get_ref(), &errors, read::DOCUMENT, "a policy source") {
        return Loaded { diagnostics: found, ..Loaded::default() };
    }
    let mut reading = Reading::new(text, files);
    if !errors.is_empty() {
        syntax::report(&errors, text, &Lines::new(text), &mut reading.sink);
    }
    let draft = read::document(root.get_ref(), &mut reading);
    let whole = !reading.sink.is_broken();
    if whole {
        check::run(&draft, &mut reading);
    }
    let mut cases = placed(&draft.cases, None, &Lines::new(text), text);
    let mut case_files = Vec::with_capacity(draft.case_files.len());
    let mut taken = cases.iter().map(|placed| (placed.case.name.clone(), name.to_owned())).collect();
    for (path, text) in &draft.case_files {
        let policy = whole.then_some((&draft, &reading.names));
        let (file, found) = read_cases(path.value, text, case_files.len(), policy, &mut taken);
        case_files.push(file);
        cases.extend(found);
    }
    let has_errors = |found: &Diagnostic| found.severity == Severity::Error;
    let broken = reading.sink.has_errors() || case_files.iter().flat_map(|file| &file.diagnostics).any(has_errors);
    let policy = normalise(draft).filter(|_| !broken);
    let diagnostics = reading.sink.finish(text);
    cases.retain(|_| policy.is_some());
    Loaded { policy, cases, diagnostics, case_files }
}

/// Reads one file of cases and checks it against the policy, as far as that could be read.
fn read_cases(
    path: &str,
    text: &str,
    file: usize,
    policy: Option<(&Draft<'_>, &HashMap<Kind, Names<'_>>)>,
    taken: &mut HashMap<String, String>,
) -> (CaseFile, Vec<PlacedCase>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(diagnostics) = other::found(text, root.get_ref(), &errors, &["case"], "a file of cases") {
        return (CaseFile { path: path.to_owned(), text: text.to_owned(), diagnostics }, Vec::new());
    }
    let mut reading = Reading::new(text, &NoFiles);
    reading.elsewhere = std::mem::take(taken);
    let lines = Lines::new(text);
    if !errors.is_empty() {
        syntax::report(&errors, text, &lines, &mut reading.sink);
    }
    let drafts = read::case_file(root.get_ref(), &mut reading);
    if let Some((draft, names)) = policy.filter(|_| !reading.sink.is_broken()) {
        let mentions = std::mem::take(&mut reading.mentions);
        check::references::unknown_among(&mentions, names, &mut reading);
        check::cases::check(&drafts, draft, &mut reading);
    }
    let cases = placed(&drafts, Some(file), &lines, text);
    *taken = std::mem::take(&mut reading.elsewhere);
    taken.extend(cases.iter().map(|placed| (placed.case.name.clone(), path.to_owned())));
    let diagnostics = reading.sink.finish(text);
    (CaseFile { path: path.to_owned(), text: text.to_owned(), diagnostics }, cases)
}

fn placed(drafts: &[CaseDraft], file: Option<usize>, lines: &Lines, text: &str) -> Vec<PlacedCase> {
    let line = |span: Span| lines.place(text, span.start).0;
    let place = |draft: &CaseDraft| PlacedCase {
        case: draft.case.clone(),
        file,
        line: line(draft.at),
        step_lines: draft.steps_at.iter().map(|places| line(places.at)).collect(),
    };
    drafts.iter().map(place).collect()
}

/// A file of cases embeds nothing.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Err("cases embed no files".to_owned())
    }
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
