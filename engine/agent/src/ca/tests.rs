use super::issue::{For, new_key, request};
use super::*;
use crate::bounds::LIFE_CA_S;

const NOW: u64 = 1_800_000_000;

fn made(directory: &Path, servers: &[&str], passphrase: Option<&[u8]>) -> Authority {
    let servers: Vec<String> = servers.iter().map(|name| (*name).to_owned()).collect();
    let trust_domain = "corp.example".parse().unwrap();
    let wish = Wish { directory, trust_domain, servers: &servers, issuer: None, life_s: LIFE_CA_S, passphrase };
    init(&wish, NOW).unwrap();
    Authority::open(directory, passphrase).unwrap()
}

fn agent(id: &str) -> For {
    For::Agent(id.parse().unwrap())
}

#[test]
fn an_agents_certificate_has_the_names_it_is_given_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let ca = made(&directory.path().join("ca"), &[], Some(b"correct horse"));
    let key = new_key().unwrap();
    let csr = request(&key, Some(&"spiffe://corp.example/somebody-else".parse().unwrap())).unwrap();
    let made = ca.issue(&agent("spiffe://corp.example/reports"), &csr, None, 3_600, NOW).unwrap();
    assert_eq!(made.facts.uris, ["spiffe://corp.example/reports"]);
    assert_eq!((made.facts.not_before_s, made.facts.not_after_s), (NOW - 60, NOW + 3_600));
    assert_eq!(made.facts.serial.len(), 32);
    let chain = x509::certificates(made.pem.as_bytes()).unwrap();
    x509::holds_under(&chain, std::slice::from_ref(ca.der()), NOW).unwrap();
    assert!(x509::holds_under(&chain, std::slice::from_ref(ca.der()), NOW + 3_601).is_err());
    let logged: Vec<log::Issued> = log::read(&directory.path().join("ca/issued.jsonl")).unwrap();
    assert_eq!(logged.len(), 1);
    assert_eq!((&logged[0].sha256, &logged[0].serial), (&made.facts.sha256, &made.facts.serial));
}

#[test]
fn what_a_ca_may_not_sign_is_refused_and_not_logged() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("ca");
    let ca = made(&at, &["corp.example", "127.0.0.1"], None);
    let key = new_key().unwrap();
    let csr = request(&key, Some(&"spiffe://corp.example/reports".parse().unwrap())).unwrap();
    let servers = |names: &[&str]| For::Server(names.iter().map(|name| (*name).to_owned()).collect());
    for (whom, life_s) in [
        (agent("spiffe://other.example/reports"), 3_600),
        (agent("spiffe://corp.example/reports"), 4),
        (agent("spiffe://corp.example/reports"), 30 * 86_400),
        (servers(&["other.example"]), 3_600),
        (servers(&["badcorp.example"]), 3_600),
        (servers(&["127.0.0.2"]), 3_600),
        (servers(&["*.corp.example"]), 3_600),
        (servers(&[]), 3_600),
    ] {
        assert!(ca.issue(&whom, &csr, None, life_s, NOW).is_err(), "{whom:?}");
    }
    // Signed by another key than it asks for.
    let mut der = x509_parser::pem::parse_x509_pem(csr.as_bytes()).unwrap().1.contents;
    let last = der.len() - 1;
    der[last] ^= 1;
    let forged = pem_of(&der);
    assert!(ca.issue(&agent("spiffe://corp.example/reports"), &forged, None, 3_600, NOW).is_err());
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let other = CertificateParams::default().serialize_request(&p384).unwrap().pem().unwrap();
    assert!(ca.issue(&agent("spiffe://corp.example/reports"), &other, None, 3_600, NOW).is_err());
    assert!(!at.join("issued.jsonl").exists());
    ca.issue(&servers(&["api.corp.example", "127.0.0.1"]), &csr, None, 3_600, NOW).unwrap();
    // Nothing outlives the CA itself.
    assert!(ca.issue(&agent("spiffe://corp.example/reports"), &csr, None, 3_600, NOW + LIFE_CA_S + 1).is_err());
    let last = ca.issue(&agent("spiffe://corp.example/reports"), &csr, None, 3_600, NOW + LIFE_CA_S - 10).unwrap();
    assert_eq!(last.facts.not_after_s, NOW + LIFE_CA_S);
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", lines.join("\n"))
}

#[test]
fn a_wrong_passphrase_or_a_foreign_certificate_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    made(&one, &[], Some(b"correct horse"));
    made(&two, &[], None);
    assert!(Authority::open(&one, Some(b"wrong horse")).is_err());
    assert!(Authority::open(&one, None).is_err());
    std::fs::copy(one.join("ca.pem"), two.join("ca.pem")).unwrap();
    assert!(Authority::open(&two, None).err().unwrap().to_string().contains("another key"));
}

#[test]
fn crls_number_upwards_and_forget_what_has_expired() {
    let directory = tempfile::tempdir().unwrap();
    let ca = made(&directory.path().join("ca"), &[], None);
    let id = "spiffe://corp.example/reports";
    let key = new_key().unwrap();
    let csr = request(&key, Some(&id.parse().unwrap())).unwrap();
    let first = ca.issue(&agent(id), &csr, None, 100, NOW).unwrap();
    ca.issue(&agent(id), &csr, None, 1_000, NOW).unwrap();
    assert!(ca.revoke("spiffe://corp.example/nobody", "", NOW).is_err());
    assert_eq!(ca.revoke(&first.facts.sha256, "stolen", NOW).unwrap().len(), 1);
    assert_eq!(ca.revoke(id, "stolen", NOW).unwrap().len(), 1);
    assert_eq!(ca.revoke(id, "stolen", NOW).unwrap().len(), 0);
    let written = |now_s| {
        let written = ca.write_crl(3_600, now_s).unwrap();
        (written.number, written.entries)
    };
    assert_eq!([written(NOW), written(NOW + 101), written(NOW + 1_001)], [(1, 2), (2, 1), (3, 0)]);
}
