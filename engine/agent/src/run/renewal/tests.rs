//! What happens between the question and the writing: the channel moves, the other renewal ends first.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::ca::issue::{self, For};
use crate::ca::{self, Authority};
use crate::clock;
use crate::generation::{New, Origin, TokenLife};
use crate::oauth::ClientProof;
use crate::profile::Profile;
use crate::release::Granted;
use crate::source::Source;

const ID: &str = "spiffe://corp.example/reports";

/// A profile with a CA of its own, and a certificate of it in use.
struct Scene {
    home: tempfile::TempDir,
    writer: Writer,
}

impl Scene {
    /// Its tokens come of this endpoint; `one` is in use.
    fn new(token: Option<TokenEndpoint>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (at, trust_domain, life_s) = (home.path().join("ca"), "corp.example".parse().unwrap(), 86_400);
        let wish = ca::Wish { directory: &at, trust_domain, servers: &[], issuer: None, life_s, passphrase: None };
        ca::init(&wish, clock::now_s()).unwrap();
        fs::create_dir(home.path().join("p")).unwrap();
        let scene = Self { home, writer: Writer::default() };
        let source = Source::Ca { directory: at, passphrase_file: None, life_s: 3_600 };
        let mut profile =
            Profile::new("reports-bot", ID.parse().unwrap(), "https://localhost:1".parse().unwrap(), source);
        profile.granted = Some(Granted {
            policy: "orders".to_owned(),
            version: 1,
            release: String::new(),
            scopes: vec!["orders:read".to_owned()],
            routes: Vec::new(),
            limits: Vec::new(),
            token: None,
            client_ca: scene.authority().pem,
        });
        let named = token.is_some();
        profile.token = token.map(TokenSource::Oauth);
        scene.use_pair(&Enrolment { profile, gateway_ca: None }, named.then_some("one"));
        scene
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("p")
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.home.path().join("ca"), None).unwrap()
    }

    /// Puts a new certificate in use, as the other renewal does; its SHA-256.
    fn use_pair(&self, enrolment: &Enrolment, token: Option<&str>) -> String {
        let key = issue::new_key().unwrap();
        let csr = issue::request(&key, Some(&ID.parse().unwrap())).unwrap();
        let made = self.authority().issue(&For::Agent(ID.parse().unwrap()), &csr, None, 3_600, clock::now_s()).unwrap();
        self.put(enrolment, (&key, &made.pem), token, false);
        made.facts.sha256
    }

    fn put(&self, enrolment: &Enrolment, (key_pem, chain_pem): (&str, &str), token: Option<&str>, is_outdated: bool) {
        let json = enrolment.profile.json().unwrap();
        let new = New { key_pem, chain_pem, token, dpop_key_pem: None, profile: &json, gateway_ca: None };
        let life = TokenLife { obtained_s: clock::now_s(), ends_s: clock::now_s() + 60 };
        let origin =
            Origin { obtained_s: clock::now_s(), from: "test".to_owned(), token: token.map(|_| life), is_outdated };
        generation::stage(&self.directory(), &new, &origin).unwrap().put().unwrap();
    }

    /// The channel puts another profile in use, with all else of before, as what follows it does.
    fn moves(&self, renews: bool, change: impl FnOnce(&mut Profile)) {
        let mut enrolment = Enrolment::read(&self.directory()).unwrap();
        change(&mut enrolment.profile);
        let (key, chain) = generation::pair(&generation::current(&self.directory()).unwrap()).unwrap();
        let token = self.token();
        self.put(&enrolment, (&key, &chain), token.as_deref(), renews);
    }

    fn token(&self) -> Option<String> {
        fs::read_to_string(self.directory().join("current/token")).ok()
    }

    fn profile(&self) -> Profile {
        Profile::read(&self.directory()).unwrap()
    }

    fn certificate(&self) -> String {
        generation::current(&self.directory()).unwrap().facts.sha256
    }

    /// A certificate that was obtained and is not written yet.
    fn asked(&self) -> (Wanted, Box<Ready>) {
        let wanted = Wanted::read(&self.directory(), &self.writer).unwrap();
        let before = wanted.before.as_ref();
        match source::obtain(&self.directory(), &wanted.enrolment, before, &self.writer).unwrap() {
            Obtained::Ready(ready) => (wanted, ready),
            Obtained::Waiting(_) => panic!("the CA is here"),
        }
    }

    fn asking(&self) -> Asking {
        Asking::read(&self.directory(), &self.writer).unwrap().0
    }
}

fn endpoint(proof: ClientProof) -> TokenEndpoint {
    TokenEndpoint {
        url: "https://id.corp.example/token".to_owned(),
        ca_file: None,
        client_id: "bot".to_owned(),
        proof,
        scope: None,
        resource: None,
        audience: None,
        dpop: false,
    }
}

fn by_secret() -> TokenEndpoint {
    endpoint(ClientProof::Secret { file: PathBuf::from("secret") })
}

fn fetched(value: &str) -> Fetched {
    let life = TokenLife { obtained_s: clock::now_s(), ends_s: clock::now_s() + 600 };
    Fetched { value: value.to_owned().into(), life, dpop_key_pem: None }
}

fn is_done(renewal: Option<Renewal>) -> bool {
    matches!(renewal, Some(Renewal::Done { .. }))
}

#[test]
fn a_certificate_goes_beside_what_the_channel_brought_meanwhile() {
    let scene = Scene::new(None);
    let (wanted, ready) = scene.asked();
    let sha256 = ready.facts.sha256.clone();
    scene.moves(false, |profile| {
        profile.gateway = "https://elsewhere:2".parse().unwrap();
        profile.granted.as_mut().unwrap().version = 2;
    });
    assert!(is_done(wanted.put(&scene.directory(), &scene.writer, *ready).unwrap()));
    let profile = scene.profile();
    assert_eq!((profile.gateway.to_string().as_str(), profile.granted.unwrap().version), ("https://elsewhere:2", 2));
    assert_eq!(scene.certificate(), sha256);
}

#[test]
fn a_certificate_of_terms_that_are_gone_takes_the_place_of_none() {
    let other = Scene::new(None).authority().pem;
    type Change = fn(&mut Profile, &str);
    let changes: [Change; 2] = [
        |profile, other| profile.granted.as_mut().unwrap().client_ca = other.to_owned(),
        |profile, _| {
            let Source::Ca { life_s, .. } = &mut profile.certificate else { panic!("it is of a CA") };
            *life_s = 60;
        },
    ];
    for change in changes {
        let scene = Scene::new(None);
        let (wanted, ready) = scene.asked();
        let before = scene.certificate();
        scene.moves(true, |profile| change(profile, &other));
        assert!(wanted.put(&scene.directory(), &scene.writer, *ready).unwrap().is_none());
        assert_eq!(scene.certificate(), before);
        let origin = generation::current(&scene.directory()).unwrap().origin;
        assert!(origin.is_outdated, "what the release asks for is still to come");
    }
    // As often as that: then it is a failure like others.
    let (mut rounds, scene) = (0, Scene::new(None));
    let told = in_rounds(&scene.directory(), || {
        rounds += 1;
        Ok(None)
    });
    assert_eq!(rounds, RENEWAL_ROUNDS_MAX);
    assert!(told.err().unwrap().to_string().contains("found it changed, 3 times"));
}

#[test]
fn a_token_that_came_meanwhile_stays_beside_the_new_certificate() {
    let scene = Scene::new(Some(by_secret()));
    let (wanted, ready) = scene.asked();
    let asking = scene.asking();
    assert!(is_done(asking.put(&scene.directory(), &scene.writer, &fetched("two")).unwrap()));
    assert!(is_done(wanted.put(&scene.directory(), &scene.writer, *ready).unwrap()));
    assert_eq!(scene.token().as_deref(), Some("two"));
    // And the certificate beside the token, where that comes last.
    let asking = scene.asking();
    let sha256 = scene.use_pair(&Enrolment::read(&scene.directory()).unwrap(), Some("two"));
    scene.moves(false, |profile| profile.granted.as_mut().unwrap().version = 2);
    assert!(is_done(asking.put(&scene.directory(), &scene.writer, &fetched("three")).unwrap()));
    assert_eq!((scene.token().as_deref(), scene.certificate()), (Some("three"), sha256));
    assert_eq!(scene.profile().granted.unwrap().version, 2);
}

#[test]
fn a_token_that_is_bound_to_a_certificate_goes_beside_no_other() {
    let scene = Scene::new(Some(endpoint(ClientProof::Certificate)));
    let asking = scene.asking();
    // Of the same certificate it is, whatever else has changed.
    scene.moves(false, |profile| profile.gateway = "https://elsewhere:2".parse().unwrap());
    assert!(is_done(asking.put(&scene.directory(), &scene.writer, &fetched("two")).unwrap()));
    assert_eq!(scene.profile().gateway.to_string(), "https://elsewhere:2");
    let asking = scene.asking();
    let sha256 = scene.use_pair(&Enrolment::read(&scene.directory()).unwrap(), Some("of the new one"));
    assert!(asking.put(&scene.directory(), &scene.writer, &fetched("of the old one")).unwrap().is_none());
    assert_eq!((scene.token().as_deref(), scene.certificate()), (Some("of the new one"), sha256));
}

#[test]
fn a_token_that_was_asked_for_otherwise_is_asked_for_again() {
    let scene = Scene::new(Some(by_secret()));
    let asking = scene.asking();
    scene.moves(true, |profile| profile.token = Some(TokenSource::Oauth(TokenEndpoint { dpop: true, ..by_secret() })));
    assert!(asking.put(&scene.directory(), &scene.writer, &fetched("without a key")).unwrap().is_none());
    assert_eq!(scene.token().as_deref(), Some("one"));
}

/// Whoever writes meanwhile waits for nobody who is asked.
#[test]
fn nothing_is_held_while_a_ca_is_asked() {
    let scene = Scene::new(None);
    let _ca = crate::files::lock(&scene.home.path().join("ca/lock")).unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| certificate(&scene.directory(), &scene.writer));
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            drop(scene.writer.lock());
        }
        assert!(!asked.is_finished(), "somebody else is at work on the CA");
        drop(_ca);
        assert!(matches!(asked.join().unwrap().1, Ok(Renewal::Done { .. })));
    });
}
