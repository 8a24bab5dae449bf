use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer};

use super::*;

const NOW_S: u64 = 1_800_000_000;

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(
        &self,
        key: &KeyPair,
        names: &[Name],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| SanType::try_from(name).unwrap()).collect();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |s: u64| epoch + std::time::Duration::from_secs(s);
        (params.not_before, params.not_after) = (at(NOW_S - 30), at(NOW_S + 60));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }
}

#[test]
fn a_request_holds_the_names_and_never_the_key() {
    let names = names(&["api.corp.example", "10.0.0.1", "spiffe://corp.example/gateway"]);
    let request = Request::new(&names, true).unwrap();
    let der = String::from_utf8_lossy(request.csr_der()).into_owned();
    assert!(der.contains("api.corp.example") && der.contains("spiffe://corp.example/gateway"));
    assert!(request.key_pem().contains("PRIVATE KEY") && !request.csr_pem().unwrap().contains("PRIVATE"));
}

#[test]
fn only_what_was_asked_for_is_taken() {
    let (ca, key, wanted) = (Ca::new("one"), KeyPair::generate().unwrap(), names(&["b.example", "a.example"]));
    let public_key = key.subject_public_key_info();
    let expected = |purpose| Expected { names: &wanted, public_key: &public_key, purpose, now_s: NOW_S };
    let chained = |leaf: CertificateDer<'static>, by: &Ca| {
        let chain = Chain { shown: vec![leaf], ca: Some(by.certificate.clone()) };
        check_chain(&chain, &expected(Purpose::Server)).map_err(|fault| fault.to_string())
    };
    let good = ca.sign(&key, &wanted, |_| {});
    let life = chained(good.clone(), &ca).unwrap();
    assert_eq!(life, Life { begins_s: NOW_S - 30, ends_s: NOW_S + 60 });
    assert!(check_chain(&Chain { shown: vec![good.clone()], ca: None }, &expected(Purpose::Server)).is_ok());

    let told = |leaf: CertificateDer<'static>, by: &Ca, part: &str| {
        let why = chained(leaf, by).unwrap_err();
        assert!(why.contains(part), "{why}");
    };
    told(ca.sign(&KeyPair::generate().unwrap(), &wanted, |_| {}), &ca, "for another key");
    told(ca.sign(&key, &names(&["a.example"]), |_| {}), &ca, "for a.example, b.example, found one for a.example");
    let more = names(&["a.example", "b.example", "*.example"]);
    told(ca.sign(&key, &more, |_| {}), &ca, "found one for *.example, a.example, b.example");
    told(ca.sign(&key, &[], |_| {}), &ca, "found one for no name");
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |s: u64| epoch + std::time::Duration::from_secs(s);
    told(ca.sign(&key, &wanted, |of| of.not_after = at(NOW_S - 5)), &ca, "ended 5 s ago");
    told(ca.sign(&key, &wanted, |of| of.not_before = at(NOW_S + 61)), &ca, "begins in 61 s");
    assert!(chained(ca.sign(&key, &wanted, |of| of.not_before = at(NOW_S + CLOCK_AHEAD_S_MAX)), &ca).is_ok());
    told(ca.sign(&key, &wanted, |of| of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), &ca, "of a CA");
    let of_clients = |of: &mut CertificateParams| of.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    told(ca.sign(&key, &wanted, of_clients), &ca, "other uses");
    told(good.clone(), &Ca::new("another"), "vouches for");
    told(CertificateDer::from(vec![1, 2, 3]), &ca, "X.509");
    assert_eq!(check_leaf(&good, &expected(Purpose::Client)), Err(CheckFault::Usage(Purpose::Client)));
}

#[test]
fn a_chain_has_so_many_certificates_and_no_more() {
    let pem = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let shown = certificates("x", &pem.repeat(CHAIN_MAX)).unwrap();
    assert_eq!(shown.len(), CHAIN_MAX);
    assert_eq!(certificates("x", &Chain { shown: shown.clone(), ca: None }.pem()).unwrap(), shown);
    let told = |pem: &str| certificates("https://ca.example", pem).unwrap_err().to_string();
    assert!(told(&pem.repeat(CHAIN_MAX + 1)).contains("more than 8 certificates"));
    assert!(told("nothing").contains("https://ca.example: expected a certificate and its chain, found none"));
}
