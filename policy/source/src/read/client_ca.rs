//! `[[client_ca]]`, and embedded PEM files.

use policy::model::{ClientCa, Crl};
use toml::de::{DeTable, DeValue};

use crate::bounds::{LOCATION_BYTES_MAX, PEM_BYTES_MAX};
use crate::diagnostic::Span;
use crate::embed::pem;
use crate::fields::{Fields, Value};
use crate::forms::Flaw;
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["name", "certificates", "crl"];
pub(super) const CRL_KEYS: &[&str] = &["watch", "enforce_expiration"];
pub(super) const FILE_KEYS: &[&str] = &["file"];

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<ClientCa> {
    let fields = Fields::new(table, span, "[[client_ca]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::ClientCa, super::plain_name, reading);
    let certificates = fields.required("certificates", "certificates = { file = \"ca.pem\" }", reading);
    let certificates = certificates.and_then(|value| pem_file(value, ("certificates", pem::client_ca), reading));
    let crl = fields.get("crl").map(|value| read_crl(value, reading));
    Some(ClientCa { name: name?.value.to_owned(), certificates: certificates?, crl: super::if_given(crl)? })
}

/// `{ watch = "…", enforce_expiration = true }`: a file of revocation lists on the gateway. A list is of worth for days
/// alone, so that none is embedded in a release.
fn read_crl<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Crl> {
    let fields = Fields::of_value(value, "crl", CRL_KEYS, "crl = { watch = \"agents.crl\" }", reading)?;
    let path = fields.required("watch", "watch = \"agents.crl\"", reading);
    let path = path.and_then(|path| reading.filled_string(path, LOCATION_BYTES_MAX));
    let enforced = fields.get("enforce_expiration").map_or(Some(true), |value| reading.boolean(value));
    Some(Crl { path: path?.value.to_owned(), enforce_expiration: enforced? })
}

/// `{ file = "…" }`: a PEM file of trust anchors of a server, embedded.
pub(super) fn server_pem_file<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<String> {
    pem_file(value, ("ca", pem::certificates), reading)
}

/// Whether a text is what is expected.
type Check = fn(&str) -> Result<(), Flaw>;

fn pem_file<'d>(
    value: &'d Value<'d>,
    (what, check): (&'static str, Check),
    reading: &mut Reading<'d, '_>,
) -> Option<String> {
    let example = match value.get_ref() {
        DeValue::String(path) if !path.contains('\n') => format!("{{ file = \"{}\" }}", crate::fields::shown(path)),
        _ => "{ file = \"ca.pem\" }".to_owned(),
    };
    let fields = Fields::of_value(value, what, FILE_KEYS, &example, reading)?;
    let path = fields.required("file", "file = \"ca.pem\"", reading)?;
    let path = reading.filled_string(path, LOCATION_BYTES_MAX)?;
    let text = reading.embedded_file(path, PEM_BYTES_MAX)?;
    let checked = super::issuer::in_file(path, check(&text));
    reading.form(path, checked)?;
    Some(text)
}
