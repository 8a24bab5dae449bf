//! One JSON Web Key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2) to parsed public keys.

use std::borrow::Cow;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use aws_lc_rs::{error::KeyRejected, hmac};
use policy::model::Algorithm;
use sha2::{Digest, Sha256};

use super::{jws, roca};
use crate::base64url;
use crate::bounds::{
    KID_BYTES_MAX, RSA_BITS_MAX, RSA_BITS_MIN, RSA_EXPONENT_BYTES_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN,
};
use crate::json::{Members, Value, elements};

// The parsed-key API wants `'static` parameters, and aws-lc-rs gives constants.
static P256: &dyn VerificationAlgorithm = &ECDSA_P256_SHA256_FIXED;
static P384: &dyn VerificationAlgorithm = &ECDSA_P384_SHA384_FIXED;
static EDWARDS: &dyn VerificationAlgorithm = &ED25519;
static PKCS1: RsaParameters = RSA_PKCS1_2048_8192_SHA256;
static PSS: RsaParameters = RSA_PSS_2048_8192_SHA256;

/// Why a key of a keyset is not used. The set itself may still serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    #[error("it is not for verifying signatures (`use` or `key_ops`)")]
    OtherUse,
    #[error("its `kty` or `crv` is not one that the policy language knows")]
    UnknownType,
    #[error("its `alg` is not one that the issuer's section lists")]
    OtherAlgorithm,
    #[error("its `alg` contradicts its `kty` or `crv`")]
    Contradiction,
    #[error("expected `{0}` to be a member in the form of RFC 7518 §6, found none or another form")]
    Member(&'static str),
    #[error("expected a point on its curve, found another")]
    InvalidKey,
    #[error("expected an RSA modulus of {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, found {0}")]
    RsaBits(usize),
    #[error("expected an odd RSA exponent of 3 or more, found another")]
    RsaExponent,
    #[error("it comes from the broken generator of CVE-2017-15361 (ROCA)")]
    Roca,
    #[error(
        "expected a secret of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes (RFC 7518 §3.2), found another length"
    )]
    SecretLength,
}

impl Unfit {
    /// Whether the key is meant for others, rather than wrong or weak.
    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::OtherUse | Self::UnknownType | Self::OtherAlgorithm)
    }
}

/// What one JWK gives.
pub(super) struct Jwk {
    pub(super) kid: Option<Box<str>>,
    pub(super) thumbprint: [u8; 32],
    /// One per algorithm that the key fits and the issuer lists; never empty.
    pub(super) verifiers: Vec<(Algorithm, Verifier)>,
}

/// A parsed key, ready to verify with one algorithm.
pub(super) enum Verifier {
    Public(ParsedPublicKey),
    /// Boxed: twenty times the size of the other.
    Secret(Box<hmac::Key>),
}

/// Whether the key holds what only its owner should have (RFC 7518 §6.2.2, §6.3.2).
pub(super) fn is_private(members: &Members<'_>) -> bool {
    let symmetric = is_secret(members);
    ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"].iter().any(|name| members.has(name))
        || (!symmetric && members.has("k"))
}

pub(super) fn is_secret(members: &Members<'_>) -> bool {
    matches!(members.find("kty"), Some(Value::Text(kty)) if kty == "oct")
}

/// Reads one key; `algorithms` is the issuer's allow-list.
pub(super) fn read(members: &Members<'_>, algorithms: &[Algorithm]) -> Result<Jwk, Unfit> {
    check_use(members)?;
    let kid = optional_text(members, "kid")?;
    if kid.is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
        return Err(Unfit::Member("kid"));
    }
    let (fitting, thumbprint_of) = material(members)?;
    let own = optional_text(members, "alg")?;
    let own = own.map(|name| jws::algorithm(name).ok_or(Unfit::OtherAlgorithm)).transpose()?;
    if own.is_some_and(|own| !fitting.algorithms().contains(&own)) {
        return Err(Unfit::Contradiction);
    }
    let mut verifiers = Vec::new();
    for algorithm in fitting.algorithms() {
        if algorithms.contains(algorithm) && own.is_none_or(|own| own == *algorithm) {
            verifiers.push((*algorithm, fitting.verifier(*algorithm)?));
        }
    }
    if verifiers.is_empty() {
        return Err(Unfit::OtherAlgorithm);
    }
    Ok(Jwk { kid: kid.map(Into::into), thumbprint: Sha256::digest(thumbprint_of).into(), verifiers })
}

/// `use` and `key_ops` (RFC 7517 §4.2, §4.3): where they stand, they must admit verification.
fn check_use(members: &Members<'_>) -> Result<(), Unfit> {
    if optional_text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Unfit::OtherUse);
    }
    match members.find("key_ops") {
        None => Ok(()),
        Some(Value::Array(raw)) => {
            let operations = elements(raw).map_err(|_| Unfit::Member("key_ops"))?;
            let verifies =
                operations.iter().any(|operation| matches!(operation, Value::Text(name) if name == "verify"));
            if verifies { Ok(()) } else { Err(Unfit::OtherUse) }
        }
        Some(_) => Err(Unfit::Member("key_ops")),
    }
}

enum Material {
    /// Uncompressed point (SEC 1 §2.3.3).
    P256([u8; 65]),
    P384([u8; 97]),
    Ed25519([u8; 32]),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Secret(Vec<u8>),
}

impl Material {
    const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::P256(_) => &[Algorithm::ES256],
            Self::P384(_) => &[Algorithm::ES384],
            Self::Ed25519(_) => &[Algorithm::EdDSA],
            Self::Rsa { .. } => &[Algorithm::RS256, Algorithm::PS256],
            Self::Secret(_) => &[Algorithm::HS256],
        }
    }

    fn verifier(&self, algorithm: Algorithm) -> Result<Verifier, Unfit> {
        let parsed: Result<ParsedPublicKey, KeyRejected> = match self {
            Self::P256(point) => ParsedPublicKey::new(P256, point),
            Self::P384(point) => ParsedPublicKey::new(P384, point),
            Self::Ed25519(key) => ParsedPublicKey::new(EDWARDS, key),
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .to_parsed_public_key(if algorithm == Algorithm::PS256 { &PSS } else { &PKCS1 }),
            Self::Secret(secret) => return Ok(Verifier::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))),
        };
        parsed.map(Verifier::Public).map_err(|_| Unfit::InvalidKey)
    }
}

/// The key itself, and the text that its thumbprint is taken over (RFC 7638 §3.2; RFC 8037 §2 for `OKP`). The values
/// are strict base64url, so each key has one spelling.
fn material(members: &Members<'_>) -> Result<(Material, String), Unfit> {
    let kty = text(members, "kty")?;
    match kty {
        "EC" => {
            let (curve, x, y) = (text(members, "crv")?, text(members, "x")?, text(members, "y")?);
            let point = match curve {
                "P-256" => Material::P256(point::<65>(x, y)?),
                "P-384" => Material::P384(point::<97>(x, y)?),
                _ => return Err(Unfit::UnknownType),
            };
            Ok((point, format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)))
        }
        "OKP" => {
            let (curve, x) = (text(members, "crv")?, text(members, "x")?);
            if curve != "Ed25519" {
                return Err(Unfit::UnknownType);
            }
            let key = base64url::decode(x.as_bytes()).and_then(|key| key.try_into().ok()).ok_or(Unfit::Member("x"))?;
            Ok((Material::Ed25519(key), format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
        }
        "RSA" => {
            let (n, e) = (text(members, "n")?, text(members, "e")?);
            let (modulus, exponent) = (unsigned(n).ok_or(Unfit::Member("n"))?, unsigned(e).ok_or(Unfit::Member("e"))?);
            check_rsa(&modulus, &exponent)?;
            Ok((Material::Rsa { modulus, exponent }, format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)))
        }
        "oct" => {
            let k = text(members, "k")?;
            let secret = base64url::decode(k.as_bytes()).ok_or(Unfit::Member("k"))?;
            if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
                return Err(Unfit::SecretLength);
            }
            Ok((Material::Secret(secret), format!(r#"{{"k":"{k}","kty":"oct"}}"#)))
        }
        _ => Err(Unfit::UnknownType),
    }
}

/// `0x04 ‖ x ‖ y`; each coordinate has the curve's full length (RFC 7518 §6.2.1.2).
fn point<const LENGTH: usize>(x: &str, y: &str) -> Result<[u8; LENGTH], Unfit> {
    let mut point = vec![4];
    for (name, coordinate) in [("x", x), ("y", y)] {
        let bytes = base64url::decode(coordinate.as_bytes()).ok_or(Unfit::Member(name))?;
        if bytes.len() != LENGTH / 2 {
            return Err(Unfit::Member(name));
        }
        point.extend(bytes);
    }
    point.try_into().map_err(|_| Unfit::InvalidKey)
}

/// Base64urlUInt (RFC 7518 §2): big-endian, without leading zero bytes.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    base64url::decode(text.as_bytes()).filter(|bytes| bytes.first().is_some_and(|first| *first != 0))
}

fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), Unfit> {
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(Unfit::RsaBits(bits));
    }
    if exponent.len() > RSA_EXPONENT_BYTES_MAX || exponent == [1] || exponent.last().is_some_and(|last| last % 2 == 0) {
        return Err(Unfit::RsaExponent);
    }
    if modulus.last().is_some_and(|last| last % 2 == 0) {
        return Err(Unfit::InvalidKey);
    }
    if roca::has_fingerprint(modulus) { Err(Unfit::Roca) } else { Ok(()) }
}

fn optional_text<'m>(members: &'m Members<'_>, name: &'static str) -> Result<Option<&'m str>, Unfit> {
    match members.find(name) {
        None => Ok(None),
        Some(Value::Text(Cow::Borrowed(text))) => Ok(Some(text)),
        Some(Value::Text(Cow::Owned(text))) => Ok(Some(text)),
        Some(_) => Err(Unfit::Member(name)),
    }
}

fn text<'m>(members: &'m Members<'_>, name: &'static str) -> Result<&'m str, Unfit> {
    optional_text(members, name)?.ok_or(Unfit::Member(name))
}
