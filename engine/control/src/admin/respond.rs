//! The answers: what each path gives, and the refusal of everything else.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode, Uri};
use policy_release::attestation::{Nonce, NonceFault};
use serde_json::json;

use super::attestation::{Attester, Unsigned};
use super::{metrics, release};
use crate::last_use;
use crate::status::Status;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JWK_SET: &str = "application/jwk-set+json";
/// Where origins expect the keys of assertions.
const JWKS_PATH: &str = "/.well-known/jwks.json";
/// A DSSE envelope; its payload type says that it holds an attestation.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

type Answer = Response<Full<Bytes>>;

pub fn respond(method: &Method, uri: &Uri, attester: &Attester, now_unix_ns: u64) -> Answer {
    let path = uri.path();
    let is_uses = path == "/last-use";
    if is_uses && !attester.tells_uses() {
        let text =
            "not found: the status listener answers /last-use where gateway.toml says last_use = true in [status]\n";
        return answer(StatusCode::NOT_FOUND, TEXT, text.to_owned());
    }
    if !is_uses && !matches!(path, "/healthz" | "/readyz" | "/metrics" | "/release" | "/attestation" | JWKS_PATH) {
        let text = "not found: this listener has /healthz, /readyz, /metrics, /release, /attestation, /last-use and \
                    /.well-known/jwks.json\n";
        return answer(StatusCode::NOT_FOUND, TEXT, text.to_owned());
    }
    if method != Method::GET && method != Method::HEAD {
        let text = "method not allowed: this listener is read-only\n".to_owned();
        let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let status = attester.status();
    match path {
        "/readyz" => ready(status.unready(now_unix_ns)),
        "/metrics" => match metrics::exposition(status, now_unix_ns) {
            Ok(text) => answer(StatusCode::OK, OPENMETRICS, text),
            Err(_) => internal("the metrics could not be formatted"),
        },
        "/last-use" => uses(status, now_unix_ns),
        "/release" => match nonce(uri) {
            Ok(nonce) => readable(attester, nonce, now_unix_ns),
            Err(fault) => answer(StatusCode::BAD_REQUEST, TEXT, format!("{fault}\n")),
        },
        "/attestation" => match nonce(uri) {
            Ok(nonce) => signed(attester, nonce, now_unix_ns),
            Err(fault) => answer(StatusCode::BAD_REQUEST, TEXT, format!("{fault}\n")),
        },
        JWKS_PATH => jwks(attester.status()),
        _ => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
    }
}

/// To whom is not on this machine.
pub fn foreign() -> Answer {
    let text = "forbidden: address this listener as localhost or by its IP address; web pages are not answered\n";
    answer(StatusCode::FORBIDDEN, TEXT, text.to_owned())
}

/// The one thing that a query may hold.
fn nonce(uri: &Uri) -> Result<Option<Nonce>, NonceFault> {
    match uri.query() {
        None | Some("") => Ok(None),
        Some(query) => query.strip_prefix("nonce=").ok_or(NonceFault)?.parse().map(Some),
    }
}

fn ready(reasons: Vec<String>) -> Answer {
    if reasons.is_empty() {
        return answer(StatusCode::OK, TEXT, "ready\n".to_owned());
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
}

/// For people: the document without a signature.
fn readable(attester: &Attester, nonce: Option<Nonce>, now_unix_ns: u64) -> Answer {
    let document = release::document(attester.status(), nonce, now_unix_ns);
    match serde_json::to_string_pretty(&document) {
        Ok(text) => answer(StatusCode::OK, JSON, text + "\n"),
        Err(error) => internal(&format!("the document could not be written: {error}")),
    }
}

/// The public keys of assertions (RFC 7517 §5): an empty set where no origin asks for any.
fn jwks(status: &Status) -> Answer {
    let keys = status.moving().assertion_keys.as_ref().map(|of| of.keys.clone()).unwrap_or_default();
    answer(StatusCode::OK, JWK_SET, json!({ "keys": keys }).to_string() + "\n")
}

/// When credentials were last used.
fn uses(status: &Status, now_unix_ns: u64) -> Answer {
    let Some(uses) = status.uses.get() else {
        return internal("uses are not noted yet: ask again in a moment");
    };
    match serde_json::to_string_pretty(&last_use::document::document(status, uses, now_unix_ns)) {
        Ok(text) => answer(StatusCode::OK, JSON, text + "\n"),
        Err(error) => internal(&format!("the document could not be written: {error}")),
    }
}

fn signed(attester: &Attester, nonce: Option<Nonce>, now_unix_ns: u64) -> Answer {
    match attester.attest(nonce, now_unix_ns) {
        Ok(envelope) => answer(StatusCode::OK, ENVELOPE, envelope),
        Err(error @ Unsigned::TooMany) => {
            let mut refusal = answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error}\n"));
            refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            refusal
        }
        Err(error) => internal(&error.to_string()),
    }
}

fn internal(why: &str) -> Answer {
    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{why}\n"))
}

fn answer(code: StatusCode, content_type: &'static str, content: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(content.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
