//! Asking authorization servers: as whom (RFC 6749 §2.3, RFC 8705 §2, RFC 7523 §2.2), and for access tokens by client credentials
//! (RFC 6749 §4.4). One bounded exchange a question. Nothing of a secret is told, and nothing that a server made up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use zeroize::Zeroizing;

use crate::http::{Answer, Client, HttpFault, Place};

mod grant;

pub use grant::{
    ANSWER_BYTES_MAX, DPOP, GrantFault, Kind, LIFE_S_MAX, LIFE_UNTOLD_S, NONCE_BYTES_MAX, RETRY_AFTER_S_MAX,
    TOKEN_BYTES_MAX, Token, Wanted, client_credentials, nonce,
};

/// What a client shows to prove who it is.
pub enum Proof {
    /// Its secret, in `Authorization` (`client_secret_basic`).
    Basic(Zeroizing<Vec<u8>>),
    /// Its secret, in the form (`client_secret_post`).
    Post(Zeroizing<Vec<u8>>),
    /// The certificate that it has shown in the handshake (RFC 8705 §2).
    Certificate,
    /// A JWT that its key has signed (`private_key_jwt`, RFC 7523 §2.2).
    Assertion(Zeroizing<String>),
}

/// Why there is no answer that can be read.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("{place}: expected plain content, found a content coding, which was not asked for")]
    Coding { place: String },
}

/// A POST of a form with `fields`, by the client `id`.
pub fn post(
    place: &Place,
    id: &str,
    proof: &Proof,
    fields: &[(&str, &[u8])],
) -> Result<Request<Full<Bytes>>, HttpFault> {
    let mut form = Form::default();
    fields.iter().for_each(|(name, value)| form.add(name, value));
    let mut request = Request::post(place.target())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match proof {
        Proof::Basic(secret) => request = request.header(header::AUTHORIZATION, basic(id, secret)),
        Proof::Post(secret) => {
            form.add("client_id", id.as_bytes());
            form.add("client_secret", secret);
        }
        Proof::Certificate => form.add("client_id", id.as_bytes()),
        Proof::Assertion(signed) => {
            form.add("client_id", id.as_bytes());
            form.add("client_assertion_type", b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            form.add("client_assertion", signed.as_bytes());
        }
    }
    let protocol = |found: String| HttpFault::Protocol { authority: place.authority(), found };
    let body = Full::new(Bytes::copy_from_slice(&form.bytes));
    request.body(body).map_err(|error| protocol(error.to_string()))
}

/// Sends a question. However badly its content ends, a status says what is wrong: then there is none.
pub async fn ask(client: &Client, place: &Place, request: Request<Full<Bytes>>) -> Result<Answer, AskFault> {
    let answer = match client.exchange(place, request).await {
        Err(HttpFault::Cut { status, .. }) if status != StatusCode::OK => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Answer { status, fields: HeaderMap::new(), content: Bytes::new() }
        }
        answer => answer?,
    };
    if answer.fields.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(AskFault::Coding { place: place.to_string() });
    }
    Ok(answer)
}

/// `application/x-www-form-urlencoded`.
#[derive(Default)]
struct Form {
    bytes: Zeroizing<Vec<u8>>,
}

impl Form {
    fn add(&mut self, name: &str, value: &[u8]) {
        // Into a larger place of its own: what grows by itself leaves copies behind.
        let mut longer = Zeroizing::new(Vec::with_capacity(self.bytes.len() + name.len() + 3 * value.len() + 2));
        longer.extend_from_slice(&self.bytes);
        if !longer.is_empty() {
            longer.push(b'&');
        }
        longer.extend_from_slice(name.as_bytes());
        longer.push(b'=');
        encode(&mut longer, value);
        self.bytes = longer;
    }
}

/// `client_secret_basic` (RFC 6749 §2.3.1): both are encoded as in a form first.
fn basic(id: &str, secret: &[u8]) -> HeaderValue {
    let mut pair = Zeroizing::new(Vec::with_capacity(1 + 3 * (id.len() + secret.len())));
    encode(&mut pair, id.as_bytes());
    pair.push(b':');
    encode(&mut pair, secret);
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    // Base64 has no other characters than fields have.
    let mut value = HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Appends `bytes` as a value of a form, with everything escaped that could be anything else.
fn encode(to: &mut Vec<u8>, bytes: &[u8]) {
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

    fn sent(proof: &Proof, id: &str) -> (Option<HeaderValue>, String) {
        let place = Place::parse("https://id.example/ask").unwrap();
        let request = post(&place, id, proof, &[("token", b"t+"), ("hint", b"x")]).unwrap();
        (request.headers().get(header::AUTHORIZATION).cloned(), format!("{:?}", request.body()))
    }

    #[test]
    fn both_halves_are_encoded_before_they_are_joined() {
        // RFC 6749 §2.3.1; `a:b` and `c d%` would read as another pair.
        let value = basic("a:b", b"c%/~");
        assert_eq!(value, HeaderValue::from_str(&format!("Basic {}", STANDARD.encode("a%3Ab:c%25%2F%7E"))).unwrap());
        assert!(value.is_sensitive());
        let mut form = Vec::new();
        encode(&mut form, b"Az9-._~+/=&");
        assert_eq!(form, b"Az9-._%7E%2B%2F%3D%26");
    }

    #[test]
    fn who_has_no_basic_secret_names_itself_in_the_form() {
        let secret = || Zeroizing::new(b"s&".to_vec());
        let (field, form) = sent(&Proof::Basic(secret()), "a&b");
        assert!(field.is_some() && form.contains("token=t%2B&hint=x\""), "{form}");
        let (field, form) = sent(&Proof::Certificate, "a&b");
        assert!(field.is_none() && form.contains("token=t%2B&hint=x&client_id=a%26b\""), "{form}");
        let (field, form) = sent(&Proof::Post(secret()), "a");
        assert!(field.is_none() && form.contains("&client_id=a&client_secret=s%26\""), "{form}");
        let (field, form) = sent(&Proof::Assertion(Zeroizing::new("a.b.c".to_owned())), "a");
        assert!(field.is_none() && form.contains("%3Ajwt-bearer&client_assertion=a.b.c\""), "{form}");
    }
}
