//! `[policy]`.

use policy::model::{Audit, MinimumTransport};
use toml::de::DeValue;

use crate::bounds::{CASE_FILE_BYTES_MAX, CASE_FILES_MAX, LOCATION_BYTES_MAX};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::Draft;
use crate::fields::{Fields, Value};
use crate::forms;
use crate::reading::Reading;

pub(super) const KEYS: &[&str] = &["name", "audit", "transport", "cases"];

pub(super) fn read<'d>(document: &Fields<'d>, draft: &mut Draft<'d>, reading: &mut Reading<'d, '_>) {
    let Some(value) = document.get("policy") else {
        let diagnostic = Diagnostic::new(codes::MISSING_KEY, Span::default(), "there is no `[policy]`");
        reading.sink.push(diagnostic.label("a policy has a name").hint("add `[policy]` and `name = \"…\"`"));
        return;
    };
    let DeValue::Table(table) = value.get_ref() else {
        return reading.wrong_type(value, "a table [policy]", Some("write `[policy]`, once".to_owned()));
    };
    let fields = Fields::new(table, value.span().into(), "[policy]", KEYS, reading);
    if let Some(value) = fields.required("name", "name = \"…\"", reading)
        && let Some(name) = reading.string(value, usize::MAX)
        && reading.form(name, forms::name::name(name.value)).is_some()
    {
        draft.name = Some(name.value.to_owned());
    }
    if let Some(value) = fields.get("audit") {
        let words = [("best-effort", Audit::BestEffort), ("queued", Audit::Queued), ("durable", Audit::Durable)];
        draft.audit = reading.one_of(value, &words).unwrap_or_default();
    }
    if let Some(value) = fields.get("transport") {
        let words =
            [("plain", MinimumTransport::Plain), ("tls", MinimumTransport::Tls), ("mtls", MinimumTransport::Mtls)];
        draft.transport = reading.one_of(value, &words).unwrap_or_default();
        draft.transport_at = Some(value.span().into());
    }
    if let Some(value) = fields.get("cases") {
        read_case_files(value, draft, reading);
    }
}

fn read_case_files<'d>(value: &'d Value<'d>, draft: &mut Draft<'d>, reading: &mut Reading<'d, '_>) {
    let paths = reading.strings(value, "file of cases", CASE_FILES_MAX, LOCATION_BYTES_MAX);
    for path in paths.unwrap_or_default() {
        if let Some(text) = reading.embedded_file(path, CASE_FILE_BYTES_MAX) {
            draft.case_files.push((path, text));
        }
    }
}
