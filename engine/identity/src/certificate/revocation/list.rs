//! One revocation list as it was read, and who signed it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateRevocationListDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};
use webpki::{CertRevocationList, OwnedCertRevocationList, RawPublicKeyEntity};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{AlgorithmIdentifier, FromDer};
use x509_parser::revocation_list::CertificateRevocationList;

use super::super::{ClientCa, supported_algorithms};
use super::RevocationError;
use super::along::Issuer;
use crate::bounds::REFUTED_SIGNERS_MAX;

/// Longest CRL number (RFC 5280 §5.2.3), octets.
const NUMBER_BYTES_MAX: usize = 20;

pub(super) struct List {
    pub(super) der: Vec<u8>,
    pub(super) parsed: CertRevocationList<'static>,
    /// A certificate of the client CA itself has signed it.
    pub(super) is_own: bool,
    /// SubjectPublicKeyInfo (DER) of who signed it. Of the list of an intermediate it is known once a chain has shown it.
    signer: OnceLock<Vec<u8>>,
    refuted: Refuted,
    /// For people.
    pub(super) issuer: String,
    /// Big-endian, right-aligned.
    pub(super) number: [u8; NUMBER_BYTES_MAX],
    pub(super) this_update_s: i64,
    pub(super) next_update_s: i64,
    /// Serial numbers of what is revoked, sorted.
    pub(super) revoked: Vec<Vec<u8>>,
    pub(super) sha256: [u8; 32],
}

impl List {
    /// `position`: in its file, from 1.
    pub(super) fn read(der: &[u8], position: usize, ca: &ClientCa) -> Result<Self, RevocationError> {
        let malformed = |why: String| RevocationError::Malformed { position, why };
        let owned = OwnedCertRevocationList::from_der(der).map_err(|error| malformed(format!("{error:?}")))?;
        let parsed = CertRevocationList::from(owned);
        let (_, read) = CertificateRevocationList::from_der(der).map_err(|error| malformed(error.to_string()))?;
        let issuer = read.issuer().to_string();
        let number = number(&read).ok_or_else(|| RevocationError::Number { position, issuer: issuer.clone() })?;
        let mut of_that_name = ca.anchors.iter().filter(|anchor| anchor.subject() == parsed.issuer()).peekable();
        let is_own = of_that_name.peek().is_some();
        let anchor = of_that_name.find(|anchor| anchor.signs_lists && is_list_of(&anchor.spki, &read));
        if is_own && anchor.is_none() {
            return Err(RevocationError::Signature { position, issuer });
        }
        let next_update = read.next_update().ok_or_else(|| malformed("it has no nextUpdate".to_owned()))?;
        let mut revoked: Vec<Vec<u8>> =
            read.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect();
        revoked.sort_unstable();
        let (this_update_s, next_update_s) = (read.last_update().timestamp(), next_update.timestamp());
        Ok(Self {
            der: der.to_vec(),
            parsed,
            is_own,
            signer: anchor.map_or_else(OnceLock::new, |anchor| OnceLock::from(anchor.spki.clone())),
            refuted: Refuted::default(),
            issuer: anchor.map_or(issuer, |anchor| anchor.shown.clone()),
            number,
            this_update_s,
            next_update_s,
            revoked,
            sha256: Sha256::digest(der).into(),
        })
    }

    pub(super) fn signer(&self) -> Option<&[u8]> {
        self.signer.get().map(Vec::as_slice)
    }

    /// Whether it is an intermediate's, and which key signed it is known.
    pub(super) fn is_proven(&self) -> bool {
        !self.is_own && self.signer().is_some()
    }

    /// Whether `issuer` has signed it; whether it may have is for rustls-webpki to say, because what it names is refused in any case.
    /// What a key shows for the first time is remembered.
    pub(super) fn is_by(&self, issuer: &Issuer<'_>) -> bool {
        if self.parsed.issuer() != issuer.subject {
            return false;
        }
        if let Some(signer) = self.signer() {
            return signer == issuer.spki;
        }
        let key = Refuted::key(&issuer.spki);
        if self.refuted.has(key) {
            return false;
        }
        let is_its = self.try_signer(&issuer.spki);
        if !is_its {
            self.refuted.add(key);
        }
        is_its
    }

    /// Remembers that the key with this SubjectPublicKeyInfo (DER) has signed it, if it has.
    pub(super) fn try_signer(&self, spki: &[u8]) -> bool {
        if let Some(signer) = self.signer() {
            return signer == spki;
        }
        let is_its = CertificateRevocationList::from_der(&self.der).is_ok_and(|(_, read)| is_list_of(spki, &read));
        if is_its {
            let _ = self.signer.set(spki.to_vec());
        }
        is_its
    }

    /// Whether both say the same of whom: issuer, its key, and issuing distribution point (RFC 5280 §5.2.5). Of those whose key is
    /// not known nothing is known either.
    pub(super) fn same_scope(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
            || (self.signer().is_some() && self.signer() == other.signer() && self.same_names(other))
    }

    /// Issuer and issuing distribution point.
    pub(super) fn same_names(&self, other: &Self) -> bool {
        self.parsed.issuer() == other.parsed.issuer()
            && self.parsed.issuing_distribution_point() == other.parsed.issuing_distribution_point()
    }

    /// Whether something of it is earlier than of `other`: then it does not take that one's place.
    fn is_before(&self, other: &Self) -> bool {
        self.number < other.number || self.this_update_s < other.this_update_s
    }

    /// Whether `other` is of the same scope and the later one in all.
    pub(super) fn gives_way_to(&self, other: &Self) -> bool {
        self.same_scope(other) && self.is_before(other) && !other.is_before(self)
    }

    /// Whether `other` leaves it nothing to say: it gives way to that one, or neither is earlier and that one names all that it does.
    pub(super) fn is_replaced_by(&self, other: &Self) -> bool {
        let is_as_late = || self.same_scope(other) && !self.is_before(other) && !other.is_before(self);
        let names_all = || self.revoked.iter().all(|serial| other.revoked.binary_search(serial).is_ok());
        self.gives_way_to(other) || (is_as_late() && names_all())
    }

    /// Whether it is past its `nextUpdate`. Where that is enforced, it calls nothing good any more: a file that leaves it out is done with
    /// it, or a retired intermediate's would be carried on for ever. What it names stays refused.
    pub(super) fn has_ended(&self, now_s: u64) -> bool {
        i64::try_from(now_s).is_ok_and(|now_s| self.next_update_s <= now_s)
    }

    /// Whether it names the certificate with this serial number (content of the INTEGER).
    pub(super) fn names(&self, serial: &[u8]) -> bool {
        !matches!(self.parsed.find_serial(serial), Ok(None))
    }
}

fn is_list_of(spki: &[u8], read: &CertificateRevocationList<'_>) -> bool {
    has_signed(spki, &read.signature_algorithm, read.tbs_cert_list.as_ref(), &read.signature_value.data)
}

/// Whether the key with this SubjectPublicKeyInfo (DER) has signed `message`.
pub(in super::super) fn has_signed(
    spki: &[u8],
    algorithm: &AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    let Ok(key) = RawPublicKeyEntity::try_from(&spki) else { return false };
    algorithms(algorithm).any(|known| key.verify_signature(known, message, signature).is_ok())
}

/// Those that are supported under this identifier. rustls-webpki compares the whole of it, parameters too, whenever a list is used.
pub(in super::super) fn algorithms<'a>(
    identifier: &'a AlgorithmIdentifier<'_>,
) -> impl Iterator<Item = &'static dyn SignatureVerificationAlgorithm> + use<'a> {
    let oid = identifier.algorithm.as_bytes();
    let fits = move |known: &[u8]| known.get(2..).is_some_and(|rest| rest.starts_with(oid));
    supported_algorithms().all.iter().copied().filter(move |known| fits(known.signature_alg_id().as_ref()))
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

pub(super) fn shown_number(number: &[u8]) -> String {
    let hex: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
    match hex.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

/// The lists of a file in DER, each apart: what of it is none, and why.
///
/// # Errors
/// It has nothing that looks like one.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<Result<Vec<u8>, String>>, RevocationError> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let mut lists = Vec::new();
    if bytes.first() == Some(&0x30) {
        let mut left = bytes;
        while !left.is_empty() {
            let Ok((rest, _)) = CertificateRevocationList::from_der(left) else {
                lists.push(Err("it cannot be read, nor what follows it".to_owned()));
                break;
            };
            lists.push(Ok(left.get(..left.len() - rest.len()).unwrap_or_default().to_vec()));
            left = rest;
        }
        return Ok(lists);
    }
    let mut begins: Vec<usize> =
        bytes.windows(BEGIN.len()).enumerate().filter(|(_, of)| *of == BEGIN).map(|(at, _)| at).collect();
    begins.push(bytes.len());
    for section in begins.windows(2).filter_map(|of| bytes.get(*of.first()?..*of.last()?)) {
        let list = CertificateRevocationListDer::from_pem_slice(section);
        lists.push(list.map(|list| list.to_vec()).map_err(|_| "it is no PEM of the kind X509 CRL".to_owned()));
    }
    if lists.is_empty() { Err(RevocationError::Form) } else { Ok(lists) }
}

/// Keys that were found not to have signed a list, so that its signature is not checked with every chain. Of too many one gives
/// its place to the next.
#[derive(Default)]
struct Refuted([AtomicU64; REFUTED_SIGNERS_MAX]);

impl Refuted {
    /// The beginning of a SHA-256: 0 is a free place.
    fn key(spki: &[u8]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(spki).into();
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
