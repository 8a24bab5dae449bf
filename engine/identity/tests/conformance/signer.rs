//! Keys that make tokens for tests.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub enum Signer {
    Ecdsa(&'static str, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(&'static str, rsa::KeyPair),
    Hmac(Vec<u8>),
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub fn es256(_number: u8) -> Self {
        Self::Ecdsa("ES256", EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn es384() -> Self {
        Self::Ecdsa("ES384", EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub fn ed25519(number: u8) -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap())
    }

    pub fn rsa(algorithm: &'static str) -> Self {
        Self::Rsa(algorithm, rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap())
    }

    pub fn hs256(number: u8) -> Self {
        Self::Hmac(vec![number; 32])
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Ecdsa(name, _) | Self::Rsa(name, _) => name,
            Self::Ed25519(_) => "EdDSA",
            Self::Hmac(_) => "HS256",
        }
    }

    /// Public key (or secret) as a JWK.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut key = match self {
            Self::Ecdsa(name, pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if *name == "ES256" { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Self::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) }),
            Self::Rsa(..) => json!({ "kty": "RSA", "n": encode(self.modulus()), "e": "AQAB" }),
            Self::Hmac(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        key["kid"] = json!(kid);
        key
    }

    /// The public key in DER: what a confused verifier would take for a secret.
    pub fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa(_, pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rsa(_, pair) => pair.public_key().as_ref().to_vec(),
            Self::Hmac(secret) => secret.clone(),
        }
    }

    /// From `RSAPublicKey` (RFC 8017 §A.1.1): a sequence header, then an integer of 257 bytes with a leading zero.
    fn modulus(&self) -> Vec<u8> {
        self.public_der()[9..265].to_vec()
    }

    pub fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(_, pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(name, pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let encoding = if *name == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Hmac(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
        }
    }

    /// A compact token with exactly these texts as header and claims.
    pub fn sign_texts(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(self.sign_bytes(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// A token with `alg` and `kid`.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        self.sign_texts(&json!({ "alg": self.algorithm(), "kid": kid }).to_string(), &claims.to_string())
    }
}
