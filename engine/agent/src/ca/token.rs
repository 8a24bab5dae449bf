//! Tokens for the agents of a small team: an ES256 key beside the CA's, and short-lived JWTs that are bound to the certificate
//! they are issued with (RFC 8705 §3), so that a stolen one is worth nothing without its key.

use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy_release::key_file;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{place, settings};
use crate::bounds::{FILE_BYTES_MAX, LIFE_CLIENT_S_MAX};
use crate::fault::Fault;
use crate::files;
use crate::jws;
use crate::x509;

/// What a token shall say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub audience: Vec<String>,
    pub subject: String,
    pub scopes: Vec<String>,
}

/// An issuer of tokens.
pub struct Issuer {
    name: String,
    key: EcdsaKeyPair,
}

/// Makes the key of an issuer: PKCS#8 as DER, and the JWK Set (RFC 7517) that verifies its tokens.
pub(super) fn make() -> Result<(Zeroizing<Vec<u8>>, String), Fault> {
    let failed = |_| Fault::new("the key for tokens could not be made");
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    let pkcs8 = key.to_pkcs8v1().map_err(failed)?;
    let mut jwk = jws::jwk(&key);
    let more = [("use", "sig"), ("alg", "ES256"), ("kid", &kid(&key))];
    jwk.extend(more.map(|(name, value)| (name.to_owned(), value.into())));
    Ok((Zeroizing::new(pkcs8.as_ref().to_vec()), format!("{}\n", json!({"keys": [jwk]}))))
}

/// A name of a key that follows from it.
fn kid(key: &EcdsaKeyPair) -> String {
    let mut name = x509::hex(&Sha256::digest(key.public_key().as_ref()));
    name.truncate(16);
    name
}

impl Issuer {
    /// Opens the issuer of a CA; none where it issues no tokens.
    pub fn open(directory: &Path, passphrase: Option<&[u8]>) -> Result<Option<Self>, Fault> {
        let Some(name) = settings(directory)?.issuer else { return Ok(None) };
        let path = directory.join(place::TOKEN_KEY);
        let text = files::read_secret(&path, FILE_BYTES_MAX)?;
        let pkcs8 = key_file::pkcs8_in(&text, passphrase).map_err(|fault| Fault::at(&path, fault))?;
        let key = jws::key(&pkcs8)
            .ok_or_else(|| Fault::at(&path, "the passphrase does not open this key, or the file was changed"))?;
        Ok(Some(Self { name, key }))
    }

    /// `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A token that is good with the certificate of this SHA-256 alone, and ends with it.
    pub fn issue(
        &self,
        claims: &Claims,
        certificate_sha256: &[u8],
        now_s: u64,
        ends_s: u64,
    ) -> Result<Zeroizing<String>, Fault> {
        let ends_s = ends_s.min(now_s + LIFE_CLIENT_S_MAX);
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": kid(&self.key)});
        let body = json!({
            "iss": self.name, "aud": claims.audience, "sub": claims.subject, "scope": claims.scopes.join(" "),
            "iat": now_s, "nbf": now_s.saturating_sub(crate::bounds::BACKDATED_S), "exp": ends_s,
            "jti": x509::hex(&files::random::<16>()?),
            "cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(certificate_sha256)},
        });
        jws::sign(&self.key, &head, &body)
    }
}
