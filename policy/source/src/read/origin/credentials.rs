//! `credentials` of an `[[origin]]`: what becomes of the agents' own, or what the origin gets in their place.

use std::net::SocketAddr;

use policy::model::{OriginCredential, SECRET_PLACE};
use toml::de::DeValue;

use crate::bounds::CLAIM_BYTES_MAX;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::fields::{Fields, Value};
use crate::forms::{field, name};
use crate::read::if_given;
use crate::reading::Reading;

pub(crate) const CREDENTIALS_KEYS: &[&str] = &["from", "header", "value"];

const EXAMPLE: &str = "{ from = \"orders-token\", header = \"Authorization\", value = \"Bearer {secret}\" }";

/// The three things that an origin can get; never two of them.
pub(super) enum Credentials {
    Strip,
    Pass,
    Own(OriginCredential),
}

pub(super) fn read<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Credentials> {
    if matches!(value.get_ref(), DeValue::Table(_)) {
        return own(value, reading).map(Credentials::Own);
    }
    let pass = reading.one_of(value, &[("strip", false), ("pass", true)])?;
    if !pass {
        return Some(Credentials::Strip);
    }
    let message = "the origin gets the agents' tokens and API keys, and can call as any of them";
    let diagnostic = Diagnostic::new(codes::CREDENTIALS_PASSED, value.span().into(), message);
    let hint = "remove it if the origin can do with `Adamant-Agent`, which the gateway sets";
    reading.sink.push(diagnostic.label("passed on").hint(hint));
    Some(Credentials::Pass)
}

fn own<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<OriginCredential> {
    let fields = Fields::of_value(value, "credentials", CREDENTIALS_KEYS, EXAMPLE, reading)?;
    if let Some(secret) = fields.get("secret") {
        let diagnostic =
            Diagnostic::new(codes::SECRET_IN_POLICY, secret.span().into(), "a secret stands in the policy");
        let hint = "it belongs in the file of an [[origin_credential]] of gateway.toml, which `from` names";
        reading.sink.push(diagnostic.label("a secret").hint(hint));
    }
    let from = fields.required("from", "from = \"orders-token\"", reading);
    let from = from.and_then(|value| reading.string(value, CLAIM_BYTES_MAX));
    let from = from.and_then(|text| reading.form(text, name::name(text.value)).map(|()| text.value.to_owned()));
    let header = fields.required("header", "header = \"Authorization\"", reading);
    let header = header.and_then(|value| reading.string(value, CLAIM_BYTES_MAX));
    let header = header.and_then(|text| reading.form(text, field::name(text.value)));
    let form = fields.get("value").map(|value| {
        let text = reading.string(value, CLAIM_BYTES_MAX)?;
        reading.form(text, field::value(text.value)).map(|()| text.value.to_owned())
    });
    let (from, header, form) = (from?, header?, if_given(form)?);
    if form.is_none() && header == "authorization" {
        let message = "`Authorization` holds a scheme before the secret (RFC 9110 §11.4)";
        let diagnostic = Diagnostic::new(codes::BAD_CREDENTIALS, fields.span, message).label("no `value`");
        reading.sink.push(diagnostic.hint("add `value = \"Bearer {secret}\"`, or the scheme that the origin wants"));
        return None;
    }
    Some(OriginCredential { from, header, value: form.unwrap_or_else(|| SECRET_PLACE.to_owned()) })
}

/// Warns where the secret leaves the machine readable.
pub(super) fn warn_of_plain<'d>(value: &'d Value<'d>, addresses: &[String], reading: &mut Reading<'d, '_>) {
    let leaves = |address: &String| !address.parse::<SocketAddr>().is_ok_and(|socket| socket.ip().is_loopback());
    if addresses.iter().any(leaves) {
        let message = "the origin's secret crosses the network readable";
        let diagnostic = Diagnostic::new(codes::CREDENTIAL_PLAIN, value.span().into(), message).label("without TLS");
        reading.sink.push(diagnostic.hint("add `tls = { ca = { file = \"…\" } }` to the origin"));
    }
}
