//! `introspection` of an issuer: where its opaque tokens are asked about, as whom, and for how long an answer counts.

use policy::model::{IntrospectedSubject, Introspection};

use super::issuer::read_duration;
use crate::bounds::{CLAIM_BYTES_MAX, INTROSPECTION_MAX_S, INTROSPECTION_MIN_S, LOCATION_BYTES_MAX, PREFIX_BYTES_MAX};
use crate::codes;
use crate::diagnostic::Span;
use crate::fields::{Fields, Text, Value, shown};
use crate::forms::{Flaw, name};
use crate::reading::Reading;

pub(super) const KEYS: &[&str] = &["url", "ca", "client", "cache", "prefix", "subject"];

const SUBJECTS: &[(&str, IntrospectedSubject)] = &[
    (IntrospectedSubject::Sub.name(), IntrospectedSubject::Sub),
    (IntrospectedSubject::ClientId.name(), IntrospectedSubject::ClientId),
];

/// With its place, for what is checked across issuers.
pub(super) fn read<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<(Introspection, Span)> {
    const EXAMPLE: &str =
        "introspection = { url = \"https://…\", ca = { file = \"…\" }, client = \"…\", cache = \"1m\" }";
    let fields = Fields::of_value(value, "introspection", KEYS, EXAMPLE, reading)?;
    let url = fields.required("url", "url = \"https://id.example/introspect\"", reading);
    let server = url.and_then(|value| {
        let location = reading.filled_string(value, LOCATION_BYTES_MAX)?;
        let ca = super::fetched::server(&fields, location, &PLAIN, reading)?;
        Some((location.value.to_owned(), ca))
    });
    let client = fields.required("client", "client = \"gateway\"", reading).and_then(|value| {
        let text = reading.string(value, CLAIM_BYTES_MAX)?;
        reading.form(text, name::name(text.value)).map(|()| text.value.to_owned())
    });
    let cache = fields.required("cache", "cache = \"1m\"", reading);
    let cache_s = cache.and_then(|value| read_duration(value, INTROSPECTION_MIN_S, INTROSPECTION_MAX_S, reading));
    let prefix = fields.get("prefix").map(|value| {
        let text = reading.filled_string(value, PREFIX_BYTES_MAX)?;
        reading.form(text, prefix(text)).map(|()| text.value.to_owned())
    });
    let subject = fields.get("subject").map(|value| reading.one_of(value, SUBJECTS));
    let (prefix, subject) = (super::if_given(prefix)?, super::if_given(subject)?.unwrap_or_default());
    let ((url, ca), client, cache_s) = (server?, client?, cache_s?);
    Some((Introspection { url, ca, client, cache_s, prefix, subject }, fields.span))
}

const PLAIN: super::fetched::Plain = super::fetched::Plain {
    code: codes::INTROSPECTION_PLAIN,
    message: "tokens and the gateway's own secret go over plain http: whoever can listen on that port of its machine has them",
};

/// Of the characters that tokens have (RFC 6750 §2.1) without the dot, by which JWTs are told; not that of API keys.
fn prefix(text: Text<'_>) -> Result<(), Flaw> {
    let wrong = |c: char| !(c.is_ascii_alphanumeric() || "-_~+/".contains(c));
    if let Some(at) = text.value.find(wrong) {
        let width = text.value.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        let message = format!("the prefix `{}` has a character that it cannot have", shown(text.value));
        let flaw = Flaw::new(codes::BAD_PREFIX, message).at(at..at + width).label("not admitted");
        return Err(flaw.hint("write letters, digits, `-`, `_`, `~`, `+` and `/`, like `ory_at_`"));
    }
    if text.value.starts_with("adm_") || "adm_".starts_with(text.value) {
        let message = format!("tokens that begin with `{}` could be API keys of this gateway", shown(text.value));
        return Err(Flaw::new(codes::BAD_PREFIX, message).label("taken").hint("write a longer one, or another"));
    }
    Ok(())
}
