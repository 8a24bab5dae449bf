//! `[[origin]]`.

pub(super) mod credentials;

use credentials::Credentials;
use policy::model::{Origin, OriginAssertion, OriginTls};
use toml::de::DeTable;

use crate::bounds::{ADDRESSES_PER_ORIGIN_MAX, CLAIM_BYTES_MAX};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::fields::{Fields, Text, Value, shown};
use crate::forms::{address, name};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["name", "addresses", "tls", "credentials", "assertion"];
pub(super) const TLS_KEYS: &[&str] = &["ca", "server_name", "identity"];
pub(super) const ASSERTION_KEYS: &[&str] = &["audience"];

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<Origin> {
    let fields = Fields::new(table, span, "[[origin]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::Origin, super::plain_name, reading);
    let tls = fields.get("tls").map(|value| read_tls(value, reading));
    let addresses = fields.required("addresses", "addresses = [\"10.0.0.5:8080\"]", reading);
    let addresses =
        addresses.and_then(|value| reading.strings(value, "address", ADDRESSES_PER_ORIGIN_MAX, CLAIM_BYTES_MAX));
    let addresses = addresses.and_then(|texts| read_addresses(&texts, tls.is_some(), reading));
    let given = fields.get("credentials");
    let credentials = given.map(|value| credentials::read(value, reading));
    let assertion = fields.get("assertion").map(|value| read_assertion(value, reading));
    let (tls, credentials, addresses) = (super::if_given(tls)?, super::if_given(credentials)?, addresses?);
    let assertion = super::if_given(assertion)?;
    let (pass_credentials, credential) = match credentials {
        None | Some(Credentials::Strip) => (false, None),
        Some(Credentials::Pass) => (true, None),
        Some(Credentials::Own(credential)) => (false, Some(credential)),
    };
    if let (Some(value), Some(_), None) = (given, &credential, &tls) {
        credentials::warn_of_plain(value, &addresses, reading);
    }
    Some(Origin { name: name?.value.to_owned(), addresses, tls, pass_credentials, credential, assertion })
}

fn read_addresses(texts: &[Text<'_>], has_tls: bool, reading: &mut Reading<'_, '_>) -> Option<Vec<String>> {
    let mut addresses: Vec<String> = Vec::with_capacity(texts.len());
    let mut valid = true;
    for text in texts {
        let Some(address) = reading.form(*text, address::address(text.value)) else {
            valid = false;
            continue;
        };
        if address.by_name && !has_tls {
            valid = false;
            let message = format!("the address `{}` is a name, and this origin has no `tls`", shown(text.value));
            let diagnostic = Diagnostic::new(codes::NAME_WITHOUT_TLS, text.span, message).label("a name");
            let hint =
                "DNS must not move where data goes: add `tls = { ca = { file = \"…\" } }`, or write the IP address";
            reading.sink.push(diagnostic.hint(hint));
        } else if addresses.contains(&address.text) {
            let message = format!("this is the address `{}` again", address.text);
            let diagnostic = Diagnostic::new(codes::REPEATED_ITEM, text.span, message).label("again");
            reading.sink.push(diagnostic.hint("remove one"));
        } else {
            addresses.push(address.text);
        }
    }
    valid.then_some(addresses)
}

fn read_assertion<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<OriginAssertion> {
    let example = "assertion = { audience = \"orders\" }";
    let fields = Fields::of_value(value, "assertion", ASSERTION_KEYS, example, reading)?;
    let audience = fields.required("audience", "audience = \"orders\"", reading);
    let audience = reading.filled_string(audience?, CLAIM_BYTES_MAX)?;
    Some(OriginAssertion { audience: audience.value.to_owned() })
}

fn read_tls<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<OriginTls> {
    let fields = Fields::of_value(value, "tls", TLS_KEYS, "tls = { ca = { file = \"origin-ca.pem\" } }", reading)?;
    let ca = fields.required("ca", "ca = { file = \"origin-ca.pem\" }", reading);
    let ca = ca.and_then(|value| super::client_ca::server_pem_file(value, reading));
    let server_name = fields.get("server_name").map(|value| {
        let text = reading.string(value, CLAIM_BYTES_MAX)?;
        reading.form(text, address::server_name(text.value))
    });
    let identity = fields.get("identity").map(|value| {
        let text = reading.string(value, CLAIM_BYTES_MAX)?;
        reading.form(text, name::name(text.value)).map(|()| text.value.to_owned())
    });
    let (server_name, identity) = (super::if_given(server_name)?, super::if_given(identity)?);
    Some(OriginTls { ca: ca?, server_name, identity })
}
