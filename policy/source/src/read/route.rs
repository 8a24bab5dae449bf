//! `[[route]]`.

use policy::model::{Methods, Route};
use toml::de::{DeTable, DeValue};

use crate::bounds::{CLAIM_BYTES_MAX, METHODS_PER_ROUTE_MAX};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::RouteDraft;
use crate::fields::{Fields, Text, Value, shown};
use crate::forms::path::{Admits, Segment};
use crate::forms::{host, method, path};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["name", "host", "methods", "path", "origin", "encoded_slash", "path_parameters"];

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<RouteDraft<'d>> {
    let fields = Fields::new(table, span, "[[route]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::Route, super::plain_name, reading);
    let host = fields.required("host", "host = \"api.example\"` or `host = \"*\"", reading);
    let host = host.and_then(|value| {
        let text = reading.filled_string(value, CLAIM_BYTES_MAX)?;
        reading.form(text, host::host(text.value))
    });
    let methods = fields.required("methods", "methods = [\"GET\"]` or `methods = \"*\"", reading);
    let methods = methods.and_then(|value| read_methods(value, reading));
    let encoded_slash = fields.get("encoded_slash").map_or(Some(false), |value| reading.boolean(value));
    let path_parameters = fields.get("path_parameters").map_or(Some(false), |value| reading.boolean(value));
    let admits =
        Admits { encoded_slash: encoded_slash.unwrap_or(true), path_parameters: path_parameters.unwrap_or(true) };
    let path = fields.required("path", "path = \"/orders/{id}\"", reading);
    let path = path.and_then(|value| read_path(value, admits, reading));
    let origin = fields.required("origin", "origin = \"…\"", reading);
    let origin = super::reference(origin, Kind::Origin, reading);
    let (name, (path, segments)) = (name?, path?);
    let route = Route {
        name: name.value.to_owned(),
        host: host?,
        methods: methods?,
        path: path.value.to_owned(),
        origin: origin?.value.to_owned(),
        encoded_slash: encoded_slash?,
        path_parameters: path_parameters?,
    };
    Some(RouteDraft { route, segments, name, path_at: path.span })
}

fn read_methods<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Methods> {
    if matches!(value.get_ref(), DeValue::String(text) if text == "*") {
        return Some(Methods::Any);
    }
    let texts = reading.strings(value, "method", METHODS_PER_ROUTE_MAX, CLAIM_BYTES_MAX)?;
    if let Some(any) = texts.iter().find(|text| text.value == "*") {
        if texts.len() > 1 {
            let diagnostic = Diagnostic::new(codes::BAD_METHOD, any.span, "`*` stands beside named methods");
            reading.sink.push(diagnostic.label("every method").hint("write `*` alone, or name the methods"));
            return None;
        }
        return Some(Methods::Any);
    }
    let checked: Vec<Option<()>> = texts.iter().map(|text| reading.form(*text, method::method(text.value))).collect();
    checked.into_iter().collect::<Option<Vec<()>>>()?;
    let mut methods: Vec<String> = texts.iter().map(|text| text.value.to_owned()).collect();
    methods.sort_unstable();
    Some(Methods::Only(methods))
}

fn read_path<'d>(
    value: &'d Value<'d>,
    admits: Admits,
    reading: &mut Reading<'d, '_>,
) -> Option<(Text<'d>, Vec<Segment<'d>>)> {
    let text = reading.string(value, usize::MAX)?;
    let segments = reading.form(text, path::path(text.value, admits))?;
    for segment in &segments {
        if let Segment::Literal(literal) = segment
            && let Some(hint) = meant(literal)
        {
            let message = format!("`{}` is matched literally, sign and all", shown(literal));
            let start = text.value.find(literal).unwrap_or(0);
            let at = reading.inside(text, start..start + literal.len());
            let diagnostic = Diagnostic::new(codes::SUSPICIOUS_PATH, at, message).label("a literal");
            reading.sink.push(diagnostic.hint(hint));
        }
    }
    Some((text, segments))
}

/// What to write instead of a literal that looks like another router's parameter, wildcard or expression.
fn meant(literal: &str) -> Option<String> {
    if literal.len() < 2 {
        return None;
    }
    if literal.starts_with([':', '$']) || (literal.starts_with('(') && literal.ends_with(')')) {
        let name = literal.trim_matches([':', '$', '(', ')']);
        return Some(format!("for any one segment write `{{{}}}`", shown(name)));
    }
    (literal.contains('*') || literal.ends_with('$')).then(|| path::WHOLE_SEGMENTS.to_owned())
}
