//! Chains made for the occasion: CAs apart, names, spans, caching, and handshakes through rustls.

use std::sync::Arc;

use policy::model::CertificateName;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls_pki_types::CertificateDer;

use super::facts::{is_dns_name, is_spiffe_id};
use super::*;
use crate::bounds::{DNS_NAME_BYTES_MAX, SPIFFE_ID_BYTES_MAX, SPIFFE_TRUST_DOMAIN_BYTES_MAX};

/// 2026-01-01.
const NOW_S: u64 = 1_767_225_600;
/// 2030-01-01: the end of every leaf.
const END_S: u64 = 1_893_456_000;
const SEED: [u64; 4] = [1, 2, 3, 4];

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn leaf(&self, names: Vec<SanType>) -> (CertificateDer<'static>, KeyPair) {
        self.leaf_for(names, &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn leaf_for(&self, names: Vec<SanType>, usages: &[ExtendedKeyUsagePurpose]) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages = usages.to_vec();
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }

    fn ca(&self, name: &str) -> ClientCa {
        ClientCa::from_pem(name, &self.issuer.pem()).unwrap()
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn named(names: Vec<SanType>) -> Result<Facts, CertificateFault> {
    Facts::from_der(&Authority::new("facts").leaf(names).0)
}

fn names_without_key(names: Vec<SanType>) -> Vec<CertificateName> {
    let mut names = named(names).unwrap().names;
    assert!(matches!(names.pop(), Some(CertificateName::SpkiSha256(hex)) if hex.len() == 64));
    names
}

#[test]
fn each_ca_vouches_for_its_own_chains_alone() {
    let (one, two) = (Authority::new("same name"), Authority::new("same name"));
    let set = CaSet::new(vec![one.ca("a"), two.ca("b"), one.ca("c")]).unwrap();
    let (leaf, _) = one.leaf(vec![uri("spiffe://x/y")]);
    let (other, _) = two.leaf(vec![uri("spiffe://x/y")]);
    assert_eq!(set.verify(std::slice::from_ref(&leaf), NOW_S), Ok(0b101));
    assert_eq!(set.verify(std::slice::from_ref(&other), NOW_S), Ok(0b010));
    let (stranger, _) = Authority::new("same name").leaf(Vec::new());
    assert!(matches!(set.verify(&[stranger], NOW_S), Err(CertificateFault::Untrusted(_))));
    assert!(CaSet::new(Vec::new()).unwrap().verify(&[leaf], NOW_S).is_err());
}

#[test]
fn time_and_usage_and_sizes_count() {
    let authority = Authority::new("a");
    let ca = authority.ca("a");
    let (leaf, _) = authority.leaf(Vec::new());
    let chain = [leaf];
    assert_eq!(ca.verify(&chain, END_S), Ok(()));
    assert_eq!(ca.verify(&chain, END_S + 1), Err(CertificateFault::Expired));
    assert_eq!(ca.verify(&chain, 1_600_000_000), Err(CertificateFault::NotYetValid));
    assert_eq!(CertificateFault::Expired.reason(), Reason::CertificateExpired);
    let (server, _) = authority.leaf_for(Vec::new(), &[ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(ca.verify(&[server], NOW_S), Err(CertificateFault::Untrusted(_))));
    assert_eq!(ca.verify(&[], NOW_S), Err(CertificateFault::ChainLength(0)));
    let long = vec![chain[0].clone(); CHAIN_CERTIFICATES_MAX + 1];
    assert_eq!(ca.verify(&long, NOW_S), Err(CertificateFault::ChainLength(CHAIN_CERTIFICATES_MAX + 1)));
    let wide = [chain[0].clone(), CertificateDer::from(vec![0; CHAIN_BYTES_MAX])];
    assert!(matches!(ca.verify(&wide, NOW_S), Err(CertificateFault::ChainTooLong(_))));
}

#[test]
fn a_stated_key_usage_must_admit_signatures() {
    let authority = Authority::new("a");
    let verified = |usages: &[rcgen::KeyUsagePurpose]| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.key_usages = usages.to_vec();
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2030, 1, 1));
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &authority.issuer).unwrap();
        authority.ca("a").verify(&[leaf.der().clone()], NOW_S)
    };
    use rcgen::KeyUsagePurpose::{DigitalSignature, KeyAgreement};
    assert_eq!(verified(&[]), Ok(()));
    assert_eq!(verified(&[DigitalSignature, KeyAgreement]), Ok(()));
    assert_eq!(verified(&[KeyAgreement]), Err(CertificateFault::KeyUsage));
}

#[test]
fn an_expired_anchor_vouches_for_nothing() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 1);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let authority = Authority { issuer };
    let (leaf, _) = authority.leaf(Vec::new());
    let ca = authority.ca("a");
    assert_eq!(ca.verify(std::slice::from_ref(&leaf), NOW_S), Ok(()));
    assert!(ca.verify(&[leaf], NOW_S + 1).is_err());
}

#[test]
fn the_pem_of_a_ca_holds_ca_certificates_alone() {
    let authority = Authority::new("a");
    let pem = authority.issuer.pem();
    let (leaf, key) = authority.leaf(Vec::new());
    let leaf_pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &leaf)
    );
    let error = |pem: &str| ClientCa::from_pem("a", pem).unwrap_err();
    assert!(ClientCa::from_pem("a", &pem.repeat(CLIENT_CA_ANCHORS_MAX)).is_ok());
    assert!(matches!(error(&pem.repeat(CLIENT_CA_ANCHORS_MAX + 1)), ClientCaError::Count { .. }));
    assert!(matches!(error(""), ClientCaError::Count { found: 0, .. }));
    assert!(matches!(error(&format!("{pem}{}", key.serialize_pem())), ClientCaError::Pem { .. }));
    assert!(matches!(error(&leaf_pem), ClientCaError::Certificate { position: 0, .. }));
    assert!(matches!(error(&"x".repeat(CLIENT_CA_BYTES_MAX + 1)), ClientCaError::TooLong { .. }));
    let many: Vec<ClientCa> = (0..=CLIENT_CAS_MAX).map(|_| authority.ca("a")).collect();
    assert!(matches!(CaSet::new(many), Err(ClientCaError::TooMany(_))));
    let last: Vec<ClientCa> = (0..CLIENT_CAS_MAX).map(|_| authority.ca("a")).collect();
    assert_eq!(CaSet::new(last).unwrap().verify(&[leaf], NOW_S), Ok(u64::MAX));
}

#[test]
fn names_are_those_of_the_policy() {
    use CertificateName::{Dns, Spiffe};
    let spiffe = "spiffe://corp.example/reports";
    assert_eq!(names_without_key(vec![uri(spiffe)]), [Spiffe(spiffe.into())]);
    // X.509-SVID: two URIs are no SPIFFE id, whichever they are.
    assert_eq!(names_without_key(vec![uri(spiffe), uri("spiffe://corp.example/admin")]), []);
    assert_eq!(names_without_key(vec![uri(spiffe), uri("https://corp.example")]), []);
    assert_eq!(names_without_key(vec![uri("https://corp.example/reports")]), []);
    assert_eq!(
        names_without_key(vec![dns("Bot.Corp.Example"), uri(spiffe), dns("bot.corp.example"), dns("*.corp.example")]),
        [Spiffe(spiffe.into()), Dns("bot.corp.example".into())]
    );
    assert_eq!(names_without_key(vec![dns("a..b"), dns("a b"), dns(""), dns("x.")]), []);
    let hosts = |count: usize| (0..count).map(|number| dns(&format!("h{number}.example"))).collect::<Vec<_>>();
    assert_eq!(named(hosts(CERTIFICATE_NAMES_MAX - 1)).unwrap().names.len(), CERTIFICATE_NAMES_MAX);
    let many = named(hosts(CERTIFICATE_NAMES_MAX));
    assert_eq!(many, Err(CertificateFault::TooManyNames(CERTIFICATE_NAMES_MAX + 1)));
    assert_eq!(Facts::from_der(&CertificateDer::from(vec![0x30, 0])), Err(CertificateFault::Malformed));
}

#[test]
fn spiffe_ids_have_their_form() {
    for good in ["spiffe://a/b", "spiffe://corp.example/ns/x/sa/Y_z-1.2", "spiffe://a_b/.hidden"] {
        assert!(is_spiffe_id(good), "{good}");
    }
    let long = format!("spiffe://{}/x", "a".repeat(SPIFFE_TRUST_DOMAIN_BYTES_MAX + 1));
    let path = |length: usize| format!("spiffe://a/{}", "x".repeat(length - 11));
    assert!(is_spiffe_id(&path(SPIFFE_ID_BYTES_MAX)) && !is_spiffe_id(&path(SPIFFE_ID_BYTES_MAX + 1)));
    let host = |last: &str| format!("{}{last}", "a.".repeat(DNS_NAME_BYTES_MAX / 2));
    assert!(is_dns_name(&host("a")) && !is_dns_name(&host("ab")));
    for bad in [
        "spiffe://a",
        "spiffe://a/",
        "spiffe:///x",
        "SPIFFE://a/b",
        "spiffe://A/b",
        "spiffe://a//b",
        "spiffe://a/./b",
        "spiffe://a/../b",
        "spiffe://a/b/",
        "spiffe://a:1/b",
        "spiffe://u@a/b",
        "spiffe://a/b?c",
        "spiffe://a/b#c",
        "spiffe://a/%62",
        "spiffe://a/é",
        "https://a/b",
        "",
        &long,
    ] {
        assert!(!is_spiffe_id(bad), "{bad}");
    }
}

#[test]
fn facts_know_their_life_and_hash() {
    let (leaf, key) = Authority::new("a").leaf(Vec::new());
    let facts = Facts::from_der(&leaf).unwrap();
    assert_eq!(facts.check_time(END_S), Ok(()));
    assert_eq!(facts.check_time(END_S + 1), Err(CertificateFault::Expired));
    assert_eq!(facts.check_time(u64::MAX), Err(CertificateFault::Expired));
    assert_eq!(facts.check_time(0), Err(CertificateFault::NotYetValid));
    let expected: [u8; 32] = Sha256::digest(&leaf).into();
    assert_eq!(facts.sha256, expected);
    let spki: String = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(facts.names, [CertificateName::SpkiSha256(spki)]);
}

#[test]
fn cached_verdicts_end_with_the_first_life_in_the_chain() {
    let authority = Authority::new("a");
    let set = CaSet::new(vec![authority.ca("a")]).unwrap();
    let other = CaSet::new(vec![Authority::new("b").ca("b")]).unwrap();
    let (leaf, _) = authority.leaf(Vec::new());
    let chain = [leaf];
    let mut chains = Chains::new(1, SEED);
    for _ in 0..3 {
        assert_eq!(chains.cas_of(&chain, &set, NOW_S).map(|verdict| verdict.cas), Ok(1));
        assert_eq!(chains.cas_of(&chain, &set, END_S).map(|verdict| verdict.cas), Ok(1));
        assert_eq!(chains.cas_of(&chain, &set, END_S + 1), Err(CertificateFault::Expired));
        assert_eq!(chains.cas_of(&chain, &set, END_S + 2), Err(CertificateFault::Expired));
        assert_eq!(chains.cas_of(&chain, &set, 1_600_000_000), Err(CertificateFault::NotYetValid));
        assert!(chains.cas_of(&chain, &other, NOW_S).is_err(), "another set of CAs is another question");
    }
    assert!(chains.cas_of(&[], &set, NOW_S).is_err());
}

#[test]
fn server_names_cover_hosts_by_whole_labels() {
    let (leaf, _) = Authority::new("a").leaf(vec![
        dns("Api.Example"),
        dns("*.wild.example"),
        dns("b*.part.example"),
        dns("a.*.mid.example"),
        dns("*"),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
    ]);
    let names = ServerNames::from_der(&leaf).unwrap();
    for good in ["api.example", "x.wild.example", "192.0.2.1", "[2001:db8::1]", "2001:db8::1", "[2001:DB8:0::1]"] {
        assert!(names.covers(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        "example",
        "b.api.example",
        "wild.example",
        ".wild.example",
        "x.y.wild.example",
        "bx.part.example",
        "a.b.mid.example",
        "192.0.2.2",
        "[2001:db8::2]",
        "\u{ff}",
    ] {
        assert!(!names.covers(bad.as_bytes()), "{bad}");
    }
    let many = |count: usize| {
        let hosts = (0..count).map(|number| dns(&format!("h{number}.example"))).collect();
        ServerNames::from_der(&Authority::new("a").leaf(hosts).0)
    };
    assert_eq!(many(SERVER_NAMES_MAX).unwrap().exact().count(), SERVER_NAMES_MAX);
    assert_eq!(many(SERVER_NAMES_MAX + 1), Err(CertificateFault::TooManyServerNames(SERVER_NAMES_MAX + 1)));
    assert_eq!(names.exact().collect::<Vec<_>>(), ["api.example"]);
    assert_eq!(names.wildcard_suffixes().collect::<Vec<_>>(), ["wild.example"]);
    assert!(names.covers_exactly("api.example") && !names.covers_exactly("x.wild.example"));
}

/// A whole handshake in memory: the client's certificate (or none) against a verifier.
fn handshake(
    authority: &Authority,
    authentication: ClientAuthentication,
    client: Option<(CertificateDer<'static>, KeyPair)>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<usize, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = |key: &KeyPair| rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let (server_leaf, server_key) =
        authority.leaf_for(vec![dns("server.example")], &[ExtendedKeyUsagePurpose::ServerAuth]);
    let set = Arc::new(CaSet::new(vec![authority.ca("a")]).unwrap());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(ClientVerifier::new(set, authentication)))
        .with_single_cert(vec![server_leaf], private(&server_key))
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some((leaf, key)) => builder.with_client_auth_cert(vec![leaf], private(&key)).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), "server.example".try_into().unwrap()).unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking());
    Ok(server.peer_certificates().map_or(0, <[_]>::len))
}

#[test]
fn handshakes_follow_the_listeners_choice() {
    use ClientAuthentication::{Optional, Required};
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let authority = Authority::new("a");
        let good = || Some(authority.leaf(vec![uri("spiffe://a/b")]));
        // The same subject as the trusted CA, so that clients do not hold the certificate back for the hint's sake.
        let foreign = || Some(Authority::new("a").leaf(vec![uri("spiffe://a/b")]));
        assert_eq!(handshake(&authority, Required, good(), version), Ok(1));
        assert_eq!(handshake(&authority, Optional, good(), version), Ok(1));
        assert_eq!(handshake(&authority, Optional, None, version), Ok(0));
        assert!(handshake(&authority, Required, None, version).is_err());
        assert!(handshake(&authority, Required, foreign(), version).is_err());
        assert!(handshake(&authority, Optional, foreign(), version).is_err(), "a bad certificate is not none");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::default()
    })]

    /// Every byte of a certificate is signed, or the signature, or the DER around them.
    #[test]
    fn changed_certificates_never_panic_nor_verify(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 1..=u8::MAX), 1..4),
    ) {
        static MADE: std::sync::LazyLock<(ClientCa, CertificateDer<'static>)> = std::sync::LazyLock::new(|| {
            let authority = Authority::new("a");
            let (leaf, _) = authority.leaf(vec![uri("spiffe://a/b"), dns("a.example")]);
            (authority.ca("a"), leaf)
        });
        let (ca, leaf) = &*MADE;
        let mut changed = leaf.to_vec();
        for (at, by) in changes {
            let at = at.index(changed.len());
            changed[at] ^= by;
        }
        proptest::prop_assume!(changed != leaf.as_ref());
        let changed = CertificateDer::from(changed);
        let _ = Facts::from_der(&changed);
        let _ = ServerNames::from_der(&changed);
        proptest::prop_assert!(ca.verify(&[changed], NOW_S).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_certificate(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let bytes = CertificateDer::from(bytes);
        proptest::prop_assert!(Facts::from_der(&bytes).is_err() && ServerNames::from_der(&bytes).is_err());
    }
}
