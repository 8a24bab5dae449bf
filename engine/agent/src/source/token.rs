//! The token that goes with a certificate, where an authorization server gives it.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::bounds::{FILE_BYTES_MAX, SECRET_BYTES_MAX};
use crate::fault::Fault;
use crate::generation::{self, Identity, New, Origin, TokenLife};
use crate::oauth::{Fetched, TokenEndpoint};
use crate::profile::Enrolment;
use crate::{files, x509};

/// The token that goes with a new certificate: a fresh one where it is bound to it or there was none, else the one in use,
/// which has a life of its own, with the key that it is bound to.
pub(super) fn with_token(
    of: &TokenEndpoint,
    before: Option<&Identity>,
    key_pem: &str,
    chain: &[CertificateDer<'static>],
) -> Result<Fetched, Fault> {
    let kept = before.filter(|_| !of.binds()).and_then(|identity| Some((&identity.directory, identity.origin.token?)));
    let read = |(directory, life): (&PathBuf, TokenLife)| {
        let value = files::read_secret_line(&directory.join(generation::TOKEN), SECRET_BYTES_MAX).ok()?;
        let dpop_key = directory.join(generation::DPOP_KEY);
        let dpop_key_pem = match of.dpop {
            true => Some(files::read_secret(&dpop_key, FILE_BYTES_MAX).ok()?),
            false => None,
        };
        Some(Fetched { value, life, dpop_key_pem })
    };
    // One that cannot be read is worth as little as none.
    kept.and_then(read).map_or_else(|| of.fetch(key_pem, chain), Ok)
}

/// A token that was renewed.
pub struct RenewedToken {
    /// Thumbprints.
    pub old: Option<String>,
    pub new: String,
    pub life: TokenLife,
}

/// Puts a fresh token beside key and certificate that are in use, in a generation of its own. The caller holds the profile's
/// lock.
pub fn renew_token(
    directory: &Path,
    enrolment: &Enrolment,
    of: &TokenEndpoint,
    identity: &Identity,
) -> Result<RenewedToken, Fault> {
    let (key, chain) = generation::pair(identity)?;
    let before = files::read_secret_line(&identity.directory.join(generation::TOKEN), SECRET_BYTES_MAX).ok();
    let Fetched { value, life, dpop_key_pem } = of.fetch(&key, &identity.chain)?;
    let (json, gateway_ca) = (enrolment.profile.json()?, enrolment.gateway_ca.as_deref());
    let dpop_key_pem = dpop_key_pem.as_ref().map(|pem| pem.as_str());
    let token = Some(value.as_str());
    let new = New { key_pem: &key, chain_pem: &chain, token, dpop_key_pem, profile: &json, gateway_ca };
    generation::stage(directory, &new, &Origin { token: Some(life), ..identity.origin.clone() })?.put()?;
    let old = before.as_ref().map(|token| token_thumbprint(token));
    Ok(RenewedToken { old, new: token_thumbprint(&value), life })
}

/// Tells tokens apart, and says nothing of one: the first 64 bits of its SHA-256.
fn token_thumbprint(token: &str) -> String {
    let mut hash = x509::hex(&Sha256::digest(token));
    hash.truncate(16);
    hash
}
