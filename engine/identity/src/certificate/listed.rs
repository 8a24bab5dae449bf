//! Whether a chain holds a certificate that a list names: by its hash, or by its number and the key that signed it.

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CaSet, ClientCa};

/// A list of certificates.
pub trait Listed {
    /// By SHA-256 over the DER.
    fn has(&self, sha256: &[u8; 32]) -> bool;
    /// By SHA-256 over the issuer's SubjectPublicKeyInfo, and the serial number without leading zeros.
    fn has_numbered(&self, issuer_spki_sha256: &[u8; 32], serial: &[u8]) -> bool;
    /// Whether any stands in it by its number: finding the issuers takes a parser.
    fn has_numbers(&self) -> bool;
}

impl CaSet {
    /// Whether `list` names any certificate of `chain`, which verified under this set. Issuers are looked for by name in
    /// the chain and in the set, because a client chooses the order and what else it sends; RFC 5280 §4.1.2.2 makes name
    /// and number unique. A certificate that cannot be read has no number that could be looked up: it counts as named.
    pub fn is_listed(&self, chain: &[CertificateDer<'_>], list: &impl Listed) -> bool {
        if chain.iter().any(|certificate| list.has(&Sha256::digest(certificate).into())) {
            return true;
        }
        if !list.has_numbers() {
            return false;
        }
        let parsed = chain.iter().map(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed));
        let Ok(parsed) = parsed.collect::<Result<Vec<X509Certificate<'_>>, _>>() else {
            return true;
        };
        parsed.iter().any(|certificate| {
            let name = certificate.issuer().as_raw();
            let number = without_zeros(certificate.raw_serial());
            let listed = |spki: &[u8]| list.has_numbered(&Sha256::digest(spki).into(), number);
            let in_chain = parsed.iter().filter(|issuer| issuer.subject().as_raw() == name);
            let in_set = self.cas().iter().flat_map(ClientCa::keys).filter(|(subject, _)| is_name(name, subject));
            in_chain.map(|issuer| issuer.public_key().raw).any(listed) || in_set.map(|(_, spki)| spki).any(listed)
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

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that names no certificate that there is.
    struct Others {
        by_number: bool,
    }

    impl Listed for Others {
        fn has(&self, _sha256: &[u8; 32]) -> bool {
            false
        }

        fn has_numbered(&self, _issuer_spki_sha256: &[u8; 32], _serial: &[u8]) -> bool {
            false
        }

        fn has_numbers(&self) -> bool {
            self.by_number
        }
    }

    #[test]
    fn what_cannot_be_looked_up_by_its_number_is_listed() {
        let set = CaSet::new(Vec::new()).unwrap();
        let issued = rcgen::generate_simple_self_signed(["bot.test".to_owned()]).unwrap();
        let readable = issued.cert.der().clone();
        let unreadable = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]);
        let is_listed = |chain: &[CertificateDer<'_>], by_number| set.is_listed(chain, &Others { by_number });
        assert!(!is_listed(std::slice::from_ref(&readable), true));
        assert!(is_listed(&[readable.clone(), unreadable.clone()], true));
        assert!(!is_listed(&[readable, unreadable], false), "hashes need no parser");
    }
}
