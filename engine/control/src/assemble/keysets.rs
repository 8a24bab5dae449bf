//! The keysets of issuers: pinned in the release, or moving in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::token::{Issuer, Keyset, KeysetError as Fault};
use policy::model::{self, Keys};

use super::files::{self, FileError};
use super::hex;
use crate::bounds::JWKS_BYTES_MAX;
use crate::status::KeysetStatus;

#[derive(Debug, thiserror::Error)]
pub enum KeysetError {
    #[error("issuer \"{issuer}\": {cause}")]
    File { issuer: String, cause: FileError },
    #[error("issuer \"{issuer}\": {origin}: expected UTF-8 text, found other bytes")]
    Text { issuer: String, origin: String },
    #[error("issuer \"{issuer}\": {origin}: {fault}")]
    Keyset { issuer: String, origin: String, fault: Fault },
}

/// An issuer with the keyset that was read, and what to report about it.
pub struct Read {
    pub issuer: Arc<Issuer>,
    pub status: KeysetStatus,
}

/// Where a watched keyset lies.
pub fn watched_path(path: &str, base: &Path) -> PathBuf {
    base.join(path)
}

/// Reads the keyset of `rules` from the release or its file; one behind a URL is not there yet.
pub fn read(rules: &model::Issuer, base: &Path, now_s: u64) -> Result<Read, KeysetError> {
    match &rules.keys {
        Keys::Pinned { jwks } => from_text(rules, jwks, "pinned", now_s),
        Keys::Watch { path } => {
            let path = watched_path(path, base);
            let failed = |cause| KeysetError::File { issuer: rules.name.clone(), cause };
            let bytes = files::read(&path, JWKS_BYTES_MAX).map_err(failed)?;
            from_bytes(rules, &bytes, &path.display().to_string(), now_s)
        }
        Keys::Url { url, .. } => {
            let status = KeysetStatus { source: url.clone(), ..KeysetStatus::default() };
            Ok(Read { issuer: Arc::new(Issuer::new(rules.clone(), None)), status })
        }
    }
}

/// Takes `bytes` from `origin` (a path or URL) as the issuer's keyset.
pub fn from_bytes(rules: &model::Issuer, bytes: &[u8], origin: &str, now_s: u64) -> Result<Read, KeysetError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(KeysetError::Text { issuer: rules.name.clone(), origin: origin.to_owned() });
    };
    from_text(rules, text, origin, now_s)
}

fn from_text(rules: &model::Issuer, text: &str, origin: &str, now_s: u64) -> Result<Read, KeysetError> {
    let keyset = Keyset::from_jwks(text, &rules.algorithms).map_err(|fault| KeysetError::Keyset {
        issuer: rules.name.clone(),
        origin: origin.to_owned(),
        fault,
    })?;
    for note in keyset.notes() {
        crate::warning!(
            "issuer \"{}\": {origin}: key {} ({}) is not used: {}",
            rules.name,
            note.position,
            note.kid.as_deref().unwrap_or("no kid"),
            note.why
        );
    }
    let status = KeysetStatus {
        source: origin.to_owned(),
        thumbprint: Some(hex(&keyset.digest())),
        version: 1,
        keys: keyset.keys().len(),
        loaded_unix_s: now_s,
        ..KeysetStatus::default()
    };
    Ok(Read { issuer: Arc::new(Issuer::new(rules.clone(), Some(Arc::new(keyset)))), status })
}
