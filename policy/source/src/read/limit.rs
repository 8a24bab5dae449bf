//! `limits`: strings, or tables where a limit needs a name or bounds of its own.

use std::collections::HashMap;

use policy::model::{Limit, LimitKind, OnFull, Per, Unit};
use toml::de::DeValue;

use crate::bounds::{CLAIM_BYTES_MAX, LIMITS_PER_AGENT_MAX, SUBJECTS_DEFAULT, SUBJECTS_MAX};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::LimitDraft;
use crate::fields::{Fields, Value};
use crate::forms::limit::{self, Written};
use crate::forms::name;
use crate::read::agent::Stands;
use crate::reading::Reading;

pub(super) const KEYS: &[&str] = &["limit", "name", "subjects", "on_full"];

/// The limits of one agent, sorted by name.
pub(super) fn read<'d>(value: &'d Value<'d>, stands: Stands, reading: &mut Reading<'d, '_>) -> Option<Vec<LimitDraft>> {
    if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) {
        return Some(Vec::new());
    }
    let items = reading.items(value, "limit", LIMITS_PER_AGENT_MAX)?;
    let drafts: Vec<Option<LimitDraft>> = items.iter().map(|item| read_limit(item, stands, reading)).collect();
    let mut drafts: Vec<LimitDraft> = drafts.into_iter().collect::<Option<_>>()?;
    let mut named: HashMap<&str, Span> = HashMap::new();
    for draft in &drafts {
        if let Some(first) = named.insert(&draft.limit.name, draft.at) {
            let message = format!("two limits of this agent are named `{}`", draft.limit.name);
            let diagnostic = Diagnostic::new(codes::DUPLICATE_LIMIT_NAME, draft.at, message).label("the same name");
            let hint = "counters live on under their names: write `{ limit = \"…\", name = \"…\" }`";
            reading.sink.push(diagnostic.related(first, "first here").hint(hint));
        }
    }
    drafts.sort_by(|a, b| a.limit.name.cmp(&b.limit.name));
    Some(drafts)
}

fn read_limit<'d>(value: &'d Value<'d>, stands: Stands, reading: &mut Reading<'d, '_>) -> Option<LimitDraft> {
    let at = Span::from(value.span());
    let (text, fields) = match value.get_ref() {
        DeValue::String(_) => (reading.string(value, CLAIM_BYTES_MAX)?, None),
        DeValue::Table(_) => {
            let fields = Fields::of_value(value, "limits", KEYS, "", reading)?;
            let limit = fields.required("limit", "limit = \"60/minute\"", reading)?;
            (reading.string(limit, CLAIM_BYTES_MAX)?, Some(fields))
        }
        _ => {
            reading.wrong_type(value, "a string or a table", Some("write `\"60/minute\"`".to_owned()));
            return None;
        }
    };
    let written = reading.form(text, limit::limit(text.value))?;
    if let (Some(at), Stands::Single) = (&written.per_subject, stands) {
        let span = reading.inside(text, at.clone());
        let diagnostic = Diagnostic::new(codes::PER_SUBJECT_SINGLE, span, "this agent has no subjects to tell apart");
        let hint = "remove it; `per subject` is for populations (`subject = \"*\"`) and the anonymous agent";
        reading.sink.push(diagnostic.label("no subjects").hint(hint));
        return None;
    }
    let per_subject = written.per_subject.is_some() || stands == Stands::Anonymous;
    let per = match &fields {
        Some(fields) => read_per(fields, per_subject, reading)?,
        None => per(per_subject, SUBJECTS_DEFAULT, OnFull::default()),
    };
    let name = match fields.as_ref().and_then(|fields| fields.get("name")) {
        Some(value) => {
            let text = reading.string(value, CLAIM_BYTES_MAX)?;
            reading.form(text, name::name(text.value))?;
            text.value.to_owned()
        }
        None => derived_name(&written, per_subject),
    };
    let limit = Limit { name, kind: written.kind, count: written.count, unit: written.unit, per };
    Some(LimitDraft { limit, at })
}

fn read_per<'d>(fields: &Fields<'d>, per_subject: bool, reading: &mut Reading<'d, '_>) -> Option<Per> {
    let mut valid = true;
    for key in ["subjects", "on_full"].into_iter().filter(|key| !per_subject && fields.get(key).is_some()) {
        valid = false;
        let message = format!("`{key}` is for limits that count each subject");
        let diagnostic = Diagnostic::new(codes::SUBJECTS_WITHOUT_PER_SUBJECT, fields.key_span(key), message);
        reading.sink.push(diagnostic.label("not here").hint("remove it, or add `per subject` to the limit"));
    }
    let subjects_max = match fields.get("subjects") {
        Some(value) => reading.integer(value, 1, SUBJECTS_MAX),
        None => Some(SUBJECTS_DEFAULT),
    };
    let on_full = match fields.get("on_full") {
        Some(value) => reading.one_of(value, &[("overflow", OnFull::Overflow), ("deny", OnFull::Deny)]),
        None => Some(OnFull::default()),
    };
    let per = per(per_subject, subjects_max?, on_full?);
    valid.then_some(per)
}

fn per(per_subject: bool, subjects_max: u32, on_full: OnFull) -> Per {
    if per_subject { Per::Subject { subjects_max, on_full } } else { Per::Agent }
}

/// `minute`, `hour-quota`, `minute-subject` …
fn derived_name(written: &Written, per_subject: bool) -> String {
    let unit = match written.unit {
        Unit::Second => "second",
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
    };
    let quota = if written.kind == LimitKind::Quota { "-quota" } else { "" };
    let subject = if per_subject { "-subject" } else { "" };
    format!("{unit}{quota}{subject}")
}
