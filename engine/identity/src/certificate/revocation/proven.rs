//! What may take the place of the lists in force.
//!
//! A list of the CA itself is verified when it is read; nothing of it goes back, and it stays in force where a file leaves it
//! out: what else the file has must not wait for it. The key of an intermediate is only known with a chain, so that its list says
//! nothing before one that verified showed the key that signed it: until then any other may take its place, and a forged one
//! cannot keep the true one out by its number. From then on it is proven: no earlier one follows it, and it stays in force where
//! a file leaves it out, until it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls_pki_types::TrustAnchor;
use sha2::{Digest, Sha256};
use webpki::{Cert, VerifiedPath};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::super::ClientCa;
use super::{List, RevocationError, RevocationLists, has_signed, shown_number};
use crate::bounds::{REFUTED_SIGNERS_MAX, REVOCATION_LISTS_BYTES_MAX, REVOCATION_LISTS_MAX};

impl RevocationLists {
    /// These, of `ca`, in the place of `before`, which are of the same CA, at `now_s` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// All of the CA itself go back, or one of an intermediate does; or there is no room for one of the CA itself that they leave
    /// out.
    pub fn follow(self, before: &Self, ca: &ClientCa, now_s: u64) -> Result<Self, RevocationError> {
        let (mut lists, mut left_out) = (self.lists, Vec::new());
        // What another client CA's file brought is taken where this one's has an older one, and not asked for.
        for later in &before.ahead {
            if let Some(list) = lists.iter_mut().find(|list| list.same_scope(later) && list.is_before(later)) {
                left_out.push(later.issuer.clone());
                *list = Arc::clone(later);
            }
        }
        let mut forward = lists.iter().filter(|list| list.anchor.is_some()).count();
        for old in before.lists.iter().filter(|old| old.anchor.is_some()) {
            let room = has_room(&lists, old);
            match lists.iter_mut().find(|list| list.same_scope(old)) {
                Some(list) if list.is_before(old) => {
                    forward = forward.saturating_sub(1);
                    if forward == 0 {
                        not_before(list, old)?;
                    }
                    left_out.push(old.issuer.clone());
                    *list = Arc::clone(old);
                }
                Some(_) => {}
                None if room => {
                    left_out.push(old.issuer.clone());
                    lists.push(Arc::clone(old));
                }
                None => return Err(RevocationError::NoRoom(old.issuer.clone())),
            }
        }
        let floors = before.proven_lists();
        for floor in &floors {
            match lists.iter().find(|list| list.same_scope(floor)) {
                Some(list) if list.sha256 == floor.sha256 => list.proven.store(true, Ordering::Relaxed),
                Some(list) => not_before(list, floor)?,
                None if self.enforce_expiration && floor.has_ended(now_s) => {}
                None if has_room(&lists, floor) => lists.push(Arc::clone(floor)),
                None => {}
            }
        }
        Ok(Self { left_out, ..Self::of(lists, floors, ca, self.enforce_expiration) })
    }

    /// A chain was verified along `path`: proven is what the intermediates in it have signed. Each list by its own signature,
    /// because which of several of one issuer was looked at is not known, and a forged one beside the true one must not keep
    /// that from being proven.
    pub(in super::super) fn prove(&self, path: &VerifiedPath<'_>) {
        for issuer in path.intermediate_certificates() {
            let of_issuer = self.lists.iter().filter(|list| list.parsed.issuer() == issuer.subject());
            of_issuer.filter(|list| list.anchor.is_none() && !list.is_proven()).for_each(|list| list.prove(issuer));
        }
    }

    /// Whether any list of who issued a certificate along `path` names it, whatever the list is about: rustls-webpki looks into
    /// the first alone that may say something of it, and a number is given once.
    pub(in super::super) fn name_any_along(&self, path: &VerifiedPath<'_>, ca: &ClientCa) -> bool {
        let end: &Cert<'_> = path.end_entity();
        let all: Vec<&Cert<'_>> = std::iter::once(end).chain(path.intermediate_certificates()).collect();
        // Name and key are who signed: a certificate that the CA was given later may say other things beside.
        let signer_of = |of: &TrustAnchor<'_>| (of.subject.to_vec(), of.subject_public_key_info.to_vec());
        let is_its = |list: &List, of: &Cert<'_>| match list.anchor.and_then(|index| ca.anchors.get(index)) {
            Some(anchor) => signer_of(&anchor.trust) == signer_of(path.anchor()),
            None => all.iter().any(|issuer| issuer.subject() == of.issuer() && list.is_signed_by(issuer)),
        };
        all.iter().any(|certificate| {
            let of_issuer = self.lists.iter().filter(|list| list.parsed.issuer() == certificate.issuer());
            let mut naming =
                of_issuer.filter(|list| !matches!(list.parsed.find_serial(certificate.serial()), Ok(None)));
            naming.any(|list| is_its(list, certificate))
        })
    }

    /// The latest proven list of each intermediate, whether it is in force or not.
    pub(super) fn proven_lists(&self) -> Vec<Arc<List>> {
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

    /// Proves the list where `issuer`, which has its issuer's name, has signed it and may (RFC 5280 §6.3.3 (f)).
    fn prove(&self, issuer: &Cert<'_>) {
        let der = issuer.der();
        let key = Refuted::key(&der);
        if self.refuted.has(key) {
            return;
        }
        if self.is_signed_by(issuer) && may_sign_lists(&der) {
            self.proven.store(true, Ordering::Relaxed);
        } else {
            self.refuted.add(key);
        }
    }

    fn is_signed_by(&self, issuer: &Cert<'_>) -> bool {
        CertificateRevocationList::from_der(&self.der)
            .is_ok_and(|(_, read)| has_signed(&issuer.subject_public_key_info(), &read))
    }

    /// Whether it is past its `nextUpdate`. Where that is enforced, it refuses everything that it is about, as its absence
    /// does: a file that leaves it out is done with it, or a retired intermediate's would be carried on for ever.
    pub(super) fn has_ended(&self, now_s: u64) -> bool {
        i64::try_from(now_s).is_ok_and(|now_s| self.next_update_s <= now_s)
    }
}

fn may_sign_lists(certificate: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| {
        certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
    })
}

/// Certificates that were found not to have signed a list, so that its signature is not checked with every chain. Of too
/// many one gives its place to the next.
#[derive(Default)]
pub(super) struct Refuted([AtomicU64; REFUTED_SIGNERS_MAX]);

impl Refuted {
    /// The beginning of SHA-256 over the DER: 0 is a free place.
    fn key(certificate: &[u8]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(certificate).into();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
    }

    fn has(&self, key: u64) -> bool {
        self.0.iter().any(|place| place.load(Ordering::Relaxed) == key)
    }

    fn add(&self, key: u64) {
        let free = self.0.iter().find(|place| place.load(Ordering::Relaxed) == 0);
        if let Some(place) = free.or_else(|| self.0.get(key as usize % REFUTED_SIGNERS_MAX)) {
            place.store(key, Ordering::Relaxed);
        }
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

pub(super) fn has_room(lists: &[Arc<List>], one_more: &List) -> bool {
    let bytes: usize = lists.iter().map(|list| list.der.len()).sum();
    lists.len() < REVOCATION_LISTS_MAX && bytes + one_more.der.len() <= REVOCATION_LISTS_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_refuted_certificates_one_gives_its_place() {
        let refuted = Refuted::default();
        let most = REFUTED_SIGNERS_MAX as u64;
        (1..=most).for_each(|key| refuted.add(key));
        assert!((1..=most).all(|key| refuted.has(key)) && !refuted.has(most + 1));
        refuted.add(most + 1);
        assert!(refuted.has(most + 1));
        assert_eq!((1..=most).filter(|key| refuted.has(*key)).count(), REFUTED_SIGNERS_MAX - 1);
    }
}
