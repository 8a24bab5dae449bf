//! The certificate revocation lists of one client CA (RFC 5280 §5): read and checked against the CA's own certificates
//! when they are taken, and asked by rustls-webpki for every certificate of a chain.
//!
//! A list can only refuse. An unknown status is a refusal, the leaf and every intermediate are looked up, and a list
//! past its `nextUpdate` refuses everything that it is about unless the policy says otherwise.

mod along;
mod kept;
mod list;
mod proven;

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use super::{Anchor, ClientCa};
use crate::bounds::{
    LIST_AHEAD_S_MAX, REVOCATION_LISTS_BYTES_MAX, REVOCATION_LISTS_IN_FORCE_BYTES_MAX, REVOCATION_LISTS_IN_FORCE_MAX,
    REVOCATION_LISTS_MAX,
};
use list::{List, shown_number, split};

pub(super) use along::Lookup;
pub use kept::{Before, Kept};
pub(super) use list::{algorithms, has_signed};

/// Why a list is not taken, or all of them: the fault of who wrote the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    #[error("expected lists of at most {REVOCATION_LISTS_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    #[error("expected revocation lists in PEM (X509 CRL) or DER, found neither")]
    Form,
    #[error("expected 1 to {REVOCATION_LISTS_MAX} revocation lists, found {0}")]
    Count(usize),
    #[error(
        "list {position}: expected a whole CRL of version 2 that rustls-webpki can read (RFC 5280 §5), found another: {why}"
    )]
    Malformed { position: usize, why: String },
    #[error("list {position} of {issuer}: expected a CRL number that is not critical (RFC 5280 §5.2.3), found none")]
    Number { position: usize, issuer: String },
    #[error(
        "list {position} of {issuer}: expected a signature by the CA certificate of that name in the policy that may sign \
         lists (cRLSign), found another: is it another CA's list?"
    )]
    Signature { position: usize, issuer: String },
    #[error(
        "list {position} of {issuer}: expected one that is issued by now, found thisUpdate {ahead_s} s ahead: whose clock is wrong?"
    )]
    NotYet { position: usize, issuer: String, ahead_s: u64 },
    #[error("expected a list of the client CA itself, found lists of other issuers alone: {0}")]
    NoneOfTheCa(String),
    #[error(
        "list of {issuer}: expected CRL number 0x{in_force} or a later one, issued then or later, found 0x{found}: it is older than the one in force"
    )]
    Older { issuer: String, in_force: String, found: String },
    #[error(
        "no room for a list of {0}: at most {REVOCATION_LISTS_IN_FORCE_MAX} lists of {REVOCATION_LISTS_IN_FORCE_BYTES_MAX} bytes \
         together, with those in force that the file leaves out"
    )]
    NoRoom(String),
}

/// Whether and by what a client CA's certificates can be revoked.
#[derive(Clone, Debug, Default)]
pub(super) enum Revocation {
    /// The policy names no source of lists.
    #[default]
    Unchecked,
    /// The policy names one, and nothing was read from it: no certificate is believed.
    Awaited,
    Lists(Arc<RevocationLists>),
}

/// The lists of one client CA.
pub struct RevocationLists {
    lists: Vec<Arc<List>>,
    /// The latest proven list of each intermediate, from before, and those of the CA itself that ended: see `proven`.
    floors: Vec<Arc<List>>,
    /// Those of `floors` that are not in force and that nothing in force replaces: asked for what they name, and for nothing else.
    retired: Vec<Arc<List>>,
    enforce_expiration: bool,
    /// Issuers whose lists stay in force because a file left them out or has older ones, for people.
    left_out: Vec<String>,
    /// What a file has beside those that are taken.
    not_taken: Vec<RevocationError>,
    /// When the first ends of those that stay in force though the file has them no more, seconds since the Unix epoch.
    carried_until_s: Option<i64>,
    /// Later lists of the CA's own issuers that the file of another client CA brought: nothing goes back behind them.
    ahead: Vec<Arc<List>>,
    digest: [u8; 32],
}

/// What is to be told of one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFacts {
    pub issuer: String,
    /// Hexadecimal, without leading zeros.
    pub number: String,
    /// Seconds since the Unix epoch.
    pub this_update_s: u64,
    pub next_update_s: u64,
    pub revoked: usize,
}

impl RevocationLists {
    /// Reads the lists of `ca`, PEM or DER, one or several, at `now_s` (seconds since the Unix epoch). Of two lists of one issuer
    /// and scope the later one counts. One that cannot be taken costs itself alone, and is told ([`RevocationLists::not_taken`]);
    /// one in the CA's name by another key than it has does not count.
    ///
    /// # Errors
    /// There is none of the CA itself among them that can be taken.
    pub fn read(bytes: &[u8], ca: &ClientCa, enforce_expiration: bool, now_s: u64) -> Result<Self, RevocationError> {
        if bytes.len() > REVOCATION_LISTS_BYTES_MAX {
            return Err(RevocationError::TooLong(bytes.len()));
        }
        let found = split(bytes)?;
        // What is no list costs itself alone, as long as it is not much.
        let (count, others) =
            (found.iter().filter(|der| der.is_ok()).count(), found.iter().filter(|der| der.is_err()).count());
        if found.is_empty() || count.max(others) > REVOCATION_LISTS_MAX {
            return Err(RevocationError::Count(count + others));
        }
        let (mut lists, mut not_taken, mut foreign) = (Vec::new(), Vec::new(), None);
        for (position, der) in (1..).zip(found) {
            let read = der.map_err(|why| RevocationError::Malformed { position, why });
            match read.and_then(|der| List::read(&der, position, ca)).and_then(|list| list.issued_by(position, now_s)) {
                Ok(list) => put(&mut lists, &Arc::new(list)),
                // While a CA gets a new key under its name, the file has a list of the key that another release has.
                Err(fault @ RevocationError::Signature { .. }) => foreign = Some(fault),
                Err(fault) => not_taken.push(fault),
            }
        }
        if lists.iter().all(|list| !list.is_own) {
            let issuers: Vec<&str> = lists.iter().map(|list| list.issuer.as_str()).collect();
            let none = || RevocationError::NoneOfTheCa(issuers.join(", "));
            let (passing, others): (Vec<_>, Vec<_>) = not_taken.into_iter().partition(RevocationError::is_passing);
            return Err(passing.into_iter().chain(foreign).chain(others).next().unwrap_or_else(none));
        }
        Ok(Self { not_taken, ..Self::of(lists, Vec::new(), enforce_expiration) })
    }

    fn of(lists: Vec<Arc<List>>, floors: Vec<Arc<List>>, enforce_expiration: bool) -> Self {
        let mut hash = Sha256::new();
        hash.update([u8::from(enforce_expiration)]);
        let mut hashes: Vec<[u8; 32]> = lists.iter().map(|list| list.sha256).collect();
        hashes.sort_unstable();
        hashes.iter().for_each(|sha256| hash.update(sha256));
        let is_retired = |floor: &&Arc<List>| !lists.iter().any(|list| floor.is_replaced_by(list));
        let retired: Vec<Arc<List>> = floors.iter().filter(is_retired).map(Arc::clone).collect();
        let mut hashes: Vec<[u8; 32]> = retired.iter().map(|list| list.sha256).collect();
        hashes.sort_unstable();
        hash.update((lists.len() as u64).to_le_bytes());
        hashes.iter().for_each(|sha256| hash.update(sha256));
        let (left_out, not_taken, ahead, digest) = (Vec::new(), Vec::new(), Vec::new(), hash.finalize().into());
        let carried_until_s = None;
        Self { lists, floors, retired, enforce_expiration, left_out, not_taken, carried_until_s, ahead, digest }
    }

    /// All that are asked for what they name: those in force, and those that are retired.
    fn known(&self) -> impl Iterator<Item = &Arc<List>> {
        self.lists.iter().chain(&self.retired)
    }

    /// Of these the ones that name what is looked for, unless they give way to another, as far as is known who signed them.
    fn naming<'a>(&'a self, names: impl Fn(&List) -> bool + 'a) -> impl Iterator<Item = &'a List> {
        let gives_way = |list: &List| self.known().any(|other| list.gives_way_to(other));
        self.known().map(AsRef::as_ref).filter(move |list| names(list) && !gives_way(list))
    }

    /// When something else comes of the same file, after `now_s` and in seconds since the Unix epoch: a list that was dated ahead then
    /// can be taken, or one that the file has no more ends.
    pub fn due_s(&self, now_s: u64) -> Option<u64> {
        let ahead = self.not_taken.iter().filter_map(|fault| fault.is_over_at_s(now_s));
        let ends = self.carried_until_s.and_then(|end_s| u64::try_from(end_s).ok());
        ahead.chain(ends).filter(|due_s| *due_s > now_s).min()
    }

    /// Over the lists, in whatever order, and how they are used.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether something is revoked that `before` does not revoke.
    pub fn revokes_more_than(&self, before: &Self) -> bool {
        self.lists.iter().any(|list| {
            let old = before.lists.iter().find(|old| old.same_scope(list));
            list.revoked.iter().any(|serial| old.is_none_or(|old| old.revoked.binary_search(serial).is_err()))
        })
    }

    pub fn facts(&self) -> impl Iterator<Item = ListFacts> + '_ {
        self.lists.iter().map(|list| ListFacts {
            issuer: list.issuer.clone(),
            number: shown_number(&list.number),
            this_update_s: u64::try_from(list.this_update_s).unwrap_or(0),
            next_update_s: u64::try_from(list.next_update_s).unwrap_or(0),
            revoked: list.revoked.len(),
        })
    }

    /// Issuers whose lists were in force before and stay so, because the file has none of theirs or older ones; for people.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What the file has beside those that are taken.
    pub fn not_taken(&self) -> &[RevocationError] {
        &self.not_taken
    }

    /// CA certificates of the policy that no list is of, for people: what they issued is refused.
    pub fn without_list(&self, ca: &ClientCa) -> Vec<String> {
        // One that was renewed with name and key is the same.
        let is_its = |anchor: &Anchor, list: &List| {
            list.parsed.issuer() == anchor.subject() && list.signer() == Some(anchor.spki.as_slice())
        };
        let is_without = |anchor: &&Anchor| !self.lists.iter().any(|list| is_its(anchor, list));
        ca.anchors.iter().filter(is_without).map(|anchor| anchor.shown.clone()).collect()
    }

    /// Whether a list names one of these certificates. Says nothing of whose lists they should be looked up in: a hit is
    /// to be confirmed by verifying the chain.
    pub(super) fn names_any_of(&self, chain: &[CertificateDer<'_>]) -> bool {
        let named = |certificate: &CertificateDer<'_>| {
            let Ok(certificate) = EndEntityCert::try_from(certificate) else { return true };
            let is_named =
                |list: &List| list.parsed.issuer() == certificate.issuer() && list.names(certificate.serial());
            self.naming(is_named).next().is_some()
        };
        chain.iter().any(named)
    }

    /// Whether any names a certificate of client CAs; says as little of whose lists they are.
    pub(super) fn name_any(&self, anchors: &[&Anchor]) -> bool {
        self.naming_anchors(anchors).next().is_some()
    }

    fn naming_anchors<'a>(&'a self, anchors: &'a [&'a Anchor]) -> impl Iterator<Item = &'a List> {
        self.naming(|list| anchors.iter().any(|anchor| list.names_anchor(anchor)))
    }

    /// SHA-256 of those of which it is known who signed them, sorted.
    pub(super) fn naming_by_known(&self, anchors: &[&Anchor]) -> Vec<[u8; 32]> {
        let known = self.naming_anchors(anchors).filter(|list| list.signer().is_some());
        let mut known: Vec<[u8; 32]> = known.map(|list| list.sha256).collect();
        known.sort_unstable();
        known
    }

    /// Tries the keys of these client CAs on the lists of which it is not known who signed them: nobody has to show them.
    pub fn try_keys_of(&self, cas: &[ClientCa]) {
        for list in self.lists.iter().filter(|list| list.signer().is_none()) {
            let mut of_that_name =
                cas.iter().flat_map(ClientCa::keys).filter(|(name, _)| *name == list.parsed.issuer());
            of_that_name.any(|(_, spki)| list.try_signer(spki));
        }
    }

    /// When lists that are enforced end, seconds since the Unix epoch: the last second in which each is good.
    pub(super) fn ends_s(&self) -> impl Iterator<Item = i64> + '_ {
        let enforced = self.lists.iter().filter(|_| self.enforce_expiration);
        enforced.map(|list| list.next_update_s.saturating_sub(1))
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.facts()).finish()
    }
}

impl RevocationError {
    /// Whether time alone mends it.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::NotYet { .. })
    }

    /// When a list that is ahead at `now_s` can be taken, seconds since the Unix epoch.
    pub fn is_over_at_s(&self, now_s: u64) -> Option<u64> {
        let Self::NotYet { ahead_s, .. } = self else { return None };
        Some(now_s.saturating_add(ahead_s.saturating_sub(LIST_AHEAD_S_MAX)))
    }
}

impl List {
    /// Whether it has the name of who issued `anchor`, and its number.
    fn names_anchor(&self, anchor: &Anchor) -> bool {
        anchor.marks.is_issued_by(self.parsed.issuer()) && self.names(&anchor.serial)
    }

    /// The list, unless it comes from a clock that is ahead: nothing issued later could take its place.
    fn issued_by(self, position: usize, now_s: u64) -> Result<Self, RevocationError> {
        let ahead_s = u64::try_from(self.this_update_s).unwrap_or_default().saturating_sub(now_s);
        if ahead_s > LIST_AHEAD_S_MAX {
            return Err(RevocationError::NotYet { position, issuer: self.issuer, ahead_s });
        }
        Ok(self)
    }
}

/// Adds `list`; of one issuer and scope the later one, or both where neither is later in all.
fn put(lists: &mut Vec<Arc<List>>, list: &Arc<List>) {
    if lists.iter().any(|other| other.sha256 == list.sha256 || list.gives_way_to(other)) {
        return;
    }
    lists.retain(|other| !other.gives_way_to(list));
    lists.push(Arc::clone(list));
}

#[cfg(test)]
mod tests;
