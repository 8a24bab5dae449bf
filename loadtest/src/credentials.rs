//! A throw-away token with its key set, and a throw-away server certificate.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::failure::Failure;

/// A signed ES256 token and the JWK Set that it verifies under.
pub struct Token {
    pub token: String,
    pub jwks: String,
}

/// What the token says.
pub struct Claims<'c> {
    pub issuer: &'c str,
    pub audience: &'c str,
    pub subject: &'c str,
    pub scope: &'c str,
    /// Seconds since the Unix epoch.
    pub now_s: u64,
    pub lifetime_s: u64,
}

impl Token {
    /// Makes a key and signs `claims` with it (RFC 7515, RFC 7518 §3.4).
    pub fn sign(claims: &Claims<'_>) -> Result<Self, Failure> {
        let failed = |_| Failure::Subject("cannot make an ES256 key".into());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let header = serde_json::json!({"alg": "ES256", "typ": "JWT", "kid": "load"});
        let payload = serde_json::json!({
            "iss": claims.issuer, "aud": claims.audience, "sub": claims.subject, "scope": claims.scope,
            "iat": claims.now_s, "exp": claims.now_s + claims.lifetime_s,
        });
        let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
        let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).map_err(failed)?;
        let point = pair.public_key().as_ref();
        let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..).unwrap_or_default());
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "load", "x": encode(x), "y": encode(y),
        });
        let jwks = serde_json::json!({ "keys": [jwk] }).to_string();
        Ok(Self { token: format!("{input}.{}", encode(signature.as_ref())), jwks })
    }
}

/// A self-signed server certificate and its key, PEM.
pub fn server_certificate(name: &str) -> Result<(String, String), Failure> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()])
        .map_err(|error| Failure::Subject(format!("cannot make a certificate: {error}")))?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
