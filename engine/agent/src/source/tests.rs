use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::ca::Wish;
use crate::release::Granted;

const ID: &str = "spiffe://corp.example/reports";
const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn authority(directory: &Path, name: &str) -> Authority {
    let at = directory.join(name);
    let (trust_domain, life_s) = ("corp.example".parse().unwrap(), 365 * DAY);
    let wish = Wish { directory: &at, trust_domain, servers: &[], issuer: None, life_s, passphrase: None };
    crate::ca::init(&wish, NOW).unwrap();
    Authority::open(&at, None).unwrap()
}

fn profile(directory: &Path, believed: Option<&Authority>) -> Profile {
    let gateway = "https://localhost:1".parse().unwrap();
    let source = Source::Requests { directory: directory.to_owned() };
    let mut profile = Profile::new("reports-bot", ID.parse().unwrap(), gateway, source);
    profile.granted = believed.map(|ca| Granted {
        policy: "orders".into(),
        version: 3,
        release: String::new(),
        scopes: Vec::new(),
        routes: Vec::new(),
        limits: Vec::new(),
        token: None,
        client_ca: ca.pem.clone(),
    });
    profile
}

fn asked(at: &Path, shared: &Path) -> Result<Answer, Fault> {
    answered(at, "reports-bot", &ID.parse().unwrap(), shared)
}

fn issued(ca: &Authority, life_s: u64) -> (Vec<CertificateDer<'static>>, Facts) {
    let csr = issue::request(&issue::new_key().unwrap(), None).unwrap();
    let made = ca.issue(&For::Agent(ID.parse().unwrap()), &csr, None, life_s, NOW).unwrap();
    (crate::x509::certificates(made.pem.as_bytes()).unwrap(), made.facts)
}

#[test]
fn a_certificate_of_another_ca_takes_the_place_of_none() {
    let directory = tempfile::tempdir().unwrap();
    // Of the same name, and with another key.
    let (right, wrong) = (authority(directory.path(), "right"), authority(directory.path(), "wrong"));
    let (good, good_facts) = issued(&right, DAY);
    let (bad, bad_facts) = issued(&wrong, DAY);
    let with_release = profile(directory.path(), Some(&right));
    for before in [None, Some(&good_facts), Some(&bad_facts)] {
        acceptable(&with_release, before, &good, &good_facts, NOW).unwrap();
        let told = acceptable(&with_release, before, &bad, &bad_facts, NOW).unwrap_err();
        assert!(told.to_string().contains("release version 3 of orders believes for reports-bot"), "{told}");
    }
    // Without a release, that of the one in use.
    let without = profile(directory.path(), None);
    acceptable(&without, None, &bad, &bad_facts, NOW).unwrap();
    acceptable(&without, Some(&issued(&right, DAY).1), &good, &good_facts, NOW).unwrap();
    let told = acceptable(&without, Some(&good_facts), &bad, &bad_facts, NOW).unwrap_err();
    assert!(told.to_string().contains("found one of another") && told.hint().unwrap().contains("--force"), "{told}");
}

#[test]
fn a_certificate_that_lasts_longer_than_agents_need_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ca = authority(directory.path(), "ca");
    let (chain, mut facts) = issued(&ca, LIFE_CLIENT_S_MAX);
    let profile = profile(directory.path(), Some(&ca));
    acceptable(&profile, None, &chain, &facts, NOW).unwrap();
    facts.not_after_s = NOW + LIFE_CLIENT_S_MAX + BACKDATED_S + 1;
    let told = acceptable(&profile, None, &chain, &facts, NOW).unwrap_err();
    assert!(told.to_string().contains("at most 7d"), "{told}");
}

#[test]
fn a_certificate_that_clients_may_not_show_is_refused_whoever_gives_it() {
    let directory = tempfile::tempdir().unwrap();
    let ca = authority(directory.path(), "ca");
    let (chain, mut facts) = issued(&ca, DAY);
    facts.is_for_clients = false;
    let told = acceptable(&profile(directory.path(), None), None, &chain, &facts, NOW).unwrap_err();
    assert!(told.to_string().contains("expected a certificate for clients"), "{told}");
    assert!(told.hint().unwrap().contains("clientAuth"), "{told}");
}

#[test]
fn a_request_that_somebody_changed_is_told_and_not_waited_on() {
    let directory = tempfile::tempdir().unwrap();
    let (at, shared) = (directory.path(), directory.path().join("shared"));
    std::fs::create_dir(&shared).unwrap();
    let Err(waiting) = asked(at, &shared).unwrap() else { panic!("nobody answered") };
    let csr = std::fs::read_to_string(&waiting.request).unwrap();
    assert_eq!(issue::key_sha256(&csr).unwrap(), waiting.key_sha256);
    assert_eq!(asked(at, &shared).unwrap().unwrap_err(), waiting);
    for other in [issue::request(&issue::new_key().unwrap(), None).unwrap(), "none".to_owned()] {
        std::fs::write(&waiting.request, other).unwrap();
        let told = asked(at, &shared).err().unwrap();
        assert!(told.to_string().contains(&waiting.key_sha256), "{told}");
    }
    std::fs::remove_file(&waiting.request).unwrap();
    assert_eq!(asked(at, &shared).unwrap().unwrap_err(), waiting);
    // Where everybody may write, whose request it is means nothing.
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(asked(at, &shared).err().unwrap().to_string().contains("0777"));
}

#[test]
fn what_an_attempt_left_behind_is_no_strangers_and_no_key_is_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (at, shared) = (directory.path(), directory.path().join("shared"));
    std::fs::create_dir(&shared).unwrap();
    let ca = authority(at, "ca");
    let request = shared.join("reports-bot.csr");
    // The request of an earlier round is still there, and this one ends before its own is.
    std::fs::create_dir(&request).unwrap();
    assert!(asked(at, &shared).is_err() && !at.join(PENDING).exists());
    std::fs::remove_dir(&request).unwrap();
    std::fs::write(&request, issue::request(&issue::new_key().unwrap(), None).unwrap()).unwrap();
    let Err(waiting) = asked(at, &shared).unwrap() else { panic!("nobody answered") };
    assert_eq!(asked(at, &shared).unwrap().unwrap_err(), waiting);
    // A link that somebody put there leads nowhere.
    let elsewhere = at.join("elsewhere");
    std::fs::write(&elsewhere, b"mine").unwrap();
    std::fs::remove_file(&request).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &request).unwrap();
    assert!(asked(at, &shared).is_err());
    std::fs::remove_file(&request).unwrap();
    assert_eq!(asked(at, &shared).unwrap().unwrap_err(), waiting);
    // It is answered and put in use, and its key is not removed.
    let csr = std::fs::read_to_string(&request).unwrap();
    let pem = ca.issue(&For::Agent(ID.parse().unwrap()), &csr, None, DAY, clock::now_s()).unwrap().pem;
    std::fs::write(shared.join("reports-bot.pem"), &pem).unwrap();
    let Ok((key, chain)) = asked(at, &shared).unwrap() else { panic!("it was answered") };
    let new =
        New { key_pem: &key, chain_pem: &chain, token: None, dpop_key_pem: None, profile: b"{}", gateway_ca: None };
    generation::stage(at, &new, &Origin { obtained_s: NOW, from: "requests".into(), token: None, is_outdated: false })
        .unwrap()
        .put()
        .unwrap();
    let Err(again) = asked(at, &shared).unwrap() else { panic!("a key in use is no new one") };
    assert_ne!(again.key_sha256, waiting.key_sha256);
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"mine");
}
