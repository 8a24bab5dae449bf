//! One question: as whom, how, and what may come back.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use identity::token::Issuer;
use identity::token::opaque::AnswerFault;
use policy::model::{self, ServerCa};
use stores::http::{Bounds, Client, ClientIdentity, HttpFault, Place, PlaceFault, Trust, TrustFault};
use zeroize::Zeroizing;

use crate::assemble::material::{Material, SecretError, read_identity};
use crate::assemble::tls::TlsError;
use crate::assemble::{IntrospectionClient, IntrospectionProof};
use crate::bounds::{INTROSPECTION_BYTES_MAX, INTROSPECTION_MS_MAX, INTROSPECTION_STEP_MS_MAX};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    #[error("introspection: {0}")]
    Place(#[from] PlaceFault),
    #[error("introspection: {0}")]
    Trust(#[from] TrustFault),
    #[error("introspection: {0} needs a CA: nobody could say who it is")]
    NoCa(String),
    #[error(
        "introspection wants the client \"{0}\", which gateway.toml does not have: add an [[introspection_client]] with that \
         name, id, and secret or chain and key"
    )]
    ClientUnknown(String),
    #[error("introspection client \"{client}\": {cause}")]
    Secret { client: String, cause: SecretError },
    #[error("introspection client \"{client}\": {cause}")]
    Certificate { client: String, cause: Box<TlsError> },
    #[error("introspection: {0}")]
    Http(Box<HttpFault>),
    #[error("{place}: expected status 200, found {status}{}", hint(*status))]
    Status { place: String, status: u16 },
    #[error("{place}: expected plain content, found a content coding, which was not asked for")]
    Coding { place: String },
    #[error("{place}: {fault}")]
    Answer { place: String, fault: AnswerFault },
}

const fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => ", a redirect, which is never followed",
        401 => ": it does not know the gateway by this id and secret, or certificate",
        403 => ": it does not let this client ask about tokens",
        _ => "",
    }
}

/// What the server said, and where.
pub struct Said {
    pub place: String,
    pub content: Bytes,
}

/// Whether an issuer with `rules` can be asked at all, as far as the release says; with `clients`, those of a node, also
/// whether it has a good secret or certificate for it.
pub fn check(rules: &model::Issuer, clients: Option<&[IntrospectionClient]>) -> Result<(), AskFault> {
    let Some(asked) = &rules.introspection else { return Ok(()) };
    let place = Place::parse(&asked.url)?;
    let Some(clients) = clients else {
        // The CAs of a machine are for each machine.
        return if asked.ca == Some(ServerCa::System) { Ok(()) } else { connector(&place, asked, None).map(drop) };
    };
    let client = clients.iter().find(|client| client.name == asked.client);
    let (identity, _) = proof(client.ok_or_else(|| AskFault::ClientUnknown(asked.client.clone()))?)?;
    connector(&place, asked, identity).map(drop)
}

/// Asks `issuer` about `token`.
pub async fn ask(
    issuer: &Issuer,
    clients: &BTreeMap<String, IntrospectionClient>,
    token: &[u8],
) -> Result<Said, AskFault> {
    let unknown = |name: &str| AskFault::ClientUnknown(name.to_owned());
    let asked = issuer.rules().introspection.as_ref().ok_or_else(|| unknown(""))?;
    let client = clients.get(&asked.client).ok_or_else(|| unknown(&asked.client))?;
    let place = Place::parse(&asked.url)?;
    // Read for each question, so that who rotates them has to tell nobody.
    let (identity, authorization) = proof(client)?;
    let connector = connector(&place, asked, identity)?;
    let request = request(&place, client, authorization, token)?;
    let shown = place.to_string();
    let answer = connector.exchange(&place, request).await.map_err(|fault| match fault {
        // However badly its content ends, the status says what is wrong.
        HttpFault::Cut { status, .. } if status != StatusCode::OK => AskFault::Status { place: shown.clone(), status },
        fault => AskFault::Http(Box::new(fault)),
    })?;
    if answer.status != StatusCode::OK {
        return Err(AskFault::Status { place: shown, status: answer.status.as_u16() });
    }
    if answer.fields.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(AskFault::Coding { place: shown });
    }
    Ok(Said { place: shown, content: answer.content })
}

/// What the issuer knows `client` by: a certificate, or the value of `Authorization`.
fn proof(client: &IntrospectionClient) -> Result<(Option<ClientIdentity>, Option<HeaderValue>), AskFault> {
    match &client.proof {
        IntrospectionProof::Certificate(files) => {
            let failed = |cause| AskFault::Certificate { client: client.name.clone(), cause: Box::new(cause) };
            let read = read_identity(files).map_err(failed)?;
            Ok((Some(ClientIdentity { chain: read.chain, key: read.key.clone_key() }), None))
        }
        IntrospectionProof::Secret(file) => {
            let failed = |cause| AskFault::Secret { client: client.name.clone(), cause };
            let secret = Material::default().read_secret(file).map_err(failed)?;
            Ok((None, Some(basic(&client.id, secret.bytes()))))
        }
    }
}

fn connector(
    place: &Place,
    asked: &model::Introspection,
    identity: Option<ClientIdentity>,
) -> Result<Client, AskFault> {
    let trust = match &asked.ca {
        Some(ServerCa::Pinned { certificates }) => Some(Trust::Pinned(certificates)),
        Some(ServerCa::System) => Some(Trust::System),
        None if place.is_tls() => return Err(AskFault::NoCa(place.to_string())),
        None => None,
    };
    let bounds = Bounds {
        step: Duration::from_millis(INTROSPECTION_STEP_MS_MAX),
        whole: Duration::from_millis(INTROSPECTION_MS_MAX),
        content_bytes_max: INTROSPECTION_BYTES_MAX,
    };
    Ok(Client::known_as(trust.as_ref(), identity, bounds)?)
}

/// RFC 7662 §2.1; a client known by its certificate names itself in the form (RFC 8705 §2).
fn request(
    place: &Place,
    client: &IntrospectionClient,
    authorization: Option<HeaderValue>,
    token: &[u8],
) -> Result<Request<Full<Bytes>>, AskFault> {
    let mut form = Zeroizing::new(Vec::with_capacity(64 + 3 * (token.len() + client.id.len())));
    form.extend_from_slice(b"token=");
    form_encode(&mut form, token);
    form.extend_from_slice(b"&token_type_hint=access_token");
    let mut request = Request::post(place.target())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match authorization {
        Some(authorization) => request = request.header(header::AUTHORIZATION, authorization),
        None => {
            form.extend_from_slice(b"&client_id=");
            form_encode(&mut form, client.id.as_bytes());
        }
    }
    let protocol = |found: String| HttpFault::Protocol { authority: place.authority(), found };
    let body = Full::new(Bytes::copy_from_slice(&form));
    request.body(body).map_err(|error| AskFault::Http(Box::new(protocol(error.to_string()))))
}

/// `client_secret_basic` (RFC 6749 §2.3.1): both are encoded as in a form first.
fn basic(id: &str, secret: &[u8]) -> HeaderValue {
    let mut pair = Zeroizing::new(Vec::with_capacity(1 + 3 * (id.len() + secret.len())));
    form_encode(&mut pair, id.as_bytes());
    pair.push(b':');
    form_encode(&mut pair, secret);
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    // Base64 has no other characters than fields have.
    let mut value = HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Appends `bytes` as a value of a form, with everything escaped that could be anything else.
fn form_encode(to: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._".contains(byte) {
            to.push(*byte);
        } else {
            to.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_encoded_before_they_are_joined() {
        // RFC 6749 §2.3.1; `a:b` and `c d%` would read as another pair.
        let value = basic("a:b", b"c%/~");
        assert_eq!(value, HeaderValue::from_str(&format!("Basic {}", STANDARD.encode("a%3Ab:c%25%2F%7E"))).unwrap());
        assert!(value.is_sensitive());
        let mut form = Vec::new();
        form_encode(&mut form, b"Az9-._~+/=&");
        assert_eq!(form, b"Az9-._%7E%2B%2F%3D%26");
    }

    #[test]
    fn a_client_known_by_its_certificate_names_itself_in_the_form() {
        let place = Place::parse("https://id.example/ask").unwrap();
        let chain = crate::assemble::ChainFiles { chain: "c".into(), key: "k".into() };
        let proof = IntrospectionProof::Certificate(chain);
        let client = IntrospectionClient { name: "me".to_owned(), id: "a&b".to_owned(), proof };
        let request = request(&place, &client, None, b"t+").unwrap();
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
        let shown = format!("{:?}", request.body());
        assert!(shown.contains("token=t%2B&token_type_hint=access_token&client_id=a%26b"), "{shown}");
    }
}
