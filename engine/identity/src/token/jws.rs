//! The signature layer: compact JWS (RFC 7515), with what RFC 8725 forbids taken out.
//!
//! A key never comes from the token: `jwk`, `jku`, `x5u` and `x5c` are refused rather than ignored (RFC 8725 §3.10),
//! so that a token that tries is seen as an attack and not as a token with a wrong signature. Thumbprints (`x5t`,
//! `x5t#S256`) only hint at a key; they are ignored.
//!
//! An ECDSA signature has a twin (`n - s`) that verifies too, so a token's bytes do not identify it; its `jti` does.

use std::borrow::Cow;

use policy::model::Algorithm;

use super::fault::{Part, TokenFault};
use super::keyset::{Key, Keyset};
use crate::base64url;
use crate::bounds::{KID_BYTES_MAX, TOKEN_BYTES_MAX, TOKEN_HEADER_BYTES_MAX, TOKEN_SIGNATURE_BYTES_MAX};
use crate::json::{Members, Value};

/// A compact JWS cut at its dots; every part is still encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compact<'t> {
    pub(super) signing_input: &'t [u8],
    pub(super) header: &'t [u8],
    pub(super) payload: &'t [u8],
    pub(super) signature: &'t [u8],
}

impl<'t> Compact<'t> {
    pub(super) fn split(token: &'t [u8]) -> Result<Self, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Form);
        };
        let signing_input = token.get(..header.len() + 1 + payload.len()).ok_or(TokenFault::Form)?;
        Ok(Self { signing_input, header, payload, signature })
    }
}

/// Room for a decoded header.
pub(super) type HeaderBytes = [u8; TOKEN_HEADER_BYTES_MAX];

/// The members of a JOSE header that count.
#[derive(Debug)]
pub(super) struct Header<'h> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Cow<'h, str>>,
    typ: Option<Cow<'h, str>>,
    has_cty: bool,
}

impl<'h> Header<'h> {
    pub(super) fn read(encoded: &[u8], room: &'h mut HeaderBytes) -> Result<Self, TokenFault> {
        if encoded.len() / 4 * 3 > room.len() {
            return Err(TokenFault::HeaderTooLong);
        }
        let bytes = base64url::decode_into(encoded, room).ok_or(TokenFault::Encoding(Part::Header))?;
        let members = Members::read(bytes).map_err(|fault| TokenFault::Json(Part::Header, fault))?;
        if members.has("crit") {
            return Err(TokenFault::Critical);
        }
        if members.has("b64") {
            return Err(TokenFault::UnencodedPayload);
        }
        for name in ["jwk", "jku", "x5u", "x5c"] {
            if members.has(name) {
                return Err(TokenFault::KeyInHeader(name));
            }
        }
        let algorithm = match members.find("alg") {
            Some(Value::Text(name)) => algorithm(name).ok_or(TokenFault::AlgorithmRefused)?,
            _ => return Err(TokenFault::HeaderValue("alg")),
        };
        let kid = text(&members, "kid")?;
        if kid.as_deref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(TokenFault::HeaderValue("kid"));
        }
        Ok(Self { algorithm, kid, typ: text(&members, "typ")?, has_cty: members.has("cty") })
    }

    /// What a JWT's header must hold beyond a JWS's (RFC 7519 §5, RFC 9068 §4).
    pub(super) fn check_token_type(&self) -> Result<(), TokenFault> {
        if self.has_cty {
            return Err(TokenFault::Nested);
        }
        match self.typ.as_deref() {
            None => Ok(()),
            Some(typ)
                if ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) =>
            {
                Ok(())
            }
            Some(_) => Err(TokenFault::Type),
        }
    }
}

/// The algorithm with this name (RFC 7518 §3.1, RFC 8037 §3.1); names are case-sensitive. `Ed25519` (RFC 9864 §2.2) is what
/// `EdDSA` means here: there is no key of another curve.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        "HS256" => Algorithm::HS256,
        _ => return None,
    })
}

/// Verifies a compact JWS under `keyset` with one of `algorithms` and gives its payload, decoded. Nothing is said about
/// the payload's meaning: tokens go through [`super::verify`].
pub fn verify(jws: &[u8], keyset: &Keyset, algorithms: &[Algorithm]) -> Result<Vec<u8>, TokenFault> {
    let compact = Compact::split(jws)?;
    let mut room = [0; TOKEN_HEADER_BYTES_MAX];
    let header = Header::read(compact.header, &mut room)?;
    if !algorithms.contains(&header.algorithm) {
        return Err(TokenFault::AlgorithmRefused);
    }
    let payload = base64url::decode(compact.payload).ok_or(TokenFault::Encoding(Part::Claims))?;
    check_signature(&compact, &header, keyset)?;
    Ok(payload)
}

/// The one expensive step: the key that verifies. With a `kid` exactly one is tried, without at most
/// [`crate::bounds::KEYS_TRIED_MAX`].
pub(super) fn check_signature<'k>(
    compact: &Compact<'_>,
    header: &'k Header<'_>,
    keyset: &'k Keyset,
) -> Result<&'k Key, TokenFault> {
    let mut keys = keyset.candidates(header.kid.as_deref(), header.algorithm)?;
    let mut room = [0; TOKEN_SIGNATURE_BYTES_MAX];
    let signature =
        base64url::decode_into(compact.signature, &mut room).ok_or(TokenFault::Encoding(Part::Signature))?;
    keys.find(|key| key.verifies(compact.signing_input, signature)).ok_or(TokenFault::Signature)
}

/// A string member; another type is a fault.
fn text<'a>(members: &Members<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, TokenFault> {
    match members.find(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TokenFault::HeaderValue(name)),
    }
}
