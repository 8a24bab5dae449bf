//! The revocation lists of client CAs: from the files that the policy names, and the last good ones, which the state
//! directory keeps and which are verified again whenever they are read.

pub mod kept;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::bounds::REVOCATION_LISTS_BYTES_MAX;
use identity::certificate::{Before, CaSet, ClientCa, RevocationError, RevocationLists};
use policy::model::{self, Crl};

use super::Node;
use super::files::{self, FileError};
use crate::status::{CrlListStatus, CrlStatus};

#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    #[error("client CA \"{ca}\": crl: {cause}")]
    File { ca: String, cause: FileError },
    #[error("client CA \"{ca}\": crl: {}: {cause}", .path.display())]
    Lists { ca: String, path: PathBuf, cause: RevocationError },
}

/// Lists that are to be in force.
pub struct Read {
    pub lists: Arc<RevocationLists>,
    pub status: CrlStatus,
}

/// Where the lists of a client CA lie.
pub fn watched_path(crl: &Crl, base: &Path) -> PathBuf {
    base.join(&crl.path)
}

/// Reads the file that `crl` names for `ca`, one of `cas`; `before` are the lists in force, behind which nothing goes back. What is wrong with those
/// that are taken is told.
pub fn read(
    crl: &Crl,
    ca: &ClientCa,
    cas: &[ClientCa],
    base: &Path,
    before: Option<&RevocationLists>,
    now_s: u64,
) -> Result<Read, CrlError> {
    let path = watched_path(crl, base);
    let file = |cause| CrlError::File { ca: ca.name().to_owned(), cause };
    let bytes = files::read(&path, REVOCATION_LISTS_BYTES_MAX).map_err(file)?;
    let lists = RevocationLists::read(&bytes, ca, crl.enforce_expiration, now_s).and_then(|lists| {
        lists.try_keys_of(cas);
        match before {
            Some(before) => lists.follow(before, now_s),
            None => Ok(lists),
        }
    });
    let wrong = |cause| CrlError::Lists { ca: ca.name().to_owned(), path: path.clone(), cause };
    let lists = Arc::new(lists.map_err(wrong)?);
    let mut status = status(&lists, &path, now_s);
    let place = format!("client CA \"{}\": crl: {}", ca.name(), path.display());
    let mut wrong: Vec<String> = lists
        .not_taken()
        .iter()
        .map(|fault| format!("{place}: {fault}: it is not taken, and what else the file has is"))
        .collect();
    if !lists.left_out().is_empty() {
        wrong.push(format!(
            "{place}: expected a list of {} as well, found none or an older one: the one in force stays in force, and what the \
             file has is taken",
            lists.left_out().join(", ")
        ));
    }
    wrong.iter().for_each(|why| crate::error!("{why}"));
    let without = lists.without_list(ca);
    if !without.is_empty() {
        let (name, without) = (ca.name(), without.join(", "));
        let why =
            format!("client CA \"{name}\": no revocation list of {without}: certificates that it issued are refused");
        crate::warning!("{why}");
        wrong.push(why);
    }
    if !wrong.is_empty() {
        (status.failures, status.last_failure) = (1, Some(wrong.join("; ")));
    }
    Ok(Read { lists, status })
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

/// The client CAs of a release with their lists.
pub struct Looked {
    pub set: Arc<CaSet>,
    /// By client CA of the policy; none where it names no source.
    pub read: Vec<Option<Read>>,
}

/// Reads the lists of all client CAs. Where a file is bad, the last good lists go on being good, and that is told. Nothing
/// goes back behind what the issuers of a client CA had in force, whichever CA of `present`, those that serve, it was, nor
/// behind what was kept of it.
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
    let before = all_before(frozen, rules, node, present, now_s);
    let mut read = Vec::new();
    for ((rules, ca), before) in rules.iter().zip(frozen.cas()).zip(before) {
        let before = before.and_then(Before::lists);
        read.push(
            rules.crl.as_ref().map(|crl| look_at(crl, (ca, frozen.cas()), &node.base, before, now_s)).transpose()?,
        );
    }
    let lists: Vec<_> = read.iter().map(|read| read.as_ref().map(|read: &Read| Arc::clone(&read.lists))).collect();
    Ok(Looked { set: Arc::new(frozen.with_revocation(&lists)), read })
}

/// What is known of the lists of each client CA that has any.
fn all_before<'a>(
    frozen: &'a CaSet,
    rules: &[model::ClientCa],
    node: &Node,
    present: Option<&CaSet>,
    now_s: u64,
) -> Vec<Option<Before<'a>>> {
    let with_lists = || rules.iter().zip(frozen.cas()).filter(|(rules, _)| rules.crl.is_some()).map(|(_, ca)| ca);
    let of = |(rules, ca): (&model::ClientCa, &'a ClientCa)| {
        let mut before = Before::new(ca, with_lists(), rules.crl.as_ref()?.enforce_expiration, now_s);
        // The same CA first, as it serves now.
        let (same, others): (Vec<_>, Vec<_>) =
            present.into_iter().flat_map(CaSet::cas).partition(|serving| serving.digest() == ca.digest());
        same.into_iter().chain(others).for_each(|serving| before.add_in_force(serving));
        Some(before)
    };
    let mut all: Vec<Option<Before<'a>>> = rules.iter().zip(frozen.cas()).map(of).collect();
    if let Some(state) = node.state.as_ref().filter(|_| all.iter().any(Option::is_some)) {
        kept::each(state, |kept| all.iter_mut().flatten().for_each(|before| before.add(kept)));
    }
    all
}

fn look_at(
    crl: &Crl,
    (ca, cas): (&ClientCa, &[ClientCa]),
    base: &Path,
    before: Option<RevocationLists>,
    now_s: u64,
) -> Result<Read, CrlError> {
    match (read(crl, ca, cas, base, before.as_ref(), now_s), before) {
        (Err(error), Some(before)) if before.fit() => {
            crate::error!("{error}: the revocation lists that were in force last stay in force");
            let mut status = status(&before, &watched_path(crl, base), now_s);
            (status.failures, status.last_failure) = (1, Some(error.to_string()));
            Ok(Read { lists: Arc::new(before), status })
        }
        (read, _) => read,
    }
}
