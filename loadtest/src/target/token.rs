//! Tokens (RFC 7519) as a target shall take or refuse them, and the keys that they verify under.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::Fault;
use super::material::{AGENT, AUDIENCE, ISSUER, SCOPE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    Rs256,
}

impl Algorithm {
    /// As in the `alg` of a token (RFC 7518 §3.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    Audience,
    Issuer,
    /// Signed by a key that nobody trusts, with the name of the trusted one.
    Signature,
    /// Changed after it was signed.
    Changed,
    /// `alg: none` without a signature.
    Unsigned,
    /// Without the scope that the path needs.
    Scope,
}

/// A key pair of one algorithm.
pub enum Key {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Key {
    pub fn generate(algorithm: Algorithm) -> Result<Self, Fault> {
        Ok(match algorithm {
            Algorithm::Es256 => {
                Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(Fault::material)?)
            }
            Algorithm::Rs256 => Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).map_err(Fault::material)?),
        })
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Name of the key, `kid`.
    fn id(&self) -> &'static str {
        self.algorithm().name()
    }

    /// JWK Set with the public key (RFC 7517 §5).
    pub fn jwks(&self) -> Result<String, Fault> {
        let common = json!({ "use": "sig", "alg": self.algorithm().name(), "kid": self.id() });
        let own = match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref(); // 4, x, y (SEC 1 §2.3.3)
                let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..).unwrap_or_default());
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Self::Rs256(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref())
                    .ok_or_else(|| Fault::Material("an RSA public key of an unknown form".into()))?;
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
        };
        let mut jwk = common;
        if let (Some(all), Some(more)) = (jwk.as_object_mut(), own.as_object()) {
            all.extend(more.clone());
        }
        Ok(json!({ "keys": [jwk] }).to_string())
    }

    /// The public key as PEM (RFC 7468 §13).
    pub fn public_pem(&self) -> Result<String, Fault> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Es256(pair) => pair.public_key().as_der(),
            Self::Rs256(pair) => pair.public_key().as_der(),
        }
        .map_err(Fault::material)?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// A token with this flaw; `number` tells it from all others. `stranger` signs where the flaw is the signature.
    pub fn token(&self, flaw: Flaw, number: u64, now_s: u64, stranger: &Self) -> Result<String, Fault> {
        let algorithm = if flaw == Flaw::Unsigned { "none" } else { self.algorithm().name() };
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": self.id() });
        let expires = if flaw == Flaw::Expired { now_s.saturating_sub(3_600) } else { now_s + 86_400 };
        let payload = json!({
            "iss": if flaw == Flaw::Issuer { "https://other.load.test" } else { ISSUER },
            "aud": if flaw == Flaw::Audience { "others" } else { AUDIENCE },
            "sub": AGENT,
            "scope": if flaw == Flaw::Scope { "profile".to_owned() } else { format!("profile {SCOPE}") },
            "iat": now_s.saturating_sub(7_200),
            "exp": expires,
            "jti": number.to_string(),
        });
        let head = encode(header.to_string().as_bytes());
        let input = format!("{head}.{}", encode(payload.to_string().as_bytes()));
        let signer = if flaw == Flaw::Signature { stranger } else { self };
        Ok(match flaw {
            Flaw::Unsigned => format!("{input}."),
            Flaw::Changed => {
                let changed = payload.to_string().replace(AGENT, "admin.load.test");
                let signature = signer.sign(input.as_bytes())?;
                format!("{head}.{}.{}", encode(changed.as_bytes()), encode(&signature))
            }
            _ => format!("{input}.{}", encode(&signer.sign(input.as_bytes())?)),
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) => Ok(pair.sign(&random, message).map_err(Fault::material)?.as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(Fault::material)?;
                Ok(signature)
            }
        }
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 §A.1.1), without leading zeros.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, 0x30)?;
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    Some((modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent))
}

/// Content of the DER element with this tag at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let digits = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    let (long, rest) = rest.split_at_checked(digits)?;
    let length = match digits {
        0 => usize::from(*first),
        _ => long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    rest.split_at_checked(length)
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
