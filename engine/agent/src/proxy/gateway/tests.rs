use super::*;
use crate::ca::issue::{For, new_key, request};
use crate::ca::token::Claims;
use crate::ca::{self, Authority, Wish, place};
use crate::generation::{New, Origin};
use crate::profile::TokenSource;
use crate::source::Source;

const NOW: u64 = 1_800_000_000;

/// A CA, and a profile beside it.
struct Scene {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("ca");
        let trust_domain = "corp.example".parse().unwrap();
        let wish = Wish { directory: &at, trust_domain, servers: &[], issuer: None, life_s: 86_400, passphrase: None };
        ca::init(&wish, NOW).unwrap();
        let authority = Authority::open(&at, None).unwrap();
        let scene = Self { directory, authority };
        fs::create_dir(scene.profile()).unwrap();
        scene.put("reports", "https://localhost:1", "one");
        scene
    }

    fn profile(&self) -> PathBuf {
        self.directory.path().join("p")
    }

    fn profile_of(&self, name: &str, gateway: &str) -> Vec<u8> {
        let id = format!("spiffe://corp.example/{name}").parse().unwrap();
        let source = Source::Requests { directory: self.profile() };
        let mut profile = Profile::new(name, id, gateway.parse().unwrap(), source);
        let claims = Claims { audience: Vec::new(), subject: name.to_owned(), scopes: Vec::new() };
        profile.token = Some(TokenSource::Ca { claims });
        profile.json().unwrap()
    }

    /// Another generation, whole.
    fn put(&self, name: &str, gateway: &str, token: &str) {
        let key = new_key().unwrap();
        let id = format!("spiffe://corp.example/{name}").parse().unwrap();
        let csr = request(&key, None).unwrap();
        let made = self.authority.issue(&For::Agent(id), &csr, None, 3_600, NOW).unwrap();
        let ca = fs::read(self.directory.path().join("ca").join(place::CERTIFICATE)).unwrap();
        let profile = self.profile_of(name, gateway);
        let (token, gateway_ca) = (Some(token), Some(ca.as_slice()));
        let new = New { key_pem: &key, chain_pem: &made.pem, token, dpop_key_pem: None, profile: &profile, gateway_ca };
        let origin = Origin { obtained_s: NOW, from: "test".into(), token: None, is_outdated: false };
        generation::stage(&self.profile(), &new, &origin).unwrap().put().unwrap();
    }
}

#[test]
fn a_caller_sends_the_token_of_its_own_certificate() {
    let scene = Scene::new();
    let current = Current::read(&scene.profile()).unwrap();
    let before = current.caller();
    scene.put("reports", "https://localhost:1", "two");
    assert_eq!(before.token().unwrap().unwrap().as_str(), "one");
    assert_eq!(current.caller().token().unwrap().unwrap().as_str(), "two");
}

#[test]
fn whatever_of_a_profile_is_replaced_is_noticed() {
    let scene = Scene::new();
    let current = Current::read(&scene.profile()).unwrap();
    let first = current.caller();
    assert!(Arc::ptr_eq(&first, &current.caller()), "nothing changed");
    fs::write(scene.profile().join(PROFILE), scene.profile_of("reports", "https://localhost:20")).unwrap();
    let second = current.caller();
    assert_eq!(second.profile.gateway.port, 20);
    let path = scene.profile().join(GATEWAY_CA);
    let pem = fs::read_to_string(&path).unwrap();
    fs::write(&path, pem + "\n").unwrap();
    assert!(!Arc::ptr_eq(&second, &current.caller()), "the pinned CA is another file");
}

#[test]
fn half_of_an_enrolment_is_not_used() {
    let scene = Scene::new();
    let current = Current::read(&scene.profile()).unwrap();
    // Somebody put another agent's profile in its place, and its certificate is not there.
    let path = scene.profile().join(PROFILE);
    fs::remove_file(&path).unwrap();
    fs::write(&path, scene.profile_of("ledger", "https://localhost:20")).unwrap();
    assert_eq!(current.caller().profile.gateway.port, 1);
    scene.put("ledger", "https://localhost:20", "three");
    let caller = current.caller();
    assert_eq!((caller.profile.gateway.port, caller.token().unwrap().unwrap().as_str()), (20, "three"));
}
