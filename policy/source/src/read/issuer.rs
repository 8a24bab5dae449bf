//! `[[issuer]]`.

use policy::model::{Algorithm, Issuer, Keys};
use toml::de::DeTable;

use super::fetched;
use crate::bounds::{AUDIENCES_PER_ISSUER_MAX, CLAIM_BYTES_MAX, JWKS_BYTES_MAX, LEEWAY_S_MAX, LOCATION_BYTES_MAX};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::embed::jwks;
use crate::fields::{Fields, Text, Value, shown};
use crate::forms::{Flaw, duration};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] =
    &["name", "issuer", "audience", "algorithms", "keys", "introspection", "scope_claim", "leeway"];
pub(super) const SOURCE_KEYS: &[&str] = &["file", "watch", "url", "discovery", "refresh", "max_stale", "ca"];

const SOURCES: [&str; 4] = ["file", "watch", "url", "discovery"];

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("HS256", Algorithm::HS256),
];

/// With the place of its `introspection`.
pub(super) fn read<'d>(
    table: &'d DeTable<'d>,
    span: Span,
    reading: &mut Reading<'d, '_>,
) -> Option<(Issuer, Option<Span>)> {
    let fields = Fields::new(table, span, "[[issuer]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::Issuer, super::plain_name, reading);
    let issuer = fields.required("issuer", "issuer = \"https://id.example\"", reading);
    let issuer = issuer.and_then(|value| reading.filled_string(value, CLAIM_BYTES_MAX));
    let audience = fields.required("audience", "audience = [\"…\"]", reading);
    let audience =
        audience.and_then(|value| reading.strings(value, "audience", AUDIENCES_PER_ISSUER_MAX, CLAIM_BYTES_MAX));
    let introspection = fields.get("introspection").map(|value| super::introspection::read(value, reading));
    let keys = if introspection.is_some() && fields.get("keys").is_none() {
        without_keys(&fields, reading)
    } else {
        with_keys(&fields, reading)
    };
    let scope_claim = fields.get("scope_claim").map(|value| reading.filled_string(value, CLAIM_BYTES_MAX));
    let leeway_s = fields.get("leeway").map(|value| read_duration(value, 0, LEEWAY_S_MAX, reading));
    if let Some(issuer) = issuer {
        let message = format!("another [[issuer]] has the `iss` value `{}`", shown(issuer.value));
        reading.once(codes::DUPLICATE_ISSUER, issuer.value, issuer.span, message, "merge the two, or correct one");
    }
    let (scope_claim, leeway_s) = (super::if_given(scope_claim)?, super::if_given(leeway_s)?);
    let (introspection, introspection_at) = super::if_given(introspection)?.unzip();
    let (algorithms, keys) = keys?;
    let mut audience: Vec<String> = audience?.iter().map(|text| text.value.to_owned()).collect();
    audience.sort_unstable();
    let issuer = Issuer {
        name: name?.value.to_owned(),
        issuer: issuer?.value.to_owned(),
        audience,
        algorithms,
        keys,
        introspection,
        scope_claim: scope_claim.map(|claim| claim.value.to_owned()),
        leeway_s: leeway_s.unwrap_or(0),
    };
    Some((issuer, introspection_at))
}

fn with_keys<'d>(fields: &Fields<'d>, reading: &mut Reading<'d, '_>) -> Option<(Vec<Algorithm>, Keys)> {
    let algorithms = fields.required("algorithms", "algorithms = [\"ES256\"]", reading);
    let algorithms = algorithms.and_then(|value| read_algorithms(value, reading));
    let keys = fields.required("keys", "keys = { file = \"keys.jwks.json\" }", reading);
    let keys = keys.and_then(|value| read_keys(value, algorithms.as_deref(), reading));
    Some((algorithms?, keys?))
}

/// An issuer of opaque tokens alone.
fn without_keys<'d>(fields: &Fields<'d>, reading: &mut Reading<'d, '_>) -> Option<(Vec<Algorithm>, Keys)> {
    if fields.get("algorithms").is_none() {
        return Some((Vec::new(), Keys::None));
    }
    let message = "`algorithms` are for JWTs, and without `keys` no JWT of this issuer is believed";
    let diagnostic =
        Diagnostic::new(codes::KEYS_MISSING, fields.key_span("algorithms"), message).label("of what keys?");
    reading.sink.push(diagnostic.hint("remove it, or add `keys`"));
    None
}

fn read_algorithms<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Vec<Algorithm>> {
    let names = reading.strings(value, "algorithm", usize::MAX, CLAIM_BYTES_MAX)?;
    let found: Vec<Option<(Algorithm, Span)>> = names.iter().map(|name| read_algorithm(*name, reading)).collect();
    let found: Vec<(Algorithm, Span)> = found.into_iter().collect::<Option<_>>()?;
    if let Some((_, at)) = found.iter().find(|(algorithm, _)| *algorithm == Algorithm::HS256) {
        if found.len() > 1 {
            let message =
                "HS256 stands beside algorithms with public keys, so a public key might pass for a shared secret";
            let diagnostic = Diagnostic::new(codes::ALGORITHM_MIX, *at, message).label("symmetric");
            reading.sink.push(diagnostic.hint("remove `HS256`, or give it an [[issuer]] of its own"));
            return None;
        }
        let message = "with HS256 whoever can verify a token can also make one";
        let diagnostic = Diagnostic::new(codes::HS256, *at, message).label("symmetric");
        reading.sink.push(diagnostic.hint("prefer `ES256` or `EdDSA`"));
    }
    let mut algorithms: Vec<Algorithm> = found.into_iter().map(|(algorithm, _)| algorithm).collect();
    algorithms.sort_unstable();
    Some(algorithms)
}

fn read_algorithm(name: Text<'_>, reading: &mut Reading<'_, '_>) -> Option<(Algorithm, Span)> {
    if let Some((_, algorithm)) = ALGORITHMS.iter().find(|(known, _)| *known == name.value) {
        return Some((*algorithm, name.span));
    }
    let diagnostic = if name.value.eq_ignore_ascii_case("none") {
        let message = "the algorithm `none` means unsigned tokens, which do not exist here";
        Diagnostic::new(codes::ALGORITHM_NONE, name.span, message).label("refused").hint("remove it")
    } else {
        let message = format!("unknown algorithm `{}`", shown(name.value));
        let hint = match reading.suggest.nearest(name.value, ALGORITHMS.iter().map(|(known, _)| *known)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "there is ES256, ES384, EdDSA, RS256, PS256 and (shared secrets) HS256".to_owned(),
        };
        Diagnostic::new(codes::UNKNOWN_ALGORITHM, name.span, message).label("not known").hint(hint)
    };
    reading.sink.push(diagnostic);
    None
}

fn read_keys<'d>(
    value: &'d Value<'d>,
    algorithms: Option<&[Algorithm]>,
    reading: &mut Reading<'d, '_>,
) -> Option<Keys> {
    let fields = Fields::of_value(value, "keys", SOURCE_KEYS, "keys = { file = \"keys.jwks.json\" }", reading)?;
    let sources: Vec<&str> = SOURCES.into_iter().filter(|key| fields.get(key).is_some()).collect();
    let [source] = sources.as_slice() else {
        let message = match sources.as_slice() {
            [] => "`keys` names no source".to_owned(),
            many => format!("`keys` names several sources: {}", many.join(", ")),
        };
        let diagnostic = Diagnostic::new(codes::KEYS_SOURCE, fields.span, message).label("one source");
        let hint = "write one of `{ file = \"…\" }`, `{ watch = \"…\" }`, and with `refresh`, `max_stale` and `ca` \
                    `{ url = \"https://…\", … }` or `{ discovery = \"https://…\", … }`";
        reading.sink.push(diagnostic.hint(hint));
        return None;
    };
    let is_fetched = ["url", "discovery"].contains(source);
    for key in fetched::BOUNDS.iter().filter(|key| !is_fetched && fields.get(key).is_some()) {
        let message = format!("`{key}` belongs to `url` and `discovery`");
        let diagnostic = Diagnostic::new(codes::KEYS_SOURCE, fields.key_span(key), message).label("not here");
        reading.sink.push(diagnostic.hint("remove it"));
    }
    let location = reading.filled_string(fields.get(source)?, LOCATION_BYTES_MAX)?;
    if *source != "watch" && algorithms.is_some_and(|algorithms| algorithms.contains(&Algorithm::HS256)) {
        let message = "an HS256 key is a secret, and secrets never stand in a policy nor behind a public URL";
        let diagnostic = Diagnostic::new(codes::HS256_KEYS, fields.span, message).label("not for HS256");
        reading.sink.push(diagnostic.hint("keep the key on the gateway: `keys = { watch = \"/etc/adamant/…\" }`"));
        return None;
    }
    match *source {
        "file" => {
            let text = reading.embedded_file(location, JWKS_BYTES_MAX)?;
            let checked = jwks::public_keys(&text, algorithms.unwrap_or_default());
            reading.form(location, in_file(location, checked))?;
            Some(Keys::Pinned { jwks: text })
        }
        "watch" => Some(Keys::Watch { path: location.value.to_owned() }),
        "url" => fetched::by_url(&fields, location, reading),
        _ => fetched::by_discovery(&fields, location, reading),
    }
}

pub(super) fn read_duration<'d>(
    value: &'d Value<'d>,
    min_s: u32,
    max_s: u32,
    reading: &mut Reading<'d, '_>,
) -> Option<u32> {
    let text = reading.string(value, CLAIM_BYTES_MAX)?;
    reading.form(text, duration::duration_s(text.value, min_s, max_s))
}

/// Names the file in the message of what is wrong in it.
pub(super) fn in_file<T>(path: Text<'_>, checked: Result<T, Flaw>) -> Result<T, Flaw> {
    checked.map_err(|flaw| Flaw { message: format!("`{}`: {}", shown(path.value), flaw.message), ..flaw })
}
