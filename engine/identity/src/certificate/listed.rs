//! Whether a chain holds, or comes from, a certificate that a list names: by its hash, or by its number and the key that signed it.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CaSet, ClientCa, supported_algorithms};

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
    /// Whether `list` names any certificate of `chain`, which verified under this set, or the CA of this set that it comes from,
    /// which it need not show. Issuers are looked for by name in
    /// the chain and in the set, because a client chooses the order and what else it sends; RFC 5280 §4.1.2.2 makes name
    /// and number unique. A certificate that cannot be read has no number that could be looked up: it counts as named.
    pub fn is_listed(&self, chain: &[CertificateDer<'_>], list: &impl Listed) -> bool {
        if chain.iter().any(|certificate| list.has(&Sha256::digest(certificate).into())) {
            return true;
        }
        let mut anchors = self.cas().iter().flat_map(|ca| ca.anchors.iter()).filter(|anchor| list.has(&anchor.sha256));
        if anchors.any(|anchor| vouches(&anchor.trust, chain).unwrap_or(true)) {
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

/// Whether `chain` verifies under this anchor; none where that cannot be told. Names alone do not say it: a CA and the one that
/// takes its place may have the same.
fn vouches(anchor: &TrustAnchor<'static>, chain: &[CertificateDer<'_>]) -> Option<bool> {
    let (leaf, intermediates) = chain.split_first()?;
    // Whether it is valid now was seen when it verified: here, any time when all of it is.
    let mut begin_s = 0;
    for certificate in chain {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        begin_s = parsed.validity().not_before.timestamp().max(begin_s);
    }
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(begin_s).ok()?));
    let leaf = EndEntityCert::try_from(leaf).ok()?;
    let (algorithms, usage) = (supported_algorithms().all, KeyUsage::client_auth());
    let anchors = std::slice::from_ref(anchor);
    match leaf.verify_for_usage(algorithms, anchors, intermediates, at, usage, None, None) {
        Ok(_) => Some(true),
        Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey) => Some(false),
        Err(_) => None,
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

    /// One that names these.
    struct Hashes(Vec<[u8; 32]>);

    impl Listed for Hashes {
        fn has(&self, sha256: &[u8; 32]) -> bool {
            self.0.contains(sha256)
        }

        fn has_numbered(&self, _issuer_spki_sha256: &[u8; 32], _serial: &[u8]) -> bool {
            false
        }

        fn has_numbers(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_ca_that_nobody_shows_is_listed_for_all_that_it_vouches_for_and_for_nothing_of_its_namesake() {
        use rcgen::{
            BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        };
        let params = |name: &str, is_ca| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
            params.extended_key_usages = if is_ca { vec![] } else { vec![ExtendedKeyUsagePurpose::ClientAuth] };
            params
        };
        let ca = || CertifiedIssuer::self_signed(params("agents CA", true), KeyPair::generate().unwrap()).unwrap();
        let (old, new) = (ca(), ca());
        let between = CertifiedIssuer::signed_by(params("between", true), KeyPair::generate().unwrap(), &old).unwrap();
        let bot = |by: &CertifiedIssuer<'_, KeyPair>| {
            params("bot", false).signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
        };
        let chains = [vec![bot(&old)], vec![bot(&between), between.der().clone()], vec![bot(&new)]];
        let both = format!("{}{}", old.pem(), new.pem());
        let set = CaSet::new(vec![ClientCa::from_pem("agents", &both).unwrap()]).unwrap();
        let listed = |of: &CertificateDer<'_>| {
            let list = Hashes(vec![Sha256::digest(of).into()]);
            chains.each_ref().map(|chain| set.is_listed(chain, &list))
        };
        assert_eq!(listed(old.der()), [true, true, false]);
        assert_eq!(listed(new.der()), [false, false, true]);
        assert_eq!(listed(between.der()), [false, true, false]);
        assert!(set.is_listed(&[CertificateDer::from(vec![0x30])], &Hashes(vec![Sha256::digest(old.der()).into()])));
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
