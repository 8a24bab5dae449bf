//! `adamant agent doctor`: for each seed of trouble it names what is wrong and what to do, and ends with 1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "agent_doctor/alerts.rs"]
mod alerts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};
use serde_json::Value;
use tests::answer::Answer;
use tests::certificates::{Authority, Identity};
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::process::{eventually, free_port};
use tests::tokens::{self, AUDIENCE, ISSUER, TokenKey, jwks};

const ID: &str = "spiffe://corp.example/reports";

/// A gateway behind mutual TLS whose CA and servers are of the built-in CA, and the profile of its agent.
struct Scene {
    gateway: Gateway,
    _origin: RecordingOrigin,
    issuer: TokenKey,
}

impl Scene {
    fn new() -> Self {
        Self::with_ca("")
    }

    /// `more`: what else the policy says of the agents' CA.
    fn with_ca(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        ok(at, "ca init ca --trust-domain corp.example --server localhost --no-passphrase");
        ok(at, "ca issue ca --server localhost --key-out server.key --out server.pem");
        ok(at, "ca crl ca");
        let issuer = TokenKey::generate("ES256", "k1");
        fs::write(at.join("corp.jwks.json"), jwks(&[&issuer])).unwrap();
        let origin = RecordingOrigin::scripted(|_, _| Answer::text("ok"));
        let policy = tests::policy::PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("order-read", "GET", "/orders/{id}", "origin")
            .route("order-write", "POST", "/orders", "origin")
            .route("limited", "GET", "/limited", "origin")
            .scope("orders:read", &["order-read"])
            .scope("orders:write", &["order-write"])
            .scope("limited", &["limited"])
            .issuer(&["ES256"], "scope_claim = \"scope\"")
            .with(&format!(
                "[[client_ca]]\nname = \"agents\"\ncertificates = {{ file = \"ca/ca.pem\" }}\n{more}"
            ))
            .agent(
                "reports-bot",
                &format!(
                    "{{ certificate = \"{ID}\", ca = \"agents\", token = {{ issuer = \"corp\", subject = \"reports-bot\" }} }}"
                ),
                &["orders:read"],
                &["1000/minute"],
            )
            .agent(
                "slow-bot",
                "{ certificate = \"spiffe://corp.example/slow\", ca = \"agents\" }",
                &["orders:read"],
                &["1/hour"],
            )
            // Only so that no scope and no name is unused.
            .anonymous(&["orders:write", "limited"], &[]);
        let more = ["--tls-chain", "server.pem", "--tls-key", "server.key", "--client-certificates", "optional"];
        let gateway = Gateway::dev_in(directory, &policy.text(), &more);
        let scene = Self { gateway, _origin: origin, issuer };
        scene.token(&scene.issuer, "reports-bot", "orders:read");
        let url = scene.url();
        ok(
            scene.at(),
            &format!("agent enroll p --agent reports-bot --gateway {url} --ca ca --spiffe {ID} --token-file token.jwt"),
        );
        scene
    }

    fn at(&self) -> &Path {
        self.gateway.directory()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.gateway.tls_address().port())
    }

    fn token(&self, key: &TokenKey, subject: &str, scope: &str) {
        let mut claims = tokens::claims(subject);
        claims["scope"] = scope.into();
        self.put_token(&key.sign(&claims));
    }

    fn put_token(&self, token: &str) {
        let path = self.at().join("token.jwt");
        fs::write(&path, format!("{token}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Puts another key and certificate into the profile.
    fn put(&self, identity: &Identity) {
        let current = self.at().join("p/current");
        fs::write(current.join("cert.pem"), &identity.certificate).unwrap();
        fs::write(current.join("key.pem"), &identity.key).unwrap();
    }

    /// Replaces a member of the profile.
    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.at().join("p/profile.json");
        let mut profile: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut profile);
        fs::write(path, profile.to_string()).unwrap();
    }

    /// What the doctor says: its exit status, the code of the first failed step, its whole text.
    fn examine(&self, more: &str) -> (i32, String, String) {
        let line = format!("agent doctor p --json {more}");
        let words: Vec<&str> = line.split_whitespace().collect();
        let (status, json, errors) = gateway::run(&words, self.at());
        let report: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}{errors}"));
        let steps = report["steps"].as_array().unwrap();
        let failed = steps.iter().find(|step| step["outcome"] == "failed");
        assert_eq!(report["healthy"].as_bool(), Some(failed.is_none()));
        if let Some(failed) = failed {
            assert!(failed["todo"].as_str().is_some_and(|todo| !todo.is_empty()), "{json}");
        }
        let code = failed.map_or("ok", |step| step["code"].as_str().unwrap()).to_owned();
        (status.code().unwrap(), code, json)
    }

    #[track_caller]
    fn finds(&self, code: &str, more: &str) {
        let (status, found, json) = self.examine(more);
        assert_eq!((status, found.as_str()), (i32::from(code != "ok"), code), "{json}");
    }

    /// Examines what `change` makes of the profile, and puts it back.
    #[track_caller]
    fn with(&self, code: &str, more: &str, change: impl FnOnce(&Self)) {
        let (profile, kept) = (self.at().join("p"), self.at().join("kept"));
        copy(&profile, &kept);
        let token = fs::read(self.at().join("token.jwt")).unwrap();
        change(self);
        self.finds(code, more);
        fs::remove_dir_all(&profile).unwrap();
        fs::rename(&kept, &profile).unwrap();
        self.put_token(String::from_utf8(token).unwrap().trim());
    }
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[track_caller]
fn ok(at: &Path, line: &str) -> String {
    let (status, stdout, stderr) = gateway::run(&line.split_whitespace().collect::<Vec<_>>(), at);
    assert!(status.success(), "adamant {line}: {stdout}{stderr}");
    stdout
}

/// A certificate under the built-in CA's key, with whatever is wrong with it.
fn under_ca(at: &Path, wrong: impl FnOnce(&mut CertificateParams)) -> Identity {
    let ca_key = KeyPair::from_pem(&fs::read_to_string(at.join("ca/ca.key")).unwrap()).unwrap();
    let mut of_ca = CertificateParams::default();
    of_ca.distinguished_name = rcgen::DistinguishedName::new();
    of_ca.distinguished_name.push(rcgen::DnType::CommonName, "corp.example agents CA");
    let issuer = rcgen::Issuer::new(of_ca, ca_key);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(ID.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    wrong(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    Identity { certificate, key: key.serialize_pem() }
}

#[test]
fn the_doctor_finds_what_is_wrong_on_this_side() {
    let scene = Scene::new();
    scene.finds("ok", "");
    scene.finds("ok", "--path /orders/7");
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    scene.with("modes", "", |scene| {
        let key = scene.at().join("p/current/key.pem");
        fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    });
    scene.with("profile", "", |scene| fs::remove_file(scene.at().join("p/profile.json")).unwrap());
    // The profile stands in the generation: without the link, nothing is there.
    scene.with("profile", "", |scene| fs::remove_file(scene.at().join("p/current")).unwrap());
    scene.with("certificate-missing", "", |scene| fs::remove_file(scene.at().join("p/current/cert.pem")).unwrap());
    // This machine's clock is far behind, or far ahead: a certificate of another time looks the same.
    scene.with("certificate-not-yet-valid", "", |scene| {
        scene.put(&under_ca(scene.at(), |params| (params.not_before, params.not_after) = (year(2090), year(2091))));
    });
    scene.with("certificate-expired", "", |scene| {
        scene.put(&under_ca(scene.at(), |params| (params.not_before, params.not_after) = (year(2020), year(2021))));
    });
    scene.with("wrong-name", "", |scene| {
        let other = SanType::URI("spiffe://corp.example/other".try_into().unwrap());
        scene.put(&under_ca(scene.at(), |params| params.subject_alt_names = vec![other]));
    });
    scene.with("key-mismatch", "", |scene| {
        let good = fs::read_to_string(scene.at().join("p/current/cert.pem")).unwrap();
        let key = under_ca(scene.at(), |_| ()).key;
        scene.put(&Identity { certificate: good, key });
    });
    scene.with("token-unreadable", "", |scene| fs::remove_file(scene.at().join("token.jwt")).unwrap());
    let mut claims = tokens::claims("reports-bot");
    claims["exp"] = (tokens::now_s() - 5).into();
    scene.with("token-expired", "", |scene| scene.put_token(&scene.issuer.sign(&claims)));
    claims["exp"] = (tokens::now_s() + 900).into();
    claims["nbf"] = (tokens::now_s() + 600).into();
    scene.with("token-not-yet-valid", "", |scene| scene.put_token(&scene.issuer.sign(&claims)));
    scene.finds("ok", "");
}

#[test]
fn the_doctor_finds_what_is_wrong_at_the_gateway() {
    let scene = Scene::new();
    let gateway = |url: &str| url.to_owned();
    scene.with("dns", "", |scene| scene.edit(|profile| profile["gateway"] = "https://nowhere.invalid:1".into()));
    let closed = free_port();
    scene.with("connect", "", |scene| {
        scene.edit(|profile| profile["gateway"] = format!("https://localhost:{}", closed).into());
    });
    let plain = RecordingOrigin::start();
    scene.with("not-tls", "", |scene| {
        scene.edit(|profile| profile["gateway"] = format!("https://localhost:{}", plain.address().port()).into());
    });
    // Plain http for the gateway; tests/agent_store/doctor.rs has TLS for its ports of plain http.
    let plain_url = scene.url().replace("https", "http");
    let line = format!("agent enroll q --agent reports-bot --gateway {plain_url} --ca ca --spiffe {ID}");
    let (_, _, said) = gateway::run(&line.split(' ').collect::<Vec<_>>(), scene.at());
    assert!(said.contains("agents call by TLS alone") && !scene.at().join("q").exists(), "{said}");
    // The server that answers is another one, or has another key.
    let stranger = Authority::new("stranger");
    scene.with("gateway-not-pinned", "", |scene| {
        fs::write(scene.at().join("p/gateway-ca.pem"), &stranger.pem).unwrap();
    });
    scene.with("gateway-not-pinned", "", |scene| {
        scene.edit(|profile| profile["gateway_spki_sha256"] = serde_json::json!(["ab".repeat(32)]));
    });
    scene.with("gateway-name", "", |scene| {
        let url = gateway(&scene.url()).replace("localhost", "127.0.0.1");
        scene.edit(|profile| profile["gateway"] = url.into());
    });
    // A server of the same CA that is no gateway.
    let read = |name: &str| fs::read_to_string(scene.at().join(name)).unwrap();
    let server = Identity { certificate: read("server.pem"), key: read("server.key") };
    let other = RecordingOrigin::tls(server.server_config(), |_, _| Answer::text("anything"));
    scene.with("not-gateway", "", |scene| {
        scene.edit(|profile| profile["gateway"] = format!("https://localhost:{}", other.address().port()).into());
    });
    // The gateway does not believe this agent's CA.
    scene.with("wrong-ca", "", |scene| scene.put(&stranger.spiffe(ID)));
    // Not known to the release, or not with this token.
    let id = "spiffe://corp.example/nobody";
    scene.with("unauthorized", "", |scene| {
        let url = scene.url();
        let line = format!("agent enroll p --force --agent nobody --gateway {url} --ca ca --spiffe {id}");
        ok(scene.at(), &line);
    });
    let other = TokenKey::generate("ES256", "k1");
    scene.with("unauthorized", "", |scene| scene.token(&other, "reports-bot", "orders:read"));
    // No scope for the route, or none in the token.
    scene.with("ok", "", |scene| scene.token(&scene.issuer, "reports-bot", "nothing"));
    // Where the profile has the release, it is known beforehand.
    let granted = serde_json::json!({
        "policy": "tests", "version": 1, "release": "sha256:0", "scopes": ["orders:read"], "routes": [], "limits": [],
        "token": {"issuer": ISSUER, "audience": [AUDIENCE], "subject": "reports-bot", "scope_claim": "scope"},
        "client_ca": read("ca/ca.pem"),
    });
    scene.with("token-scope", "", |scene| {
        scene.edit(|profile| profile["granted"] = granted.clone());
        let (_, _, said) = scene.examine("");
        assert!(said.contains("by this profile (release version 1 at enrolment): scopes orders:read"), "{said}");
        scene.token(&scene.issuer, "reports-bot", "nothing");
    });
    // Another CA of the same name.
    ok(scene.at(), "ca init again --trust-domain corp.example --server localhost --no-passphrase");
    let url = scene.url();
    let line =
        format!("agent enroll q --agent reports-bot --gateway {url} --ca again --gateway-ca ca/ca.pem --spiffe {ID}");
    ok(scene.at(), &line);
    scene.with("wrong-ca", "", |scene| {
        for name in ["cert.pem", "key.pem"] {
            fs::copy(scene.at().join("q/current").join(name), scene.at().join("p/current").join(name)).unwrap();
        }
        let (_, _, said) = scene.examine("");
        assert!(said.contains("of another CA that has the same name"), "{said}");
        scene.edit(|profile| profile["granted"] = granted.clone());
        let (_, _, said) = scene.examine("");
        assert!(said.contains("found one of another CA that has the same name"), "{said}");
    });
    // The same of the gateway's: whoever has the wrong pin is told so, and not that the gateway is at fault.
    scene.with("gateway-other-ca", "", |scene| {
        fs::copy(scene.at().join("again/ca.pem"), scene.at().join("p/gateway-ca.pem")).unwrap();
        let (_, _, said) = scene.examine("");
        assert!(
            said.contains("another CA of the same name as the pinned one") && said.contains("--gateway-ca"),
            "{said}"
        );
    });
    scene.with("forbidden", "--path /orders/7", |scene| scene.token(&scene.issuer, "reports-bot", "nothing"));
    scene.with("forbidden", "--path /limited/not", |_| ());
    // A limit is reached.
    let slow = "spiffe://corp.example/slow";
    scene.with("limited", "--path /orders/7", |scene| {
        let url = scene.url();
        ok(scene.at(), &format!("agent enroll p --force --agent slow-bot --gateway {url} --ca ca --spiffe {slow}"));
        scene.finds("ok", "--path /orders/7");
    });
}

/// What the profile has of its release tells why calls are refused, or what it does not know.
#[test]
fn the_doctor_knows_the_routes_of_the_release() {
    let scene = Scene::new();
    let granted = |host: &str| {
        serde_json::json!({
            "policy": "tests", "version": 1, "release": "sha256:0", "scopes": ["orders:read"], "limits": [],
            "routes": [{"name": "order-read", "host": host, "methods": ["GET"], "path": "/orders/{id}"}],
            "client_ca": fs::read_to_string(scene.at().join("ca/ca.pem")).unwrap(),
        })
    };
    for host in ["*", "localhost"] {
        scene.with("ok", "", |scene| scene.edit(|profile| profile["granted"] = granted(host)));
    }
    scene.with("gateway-host", "", |scene| {
        scene.edit(|profile| profile["granted"] = granted("api.corp.example"));
        let (_, _, said) = scene.examine("--path /nowhere");
        assert!(said.contains("is at localhost: they are at api.corp.example"), "{said}");
        // Once, at its cause.
        assert!(said.contains("because of its host") && !said.contains("compare with the routes"), "{said}");
    });
    // It lists the route: then it is the profile that is behind, or the token that lacks the scope.
    scene.with("forbidden", "--path /orders/7", |scene| {
        scene.edit(|profile| profile["granted"] = granted("*"));
        scene.token(&scene.issuer, "reports-bot", "nothing");
        let (_, _, said) = scene.examine("--path /orders/7");
        assert!(said.contains("release version 1") && said.contains("may be behind"), "{said}");
    });
}

#[test]
fn the_doctor_names_revocation() {
    let scene = Scene::with_ca("crl = { watch = \"ca/ca.crl\" }");
    scene.finds("ok", "");
    ok(scene.at(), &format!("ca revoke ca {ID} --why stolen"));
    let is_refused = || scene.examine("").1 == "certificate-revoked";
    assert!(eventually(Duration::from_secs(60), is_refused), "{:?}", scene.examine(""));
    let (_, _, said) = scene.examine("");
    assert!(said.contains("this agent's certificate is revoked") && said.contains("ask whoever revoked it"), "{said}");
    // What a revocation list says stands in no answer: it is named as what may be, with where the operator finds it.
    scene.with("unauthorized", "", |scene| {
        let id = "spiffe://corp.example/nobody";
        ok(
            scene.at(),
            &format!("agent enroll p --force --agent nobody --gateway {} --ca ca --spiffe {id}", scene.url()),
        );
        let (_, _, said) = scene.examine("");
        let request = said.split_once("the record of request ").and_then(|(_, rest)| rest.split(' ').next()).unwrap();
        assert!(said.contains("revoked") && said.contains("adamant revoke list") && request.len() == 32, "{said}");
    });
}

#[test]
fn people_read_a_mark_a_finding_and_what_to_do() {
    let scene = Scene::new();
    let said = ok(scene.at(), "agent doctor p");
    for part in ["✓ profile", "✓ certificate", "✓ token", "✓ tls", "✓ answer", "nothing is wrong"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // What the next renewal needs is gone: nothing is wrong yet.
    fs::rename(scene.at().join("ca"), scene.at().join("away")).unwrap();
    let said = ok(scene.at(), "agent doctor p");
    assert!(said.contains("! renewal") && said.contains("ca/ca.json"), "{said}");
    assert!(said.ends_with("nothing is wrong yet: see what is marked with !\n"), "{said}");
    let (_, line, _) = gateway::run(&["agent", "run", "p", "--once"], scene.at());
    assert!(line.contains("is it mounted?"), "{line}");
    fs::write(scene.at().join("p/current/cert.pem"), "none").unwrap();
    let (status, said, _) = gateway::run(&["agent", "doctor", "p"], scene.at());
    assert_eq!(status.code(), Some(1));
    for part in ["✗ certificate", "→ enroll", "something is wrong: begin with the first ✗"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
