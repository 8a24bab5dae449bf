//! The revocation lists of client CAs: from the files that the policy names, and the last good ones, which the state
//! directory keeps and which are verified again whenever they are read.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::bounds::REVOCATION_LISTS_BYTES_MAX;
use identity::certificate::{CaSet, ClientCa, RevocationError, RevocationLists};
use policy::model::{self, Crl};

use super::Node;
use super::files::{self, FileError};
use crate::status::{CrlListStatus, CrlStatus};

/// Where the state directory keeps what moves.
pub const MOVING_DIRECTORY: &str = "moving";

#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    #[error("client CA \"{ca}\": crl: {cause}")]
    File { ca: String, cause: FileError },
    #[error("client CA \"{ca}\": crl: {}: {cause}", .path.display())]
    Lists { ca: String, path: PathBuf, cause: RevocationError },
}

/// Lists that were read, with the bytes that they were read from.
pub struct Read {
    pub lists: Arc<RevocationLists>,
    pub bytes: Vec<u8>,
    pub status: CrlStatus,
}

/// Where the lists of a client CA lie.
pub fn watched_path(crl: &Crl, base: &Path) -> PathBuf {
    base.join(&crl.path)
}

/// Reads the file that `crl` names; `before` are the lists in force, behind which nothing goes back.
pub fn read(
    crl: &Crl,
    ca: &ClientCa,
    base: &Path,
    before: Option<&RevocationLists>,
    now_s: u64,
) -> Result<Read, CrlError> {
    let path = watched_path(crl, base);
    let file = |cause| CrlError::File { ca: ca.name().to_owned(), cause };
    let bytes = files::read(&path, REVOCATION_LISTS_BYTES_MAX).map_err(file)?;
    from_bytes(bytes, crl, ca, path, before, now_s)
}

fn from_bytes(
    bytes: Vec<u8>,
    crl: &Crl,
    ca: &ClientCa,
    path: PathBuf,
    before: Option<&RevocationLists>,
    now_s: u64,
) -> Result<Read, CrlError> {
    let lists = RevocationLists::read(&bytes, ca, crl.enforce_expiration).and_then(|lists| match before {
        Some(before) => lists.follow(before, ca, now_s),
        None => Ok(lists),
    });
    match lists.map(Arc::new) {
        Ok(lists) => {
            let status = status(&lists, &path, now_s);
            Ok(Read { lists, bytes, status })
        }
        Err(cause) => Err(CrlError::Lists { ca: ca.name().to_owned(), path, cause }),
    }
}

fn status(lists: &RevocationLists, path: &Path, now_s: u64) -> CrlStatus {
    let lists = lists.facts().map(|facts| CrlListStatus {
        issuer: facts.issuer,
        number: facts.number,
        issued_unix_s: facts.this_update_s,
        next_update_unix_s: facts.next_update_s,
        revoked: facts.revoked as u64,
    });
    CrlStatus {
        source: path.display().to_string(),
        lists: lists.collect(),
        loaded_unix_s: now_s,
        ..CrlStatus::default()
    }
}

/// The lists that were in force last, as the state directory keeps them; none where they do not fit the CA any more.
fn kept(crl: &Crl, ca: &ClientCa, node: &Node, now_s: u64) -> Option<Read> {
    let path = node.state.as_ref()?.join(MOVING_DIRECTORY).join(kept_name(ca.name()));
    let bytes = match files::read(&path, REVOCATION_LISTS_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(FileError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            crate::warning!("client CA \"{}\": the last good revocation lists are lost: {error}", ca.name());
            return None;
        }
    };
    let proven = path.with_file_name(proven_name(ca.name()));
    match from_bytes(bytes, crl, ca, path, None, now_s) {
        Ok(read) => Some(with_proven(read, &proven, ca, now_s)),
        Err(error) => {
            crate::warning!("the last good revocation lists are not used: {error}");
            None
        }
    }
}

/// The same, with the lists of intermediates that chains had proven.
fn with_proven(read: Read, path: &Path, ca: &ClientCa, now_s: u64) -> Read {
    match files::read(path, REVOCATION_LISTS_BYTES_MAX) {
        Ok(proven) => Read { lists: Arc::new(read.lists.with_proven(&proven, ca, now_s)), ..read },
        Err(FileError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => read,
        Err(error) => {
            crate::warning!("client CA \"{}\": which lists of intermediates held is lost: {error}", ca.name());
            read
        }
    }
}

/// Keeps `bytes` as the last good lists of `ca`.
pub fn keep(state: &Path, ca: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = state.join(MOVING_DIRECTORY);
    make(&directory)?;
    crate::atomic::write(&directory, &kept_name(ca), bytes, 0o600)
}

/// Keeps `bytes`, lists of intermediates that chains have proven: none of them is to go back.
pub fn keep_proven(state: &Path, ca: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = state.join(MOVING_DIRECTORY);
    make(&directory)?;
    crate::atomic::write(&directory, &proven_name(ca), bytes, 0o600)
}

/// Makes a directory that only its owner can look into, unless it is there.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Names of client CAs are names of files too (`[a-z0-9][a-z0-9._:-]{0,63}`).
fn kept_name(ca: &str) -> String {
    format!("client-ca.{ca}.crl")
}

fn proven_name(ca: &str) -> String {
    format!("client-ca-proven.{ca}.crl")
}

/// The client CAs of a release with their lists.
pub struct Looked {
    pub set: Arc<CaSet>,
    /// By client CA of the policy; none where it names no source.
    pub read: Vec<Option<Read>>,
}

/// Reads the lists of all client CAs. Where a file is bad, the last good lists go on being good, and that is told. Nothing
/// goes back behind those of `present`, the client CAs that serve, or at a start behind those that were kept.
///
/// # Errors
/// A bad file without last good lists: without any, nobody would be let in.
pub fn look(
    frozen: &CaSet,
    rules: &[model::ClientCa],
    node: &Node,
    present: Option<&CaSet>,
    now_s: u64,
) -> Result<Looked, CrlError> {
    let mut read = Vec::new();
    for (rules, ca) in rules.iter().zip(frozen.cas()) {
        let present = present.and_then(|set| set.cas().iter().find(|present| present.name() == ca.name()));
        read.push(rules.crl.as_ref().map(|crl| look_at(crl, ca, node, present, now_s)).transpose()?);
    }
    let lists: Vec<_> = read.iter().map(|read| read.as_ref().map(|read: &Read| Arc::clone(&read.lists))).collect();
    Ok(Looked { set: Arc::new(frozen.with_revocation(&lists)), read })
}

/// The lists that serve, of a CA with the same certificates.
fn in_force(crl: &Crl, ca: &ClientCa, node: &Node, present: Option<&ClientCa>, now_s: u64) -> Option<Read> {
    let lists = present.filter(|present| present.digest() == ca.digest())?.lists()?;
    let path = watched_path(crl, &node.base);
    if lists.enforces_expiration() == crl.enforce_expiration {
        return Some(Read { lists: Arc::clone(lists), bytes: lists.der(), status: status(lists, &path, now_s) });
    }
    // With the proven ones in force they are proven again.
    let read = from_bytes(lists.der(), crl, ca, path, None, now_s).ok()?;
    let proven = read.lists.with_proven(&lists.proven_der(), ca, now_s);
    Some(Read { lists: Arc::new(proven), ..read })
}

fn look_at(crl: &Crl, ca: &ClientCa, node: &Node, present: Option<&ClientCa>, now_s: u64) -> Result<Read, CrlError> {
    let before_read = in_force(crl, ca, node, present, now_s).or_else(|| kept(crl, ca, node, now_s));
    let before = before_read.as_ref().map(|before| &*before.lists);
    match (read(crl, ca, &node.base, before, now_s), before_read) {
        (Ok(read), _) => {
            for issuer in read.lists.without_list(ca) {
                crate::warning!(
                    "client CA \"{}\": no revocation list of {issuer}: certificates that it issued are refused",
                    ca.name()
                );
            }
            Ok(read)
        }
        (Err(error), Some(mut kept)) => {
            crate::error!("{error}: the revocation lists that were in force last stay in force");
            kept.status.failures = 1;
            kept.status.last_failure = Some(error.to_string());
            Ok(kept)
        }
        (Err(error), None) => Err(error),
    }
}
