//! `[[api_key]]`.

use policy::model::ApiKey;
use toml::de::DeTable;

use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::fields::{Fields, Value};
use crate::forms::{certificate, name};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["id", "sha256", "expires"];

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<ApiKey> {
    let fields = Fields::new(table, span, "[[api_key]]", KEYS, reading);
    let id = super::named(&fields, "id", Kind::ApiKey, name::api_key_id, reading);
    let sha256 = fields.get("sha256").map(|value| read_sha256(value, reading));
    let expires_s = fields.get("expires").map(|value| super::instant(value, codes::BAD_EXPIRY, reading));
    let (sha256, expires_s) = (super::if_given(sha256)?, super::if_given(expires_s)?);
    Some(ApiKey { id: id?.value.to_owned(), sha256, expires_s })
}

fn read_sha256<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<String> {
    let text = reading.string(value, usize::MAX)?;
    if text.value.starts_with("adm_") {
        let diagnostic = Diagnostic::new(codes::SECRET_IN_POLICY, text.span, "this is the API key itself");
        let hint = "make a new key with `adamant key new` and write the hash it prints; this one is no secret any more";
        reading.sink.push(diagnostic.label("a secret").hint(hint));
        return None;
    }
    let hash = certificate::sha256_hex(text.value);
    if hash.is_none() {
        let message =
            format!("a SHA-256 has 64 hexadecimal digits, here are {} characters", text.value.chars().count());
        let diagnostic = Diagnostic::new(codes::BAD_SHA256, text.span, message).label("not a SHA-256");
        reading.sink.push(diagnostic.hint("`adamant key new` prints the hash with the key"));
    }
    if let Some(hash) = &hash {
        let message = "another [[api_key]] has this hash, so both ids would be one key".to_owned();
        reading.once(codes::DUPLICATE_SHA256, hash, text.span, message, "each id has a key of its own");
    }
    hash
}
