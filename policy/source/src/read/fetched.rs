//! Where keys are fetched from, how often, for how long they are believed, and who vouches for the server.

use policy::model::{Fetched, Keys, ServerCa};
use toml::de::DeValue;

use super::issuer::read_duration;
use crate::bounds::{REFRESH_MAX_S, REFRESH_MIN_S, STALE_MAX_S};
use crate::codes::{self, Code};
use crate::diagnostic::Diagnostic;
use crate::fields::{Fields, Text, Value};
use crate::forms::{duration, url};
use crate::reading::Reading;

/// What belongs to these sources alone.
pub(super) const BOUNDS: &[&str] = &["refresh", "max_stale", "ca"];

/// `{ url = … }`.
pub(super) fn by_url<'d>(fields: &Fields<'d>, location: Text<'d>, reading: &mut Reading<'d, '_>) -> Option<Keys> {
    read(fields, location, reading).map(Keys::Url)
}

/// `{ discovery = … }`: `/.well-known/openid-configuration` is put behind it, unless it names a place below
/// `/.well-known/` itself.
pub(super) fn by_discovery<'d>(fields: &Fields<'d>, location: Text<'d>, reading: &mut Reading<'d, '_>) -> Option<Keys> {
    if location.value.contains('?') {
        let message = "the place of an issuer's metadata has no query (RFC 8414 §3)";
        let diagnostic = Diagnostic::new(codes::BAD_URL, location.span, message).label("a query");
        reading.sink.push(diagnostic.hint("write the issuer's URL, or name the key set itself with `url`"));
        return None;
    }
    read(fields, location, reading).map(Keys::Discovery)
}

fn read<'d>(fields: &Fields<'d>, location: Text<'d>, reading: &mut Reading<'d, '_>) -> Option<Fetched> {
    let ca = server(fields, location, &PLAIN, reading);
    let refresh = fields.required("refresh", "refresh = \"10m\"", reading);
    let refresh_s = refresh.and_then(|value| read_duration(value, REFRESH_MIN_S, REFRESH_MAX_S, reading));
    let stale = fields.required("max_stale", "max_stale = \"24h\"", reading);
    let max_stale_s = stale.and_then(|value| read_duration(value, REFRESH_MIN_S, STALE_MAX_S, reading));
    let (refresh_s, max_stale_s) = (refresh_s?, max_stale_s?);
    if max_stale_s < refresh_s {
        let message = "keys would be too old before they are fetched again";
        let span = stale.map_or(fields.span, |value| value.span().into());
        let diagnostic = Diagnostic::new(codes::OUT_OF_RANGE, span, message).label("shorter than `refresh`");
        reading.sink.push(diagnostic.hint(format!("at least {}", duration::written(refresh_s))));
        return None;
    }
    Some(Fetched { url: location.value.to_owned(), refresh_s, max_stale_s, ca: ca? })
}

/// What to say of a server that is spoken to in plain HTTP.
pub(super) struct Plain {
    pub code: &'static Code,
    pub message: &'static str,
}

const PLAIN: Plain = Plain {
    code: codes::KEYS_PLAIN,
    message: "keys come over plain http: whoever can listen on that port of the gateway's machine decides who is let in",
};

/// Who vouches for the server at `location`; the inner none: nobody, on loopback. The outer none: something is wrong.
pub(super) fn server<'d>(
    fields: &Fields<'d>,
    location: Text<'d>,
    plain: &Plain,
    reading: &mut Reading<'d, '_>,
) -> Option<Option<ServerCa>> {
    if url::is_plain_loopback(location.value) {
        return no_ca(fields, location, plain, reading);
    }
    let checked = reading.form(location, url::https_url(location.value));
    let ca = server_ca(fields, reading);
    checked?;
    ca.map(Some)
}

/// `{ file = "…" }` or `"system"`.
fn server_ca<'d>(fields: &Fields<'d>, reading: &mut Reading<'d, '_>) -> Option<ServerCa> {
    let value: &'d Value<'d> = fields.required("ca", "ca = { file = \"issuer-ca.pem\" }", reading)?;
    if matches!(value.get_ref(), DeValue::String(word) if word == "system") {
        return Some(ServerCa::System);
    }
    super::client_ca::server_pem_file(value, reading).map(|certificates| ServerCa::Pinned { certificates })
}

/// Plain HTTP stays on the machine; it is told all the same. The outer none: something is wrong.
fn no_ca<'d>(
    fields: &Fields<'d>,
    location: Text<'d>,
    plain: &Plain,
    reading: &mut Reading<'d, '_>,
) -> Option<Option<ServerCa>> {
    if fields.get("ca").is_some() {
        let diagnostic = Diagnostic::new(codes::KEYS_SOURCE, fields.key_span("ca"), "plain http has no certificate");
        reading.sink.push(diagnostic.label("not here").hint("write `https://…`, or remove `ca`"));
        return None;
    }
    let diagnostic = Diagnostic::new(plain.code, location.span, plain.message).label("weak");
    reading.sink.push(diagnostic.hint("use `https://…` with `ca = { file = \"…\" }`"));
    Some(None)
}
