//! Against a real authorization server: its keys are found by discovery, and rotate as such servers rotate them.

use std::fs;
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;
use tests::certificates::Authority;
use tests::client::Client;
use tests::oidc::{OidcProvider, directory};

use super::*;

/// A private key as the server reads it (RFC 7517).
fn private(kid: &str) -> Value {
    let pair = KeyPair::generate().unwrap();
    let (der, public) = (pair.serialize_der(), pair.der_bytes().to_vec());
    // SEC 1, C.4: the octet string behind the version.
    let mark = [2, 1, 1, 4, 32];
    let at = der.windows(mark.len()).position(|found| found == mark).unwrap() + mark.len();
    let (x, y) = public[public.len() - 64..].split_at(32);
    let [d, x, y] = [&der[at..at + 32], x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({ "kty": "EC", "crv": "P-256", "d": d, "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256" })
}

struct Provider {
    server: OidcProvider,
    authority: Authority,
}

impl Provider {
    /// A token that lives longer than this test.
    fn issue(&self) -> String {
        let form = "grant_type=client_credentials&resource=https%3A%2F%2Fapi.test%2Fjwt%2F3600&scope=all";
        let config = self.authority.client_config(None);
        let mut client = Client::connect_tls(self.server.address, "127.0.0.1", &config).unwrap();
        let answer = client.exchange(self.server.form_of_bot("/token", form, ""));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: Value = serde_json::from_str(&answer.text()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// It signs with the first of them from now on, and publishes all.
    fn has(&mut self, files: &Path, keys: &[&Value]) {
        publish(files, keys);
        self.server.restart();
    }
}

fn publish(files: &Path, keys: &[&Value]) {
    fs::write(files.join("keys.json"), json!({ "keys": keys }).to_string()).unwrap();
}

fn kid(token: &str) -> String {
    let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&head).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// Ends the load, also where an assertion fails.
struct Ends<'e>(&'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn gateway(provider: &Provider, origin: &RecordingOrigin) -> Gateway {
    let url = provider.server.issuer();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .with(&format!(
            "[[issuer]]\nname = \"corp\"\nissuer = \"{url}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\nkeys = {{ \
             discovery = \"{url}\", refresh = \"1s\", max_stale = \"1h\", ca = {{ file = \"id-ca.pem\" }} }}"
        ))
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
    Deployment::new().file("id-ca.pem", &provider.authority.pem).run(&policy.text())
}

#[test]
fn a_real_servers_keys_are_discovered_and_rotate_under_load() {
    let Some(directory) = directory() else { return };
    let (authority, files, origin) =
        (Authority::new("the server's"), tempfile::tempdir().unwrap(), RecordingOrigin::start());
    let (files, [old, new]) = (files.path(), ["old", "new"].map(private));
    publish(files, &[&old]);
    let mut provider = Provider { server: OidcProvider::start_tls(&directory, &authority, files), authority };
    let gateway = gateway(&provider, &origin);
    let ask = |token: &str| gateway.once(get("/", &format!("{}Connection: close\r\n", bearer(token)))).status;
    let keys = || gateway.metric("keyset_keys");
    let first = provider.issue();
    assert!(kid(&first) == "old" && eventually(SOON, || ask(&first) == 200), "{}", gateway.stderr());

    // Those that must pass. Whoever asks holds them, so that none is taken away while it is on its way.
    let (good, ends, passed) = (RwLock::new(vec![first.clone()]), AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let load = || {
            let mut client = gateway.client();
            while !ends.load(Ordering::SeqCst) {
                for token in good.read().unwrap().iter() {
                    let status = client.exchange(get("/", &bearer(token))).status;
                    assert_eq!(status, 200, "by key {}: {}", kid(token), gateway.stderr());
                    passed.fetch_add(1, Ordering::SeqCst);
                }
                thread::sleep(Duration::from_millis(2));
            }
        };
        let loads: Vec<_> = (0..3).map(|_| scope.spawn(load)).collect();
        let ending = Ends(&ends);
        // Published before it signs; each time the server is away for a moment.
        provider.has(files, &[&old, &new]);
        assert!(eventually(SOON, || keys() == 2.0), "{}", gateway.stderr());
        let again = provider.issue();
        assert_eq!(kid(&again), "old");
        good.write().unwrap().push(again.clone());
        provider.has(files, &[&new, &old]);
        let next = provider.issue();
        assert_eq!(kid(&next), "new");
        // That there are two is told before they are in force.
        assert!(eventually(SOON, || ask(&next) == 200), "{}", gateway.stderr());
        good.write().unwrap().push(next);
        let before = gateway.metric("keyset_refreshes_total");
        assert!(eventually(SOON, || gateway.metric("keyset_refreshes_total") >= before + 2.0), "{}", gateway.stderr());
        // The tokens of the old key have ended, as far as their issuer is concerned: its key goes.
        good.write().unwrap().retain(|token| kid(token) == "new");
        provider.has(files, &[&new]);
        assert!(eventually(SOON, || ask(&first) == 401 && ask(&again) == 401), "{}", gateway.stderr());
        assert_eq!(keys(), 1.0);
        thread::sleep(Duration::from_millis(500));
        drop(ending);
        loads.into_iter().for_each(|load| load.join().unwrap());
    });
    assert!(passed.load(Ordering::SeqCst) > 100, "{passed:?}");
    let taken = || {
        let all = gateway.refreshes("keyset").into_iter();
        all.filter(|line| line["adamant.refresh.outcome"] == "taken").collect::<Vec<_>>()
    };
    assert!(eventually(SOON, || taken().len() >= 3), "{}", gateway.record_text());
    let taken = taken();
    let sizes: Vec<_> =
        taken.iter().map(|line| line["adamant.refresh.new"].as_str().unwrap().split(' ').count()).collect();
    assert_eq!(sizes, [1, 2, 1], "{taken:#?}");
    for line in taken {
        let source = line["adamant.refresh.source"].as_str().unwrap();
        assert!(source.starts_with(&provider.server.issuer()), "{line}");
    }
}
