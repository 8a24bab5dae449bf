//! DPoP proofs (RFC 9449), made by hand.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tokens::{TokenKey, encode, now_s};

/// `jkt` of a P-256 key (RFC 7638 §3.2).
pub fn thumbprint(key: &TokenKey) -> String {
    let jwk = key.jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    encode(&Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
}

pub fn proof_header(key: &TokenKey) -> Value {
    let jwk = key.jwk();
    json!({ "typ": "dpop+jwt", "alg": key.algorithm, "jwk": { "kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"] } })
}

/// Of a proof for a `GET` of `url` with `token`, with a `jti` of its own.
pub fn proof_claims(url: &str, token: &str) -> Value {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let jti = format!("p-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    json!({ "jti": jti, "htm": "GET", "htu": url, "iat": now_s(), "ath": encode(&Sha256::digest(token)) })
}

/// The field lines of a request with `token` and this proof.
pub fn fields(token: &str, proof: &str) -> String {
    format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n")
}
