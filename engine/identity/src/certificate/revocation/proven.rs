//! What may take the place of the lists in force.
//!
//! A list of the CA itself is verified when it is read; nothing of it goes back or goes away. The key of an intermediate is
//! only known with a chain, so that its list says nothing before one was verified with it: until then any other may take its
//! place, and a forged one cannot keep the true one out by its number. From then on it is proven: no earlier one follows it,
//! and it stays in force where a file leaves it out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use webpki::VerifiedPath;

use super::super::ClientCa;
use super::{List, RevocationError, RevocationLists, shown_number, split};
use crate::bounds::{REVOCATION_LISTS_BYTES_MAX, REVOCATION_LISTS_MAX};

impl RevocationLists {
    /// These, of `ca`, in the place of `before`, which are of the same CA.
    ///
    /// # Errors
    /// One goes back, or a list of the CA itself goes.
    pub fn follow(self, before: &Self, ca: &ClientCa) -> Result<Self, RevocationError> {
        let mut lists = self.lists;
        for old in before.lists.iter().filter(|old| old.anchor.is_some()) {
            match lists.iter().find(|list| list.same_scope(old)) {
                Some(list) => not_before(list, old)?,
                None => return Err(RevocationError::Gone(old.issuer.clone())),
            }
        }
        let floors = before.proven_lists();
        for floor in &floors {
            match lists.iter().find(|list| list.same_scope(floor)) {
                Some(list) if list.sha256 == floor.sha256 => list.proven.store(true, Ordering::Relaxed),
                Some(list) => not_before(list, floor)?,
                None if has_room(&lists, floor) => lists.push(Arc::clone(floor)),
                None => {}
            }
        }
        Ok(Self::of(lists, floors, ca, self.enforce_expiration))
    }

    /// The same, where chains have proven the lists `proven` (as [`RevocationLists::newly_proven`] gave them), in force where
    /// there is no other of theirs. What of them cannot be read, or is not of an intermediate any more, is left out.
    #[must_use]
    pub fn with_proven(&self, proven: &[u8], ca: &ClientCa) -> Self {
        let (mut lists, mut floors) = (self.lists.clone(), self.floors.clone());
        let ders = split(proven).unwrap_or_default();
        let read = ders.iter().enumerate().filter_map(|(position, der)| List::read(der, position, ca).ok());
        for floor in read.filter(|list| list.anchor.is_none()).take(REVOCATION_LISTS_MAX).map(Arc::new) {
            floor.proven.store(true, Ordering::Relaxed);
            match lists.iter().find(|list| list.same_scope(&floor)) {
                Some(list) if list.sha256 == floor.sha256 => list.proven.store(true, Ordering::Relaxed),
                Some(_) => {}
                None if has_room(&lists, &floor) => lists.push(Arc::clone(&floor)),
                None => {}
            }
            floors.push(floor);
        }
        Self::of(lists, floors, ca, self.enforce_expiration)
    }

    /// All lists in force, DER.
    pub fn der(&self) -> Vec<u8> {
        self.lists.iter().flat_map(|list| list.der.iter().copied()).collect()
    }

    /// What chains have proven by now, DER, to be kept for the next start; none where that was told already.
    pub fn newly_proven(&self) -> Option<Vec<u8>> {
        let proven = self.lists.iter().filter(|list| list.is_proven()).count();
        let told = self.told.swap(proven, Ordering::Relaxed);
        (told != proven).then(|| self.proven_der())
    }

    /// The latest list of each intermediate that a chain has proven, DER.
    pub fn proven_der(&self) -> Vec<u8> {
        self.proven_lists().iter().flat_map(|list| list.der.iter().copied()).collect()
    }

    /// Whether a list past its `nextUpdate` refuses.
    pub fn enforces_expiration(&self) -> bool {
        self.enforce_expiration
    }

    /// A chain was verified along `path`, and with it the signatures of the lists of its issuers.
    pub(in super::super) fn prove(&self, path: &VerifiedPath<'_>) {
        let issuers = path.intermediate_certificates().map(|certificate| certificate.issuer());
        for issuer in issuers.chain([path.end_entity().issuer()]) {
            let mut of_issuer = self.lists.iter().filter(|list| list.parsed.issuer() == issuer);
            // Of several, parted by distribution points, it is not known which one was looked at.
            if let (Some(list), None) = (of_issuer.next(), of_issuer.next())
                && list.anchor.is_none()
                && !list.is_proven()
            {
                list.proven.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The latest proven list of each intermediate, whether it is in force or not.
    fn proven_lists(&self) -> Vec<Arc<List>> {
        let mut latest: Vec<Arc<List>> = Vec::new();
        for list in self.floors.iter().chain(&self.lists).filter(|list| list.is_proven()) {
            match latest.iter_mut().find(|other| other.same_scope(list)) {
                Some(other) if other.is_before(list) => *other = Arc::clone(list),
                Some(_) => {}
                None => latest.push(Arc::clone(list)),
            }
        }
        // Those that ended long ago go first.
        latest.sort_by_key(|list| std::cmp::Reverse(list.next_update_s));
        latest.truncate(REVOCATION_LISTS_MAX);
        let mut bytes = 0;
        latest.retain(|list| {
            bytes += list.der.len();
            bytes <= REVOCATION_LISTS_BYTES_MAX
        });
        latest
    }
}

impl List {
    fn is_proven(&self) -> bool {
        self.anchor.is_none() && self.proven.load(Ordering::Relaxed)
    }
}

fn not_before(list: &List, old: &List) -> Result<(), RevocationError> {
    if !list.is_before(old) {
        return Ok(());
    }
    Err(RevocationError::Older {
        issuer: old.issuer.clone(),
        in_force: shown_number(&old.number),
        found: shown_number(&list.number),
    })
}

fn has_room(lists: &[Arc<List>], one_more: &List) -> bool {
    let bytes: usize = lists.iter().map(|list| list.der.len()).sum();
    lists.len() < REVOCATION_LISTS_MAX && bytes + one_more.der.len() <= REVOCATION_LISTS_BYTES_MAX
}
