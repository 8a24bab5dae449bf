//! DPoP proofs (RFC 9449 §4): that whoever presents a token holds the key that it is bound to, for this one request.
//!
//! Everything cheap comes first, as with tokens: a proof by another key, for another request or another time buys no
//! signature check. That a proof was not shown before is for the caller to ask, with [`Proof::id`].

mod fault;
mod nonce;
mod uri;

use policy::model::Algorithm;
use sha2::{Digest, Sha256};

pub use fault::DpopFault;
pub use nonce::{NONCE_BYTES, Nonces};
pub use uri::RequestUri;

use super::confirmation::sha256;
use super::fault::Part;
use super::jwk::{self, Jwk, Verifier};
use super::jws::{self, Compact};
use crate::base64url;
use crate::bounds::{
    DPOP_AGE_S_MAX, DPOP_AHEAD_S_MAX, DPOP_BYTES_MAX, DPOP_HEADER_BYTES_MAX, DPOP_ID_BYTES_MAX, DPOP_KEPT_S_MORE,
    NUMERIC_DATE_S_MAX, TOKEN_SIGNATURE_BYTES_MAX,
};
use crate::json::{Members, Value};

/// The signature algorithms of proofs, as `WWW-Authenticate` names them (RFC 9449 §5.1): those of issuers but HS256,
/// because a secret that the gateway knew would prove nothing.
pub const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256];

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub method: &'a [u8],
    pub uri: RequestUri<'a>,
    /// The access token, as presented.
    pub token: &'a [u8],
    /// `cnf.jkt` of the token.
    pub key_thumbprint: &'a [u8; 32],
    /// Seconds since the Unix epoch.
    pub now_s: u64,
    /// Accepted clock difference, as for the issuer's tokens.
    pub leeway_s: u32,
    /// Where proofs must hold a nonce of this gateway.
    pub nonces: Option<&'a Nonces>,
}

/// A proof that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Over key and `jti`: equal for no two proofs but those of one key with one `jti`.
    pub id: [u8; 32],
    /// Seconds since the Unix epoch from which on the proof is refused for its age, whatever worker's clock is asked.
    pub kept_until_s: u64,
    /// The longest that any proof with a token of this issuer has to be remembered, seconds, whatever its `iat`.
    pub kept_s_max: u64,
}

/// Checks one proof (RFC 9449 §4.3, all but the count of fields and the replay).
///
/// # Errors
/// The first that is wrong, in the order of their cost.
pub fn check(proof: &[u8], wanted: &Wanted<'_>) -> Result<Proof, DpopFault> {
    if proof.len() > DPOP_BYTES_MAX {
        return Err(DpopFault::TooLong);
    }
    let compact = Compact::split(proof).map_err(|_| DpopFault::Form)?;
    let header = decode::<DPOP_HEADER_BYTES_MAX>(compact.header, Part::Header)?;
    let header = Members::read(&header).map_err(|fault| DpopFault::Json(Part::Header, fault))?;
    let algorithm = algorithm(&header)?;
    let key = key(&header, algorithm)?;
    if key.thumbprint != *wanted.key_thumbprint {
        return Err(DpopFault::KeyWrong);
    }
    let payload = decode::<DPOP_BYTES_MAX>(compact.payload, Part::Claims)?;
    let claims = Members::read(&payload).map_err(|fault| DpopFault::Json(Part::Claims, fault))?;
    let (id, issued_s) = check_claims(&claims, wanted)?;
    let id: [u8; 32] = Sha256::new().chain_update(key.thumbprint).chain_update(id).finalize().into();
    check_signature(&compact, &key)?;
    let leeway_s = u64::from(wanted.leeway_s);
    let kept_s = DPOP_AGE_S_MAX + leeway_s + DPOP_KEPT_S_MORE;
    let kept_until_s = issued_s.saturating_add(kept_s);
    Ok(Proof { id, kept_until_s, kept_s_max: DPOP_AHEAD_S_MAX + leeway_s + kept_s })
}

fn decode<const BYTES_MAX: usize>(encoded: &[u8], part: Part) -> Result<Vec<u8>, DpopFault> {
    let decoded = base64url::decode(encoded).ok_or(DpopFault::Encoding(part))?;
    if decoded.len() > BYTES_MAX { Err(DpopFault::TooLong) } else { Ok(decoded) }
}

/// Checks what a header says of itself, and gives its algorithm. Keys from elsewhere than `jwk` are refused, as are
/// extensions.
fn algorithm(header: &Members<'_>) -> Result<Algorithm, DpopFault> {
    match header.find("typ") {
        Some(Value::Text(typ)) if typ.eq_ignore_ascii_case("dpop+jwt") => {}
        _ => return Err(DpopFault::Type),
    }
    if let Some(name) = ["crit", "b64", "cty", "jku", "x5u", "x5c"].into_iter().find(|name| header.has(name)) {
        return Err(DpopFault::HeaderRefused(name));
    }
    match header.find("alg") {
        Some(Value::Text(name)) => jws::algorithm(name).filter(|known| ALGORITHMS.contains(known)),
        _ => None,
    }
    .ok_or(DpopFault::AlgorithmRefused)
}

fn key(header: &Members<'_>, algorithm: Algorithm) -> Result<Jwk, DpopFault> {
    let Some(Value::Object(text)) = header.find("jwk") else {
        return Err(DpopFault::Key);
    };
    let members = Members::open(text).map_err(|fault| DpopFault::Json(Part::Header, fault))?;
    if jwk::is_private(&members) || jwk::is_secret(&members) {
        return Err(DpopFault::PrivateKey);
    }
    jwk::read(&members, &[algorithm]).map_err(DpopFault::KeyUnfit)
}

/// Checks what a proof is for, and gives its `jti` and `iat`.
fn check_claims<'c>(claims: &'c Members<'_>, wanted: &Wanted<'_>) -> Result<(&'c str, u64), DpopFault> {
    let id = text(claims, "jti")?;
    if id.is_empty() || id.len() > DPOP_ID_BYTES_MAX {
        return Err(DpopFault::Claim("jti"));
    }
    if text(claims, "htm")?.as_bytes() != wanted.method {
        return Err(DpopFault::RequestWrong("htm"));
    }
    if !wanted.uri.is_meant_by(text(claims, "htu")?) {
        return Err(DpopFault::RequestWrong("htu"));
    }
    let issued_s = issued_s(claims)?;
    let leeway_s = u64::from(wanted.leeway_s);
    if issued_s > wanted.now_s.saturating_add(DPOP_AHEAD_S_MAX + leeway_s) {
        return Err(DpopFault::IssuedInFuture);
    }
    if issued_s.saturating_add(DPOP_AGE_S_MAX + leeway_s) < wanted.now_s {
        return Err(DpopFault::TooOld);
    }
    let token = sha256(text(claims, "ath")?.as_bytes()).ok_or(DpopFault::Claim("ath"))?;
    if token != <[u8; 32]>::from(Sha256::digest(wanted.token)) {
        return Err(DpopFault::TokenWrong);
    }
    if let Some(nonces) = wanted.nonces {
        match claims.find("nonce") {
            Some(Value::Text(nonce)) if nonces.accept(nonce.as_bytes(), wanted.now_s) => {}
            _ => return Err(DpopFault::NonceWrong),
        }
    }
    Ok((id, issued_s))
}

fn text<'c>(claims: &'c Members<'_>, name: &'static str) -> Result<&'c str, DpopFault> {
    match claims.find(name) {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(DpopFault::Claim(name)),
    }
}

/// `iat`, a NumericDate (RFC 7519 §2).
fn issued_s(claims: &Members<'_>) -> Result<u64, DpopFault> {
    let seconds = match claims.find("iat") {
        Some(Value::Number(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    let within = seconds.filter(|seconds| (0.0..=NUMERIC_DATE_S_MAX).contains(seconds));
    within.map(|seconds| seconds as u64).ok_or(DpopFault::Claim("iat"))
}

fn check_signature(compact: &Compact<'_>, key: &Jwk) -> Result<(), DpopFault> {
    let mut room = [0; TOKEN_SIGNATURE_BYTES_MAX];
    let signature = base64url::decode_into(compact.signature, &mut room).ok_or(DpopFault::Encoding(Part::Signature))?;
    let verified = key.verifiers.iter().any(|(_, verifier)| match verifier {
        Verifier::Public(key) => key.verify_sig(compact.signing_input, signature).is_ok(),
        Verifier::Secret(_) => false,
    });
    if verified { Ok(()) } else { Err(DpopFault::Signature) }
}

#[cfg(test)]
mod tests;
