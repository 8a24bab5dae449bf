//! The token that goes with a certificate, where an authorization server gives it.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::bounds::{FILE_BYTES_MAX, SECRET_BYTES_MAX};
use crate::fault::Fault;
use crate::generation::{self, Identity, New, Origin, TokenLife};
use crate::oauth::Fetched;
use crate::profile::{Enrolment, Profile, TokenSource};
use crate::{files, x509};

/// The token in use, with the key that it is bound to, where it goes with a new certificate as well: it has a life of its own.
/// None where it is bound to its certificate, or cannot be read: that is worth as little as none.
pub(super) fn kept(profile: &Profile, before: Option<&Identity>) -> Option<Fetched> {
    let Some(TokenSource::Oauth(of)) = &profile.token else { return None };
    let Identity { directory, origin, .. } = before.filter(|_| !of.binds())?;
    let life = origin.token?;
    let value = files::read_secret_line(&directory.join(generation::TOKEN), SECRET_BYTES_MAX).ok()?;
    let dpop_key_pem = match of.dpop {
        true => Some(files::read_secret(&directory.join(generation::DPOP_KEY), FILE_BYTES_MAX).ok()?),
        false => None,
    };
    Some(Fetched { value, life, dpop_key_pem })
}

/// A token that was renewed.
pub struct RenewedToken {
    /// Thumbprints.
    pub old: Option<String>,
    pub new: String,
    pub life: TokenLife,
}

/// Puts a fresh token beside key and certificate that are in use, in a generation of its own. The caller holds the profile's
/// lock, and has read enrolment and identity under it.
pub fn put(
    directory: &Path,
    enrolment: &Enrolment,
    identity: &Identity,
    fetched: &Fetched,
) -> Result<RenewedToken, Fault> {
    let (key, chain) = generation::pair(identity)?;
    let before = files::read_secret_line(&identity.directory.join(generation::TOKEN), SECRET_BYTES_MAX).ok();
    let Fetched { value, life, dpop_key_pem } = fetched;
    let (json, gateway_ca) = (enrolment.profile.json()?, enrolment.gateway_ca.as_deref());
    let dpop_key_pem = dpop_key_pem.as_ref().map(|pem| pem.as_str());
    let token = Some(value.as_str());
    let new = New { key_pem: &key, chain_pem: &chain, token, dpop_key_pem, profile: &json, gateway_ca };
    generation::stage(directory, &new, &Origin { token: Some(*life), ..identity.origin.clone() })?.put()?;
    let old = before.as_ref().map(|token| thumbprint(token));
    Ok(RenewedToken { old, new: thumbprint(value), life: *life })
}

/// Tells tokens apart, and says nothing of one: the first 64 bits of its SHA-256.
fn thumbprint(token: &str) -> String {
    let mut hash = x509::hex(&Sha256::digest(token));
    hash.truncate(16);
    hash
}
