//! The keysets of issuers: pinned in the release, moving in a file, or fetched (then as the last process kept them).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::token::{Issuer, Keyset, KeysetError as Fault};
use policy::model::{self, Fetched, Keys};

use super::files::{self, FileError};
use super::{Node, hex};
use crate::bounds::JWKS_BYTES_MAX;
use crate::introspection::{self, AskFault};
use crate::moving::fetch::{Source, SourceFault, bounds_of};
use crate::moving::kept;
use crate::status::KeysetStatus;

#[derive(Debug, thiserror::Error)]
pub enum KeysetError {
    #[error("issuer \"{issuer}\": {cause}")]
    File { issuer: String, cause: FileError },
    #[error("issuer \"{issuer}\": {cause}")]
    Source { issuer: String, cause: SourceFault },
    #[error("issuer \"{issuer}\": {origin}: expected UTF-8 text, found other bytes")]
    Text { issuer: String, origin: String },
    #[error("issuer \"{issuer}\": {cause}")]
    Introspection { issuer: String, cause: Box<AskFault> },
    #[error("issuer \"{issuer}\": {origin}: {fault}")]
    Keyset { issuer: String, origin: String, fault: Fault },
}

impl KeysetError {
    /// As [`FileError::is_unread`].
    pub const fn is_unread(&self) -> bool {
        matches!(self, Self::File { cause, .. } if cause.is_unread())
    }
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

/// Where the keys of `rules` come from, for people.
pub fn source_of(rules: &model::Issuer, node: &Node) -> String {
    match &rules.keys {
        Keys::Pinned { .. } => "pinned".to_owned(),
        Keys::None => "none".to_owned(),
        Keys::Watch { path } => watched_path(path, &node.base).display().to_string(),
        Keys::Url(_) | Keys::Discovery(_) => Source::of(rules).ok().flatten().map_or_else(String::new, |of| of.shown()),
    }
}

/// Whether the keys of both come from the same place, by the same word, and count for the same.
pub fn is_same_source(one: &model::Issuer, other: &model::Issuer) -> bool {
    let place = |keys: &Keys| {
        let fetched = bounds_of(keys)?;
        Some((matches!(keys, Keys::Discovery(_)), fetched.url.clone(), fetched.ca.clone()))
    };
    let same_place = match (place(&one.keys), place(&other.keys)) {
        (Some(one), Some(other)) => one == other,
        _ => one.keys == other.keys,
    };
    same_place && (&one.name, &one.issuer, &one.algorithms) == (&other.name, &other.issuer, &other.algorithms)
}

/// Whether the node has what it takes to ask the issuer about tokens, where it is asked.
pub fn check_introspection(rules: &model::Issuer, node: &Node) -> Result<(), KeysetError> {
    let failed = |cause| KeysetError::Introspection { issuer: rules.name.clone(), cause: Box::new(cause) };
    introspection::check(rules, Some(&node.introspection_clients)).map_err(failed)
}

/// Reads the keyset of `rules` from the release or its file; of one that is fetched, what was kept of it.
pub fn read(rules: &model::Issuer, node: &Node, now_s: u64) -> Result<Read, KeysetError> {
    let read = match &rules.keys {
        Keys::None => {
            let status =
                KeysetStatus { source: source_of(rules, node), loaded_unix_s: now_s, ..KeysetStatus::default() };
            return Ok(Read { issuer: Arc::new(Issuer::new(rules.clone(), None)), status });
        }
        Keys::Pinned { jwks } => from_text(rules, jwks, "pinned", now_s)?,
        Keys::Watch { path } => {
            let path = watched_path(path, &node.base);
            let failed = |cause| KeysetError::File { issuer: rules.name.clone(), cause };
            let bytes = files::read(&path, JWKS_BYTES_MAX).map_err(failed)?;
            from_bytes(rules, &bytes, &path.display().to_string(), now_s)?
        }
        Keys::Url(fetched) | Keys::Discovery(fetched) => return fetched_before(rules, fetched, node, now_s),
    };
    tell_notes(&read);
    Ok(read)
}

/// What an earlier process fetched; nobody waits for the network here.
fn fetched_before(rules: &model::Issuer, bounds: &Fetched, node: &Node, now_s: u64) -> Result<Read, KeysetError> {
    let failed = |cause| KeysetError::Source { issuer: rules.name.clone(), cause };
    let source = Source::of(rules).map_err(failed)?.map_or_else(String::new, |source| source.shown());
    let kept = node.state.as_deref().and_then(|state| kept::load(state, rules, &source, now_s));
    let status = KeysetStatus { source: source.clone(), version: 1, ..KeysetStatus::default() };
    let Some(kept) = kept else {
        let issuer = Issuer::new(rules.clone(), None);
        // The first requests may wait for it.
        issuer.ask().open();
        return Ok(Read { issuer: Arc::new(issuer), status: KeysetStatus { version: 0, ..status } });
    };
    let stale_unix_s = kept.fetched_unix_s.saturating_add(u64::from(bounds.max_stale_s));
    let status = KeysetStatus { loaded_unix_s: kept.fetched_unix_s, stale_unix_s: Some(stale_unix_s), ..status };
    if now_s >= stale_unix_s {
        crate::warning!("issuer \"{}\": {source}: the keyset that was kept is too old to be used", rules.name);
        let issuer = Issuer::stale(rules.clone());
        // Nor is it too late for them.
        issuer.ask().open();
        return Ok(Read { issuer: Arc::new(issuer), status });
    }
    let (thumbprint, keys) = (Some(hex(&kept.keyset.digest())), kept.keyset.keys().len());
    let issuer = Issuer::new(rules.clone(), Some(Arc::new(kept.keyset)));
    Ok(Read { issuer: Arc::new(issuer), status: KeysetStatus { thumbprint, keys, ..status } })
}

/// Warns of keys that are not used.
pub fn tell_notes(read: &Read) {
    let (name, source) = (&read.issuer.rules().name, &read.status.source);
    for note in read.issuer.keyset().map(|keyset| keyset.notes()).unwrap_or_default() {
        crate::warning!(
            "issuer \"{name}\": {source}: key {} ({}) is not used: {}",
            note.position,
            note.kid.as_deref().unwrap_or("no kid"),
            note.why
        );
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
