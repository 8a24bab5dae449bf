//! The certificate revocation lists of one client CA (RFC 5280 §5): read and checked against the CA's own certificates
//! when they are taken, and asked by rustls-webpki for every certificate of a chain.
//!
//! A list can only refuse. An unknown status is a refusal, the leaf and every intermediate are looked up, and a list
//! past its `nextUpdate` refuses everything that it is about unless the policy says otherwise.

mod kept;
mod proven;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer, TrustAnchor};
use sha2::{Digest, Sha256};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, OwnedCertRevocationList, RawPublicKeyEntity,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{Anchor, ClientCa, supported_algorithms};
use crate::bounds::{REVOCATION_LISTS_BYTES_MAX, REVOCATION_LISTS_MAX};

pub use kept::{Before, Kept};

/// Longest CRL number (RFC 5280 §5.2.3), octets.
const NUMBER_BYTES_MAX: usize = 20;

/// Why lists are not taken: the fault of who wrote the file.
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
    #[error("expected a list of the client CA itself, found lists of other issuers alone: {0}")]
    NoneOfTheCa(String),
    #[error(
        "list of {issuer}: expected number {in_force} or a later one, issued then or later, found number {found}: it is older than the one in force"
    )]
    Older { issuer: String, in_force: String, found: String },
    #[error(
        "expected a list of {0} as well, of which one is in force, found none, and no room for that: at most \
         {REVOCATION_LISTS_MAX} lists of {REVOCATION_LISTS_BYTES_MAX} bytes together"
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
    /// The latest proven list of each intermediate, from before: see `proven`.
    floors: Vec<Arc<List>>,
    groups: Vec<Group>,
    enforce_expiration: bool,
    /// Issuers of the CA itself whose lists stay in force because a file left them out or has older ones, for people.
    left_out: Vec<String>,
    /// Later lists of the CA's own issuers that the file of another client CA brought: nothing goes back behind them.
    ahead: Vec<Arc<List>>,
    digest: [u8; 32],
}

struct List {
    der: Vec<u8>,
    parsed: CertRevocationList<'static>,
    /// The CA certificate that signed it; none for the list of an intermediate, whose key is only known with a chain.
    anchor: Option<usize>,
    /// Of an intermediate: a certificate in a chain that verified has signed it.
    proven: AtomicBool,
    refuted: proven::Refuted,
    /// For people.
    issuer: String,
    /// Big-endian, right-aligned.
    number: [u8; NUMBER_BYTES_MAX],
    this_update_s: i64,
    next_update_s: i64,
    /// Serial numbers of what is revoked, sorted.
    revoked: Vec<Vec<u8>>,
    sha256: [u8; 32],
}

/// Trust anchors of distinct names with the lists that are theirs. rustls-webpki takes the first list with the issuer's
/// name: after a CA's key was replaced under its old name, there are two that differ by their signatures alone.
struct Group {
    anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<usize>,
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
    /// Reads the lists of `ca`, PEM or DER, one or several. Of two lists of one issuer and scope the later one counts; one in
    /// the CA's name by another key than it has does not count.
    ///
    /// # Errors
    /// What of them is not as it has to be; then none is taken.
    pub fn read(bytes: &[u8], ca: &ClientCa, enforce_expiration: bool) -> Result<Self, RevocationError> {
        if bytes.len() > REVOCATION_LISTS_BYTES_MAX {
            return Err(RevocationError::TooLong(bytes.len()));
        }
        let mut lists: Vec<Arc<List>> = Vec::new();
        let ders = split(bytes)?;
        if ders.is_empty() || ders.len() > REVOCATION_LISTS_MAX {
            return Err(RevocationError::Count(ders.len()));
        }
        let mut foreign = None;
        for (position, der) in ders.iter().enumerate() {
            let list = match List::read(der, position, ca) {
                Ok(list) => Arc::new(list),
                // While a CA gets a new key under its name, the file has a list of the key that another release has.
                Err(fault @ RevocationError::Signature { .. }) => {
                    foreign = Some(fault);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            match lists.iter_mut().find(|other| other.same_scope(&list)) {
                Some(other) if other.is_before(&list) => *other = list,
                Some(_) => {}
                None => lists.push(list),
            }
        }
        if lists.iter().all(|list| list.anchor.is_none()) {
            let issuers: Vec<&str> = lists.iter().map(|list| list.issuer.as_str()).collect();
            return Err(foreign.unwrap_or_else(|| RevocationError::NoneOfTheCa(issuers.join(", "))));
        }
        Ok(Self::of(lists, Vec::new(), ca, enforce_expiration))
    }

    fn of(lists: Vec<Arc<List>>, floors: Vec<Arc<List>>, ca: &ClientCa, enforce_expiration: bool) -> Self {
        let mut hash = Sha256::new();
        hash.update([u8::from(enforce_expiration)]);
        let mut hashes: Vec<[u8; 32]> = lists.iter().map(|list| list.sha256).collect();
        hashes.sort_unstable();
        hashes.iter().for_each(|sha256| hash.update(sha256));
        let (groups, digest) = (groups(ca, &lists), hash.finalize().into());
        Self { lists, floors, groups, enforce_expiration, left_out: Vec::new(), ahead: Vec::new(), digest }
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

    /// CA certificates of the policy that no list is of, for people: what they issued is refused.
    pub fn without_list(&self, ca: &ClientCa) -> Vec<String> {
        // One that was renewed with name and key is the same.
        let signers: Vec<_> = self.lists.iter().filter_map(|list| ca.anchors.get(list.anchor?)).collect();
        let has_list = |anchor: &&Anchor| signers.iter().any(|signer| signer.is_same_issuer(anchor));
        ca.anchors.iter().filter(|anchor| !has_list(anchor)).map(|anchor| anchor.shown.clone()).collect()
    }

    /// Whether a list names one of these certificates. Says nothing of whose lists they should be looked up in: a hit is
    /// to be confirmed by verifying the chain.
    pub(super) fn names_any_of(&self, chain: &[CertificateDer<'_>]) -> bool {
        let named = |certificate: &CertificateDer<'_>| {
            let Ok(certificate) = EndEntityCert::try_from(certificate) else { return true };
            let mut of_issuer = self.lists.iter().filter(|list| list.parsed.issuer() == certificate.issuer());
            of_issuer.any(|list| !matches!(list.parsed.find_serial(certificate.serial()), Ok(None)))
        };
        chain.iter().any(named)
    }

    /// When lists that are enforced end, seconds since the Unix epoch: the last second in which each is good.
    pub(super) fn ends_s(&self) -> impl Iterator<Item = i64> + '_ {
        let enforced = self.lists.iter().filter(|_| self.enforce_expiration);
        enforced.map(|list| list.next_update_s.saturating_sub(1))
    }

    /// Calls `verify` with each group of anchors and what is to be asked of their lists, until one is content. Anchors without
    /// any list vouch for nobody; but of a chain that is not theirs they say nothing, so they are asked first whether it is.
    pub(super) fn try_each<E: From<webpki::Error>>(
        &self,
        mut verify: impl FnMut(&[TrustAnchor<'static>], Option<RevocationOptions<'_>>) -> Result<(), E>,
        graver: impl Fn(E, E) -> E,
    ) -> Result<(), E> {
        let mut fault = E::from(webpki::Error::UnknownIssuer);
        for group in &self.groups {
            let lists: Vec<&CertRevocationList<'static>> =
                group.lists.iter().filter_map(|index| self.lists.get(*index)).map(|list| &list.parsed).collect();
            let expiration = if self.enforce_expiration { ExpirationPolicy::Enforce } else { ExpirationPolicy::Ignore };
            let done = match RevocationOptionsBuilder::new(&lists) {
                Ok(builder) => {
                    let builder = builder.with_depth(RevocationCheckDepth::Chain);
                    let builder = builder.with_status_policy(UnknownStatusPolicy::Deny);
                    verify(&group.anchors, Some(builder.with_expiration_policy(expiration).build()))
                }
                Err(_) => {
                    verify(&group.anchors, None).and_then(|()| Err(E::from(webpki::Error::UnknownRevocationStatus)))
                }
            };
            match done {
                Ok(()) => return Ok(()),
                Err(why) => fault = graver(fault, why),
            }
        }
        Err(fault)
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.facts()).finish()
    }
}

impl List {
    fn read(der: &[u8], position: usize, ca: &ClientCa) -> Result<Self, RevocationError> {
        let position = position + 1;
        let malformed = |why: String| RevocationError::Malformed { position, why };
        let owned = OwnedCertRevocationList::from_der(der).map_err(|error| malformed(format!("{error:?}")))?;
        let parsed = CertRevocationList::from(owned);
        let (_, read) = CertificateRevocationList::from_der(der).map_err(|error| malformed(error.to_string()))?;
        let issuer = read.issuer().to_string();
        let number = number(&read).ok_or_else(|| RevocationError::Number { position, issuer: issuer.clone() })?;
        let anchor = match signer(&read, &parsed, ca) {
            Signer::Anchor(index) => Some(index),
            Signer::AnotherCa => None,
            Signer::Nobody => return Err(RevocationError::Signature { position, issuer }),
        };
        let next_update = read.next_update().ok_or_else(|| malformed("it has no nextUpdate".to_owned()))?;
        let mut revoked: Vec<Vec<u8>> =
            read.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect();
        revoked.sort_unstable();
        let (this_update_s, next_update_s) = (read.last_update().timestamp(), next_update.timestamp());
        Ok(Self {
            der: der.to_vec(),
            parsed,
            anchor,
            proven: AtomicBool::new(false),
            refuted: proven::Refuted::default(),
            issuer: anchor.and_then(|index| ca.anchors.get(index)).map_or(issuer, |anchor| anchor.shown.clone()),
            number,
            this_update_s,
            next_update_s,
            revoked,
            sha256: Sha256::digest(der).into(),
        })
    }

    /// Whether both say the same of whom: issuer, its key, and issuing distribution point (RFC 5280 §5.2.5).
    fn same_scope(&self, other: &Self) -> bool {
        self.anchor == other.anchor
            && self.parsed.issuer() == other.parsed.issuer()
            && self.parsed.issuing_distribution_point() == other.parsed.issuing_distribution_point()
    }

    /// Whether `other` is the later one, or neither is and they differ in what they are.
    fn is_before(&self, other: &Self) -> bool {
        self.number < other.number || self.this_update_s < other.this_update_s
    }
}

enum Signer {
    Anchor(usize),
    /// Not a name of this CA's certificates: an intermediate's, most likely.
    AnotherCa,
    Nobody,
}

/// Which certificate of the CA signed a list.
fn signer(read: &CertificateRevocationList<'_>, parsed: &CertRevocationList<'_>, ca: &ClientCa) -> Signer {
    let mut of_that_name = ca.anchors.iter().enumerate().filter(|(_, anchor)| anchor.subject() == parsed.issuer());
    let mut of_that_name = of_that_name.by_ref().peekable();
    if of_that_name.peek().is_none() {
        return Signer::AnotherCa;
    }
    let signed = of_that_name.find(|(_, anchor)| anchor.signs_lists && has_signed(&anchor.spki, read));
    signed.map_or(Signer::Nobody, |(index, _)| Signer::Anchor(index))
}

/// Whether the key with this SubjectPublicKeyInfo (DER) has signed a list.
fn has_signed(spki: &[u8], read: &CertificateRevocationList<'_>) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    let Ok(key) = RawPublicKeyEntity::try_from(&spki) else { return false };
    let algorithm = read.signature_algorithm.algorithm.as_bytes();
    // rustls-webpki compares the whole identifier, parameters too, whenever the list is used.
    let fits = |identifier: &[u8]| identifier.get(2..).is_some_and(|rest| rest.starts_with(algorithm));
    supported_algorithms().all.iter().filter(|known| fits(known.signature_alg_id().as_ref())).any(|known| {
        let message: &[u8] = read.tbs_cert_list.as_ref();
        key.verify_signature(*known, message, &read.signature_value.data).is_ok()
    })
}

/// The CRL number; none when it is missing, critical or too long.
fn number(read: &CertificateRevocationList<'_>) -> Option<[u8; NUMBER_BYTES_MAX]> {
    let found = read.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLNumber(number) if !extension.critical => Some(number.to_bytes_be()),
        _ => None,
    })?;
    let mut number = [0; NUMBER_BYTES_MAX];
    let free = NUMBER_BYTES_MAX.checked_sub(found.len())?;
    number.get_mut(free..)?.copy_from_slice(&found);
    Some(number)
}

fn shown_number(number: &[u8]) -> String {
    let hex: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
    match hex.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

/// The lists of a file in DER.
fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, RevocationError> {
    if bytes.first() != Some(&0x30) {
        let lists = CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
        let lists: Vec<Vec<u8>> = lists.map_err(|_| RevocationError::Form)?.iter().map(|list| list.to_vec()).collect();
        let sections = bytes.windows(11).filter(|window| window == b"-----BEGIN ").count();
        return if sections == lists.len() && sections > 0 { Ok(lists) } else { Err(RevocationError::Form) };
    }
    let (mut lists, mut left) = (Vec::new(), bytes);
    while !left.is_empty() {
        let (rest, _) = CertificateRevocationList::from_der(left).map_err(|_| RevocationError::Form)?;
        let length = left.len() - rest.len();
        lists.push(left.get(..length).unwrap_or_default().to_vec());
        left = rest;
    }
    Ok(lists)
}

/// Anchors apart by name, each group with its lists and those of intermediates.
fn groups(ca: &ClientCa, lists: &[Arc<List>]) -> Vec<Group> {
    let mut groups: Vec<(Group, Vec<usize>)> = Vec::new();
    for (index, anchor) in ca.anchors.iter().enumerate() {
        let free = |(group, _): &&mut (Group, Vec<usize>)| {
            group.anchors.iter().all(|other| other.subject.as_ref() != anchor.trust.subject.as_ref())
        };
        match groups.iter_mut().find(free) {
            Some((group, members)) => {
                group.anchors.push(anchor.trust.clone());
                members.push(index);
            }
            None => groups.push((Group { anchors: vec![anchor.trust.clone()], lists: Vec::new() }, vec![index])),
        }
    }
    let with_lists = |(mut group, members): (Group, Vec<usize>)| {
        let signs = |anchor: &Anchor| {
            members.iter().filter_map(|member| ca.anchors.get(*member)).any(|member| member.is_same_issuer(anchor))
        };
        let is_its = |list: &Arc<List>| list.anchor.and_then(|index| ca.anchors.get(index)).is_none_or(signs);
        let its = lists.iter().enumerate().filter(|(_, list)| is_its(list));
        let mut its: Vec<_> = its.collect();
        // Of several that may say something of a certificate rustls-webpki takes the first: the latest.
        its.sort_by_key(|(_, list)| std::cmp::Reverse(list.this_update_s));
        group.lists = its.into_iter().map(|(index, _)| index).collect();
        group
    };
    groups.into_iter().map(with_lists).collect()
}

#[cfg(test)]
mod tests;
