//! JSON Web Tokens and key sets, made by hand, so that wrong ones can be made too.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use aws_lc_rs::{encoding, hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The issuer and audience that the test policies trust.
pub const ISSUER: &str = "https://id.test";
pub const AUDIENCE: &str = "orders-api";

/// A signing key with the `kid` under which its public half stands in the key set.
pub struct TokenKey {
    pub kid: String,
    pub algorithm: &'static str,
    secret: Secret,
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Hmac(Vec<u8>),
}

impl TokenKey {
    /// A new key for `ES256`, `ES384`, `EdDSA`, `RS256`, `PS256` or `HS256`.
    pub fn generate(algorithm: &'static str, kid: &str) -> Self {
        let secret = match algorithm {
            "ES256" => Secret::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "ES384" => Secret::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            "EdDSA" => Secret::Ed25519(Ed25519KeyPair::generate().unwrap()),
            "RS256" | "PS256" => Secret::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
            "HS256" => {
                let mut bytes = vec![0; 32];
                aws_lc_rs::rand::fill(&mut bytes).unwrap();
                Secret::Hmac(bytes)
            }
            other => panic!("no algorithm {other}"),
        };
        Self { kid: kid.into(), algorithm, secret }
    }

    /// The public key as a JWK (RFC 7517); for HS256 the secret itself.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.secret {
            Secret::Ecdsa(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Secret::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())}),
            Secret::Rsa(pair) => {
                let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": encode(&modulus), "e": encode(&exponent)})
            }
            Secret::Hmac(bytes) => json!({"kty": "oct", "k": encode(bytes)}),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.algorithm);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public key as DER SubjectPublicKeyInfo, for key-confusion attacks.
    pub fn public_der(&self) -> Vec<u8> {
        use encoding::{AsDer, PublicKeyX509Der};
        let der: PublicKeyX509Der<'_> = match &self.secret {
            Secret::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Secret::Ecdsa(pair) => pair.public_key().as_der().unwrap(),
            _ => panic!("no confusion with {}", self.algorithm),
        };
        der.as_ref().to_vec()
    }

    /// Signs these claims under the usual header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm, "typ": "JWT", "kid": self.kid}), claims)
    }

    /// Signs these claims under this header, whatever it says.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs header and claims given as their exact text.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.signature(input.as_bytes());
        format!("{input}.{}", encode(&signature))
    }

    pub fn signature(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Ecdsa(pair) => pair.sign(&random, input).unwrap().as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
            Secret::Rsa(pair) => {
                let padding = if self.algorithm == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, input, &mut signature).unwrap();
                signature
            }
            Secret::Hmac(bytes) => hmac_sha256(bytes, input),
        }
    }
}

/// A JWK Set of these keys.
pub fn jwks(keys: &[&TokenKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Claims that the test policies accept for `subject` for the next five minutes.
pub fn claims(subject: &str) -> Value {
    let now = now_s();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "nbf": now - 1, "exp": now + 300})
}

/// Seconds since the Unix epoch.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// base64url without padding (RFC 7515 §2).
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn hmac_sha256(key: &[u8], input: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input).as_ref().to_vec()
}

/// Modulus and exponent of a DER `RSAPublicKey` (RFC 8017 A.1.1).
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (sequence, _) = der_value(der);
    let (modulus, rest) = der_value(sequence);
    let (exponent, _) = der_value(rest);
    let strip = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
    (strip(modulus), strip(exponent))
}

/// The value of the first DER element and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            (der[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + count)
        }
    };
    (&der[start..start + length], &der[start + length..])
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    };
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{TokenKey, claims};

    #[test]
    fn tokens_verify_under_the_keys_that_the_set_shows() {
        for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
            let key = TokenKey::generate(algorithm, "k1");
            let token = key.sign(&claims("bot"));
            let (input, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let jwk = key.jwk();
            let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            let verdict = match algorithm {
                "ES256" => {
                    let point = [&[4][..], &part("x"), &part("y")].concat();
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(input.as_bytes(), &signature)
                }
                "EdDSA" => UnparsedPublicKey::new(&ED25519, part("x")).verify(input.as_bytes(), &signature),
                _ => {
                    let scheme =
                        if algorithm == "RS256" { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PSS_2048_8192_SHA256 };
                    let public = RsaPublicKeyComponents { n: part("n"), e: part("e") };
                    public.verify(scheme, input.as_bytes(), &signature)
                }
            };
            assert!(verdict.is_ok(), "{algorithm}");
        }
    }
}
