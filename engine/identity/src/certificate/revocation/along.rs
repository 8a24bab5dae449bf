//! What the lists say of a path that verified: who issued what along it is known there, so that each list is asked about what its
//! signer has issued, and about nothing else.
//!
//! A certificate that any list in force of its issuer names is refused, whatever that list is about, whichever client CA's file
//! brought it, and the certificate at which the path ends as well. Whether it is good is for the lists of the client CA that is
//! asked to say, by rustls-webpki.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath,
};

use super::super::{Anchor, CertificateFault, ClientCa};
use super::list::List;
use super::{Revocation, RevocationLists};

/// Who issued a certificate along a path.
pub(super) struct Issuer<'a> {
    /// Content of the SEQUENCE, as lists name their issuer.
    pub(super) subject: &'a [u8],
    /// SubjectPublicKeyInfo, DER.
    pub(super) spki: Vec<u8>,
}

/// What a path is looked up in.
pub(in super::super) struct Lookup<'a> {
    pub(in super::super) leaf: &'a EndEntityCert<'a>,
    pub(in super::super) usage: KeyUsage,
    pub(in super::super) now_s: u64,
    /// All client CAs of the policy.
    pub(in super::super) cas: &'a [ClientCa],
}

impl Lookup<'_> {
    /// Whether the lists that there are admit `path`, which verified under `ca` and ends at a certificate that is all of `anchors`.
    pub(in super::super) fn admit(
        &self,
        path: &VerifiedPath<'_>,
        anchors: &[&Anchor],
        ca: &ClientCa,
    ) -> Result<(), CertificateFault> {
        if self.lists().next().is_some() {
            let issuers = issuers(path, anchors);
            let serials = std::iter::once(path.end_entity().serial());
            let issued = serials.chain(path.intermediate_certificates().map(|of| of.serial())).zip(&issuers);
            // All are asked: what is found about who signed them is remembered.
            let named = issued.flat_map(|(serial, issuer)| {
                self.lists()
                    .flat_map(move |lists| latest_by(issuer, lists.known()))
                    .filter(move |list| list.names(serial))
            });
            let mut seen = Vec::new();
            if named.count() > 0 || anchors.iter().all(|anchor| self.is_fallen(anchor, &mut seen)) {
                return Err(CertificateFault::Revoked);
            }
            if let Revocation::Lists(lists) = &ca.revocation {
                return self.ask(lists, &issuers, path);
            }
        }
        match ca.revocation {
            Revocation::Awaited => Err(CertificateFault::StatusUnknown),
            Revocation::Unchecked | Revocation::Lists(_) => Ok(()),
        }
    }

    fn lists(&self) -> impl Iterator<Item = &RevocationLists> {
        self.cas.iter().filter_map(ClientCa::lists).map(AsRef::as_ref)
    }

    /// Asks rustls-webpki what those of `lists` that `issuers` signed say of `path`.
    fn ask(
        &self,
        lists: &RevocationLists,
        issuers: &[Issuer<'_>],
        path: &VerifiedPath<'_>,
    ) -> Result<(), CertificateFault> {
        let mut asked: Vec<&List> = issuers.iter().flat_map(|issuer| latest_by(issuer, &lists.lists)).collect();
        // Of several that may say something of a certificate it takes the first: the latest, and of two the one that ends first.
        asked.sort_by_key(|list| (Reverse(list.this_update_s), list.next_update_s, list.sha256));
        let asked: Vec<&CertRevocationList<'_>> = asked.iter().map(|list| &list.parsed).collect();
        let Ok(options) = RevocationOptionsBuilder::new(&asked) else { return Err(CertificateFault::StatusUnknown) };
        let expiration = if lists.enforce_expiration { ExpirationPolicy::Enforce } else { ExpirationPolicy::Ignore };
        let options = options.with_depth(RevocationCheckDepth::Chain).with_expiration_policy(expiration);
        let options = options.with_status_policy(UnknownStatusPolicy::Deny).build();
        let intermediates: Vec<CertificateDer<'_>> = path.intermediate_certificates().map(|of| of.der()).collect();
        let (anchors, now) =
            (std::slice::from_ref(path.anchor()), UnixTime::since_unix_epoch(Duration::from_secs(self.now_s)));
        let algorithms = super::super::supported_algorithms().all;
        match self.leaf.verify_for_usage(algorithms, anchors, &intermediates, now, self.usage, Some(options), None) {
            Ok(_) => Ok(()),
            Err(error) => {
                let why = CertificateFault::from(error);
                // The path has verified: whatever else is wrong is wrong with the lists.
                Err(if why.is_of_revocation() { why } else { CertificateFault::StatusUnknown })
            }
        }
    }

    /// Whether `anchor`, a certificate of a client CA that another one issued, is named by a list of that one, or stands on one that
    /// is: a client need not show what lies above it. `seen`: what is known of others, and nothing of those that stand on it.
    fn is_fallen<'a>(&'a self, anchor: &'a Anchor, seen: &mut Vec<(&'a Anchor, bool)>) -> bool {
        if anchor.is_self_signed {
            return false;
        }
        if let Some((_, is_fallen)) = seen.iter().find(|(other, _)| std::ptr::eq(*other, anchor)) {
            return *is_fallen;
        }
        let is_named = |lists: &RevocationLists| {
            let mut naming = lists.naming(|list| list.names_anchor(anchor));
            naming.any(|list| list.signer().is_some_and(|spki| self.has_issued(anchor, spki)))
        };
        if self.lists().any(is_named) {
            return true;
        }
        let place = seen.len();
        seen.push((anchor, false));
        let anchors = self.cas.iter().flat_map(|ca| ca.anchors.iter());
        let above = anchors.filter(|other| anchor.marks.is_issued_by(other.subject()));
        let (fallen, standing): (Vec<&Anchor>, Vec<&Anchor>) = above.partition(|other| self.is_fallen(other, seen));
        let is_fallen = fallen.iter().any(|other| anchor.signed_by(&other.spki) != Some(false))
            && !standing.iter().any(|other| anchor.signed_by(&other.spki) == Some(true));
        if let Some((_, known)) = seen.get_mut(place) {
            *known = is_fallen;
        }
        is_fallen
    }
}

impl Lookup<'_> {
    /// Whether the key with this SubjectPublicKeyInfo (DER) has issued `anchor`; where that cannot be told, one of the policy has.
    fn has_issued(&self, anchor: &Anchor, spki: &[u8]) -> bool {
        let mut keys = self.cas.iter().flat_map(ClientCa::keys);
        let is_of_policy = || keys.any(|(name, key)| key == spki && anchor.marks.is_issued_by(name));
        anchor.signed_by(spki).unwrap_or_else(is_of_policy)
    }
}

/// Those of `lists` that `issuer` has signed, of each scope the latest. All are asked before any gives way to another.
fn latest_by<'l>(issuer: &Issuer<'_>, lists: impl IntoIterator<Item = &'l Arc<List>>) -> Vec<&'l List> {
    let its: Vec<&List> = lists.into_iter().map(AsRef::as_ref).filter(|list| list.is_by(issuer)).collect();
    let gives_way = |list: &List| its.iter().any(|other| list.gives_way_to(other));
    its.iter().copied().filter(|list| !gives_way(list)).collect()
}

/// Who issued each certificate of a path, the leaf's first.
fn issuers<'a>(path: &'a VerifiedPath<'_>, anchors: &[&'a Anchor]) -> Vec<Issuer<'a>> {
    let intermediates = path.intermediate_certificates();
    let issuers = intermediates.map(|of| Issuer { subject: of.subject(), spki: of.subject_public_key_info().to_vec() });
    issuers.chain(anchors.first().map(|of| Issuer { subject: of.subject(), spki: of.spki.clone() })).collect()
}
