//! Reads the tables of a source, one kind a file, each as far as it can be read.

mod agent;
mod api_key;
mod case;
mod client_ca;
mod expect;
mod fetched;
mod identity;
mod introspection;
mod issuer;
mod limit;
mod origin;
mod policy;
mod route;
mod scope;

use toml::de::{DeTable, DeValue};

use crate::bounds;
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::{CaseDraft, Draft};
use crate::fields::{Fields, Text, Value};
use crate::forms::{self, Flaw};
use crate::reading::{Kind, Reading, Reference};

/// Keys of each kind of table. The schema is tested against them.
#[cfg(test)]
pub(crate) const KEYS: &[(&str, &[&str])] = &[
    ("[policy]", policy::KEYS),
    ("[[issuer]]", issuer::KEYS),
    ("keys", issuer::SOURCE_KEYS),
    ("introspection", introspection::KEYS),
    ("[[client_ca]]", client_ca::KEYS),
    ("crl", client_ca::CRL_KEYS),
    ("file", client_ca::FILE_KEYS),
    ("[[origin]]", origin::KEYS),
    ("tls", origin::TLS_KEYS),
    ("credentials", origin::credentials::CREDENTIALS_KEYS),
    ("assertion", origin::ASSERTION_KEYS),
    ("[[route]]", route::KEYS),
    ("[[scope]]", scope::KEYS),
    ("[[agent]]", agent::KEYS),
    ("identity", identity::KEYS),
    ("token", identity::TOKEN_KEYS),
    ("limits", limit::KEYS),
    ("[[api_key]]", api_key::KEYS),
    ("[[case]]", case::KEYS),
    ("token of a case", case::TOKEN_KEYS),
    ("steps", case::STEP_KEYS),
    ("expect", expect::KEYS),
    ("document", DOCUMENT),
];

pub(crate) const DOCUMENT: &[&str] =
    &["policy", "issuer", "client_ca", "origin", "route", "scope", "agent", "api_key", "case"];

/// Reads the whole document.
pub(crate) fn document<'d>(root: &'d DeTable<'d>, reading: &mut Reading<'d, '_>) -> Draft<'d> {
    let start = Span::default();
    let fields = Fields::new(root, start, "a policy source", DOCUMENT, reading);
    let mut draft = Draft::default();
    policy::read(&fields, &mut draft, reading);
    for (table, span) in tables(&fields, Kind::Issuer, bounds::ISSUERS_MAX, reading) {
        if let Some((issuer, introspection_at)) = issuer::read(table, span, reading) {
            draft.issuers.push(issuer);
            draft.introspections_at.push(introspection_at);
        }
    }
    for (table, span) in tables(&fields, Kind::ClientCa, bounds::CLIENT_CAS_MAX, reading) {
        draft.has_client_ca = true;
        draft.client_cas.extend(client_ca::read(table, span, reading));
    }
    for (table, span) in tables(&fields, Kind::Origin, bounds::ORIGINS_MAX, reading) {
        draft.origins.extend(origin::read(table, span, reading));
    }
    for (table, span) in tables(&fields, Kind::Route, bounds::ROUTES_MAX, reading) {
        draft.routes.extend(route::read(table, span, reading));
    }
    for (table, span) in tables(&fields, Kind::Scope, bounds::SCOPES_MAX, reading) {
        draft.scopes.extend(scope::read(table, span, reading));
    }
    for (table, span) in tables(&fields, Kind::Agent, bounds::AGENTS_MAX, reading) {
        draft.agents.extend(agent::read(table, span, reading));
    }
    for (table, span) in tables(&fields, Kind::ApiKey, bounds::API_KEYS_MAX, reading) {
        draft.api_keys.extend(api_key::read(table, span, reading));
    }
    draft.cases = cases(&fields, reading);
    draft
}

/// Reads a file of cases, which holds nothing else.
pub(crate) fn case_file<'d>(root: &'d DeTable<'d>, reading: &mut Reading<'d, '_>) -> Vec<CaseDraft> {
    let fields = Fields::new(root, Span::default(), "a file of cases", &["case"], reading);
    cases(&fields, reading)
}

fn cases<'d>(fields: &Fields<'d>, reading: &mut Reading<'d, '_>) -> Vec<CaseDraft> {
    let tables = tables(fields, Kind::Case, bounds::CASES_MAX, reading);
    tables.into_iter().filter_map(|(table, span)| case::read(table, span, reading)).collect()
}

/// The tables of one kind, each with the place of its header.
fn tables<'d>(
    fields: &Fields<'d>,
    kind: Kind,
    most: usize,
    reading: &mut Reading<'d, '_>,
) -> Vec<(&'d DeTable<'d>, Span)> {
    let header = kind.table();
    let key = header.trim_matches(['[', ']']);
    let Some(value) = fields.get(key) else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        reading.names.entry(kind).or_default().incomplete = true;
        reading.wrong_type(
            value,
            &format!("tables {header}"),
            Some(format!("write `{header}`, once for each {}", kind.noun())),
        );
        return Vec::new();
    };
    if items.len() > most {
        let span = items.get(most).map_or(value.span(), |item| item.span()).into();
        let message = format!("{} {header} tables, the most is {most}", items.len());
        reading.sink.push(Diagnostic::new(codes::TOO_MANY, span, message).label("beyond the bound"));
    }
    let mut tables = Vec::with_capacity(items.len().min(most));
    for item in items.iter().take(most) {
        match item.get_ref() {
            DeValue::Table(table) => tables.push((table, item.span().into())),
            _ => {
                reading.names.entry(kind).or_default().incomplete = true;
                reading.wrong_type(item, &format!("a table {header}"), None);
            }
        }
    }
    tables
}

/// Reads the name of a table under `key` and declares it, even when it is not well formed: so that one mistake is
/// not reported again at each reference.
fn named<'d>(
    fields: &Fields<'d>,
    key: &str,
    kind: Kind,
    form: impl Fn(&str) -> Result<(), Flaw>,
    reading: &mut Reading<'d, '_>,
) -> Option<Text<'d>> {
    let example = format!("{key} = \"…\"");
    let value = fields.required(key, &example, reading);
    let text = value.and_then(|value| reading.string(value, usize::MAX));
    reading.declare(kind, text);
    let text = text?;
    reading.form(text, form(text.value)).map(|()| text)
}

/// A reference to another table.
fn reference<'d>(value: Option<&'d Value<'d>>, kind: Kind, reading: &mut Reading<'d, '_>) -> Option<Text<'d>> {
    let name = reading.filled_string(value?, bounds::CLAIM_BYTES_MAX)?;
    reading.refer(kind, name);
    Some(name)
}

/// A list of references, sorted, each once.
fn references<'d>(
    value: Option<&'d Value<'d>>,
    kind: Kind,
    most: usize,
    reading: &mut Reading<'d, '_>,
) -> Option<Vec<String>> {
    let names = reading.strings(value?, kind.noun(), most, bounds::CLAIM_BYTES_MAX)?;
    for name in &names {
        reading.refer(kind, *name);
    }
    let mut names: Vec<String> = names.iter().map(|name| name.value.to_owned()).collect();
    names.sort_unstable();
    Some(names)
}

/// What a case says of another table: it must exist, but is not used by that.
fn mention<'d>(value: Option<&'d Value<'d>>, kind: Kind, reading: &mut Reading<'d, '_>) -> Option<Text<'d>> {
    let name = reading.filled_string(value?, bounds::CLAIM_BYTES_MAX)?;
    reading.mentions.push(Reference { kind, name });
    Some(name)
}

/// The ordinary form of names.
fn plain_name(text: &str) -> Result<(), Flaw> {
    forms::name::name(text)
}

/// A date-time with an offset, as seconds since the Unix epoch.
fn instant(value: &Value<'_>, code: &'static codes::Code, reading: &mut Reading<'_, '_>) -> Option<u64> {
    let hint = match value.get_ref() {
        DeValue::Datetime(datetime) => match forms::instant::unix_s(datetime, code) {
            Ok(seconds) => return Some(seconds),
            Err(flaw) => {
                let diagnostic = Diagnostic::new(flaw.code, value.span().into(), flaw.message).label(flaw.label);
                reading.sink.push(diagnostic.hint_maybe(flaw.hint));
                return None;
            }
        },
        DeValue::String(_) => "write it without quotes: 2027-01-31T00:00:00Z",
        _ => "write it like 2027-01-31T00:00:00Z",
    };
    reading.wrong_type(value, "a date-time", Some(hint.to_owned()));
    None
}

/// Tells a key that is not given from one that is given and wrong (none).
fn if_given<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| value.map(Some))
}
