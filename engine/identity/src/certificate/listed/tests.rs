use std::collections::BTreeSet;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, SanType, SignatureAlgorithm, date_time_ymd,
};

use super::super::twin::tests::{padded, written_anew};
use super::*;

/// 2026-01-01.
const NOW_S: u64 = 1_767_225_600;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        Self(CertifiedIssuer::self_signed(Self::params(), key).unwrap())
    }

    /// All have the same name.
    fn params() -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        params
    }

    fn below(&self) -> Self {
        let mut params = Self::params();
        params.distinguished_name.push(DnType::CommonName, "below");
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    fn leaf(&self) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2030, 1, 1));
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

fn set_of(authorities: &[&Authority]) -> CaSet {
    let ca = |(at, of): (usize, &&Authority)| ClientCa::from_pem(&format!("ca-{at}"), &of.0.pem()).unwrap();
    CaSet::new(authorities.iter().enumerate().map(ca).collect()).unwrap()
}

/// A list of these.
#[derive(Default)]
struct These {
    hashes: BTreeSet<[u8; 32]>,
    numbers: BTreeSet<([u8; 32], Vec<u8>)>,
}

impl These {
    fn hashed(der: &CertificateDer<'_>) -> Self {
        Self { hashes: [Sha256::digest(der).into()].into(), numbers: BTreeSet::new() }
    }

    /// `der`, issued by `issuer`.
    fn numbered(der: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Self {
        let (_, of) = X509Certificate::from_der(der).unwrap();
        let (_, issuer) = X509Certificate::from_der(issuer).unwrap();
        let number = without_zeros(of.raw_serial()).to_vec();
        let key = Sha256::digest(issuer.public_key().raw).into();
        Self { hashes: BTreeSet::new(), numbers: [(key, number)].into() }
    }
}

impl Listed for These {
    fn has(&self, sha256: &[u8; 32]) -> bool {
        self.hashes.contains(sha256)
    }

    fn has_numbered(&self, issuer_spki_sha256: &[u8; 32], serial: &[u8]) -> bool {
        self.numbers.contains(&(*issuer_spki_sha256, serial.to_vec()))
    }

    fn has_numbers(&self) -> bool {
        !self.numbers.is_empty()
    }
}

#[test]
fn a_certificate_written_anew_is_the_same_certificate() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512] {
        let authority = Authority::new(algorithm);
        let set = set_of(&[&authority]);
        for _ in 0..40 {
            let leaf = authority.leaf();
            let verifies = |der: &CertificateDer<'static>| set.verify(std::slice::from_ref(der), NOW_S).is_ok();
            let anew: Vec<_> = written_anew(&leaf).into_iter().filter(verifies).collect();
            let [anew] = &anew[..] else { panic!("{} others", anew.len()) };
            assert!(verifies(&leaf) && *anew != leaf);
            for (shown, named) in [(&leaf, anew), (anew, &leaf), (anew, anew), (&leaf, &leaf)] {
                assert!(set.is_listed(std::slice::from_ref(shown), &These::hashed(named)));
            }
            assert!(!set.is_listed(std::slice::from_ref(anew), &These::hashed(&authority.leaf())));
            for other in padded(&leaf) {
                assert!(other != leaf && !verifies(&other), "another form of the same numbers is none");
            }
        }
    }
    for algorithm in [&PKCS_ED25519, &PKCS_RSA_SHA256] {
        let authority = Authority::new(algorithm);
        let leaf = authority.leaf();
        assert_eq!(hashes(&leaf), [<[u8; 32]>::from(Sha256::digest(&leaf))], "one form alone");
    }
    for unreadable in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x03, 0x02, 0x01, 0x01], &[0xff; 70]] {
        assert_eq!(hashes(&CertificateDer::from(unreadable)).len(), 1);
    }
}

#[test]
fn a_ca_of_the_set_is_listed_for_all_that_it_vouches_for_though_nobody_shows_it() {
    let authority = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let other = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let set = set_of(&[&other, &authority]);
    let below = authority.below();
    let (leaf, of_other, deep) = (authority.leaf(), other.leaf(), below.leaf());
    let chains = [vec![leaf.clone()], vec![deep.clone(), below.der()], vec![leaf, other.der(), below.der()]];
    let anew = written_anew(&authority.der()).remove(0);
    let named =
        [These::hashed(&authority.der()), These::hashed(&anew), These::numbered(&authority.der(), &authority.der())];
    for list in &named {
        for chain in &chains {
            assert!(set.verify(chain, NOW_S).is_ok() && set.is_listed(chain, list));
        }
        assert!(!set.is_listed(std::slice::from_ref(&of_other), list), "another key of the same name");
    }
    let late = {
        let mut params = Authority::params();
        params.not_before = date_time_ymd(2039, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    };
    let with_late = [chains[0][0].clone(), late];
    assert!(set.is_listed(&with_late, &named[0]), "what else is sent changes nothing");
    assert!(!set.is_listed(&[deep, below.der()], &These::hashed(&other.der())));
}

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

/// Neither what is named nor what stands between it and the leaf is shown: the set has both.
#[test]
fn what_stands_between_is_known_where_the_set_has_it() {
    let root = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let middle = root.below();
    let lower = Authority({
        let mut params = Authority::params();
        params.distinguished_name.push(DnType::CommonName, "lower");
        CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &middle.0).unwrap()
    });
    let leaf = [lower.leaf()];
    for named in [These::hashed(&middle.der()), These::hashed(&root.der()), These::numbered(&middle.der(), &root.der())]
    {
        let set = set_of(&[&root, &middle, &lower]);
        assert!(set.verify(&leaf, NOW_S).is_ok() && set.is_listed(&leaf, &named));
        let other = Authority::new(&PKCS_ECDSA_P256_SHA256);
        assert!(!set_of(&[&other, &lower]).is_listed(&leaf, &These::hashed(&other.der())));
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

/// An intermediate that has expired hides the way to the CA at the only moment at which all of it was good: it makes the search
/// there longer than it may be.
#[test]
fn a_search_that_is_made_too_long_hides_nothing() {
    let authority = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let set = set_of(&[&authority]);
    let pem = KeyPair::generate().unwrap().serialize_pem();
    let below = |not_after, excluded: usize| {
        let mut params = Authority::params();
        params.distinguished_name.push(DnType::CommonName, "below");
        (params.not_before, params.not_after) = (date_time_ymd(2025, 6, 1), not_after);
        let names = (0..excluded).map(|at| GeneralSubtree::DnsName(format!("n{at}.test")));
        params.name_constraints = (excluded > 0)
            .then(|| NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees: names.collect() });
        CertifiedIssuer::signed_by(params, KeyPair::from_pem(&pem).unwrap(), &authority.0).unwrap()
    };
    let (good, expired) = (below(date_time_ymd(2040, 1, 1), 0), below(date_time_ymd(2025, 6, 2), 600));
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let addresses = (0..600_u32).map(|at| SanType::IpAddress(std::net::Ipv4Addr::from(at).into()));
    params.subject_alt_names = addresses.collect();
    (params.not_before, params.not_after) = (date_time_ymd(2025, 6, 1), date_time_ymd(2030, 1, 1));
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &good).unwrap().der().clone();
    let chain = [leaf, expired.der().clone(), good.der().clone()];
    assert_eq!(set.verify(&chain, NOW_S), Ok(1), "it is let in");
    assert!(set.is_listed(&chain, &These::hashed(&authority.der())));
    assert!(!set.is_listed(&chain, &These::hashed(&Authority::new(&PKCS_ECDSA_P256_SHA256).der())));
}
