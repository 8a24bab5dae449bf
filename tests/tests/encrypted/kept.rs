//! Private keys that the gateway keeps in its state directory: those of assertions, of certificates from issuers, and the
//! account at an ACME server.

use std::path::PathBuf;

use tests::agents::run;
use tests::pebble::{self, Character, Pebble};
use tests::renewal::{HOST, serves};

use super::*;

const INTRO: &[u8] = b"age-encryption.org/v1\n";
const SOON: Duration = Duration::from_secs(120);

/// Everything in the folder of certificates. One that is just taking another's place may be gone again.
fn kept(at: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(at.join("state/certificates")).unwrap();
    let mut kept: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Some((path.clone(), fs::read(path).ok()?)))
        .collect();
    kept.sort();
    kept
}

/// What a gateway says that does not start.
fn refused(at: &Path, line: &str) -> String {
    let (code, _, stderr) = run(at, line);
    assert_eq!(code, 1, "{line}: {stderr}");
    stderr
}

#[test]
fn certificates_and_the_account_are_taken_over_and_renewed_encrypted() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, port) = (RecordingOrigin::start(), tests::process::free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(Character { looks_at: port, life_s: 15, rejects: 0, wants_external_account: false });
    let listener = format!(
        "address = \"127.0.0.1:{port}\"\ntls = {{ certificates = [{{ from = \"ca\", names = [\"{HOST}\"] }}], \
         client_certificates = \"off\" }}"
    );
    let source = format!(
        "[[certificate_source]]\nname = \"ca\"\nacme = {{ directory = \"{}\", ca = \"{}\", agree_to_terms = true }}",
        pebble.directory_url(),
        pebble.ca().display()
    );
    let deployment = Deployment::new().listener(&listener).with(&source);
    let mut gateway = deployment.run(&open_to_all(origin.address()).text());
    let (config, at) = (pebble.believer(), gateway.directory().to_owned());
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    let plain = kept(&at);
    let [(account, _), _] = plain.as_slice() else { panic!("expected an account and a certificate") };
    assert!(has(&plain[0].1, "key_pkcs8") && has(&plain[1].1, "PRIVATE KEY"));

    identity(&at, "state.key");
    set_gateway(&at, "state_identity = \"state.key\"");
    // As a kill in the middle of a write leaves it.
    fs::write(at.join("state/certificates/.left.pem.new"), &plain[1].1).unwrap();
    gateway.restart("TERM");
    assert!(serves(gateway.tls_address(), &config), "at once, with what was kept");
    assert!(eventually(SOON, || kept(&at).len() == 2), "what was left unfinished is gone");
    let taken = kept(&at);
    assert!(taken.iter().all(|(_, bytes)| bytes.starts_with(INTRO)));
    let is_renewed = || fs::read(&taken[1].0).is_ok_and(|bytes| bytes != taken[1].1);
    assert!(eventually(SOON, is_renewed), "{}", gateway.stderr());
    let renewed = kept(&at);
    assert!(renewed[0] == taken[0], "the account of before was read");
    assert!(renewed[1].1.starts_with(INTRO));
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    end(&mut gateway, "TERM");
    let last = kept(&at);

    // Each file by itself: without the identity, nothing else is put in its place.
    set_gateway(&at, "");
    for gone in ["node.key", "counters", "last-use.json"] {
        fs::remove_file(at.join("state").join(gone)).unwrap();
    }
    for line in ["run gateway.toml", "run gateway.toml --check"] {
        let told = refused(&at, line);
        assert!(
            ["state/certificates/", "it is encrypted (age)", "state_identity"].iter().all(|part| told.contains(part)),
            "{told}"
        );
    }
    fs::remove_file(account).unwrap();
    assert!(kept(&at) == last[1..], "nothing was put in its place");
}

#[test]
fn keys_of_assertions_are_taken_over_and_the_doctor_reads_them_with_the_identity_alone() {
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin_with("origin", &[origin.address()], "assertion = { audience = \"orders\" }")
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let mut gateway = Deployment::new().run(&policy.text());
    let (at, keys) = (gateway.directory().to_owned(), gateway.directory().join("state/assertion.keys"));
    assert!(eventually(PATIENCE, || fs::read(&keys).is_ok_and(|bytes| has(&bytes, "current"))));
    let published = gateway.admin("/.well-known/jwks.json").text();
    identity(&at, "state.key");
    set_gateway(&at, "state_identity = \"state.key\"");
    gateway.restart("TERM");
    let taken = fs::read(&keys).unwrap();
    assert!(taken.starts_with(INTRO) && !has(&taken, "current"));
    assert_eq!(gateway.admin("/.well-known/jwks.json").text(), published, "the same keys");
    fs::write(at.join("policy-of-origin.toml"), policy.text()).unwrap();
    let doctor = "doctor policy-of-origin.toml --bypass --state state";
    let said = bad(&at, doctor);
    assert!(said.contains("assertion.keys: it is encrypted (age)") && said.contains("--state-identity"), "{said}");
    let read = bad(&at, &format!("{doctor} --state-identity state.key"));
    assert!(read.contains("a right assertion") || read.contains("can be called round"), "{read}");
    end(&mut gateway, "TERM");
    set_gateway(&at, "");
    fs::remove_file(at.join("state/node.key")).unwrap();
    fs::remove_file(at.join("state/counters")).unwrap();
    for line in ["run gateway.toml", "run gateway.toml --check"] {
        let told = refused(&at, line);
        assert!(told.contains("assertion.keys: it is encrypted (age)"), "{told}");
    }
    assert!(fs::read(&keys).unwrap() == taken, "and not replaced");
}
