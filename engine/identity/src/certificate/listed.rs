//! Whether a chain holds a certificate that a list names: by its hash, or by its number and the key that signed it.

use std::collections::BTreeSet;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::twin::{hashes, without_zeros};
use super::{Anchor, CaSet, ClientCa, is_given_up, supported_algorithms};

/// A list of certificates.
pub trait Listed {
    /// By SHA-256 over the DER.
    fn has(&self, sha256: &[u8; 32]) -> bool;
    /// By SHA-256 over the issuer's SubjectPublicKeyInfo, and the serial number without leading zeros.
    fn has_numbered(&self, issuer_spki_sha256: &[u8; 32], serial: &[u8]) -> bool;
    /// Whether any stands in it by its number: finding the issuers takes a parser.
    fn has_numbers(&self) -> bool;
}

/// What a list may name a certificate by.
pub(super) struct Marks {
    /// SHA-256 over its DER, and over that of each form that is the same certificate.
    hashes: Vec<[u8; 32]>,
    /// DER of the issuer's name.
    issuer: Vec<u8>,
    /// Without leading zeros.
    serial: Vec<u8>,
}

impl Marks {
    pub(super) fn of(der: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> Self {
        let (issuer, serial) = (parsed.issuer().as_raw().to_vec(), without_zeros(parsed.raw_serial()).to_vec());
        Self { hashes: hashes(der), issuer, serial }
    }

    /// Whether its issuer has this name, content of the SEQUENCE.
    pub(super) fn is_issued_by(&self, subject: &[u8]) -> bool {
        is_name(&self.issuer, subject)
    }

    /// The beginning of its SHA-256, lower-case hex.
    pub(super) fn short(&self) -> String {
        let first = self.hashes.first().and_then(|hash| hash.first_chunk::<4>()).copied().unwrap_or_default();
        format!("{:08x}", u32::from_be_bytes(first))
    }
}

impl CaSet {
    /// Whether `list` names any certificate of `chain`, which verified under this set, or one of the set that vouches for it.
    /// Issuers are looked for by name in the chain and in the set, because a client chooses the order and what else it sends;
    /// RFC 5280 §4.1.2.2 makes name and number unique. A certificate that cannot be read has no number that could be looked
    /// up: it counts as named.
    pub fn is_listed(&self, chain: &[CertificateDer<'_>], list: &impl Listed) -> bool {
        let is_hashed = |hashes: &[[u8; 32]]| hashes.iter().any(|sha256| list.has(sha256));
        if chain.iter().any(|certificate| is_hashed(&hashes(certificate))) {
            return true;
        }
        let parsed = chain.iter().map(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed));
        let parsed = match parsed.collect::<Result<Vec<X509Certificate<'_>>, _>>() {
            Ok(parsed) => parsed,
            Err(_) if list.has_numbers() => return true,
            Err(_) => Vec::new(),
        };
        let is_numbered = |issuer: &[u8], serial: &[u8]| {
            let listed = |spki: &[u8]| list.has_numbered(&Sha256::digest(spki).into(), serial);
            let in_chain = parsed.iter().filter(|other| other.subject().as_raw() == issuer);
            let in_set = self.cas().iter().flat_map(ClientCa::keys).filter(|(subject, _)| is_name(issuer, subject));
            list.has_numbers()
                && (in_chain.map(|other| other.public_key().raw).any(listed)
                    || in_set.map(|(_, spki)| spki).any(listed))
        };
        if parsed.iter().any(|of| is_numbered(of.issuer().as_raw(), without_zeros(of.raw_serial()))) {
            return true;
        }
        let is_named = |anchor: &&Anchor| {
            is_hashed(&anchor.marks.hashes) || is_numbered(&anchor.marks.issuer, &anchor.marks.serial)
        };
        self.cas().iter().any(|ca| {
            let named: Vec<_> = ca.anchors.iter().filter(is_named).map(|anchor| anchor.trust.clone()).collect();
            !named.is_empty() && self.vouches(&named, chain)
        })
    }

    /// Whether any of `anchors`, all of one CA, vouches for a chain that verified under some anchor, at whatever moment: those of the
    /// certificates that count are all good when the last of them begins, and which count is not known. What the set has of
    /// intermediates need not be shown.
    fn vouches(&self, anchors: &[TrustAnchor<'_>], chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf_der, shown)) = chain.split_first() else { return false };
        let Ok(leaf) = EndEntityCert::try_from(leaf_der) else { return true };
        let own = self.cas().iter().flat_map(|ca| ca.anchors.iter()).filter(|anchor| !anchor.is_self_signed);
        let intermediates: Vec<CertificateDer<'_>> = shown
            .iter()
            .map(|der| CertificateDer::from(der.as_ref()))
            .chain(own.map(|anchor| CertificateDer::from(anchor.der.as_ref())))
            .collect();
        let begins = |der: &CertificateDer<'_>| {
            let (_, parsed) = X509Certificate::from_der(der).ok()?;
            u64::try_from(parsed.validity().not_before.timestamp()).ok()
        };
        // What cannot be read is no part of what counts, and what begins before 1970 begins before the rest.
        let all = std::iter::once(leaf_der).chain(&intermediates);
        let instants: BTreeSet<u64> = all.map(|certificate| begins(certificate).unwrap_or_default()).collect();
        instants.into_iter().any(|at_s| {
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at_s));
            let (algorithms, usage) = (supported_algorithms().all, KeyUsage::client_auth());
            match leaf.verify_for_usage(algorithms, anchors, &intermediates, at, usage, None, None) {
                Ok(_) => true,
                // Who makes the search so long that it is given up hides something.
                Err(error) => is_given_up(&error),
            }
        })
    }
}

/// Whether `der` is a SEQUENCE with this content.
fn is_name(der: &[u8], content: &[u8]) -> bool {
    // Tag and length take 2 to 6 bytes; what else stands before the content would be content itself.
    let header = match content.len() {
        0..0x80 => 2,
        0x80..0x100 => 3,
        0x100..0x1_0000 => 4,
        _ => 5,
    };
    der.len() == content.len() + header && der.ends_with(content)
}

#[cfg(test)]
mod tests;
