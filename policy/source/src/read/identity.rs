//! `identity`: alternatives, each a set of proofs needed together.

use policy::model::{Binding, CertificateProof, Identity, Proofs, Subject, TokenProof};
use toml::de::DeValue;

use crate::bounds::{
    ALTERNATIVES_PER_AGENT_MAX, API_KEYS_PER_PROOF_MAX, EXCEPTED_SUBJECTS_MAX, LOCATION_BYTES_MAX, SUBJECT_BYTES_MAX,
};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::fields::{Fields, Text, Value, shown};
use crate::forms::certificate;
use crate::reading::{Kind, Reading};
use crate::suggest::list;

pub(super) const KEYS: &[&str] = &["certificate", "ca", "token", "api_key"];
pub(super) const TOKEN_KEYS: &[&str] = &["issuer", "subject", "except", "bound"];
/// What `bound` takes.
pub(super) const BINDINGS: &[(&str, Binding)] =
    &[(Binding::Certificate.name(), Binding::Certificate), (Binding::Dpop.name(), Binding::Dpop)];

/// The identity of one agent with its places.
pub(super) struct Alternatives<'d> {
    pub alternatives: Vec<Identity>,
    pub at: Vec<Span>,
    /// Excepted subjects, each with its issuer.
    pub excepted: Vec<(&'d str, Text<'d>)>,
    pub api_keys: Vec<Text<'d>>,
    /// Where a token is to be bound to a certificate.
    pub certificate_bound: Vec<Span>,
}

pub(super) fn read<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Alternatives<'d>> {
    if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) {
        let diagnostic =
            Diagnostic::new(codes::UNREACHABLE_AGENT, value.span().into(), "no proof identifies this agent");
        let hint = "add a set of proofs, like `{ api_key = [\"…\"] }`";
        reading.sink.push(diagnostic.label("no alternatives").hint(hint));
        return None;
    }
    let items = reading.items(value, "set of proofs", ALTERNATIVES_PER_AGENT_MAX)?;
    let mut read = Alternatives {
        alternatives: Vec::new(),
        at: Vec::new(),
        excepted: Vec::new(),
        api_keys: Vec::new(),
        certificate_bound: Vec::new(),
    };
    let mut valid = true;
    for item in items {
        match read_alternative(item, &mut read, reading) {
            Some(alternative) => {
                read.alternatives.push(alternative);
                read.at.push(item.span().into());
            }
            None => valid = false,
        }
    }
    valid.then_some(read)
}

fn read_alternative<'d>(
    value: &'d Value<'d>,
    read: &mut Alternatives<'d>,
    reading: &mut Reading<'d, '_>,
) -> Option<Identity> {
    const EXAMPLE: &str =
        "{ certificate = \"spiffe://…\", ca = \"…\", token = { issuer = \"…\", subject = \"…\" }, api_key = [\"…\"] }";
    let span = Span::from(value.span());
    if let DeValue::String(word) = value.get_ref() {
        if word == "anonymous" {
            return Some(Identity::Anonymous);
        }
        let message = format!("`{}` is not a set of proofs", shown(word));
        let diagnostic = Diagnostic::new(codes::BAD_PROOFS, span, message).label("not known");
        reading.sink.push(diagnostic.hint(format!("write \"anonymous\", or one or more of `{EXAMPLE}`")));
        return None;
    }
    let fields = Fields::of_value(value, "identity", KEYS, EXAMPLE, reading)?;
    if !["certificate", "token", "api_key"].iter().any(|key| fields.get(key).is_some()) {
        let diagnostic = Diagnostic::new(codes::BAD_PROOFS, span, "this set has no proof, so nothing would satisfy it");
        reading.sink.push(diagnostic.label("no proof").hint(format!("write one or more of `{EXAMPLE}`")));
        return None;
    }
    let certificate = fields.get("certificate").map(|value| read_certificate(value, &fields, reading));
    if certificate.is_none() && fields.get("ca").is_some() {
        let diagnostic = Diagnostic::new(codes::BAD_PROOFS, fields.key_span("ca"), "`ca` without `certificate`");
        let hint = "add `certificate = \"spiffe://…\"`: a CA alone names nobody";
        reading.sink.push(diagnostic.label("of which certificate?").hint(hint));
        super::reference(fields.get("ca"), Kind::ClientCa, reading);
        return None;
    }
    let token = fields.get("token").map(|value| read_token(value, read, reading));
    let api_keys = match fields.get("api_key") {
        Some(value) => read_api_keys(value, &mut read.api_keys, reading),
        None => Some(Vec::new()),
    };
    let (certificate, token) = (super::if_given(certificate)?, super::if_given(token)?);
    Some(Identity::Proofs(Proofs { certificate, token, api_keys: api_keys? }))
}

fn read_api_keys<'d>(
    value: &'d Value<'d>,
    all: &mut Vec<Text<'d>>,
    reading: &mut Reading<'d, '_>,
) -> Option<Vec<String>> {
    let before = reading.references.len();
    let ids = super::references(Some(value), Kind::ApiKey, API_KEYS_PER_PROOF_MAX, reading);
    all.extend(reading.references.iter().skip(before).map(|reference| reference.name));
    ids
}

fn read_certificate<'d>(
    value: &'d Value<'d>,
    fields: &Fields<'d>,
    reading: &mut Reading<'d, '_>,
) -> Option<CertificateProof> {
    let text = reading.filled_string(value, LOCATION_BYTES_MAX);
    let name = text.and_then(|text| reading.form(text, certificate::certificate_name(text.value)));
    if fields.get("ca").is_none() {
        let cas = reading.names.get(&Kind::ClientCa).and_then(|names| list(names.declared.keys().copied()));
        let hint = match cas {
            Some(cas) => format!("add `ca = \"…\"`; there is {cas}"),
            None => "add `ca = \"…\"` and a [[client_ca]] of that name".to_owned(),
        };
        let message = "a certificate proof names the CA that the certificate must chain to";
        let diagnostic = Diagnostic::new(codes::MISSING_KEY, value.span().into(), message);
        reading.sink.push(diagnostic.label("under which CA?").hint(hint));
    }
    let ca = super::reference(fields.get("ca"), Kind::ClientCa, reading);
    Some(CertificateProof { name: name?, ca: ca?.value.to_owned() })
}

fn read_token<'d>(
    value: &'d Value<'d>,
    read: &mut Alternatives<'d>,
    reading: &mut Reading<'d, '_>,
) -> Option<TokenProof> {
    let example = "token = { issuer = \"…\", subject = \"…\" }";
    let fields = Fields::of_value(value, "token", TOKEN_KEYS, example, reading)?;
    let issuer = fields.required("issuer", "issuer = \"…\"", reading);
    let issuer = super::reference(issuer, Kind::Issuer, reading);
    let subject = fields.required("subject", "subject = \"…\"` or, for a population, `subject = \"*\"", reading);
    let subject = subject.and_then(|value| reading.filled_string(value, SUBJECT_BYTES_MAX));
    let population = subject.is_some_and(|subject| subject.value == "*");
    if subject.is_some() && !population && fields.get("except").is_some() {
        let message = "`except` is for populations, and this subject is one";
        let diagnostic = Diagnostic::new(codes::EXCEPT_WITHOUT_POPULATION, fields.key_span("except"), message);
        reading.sink.push(diagnostic.label("not here").hint("remove it, or write `subject = \"*\"`"));
        return None;
    }
    let except = match fields.get("except") {
        Some(value) if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) => Some(Vec::new()),
        Some(value) => reading.strings(value, "subject", EXCEPTED_SUBJECTS_MAX, SUBJECT_BYTES_MAX),
        None => Some(Vec::new()),
    };
    let bound = fields.get("bound").map(|value| {
        let bound = reading.one_of(value, BINDINGS)?;
        if bound == Binding::Certificate {
            read.certificate_bound.push(value.span().into());
        }
        Some(bound)
    });
    let (issuer, subject, except, bound) = (issuer?, subject?, except?, super::if_given(bound)?);
    read.excepted.extend(except.iter().map(|subject| (issuer.value, *subject)));
    let subject = if population {
        let mut except: Vec<String> = except.iter().map(|subject| subject.value.to_owned()).collect();
        except.sort_unstable();
        Subject::AnyBut(except)
    } else {
        Subject::Exactly(subject.value.to_owned())
    };
    Some(TokenProof { issuer: issuer.value.to_owned(), subject, bound })
}
