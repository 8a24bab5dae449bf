//! The client credentials grant: what is asked for, and what counts as a token.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Number;
use serde_json::error::Category;
use zeroize::{Zeroize as _, Zeroizing};

use super::{AskFault, Proof, ask, post};
use crate::http::{Answer, Client, Place};

/// Bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// How long a token lives whose server does not say it, seconds.
pub const LIFE_UNTOLD_S: u64 = 300;
/// How long a token is believed to live, whatever its server says, seconds.
pub const LIFE_S_MAX: u64 = 86_400;
/// How long a server may have its clients wait (`Retry-After`), seconds.
pub const RETRY_AFTER_S_MAX: u64 = 300;
/// Bytes of a nonce for DPoP proofs.
pub const NONCE_BYTES_MAX: usize = 512;

/// A proof of the key that a token is bound to, or shall be (RFC 9449 §4.1).
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// A nonce that the next proof must hold (RFC 9449 §8.1).
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Codes that are told (RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §5). Others are a server's own words, which may repeat a secret.
const CODES: [&str; 11] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "invalid_dpop_proof",
    USE_DPOP_NONCE,
];
/// A proof is wanted that holds the nonce which comes with this.
const USE_DPOP_NONCE: &str = "use_dpop_nonce";

/// What the token shall be good for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub scope: Option<&'a str>,
    /// A resource indicator (RFC 8707).
    pub resource: Option<&'a str>,
    /// What some servers take in its place.
    pub audience: Option<&'a str>,
    /// A proof of the key that it shall be bound to (RFC 9449 §5); a bearer token without one.
    pub dpop: Option<&'a HeaderValue>,
}

/// Types of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For whoever holds it (RFC 6750).
    Bearer,
    /// For whoever holds the key that it is bound to (RFC 9449).
    Dpop,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// A token of the type that was asked for.
pub struct Token {
    /// Visible ASCII.
    pub value: Zeroizing<String>,
    /// From when it was asked for; 1 to [`LIFE_S_MAX`].
    pub life_s: u64,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum GrantFault {
    #[error(transparent)]
    Ask(#[from] AskFault),
    #[error("{place}: expected status 200, found {status}{}{}", told(*code), meant(*status))]
    Refused {
        place: String,
        status: u16,
        code: Option<&'static str>,
        retry_after_s: Option<u64>,
        /// What the next proof must hold, where that was missing.
        nonce: Option<String>,
    },
    #[error("{place}: expected a token of the type {} (RFC 6749 §5.1), found {found}", wanted.name())]
    Answer { place: String, wanted: Kind, found: &'static str },
}

fn told(code: Option<&'static str>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

const fn meant(status: u16) -> &'static str {
    match status {
        300..=399 => ", a redirect, which is never followed",
        401 => ": it does not know this client by its id and secret, certificate or key",
        _ => "",
    }
}

impl GrantFault {
    /// Whether the server was there and gave nothing good, rather than not there.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Ask(_) => false,
            Self::Refused { status, .. } => *status < 500 && *status != 429,
            Self::Answer { .. } => true,
        }
    }

    /// When the server wants to be asked again at the earliest.
    pub const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Refused { retry_after_s, .. } => *retry_after_s,
            Self::Ask(_) | Self::Answer { .. } => None,
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Ask(_) => "is the token endpoint right, the server up, and its CA the one that is named?",
            Self::Refused { code: Some(code), .. } => match code.as_bytes() {
                b"invalid_client" => "compare client id, secret (or certificate, or key) and the way of proving it",
                b"invalid_scope" => "ask for scopes that the server gives this client",
                b"invalid_target" => "ask for a resource that the server knows",
                b"unauthorized_client" | b"unsupported_grant_type" => {
                    "let this client use the grant client_credentials at the server"
                }
                b"invalid_dpop_proof" => {
                    "compare this machine's clock with the server's: proofs say when they were made. Then look into its log"
                }
                _ => "look into the log of the server",
            },
            Self::Refused { .. } => "is it a token endpoint? Look into the log of the server",
            Self::Answer { wanted: Kind::Bearer, .. } => "is it a token endpoint, and does it give bearer tokens?",
            Self::Answer { .. } => "is it a token endpoint, and does it bind tokens to keys (DPoP, RFC 9449)?",
        }
    }
}

/// Asks for a token, once.
pub async fn client_credentials(
    client: &Client,
    place: &Place,
    id: &str,
    proof: &Proof,
    wanted: Wanted<'_>,
) -> Result<Token, GrantFault> {
    let mut fields: Vec<(&str, &[u8])> = vec![("grant_type", b"client_credentials")];
    for (name, value) in [("scope", wanted.scope), ("resource", wanted.resource), ("audience", wanted.audience)] {
        fields.extend(value.map(|value| (name, value.as_bytes())));
    }
    let mut request = post(place, id, proof, &fields).map_err(AskFault::from)?;
    request.headers_mut().extend(wanted.dpop.map(|proof| (DPOP, proof.clone())));
    let kind = if wanted.dpop.is_some() { Kind::Dpop } else { Kind::Bearer };
    let Answer { status, fields, content } = ask(client, place, request).await?;
    let place = place.to_string();
    let read = if status == StatusCode::OK {
        read(&content, kind).map_err(|found| GrantFault::Answer { place, wanted: kind, found })
    } else {
        let (code, retry_after_s) = (code(&content), retry_after_s(&fields));
        let nonce = nonce(&fields).filter(|_| code == Some(USE_DPOP_NONCE));
        Err(GrantFault::Refused { place, status: status.as_u16(), code, retry_after_s, nonce })
    };
    wipe(content);
    read
}

/// As far as nobody else holds it.
fn wipe(content: Bytes) {
    if let Ok(mut content) = content.try_into_mut() {
        content.as_mut().zeroize();
    }
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Said {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Number>,
}

fn read(content: &[u8], wanted: Kind) -> Result<Token, &'static str> {
    let said: Said = serde_json::from_slice(content).map_err(|error| match error.classify() {
        Category::Data => "members of other types, or twice",
        Category::Io | Category::Syntax | Category::Eof => "no JSON",
    })?;
    let value = Zeroizing::new(said.access_token.unwrap_or_default());
    let kind = said.token_type.ok_or("no `token_type`")?;
    if !kind.eq_ignore_ascii_case(wanted.name()) {
        return Err(match wanted {
            Kind::Bearer => "another `token_type` than Bearer",
            Kind::Dpop => "another `token_type` than DPoP",
        });
    }
    if value.is_empty() {
        return Err("no `access_token`");
    }
    if value.len() > TOKEN_BYTES_MAX {
        return Err("an `access_token` of more than 8 KiB");
    }
    // RFC 6750 §2.1.
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !value.trim_end_matches('=').bytes().all(in_token) {
        return Err("an `access_token` of other characters than a bearer token has");
    }
    Ok(Token { value, life_s: life_s(said.expires_in.as_ref())? })
}

fn life_s(told: Option<&Number>) -> Result<u64, &'static str> {
    let Some(told) = told else { return Ok(LIFE_UNTOLD_S) };
    match (told.as_u64(), told.as_f64()) {
        (Some(0), _) => Err("a token that has ended already (`expires_in` of 0)"),
        (Some(life_s), _) => Ok(life_s.min(LIFE_S_MAX)),
        (None, Some(life_s)) if life_s >= 1.0 => Ok(life_s.min(LIFE_S_MAX as f64) as u64),
        _ => Err("a token that has ended already (`expires_in` below 1)"),
    }
}

fn code(content: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let said: Refusal = serde_json::from_slice(content).ok()?;
    CODES.into_iter().find(|code| *code == said.error)
}

/// The nonce that the next DPoP proof must hold, where an answer gives one (RFC 9449 §8.1).
pub fn nonce(fields: &HeaderMap) -> Option<String> {
    let mut given = fields.get_all(DPOP_NONCE).iter();
    let (Some(nonce), None) = (given.next()?.to_str().ok(), given.next()) else { return None };
    // NQCHAR of RFC 6749, Appendix A.
    let is_char = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    let is_nonce = (1..=NONCE_BYTES_MAX).contains(&nonce.len()) && nonce.bytes().all(is_char);
    is_nonce.then(|| nonce.to_owned())
}

/// Where it is told in seconds (RFC 9110 §10.2.3).
fn retry_after_s(fields: &HeaderMap) -> Option<u64> {
    let told = fields.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !told.is_empty() && told.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| told.parse().unwrap_or(u64::MAX).min(RETRY_AFTER_S_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life_of(expires_in: &str) -> Result<u64, &'static str> {
        let said = format!(r#"{{"access_token":"a.b-c_~+/==","token_type":"bEaReR"{expires_in}}}"#);
        read(said.as_bytes(), Kind::Bearer).map(|token| {
            assert_eq!(token.value.as_str(), "a.b-c_~+/==");
            token.life_s
        })
    }

    #[test]
    fn how_long_a_token_lives_is_bounded_whatever_is_said() {
        assert_eq!(life_of(""), Ok(LIFE_UNTOLD_S));
        assert_eq!(life_of(r#","expires_in":null"#), Ok(LIFE_UNTOLD_S));
        for (said, life_s) in [("1", 1), ("3600", 3_600), ("59.9", 59), ("18446744073709551615", LIFE_S_MAX)] {
            assert_eq!(life_of(&format!(r#","expires_in":{said}"#)), Ok(life_s), "{said}");
        }
        assert_eq!(life_of(r#","expires_in":1e300"#), Ok(LIFE_S_MAX));
        for ended in ["0", "-1", "-1e300", "0.5", "-9223372036854775808"] {
            assert!(life_of(&format!(r#","expires_in":{ended}"#)).is_err_and(|found| found.contains("ended already")));
        }
        for odd in [r#""300""#, "[]", "true", "1e999"] {
            assert!(life_of(&format!(r#","expires_in":{odd}"#)).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_none() {
        let found = |said: &str| read(said.as_bytes(), Kind::Bearer).err().unwrap();
        assert_eq!(found(""), "no JSON");
        assert_eq!(found("<html>"), "no JSON");
        assert_eq!(found("[]"), "members of other types, or twice");
        assert!(found(r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#).contains("twice"));
        assert!(found(r#"{"access_token":"a"}"#).contains("no `token_type`"));
        assert!(found(r#"{"access_token":"a","token_type":"DPoP"}"#).contains("another `token_type`"));
        assert!(found(r#"{"token_type":"Bearer"}"#).contains("no `access_token`"));
        for odd in ["a b", "a\\r\\nb", "\\u0000", "ä", "a=b", "a,b"] {
            let said = format!(r#"{{"access_token":"{odd}","token_type":"Bearer"}}"#);
            assert!(found(&said).contains("other characters"), "{odd}");
        }
        let of = |bytes: usize| format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "x".repeat(bytes));
        assert!(read(of(TOKEN_BYTES_MAX).as_bytes(), Kind::Bearer).is_ok());
        assert!(found(&of(TOKEN_BYTES_MAX + 1)).contains("8 KiB"));
    }

    #[test]
    fn a_token_is_of_the_type_that_was_asked_for() {
        let of = |kind: &str| format!(r#"{{"access_token":"a","token_type":"{kind}"}}"#);
        assert!(read(of("dpop").as_bytes(), Kind::Dpop).is_ok() && read(of("Bearer").as_bytes(), Kind::Bearer).is_ok());
        for (kind, wanted) in
            [("Bearer", Kind::Dpop), ("DPoP", Kind::Bearer), ("", Kind::Dpop), ("DPoP Bearer", Kind::Dpop)]
        {
            assert!(read(of(kind).as_bytes(), wanted).is_err_and(|found| found.contains("than")), "{kind}");
        }
    }

    #[test]
    fn a_nonce_is_one_and_of_its_characters() {
        let of = |values: &[&str]| {
            nonce(&values.iter().map(|value| (DPOP_NONCE, value.parse().unwrap())).collect::<HeaderMap>())
        };
        assert_eq!(of(&["a.b-~!"]).as_deref(), Some("a.b-~!"));
        assert_eq!(of(&[&"n".repeat(NONCE_BYTES_MAX)]).map(|nonce| nonce.len()), Some(NONCE_BYTES_MAX));
        for none in [&[][..], &[""], &["a b"], &["a\"b"], &["a\\b"], &["a", "b"], &[&"n".repeat(NONCE_BYTES_MAX + 1)]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn only_codes_that_everybody_knows_are_told() {
        assert_eq!(code(br#"{"error":"invalid_client","error_description":"s3cr3t"}"#), Some("invalid_client"));
        for other in [&br#"{"error":"s3cr3t"}"#[..], b"s3cr3t", b"", br#"{"error":7}"#] {
            assert_eq!(code(other), None);
        }
        let fault = GrantFault::Refused {
            place: "https://id/t".to_owned(),
            status: 401,
            code: Some("invalid_client"),
            retry_after_s: None,
            nonce: None,
        };
        assert!(
            fault.to_string().starts_with("https://id/t: expected status 200, found 401 (invalid_client): it does not")
        );
        assert!(fault.is_refusal() && fault.help().contains("client id"));
    }

    #[test]
    fn a_server_has_its_clients_wait_and_not_for_ever() {
        let wait = |text: &'static str| {
            let value = hyper::header::HeaderValue::from_static(text);
            retry_after_s(&HeaderMap::from_iter([(header::RETRY_AFTER, value)]))
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("99999999999999999999999"), Some(RETRY_AFTER_S_MAX));
        for other in ["", "-1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"] {
            assert_eq!(wait(other), None, "{other}");
        }
    }
}
