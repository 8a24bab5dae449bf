//! Signed JSON (RFC 7515) by ES256 keys, in compact form.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::fault::Fault;

/// The key in PKCS#8; none where it is of another kind.
pub fn key(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()
}

/// `head` must say ES256.
pub fn sign(key: &EcdsaKeyPair, head: &Value, body: &Value) -> Result<Zeroizing<String>, Fault> {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(head), part(body));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map_err(|_| Fault::new("the token could not be signed"))?;
    Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))))
}

/// The public key as a JWK: its required members in their order (RFC 7638 §3), and no others.
pub fn jwk(key: &EcdsaKeyPair) -> Map<String, Value> {
    let point = |range: std::ops::Range<usize>| {
        // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 §2.3.3).
        URL_SAFE_NO_PAD.encode(key.public_key().as_ref().get(range).unwrap_or_default())
    };
    let members = [("crv", "P-256"), ("kty", "EC"), ("x", &point(1..33)), ("y", &point(33..65))];
    members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// What a token says of itself, unverified; none of one that is opaque.
pub fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
