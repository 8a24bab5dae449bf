//! Access tokens that the gateway fetches for its origins: renewed under load, never past their life, never to be seen; and
//! nothing goes to an origin without one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "origin_oauth/lies.rs"]
mod lies;
#[path = "origin_oauth/outage.rs"]
mod outage;
#[path = "origin_oauth/own.rs"]
mod own;
#[path = "origin_oauth/provider.rs"]
mod provider;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tests::answer::Answer;
use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::issuer::{HttpsIssuer, Reply};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::{self, eventually};

const SOON: Duration = Duration::from_secs(60);
const PATH: &str = "/token";
const SECRET: &str = "s3cr3t-of-the-edge%";
const OWN: &str = "credentials = { from = \"orders\", header = \"Authorization\", value = \"Bearer {secret}\" }";

/// `/own/…` leads to an origin that wants the credential, `/other` to one that wants none.
fn policy(own: &RecordingOrigin, other: &RecordingOrigin) -> PolicyText {
    PolicyText::new()
        .origin_with("own", &[own.address()], OWN)
        .origin("other", &[other.address()])
        .route("own", "*", "/own/{rest...}", "own")
        .route("other", "*", "/other", "other")
        .scope("all", &["own", "other"])
        .anonymous(&["all"], &[])
}

/// `gateway.toml` of a client of `url`, which `id-ca.pem` vouches for.
fn client(url: &str, more: &str) -> String {
    format!(
        "[[origin_credential]]\nname = \"orders\"\n[origin_credential.oauth]\ntoken_url = \"{url}\"\nca = \"id-ca.pem\"\n\
         client_id = \"the edge\"\nscope = \"orders:read\"\n{more}"
    )
}

const BY_SECRET: &str = "secret = \"client.key\"";

/// A gateway whose tokens a server gives that says what a test wants.
struct Scene {
    issuer: HttpsIssuer,
    gateway: Gateway,
    own: RecordingOrigin,
    other: RecordingOrigin,
}

impl Scene {
    fn new(reply: Reply) -> Self {
        Self::of(HttpsIssuer::start(), reply, BY_SECRET)
    }

    fn of(issuer: HttpsIssuer, reply: Reply, more: &str) -> Self {
        issuer.say(PATH, reply);
        let (own, other) = (RecordingOrigin::start(), RecordingOrigin::start());
        let gateway = deployment(&issuer, more).run(&policy(&own, &other).text());
        Self { issuer, gateway, own, other }
    }

    fn status(&self) -> u16 {
        self.gateway.once(get("/own/1", "Connection: close\r\n")).status
    }

    /// The origin was sent this token at last.
    fn sends(&self, token: &str) -> bool {
        self.status() == 200
            && self.own.requests().pop().unwrap().value("Authorization") == Some(&format!("Bearer {token}"))
    }

    /// Requests that need a token are refused, and only those.
    #[track_caller]
    fn is_without(&self) {
        let before = self.own.count();
        let answer = self.gateway.once(get("/own/1", "Connection: close\r\n"));
        assert_eq!((answer.status, answer.value("Retry-After")), (503, Some("1")), "{}", self.gateway.stderr());
        assert!(answer.text().contains("\"code\":\"unavailable\""), "{}", answer.text());
        assert_eq!(self.own.count(), before, "the origin gets nothing");
        let told = || self.gateway.records().iter().any(|of| of["adamant.reason"] == "origin-credential-missing");
        assert!(eventually(SOON, told), "{}", self.gateway.record_text());
        assert_eq!(self.gateway.once(get("/other", "Connection: close\r\n")).status, 200);
        assert!(self.other.count() > 0);
    }

    fn failures(&self) -> f64 {
        self.gateway.metric("origin_material_failures_total")
    }
}

fn deployment(issuer: &HttpsIssuer, more: &str) -> Deployment {
    let toml = client(&issuer.url(PATH), more);
    Deployment::new().file("id-ca.pem", &issuer.ca).file("client.key", &format!("{SECRET}\n")).with(&toml)
}

fn gives(token: &str, expires_in: &Value) -> Reply {
    Reply::json(&json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}).to_string())
}

/// Everything that a gateway has written and shows.
fn written(gateway: &Gateway) -> Vec<(String, String)> {
    let mut all = vec![("stderr".to_owned(), gateway.stderr()), ("records".to_owned(), gateway.record_text())];
    for path in ["/metrics", "/release", "/readyz"] {
        all.push((path.to_owned(), gateway.admin(path).text()));
    }
    for name in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{name}", gateway.pid())).unwrap();
        all.push((name.to_owned(), String::from_utf8_lossy(&text).into_owned()));
    }
    for path in files_in(&gateway.directory().join("state")) {
        all.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()));
    }
    all
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[track_caller]
fn shows_none(gateway: &Gateway, secrets: &[&str]) {
    for (place, text) in written(gateway) {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {place}: {text}");
        }
    }
}

fn refreshes(gateway: &Gateway, outcome: &str) -> Vec<Value> {
    let is_it = |line: &Value| line["adamant.refresh.outcome"] == outcome;
    gateway.refreshes("origin-credential").into_iter().filter(is_it).collect()
}

/// The same, once there are `count` of them.
#[track_caller]
fn wait_for_refreshes(gateway: &Gateway, outcome: &str, count: usize) -> Vec<Value> {
    let told = eventually(SOON, || refreshes(gateway, outcome).len() >= count);
    assert!(told, "{count} {outcome}: {}", gateway.record_text());
    refreshes(gateway, outcome)
}

#[test]
fn a_token_is_fetched_as_the_client_and_goes_to_the_origin_alone() {
    let scene = Scene::new(gives("t0ken-of-the-edge", &json!(3_600)));
    assert!(eventually(SOON, || scene.sends("t0ken-of-the-edge")));
    let (head, content) = scene.issuer.heard().remove(0);
    assert_eq!(content, "grant_type=client_credentials&scope=orders%3Aread");
    // RFC 6749 §2.3.1: `the%20edge:s3cr3t-of-the-edge%25`.
    assert!(head.contains("authorization: Basic dGhlJTIwZWRnZTpzM2NyM3Qtb2YtdGhlLWVkZ2UlMjU=\r\n"), "{head}");
    assert_eq!(scene.gateway.once(get("/other", "")).status, 200);
    assert_eq!(scene.other.last_of(1).value("Authorization"), None);
    assert_eq!(scene.issuer.asked(PATH), 1, "once, however many ask");
    let ends = scene.gateway.metric("origin_material_expiry_timestamp_seconds") - tests::tokens::now_s() as f64;
    assert!((3_500.0..3_600.0).contains(&ends), "a little before its end: {ends}");
    assert_eq!(scene.gateway.metric("origin_material_refreshes_total"), 1.0);
    let taken = wait_for_refreshes(&scene.gateway, "taken", 1).remove(0);
    assert_eq!(taken["adamant.refresh.source"], scene.issuer.url(PATH));
    assert_eq!(taken["adamant.refresh.new"].as_str().unwrap().len(), 16, "{taken}");
    assert!(eventually(SOON, || scene.gateway.admin("/readyz").status == 200));
    shows_none(&scene.gateway, &["t0ken-of-the-edge", "s3cr3t-of-the-edge"]);
}

#[test]
fn a_client_proves_who_it_is_in_each_way_that_there_is() {
    let scene = Scene::of(
        HttpsIssuer::start(),
        gives("t", &json!(600)),
        &format!("{BY_SECRET}\nsecret_in = \"form\"\nresource = \"https://api.test/\"\naudience = \"orders\""),
    );
    assert!(eventually(SOON, || scene.sends("t")));
    let (head, content) = scene.issuer.heard().remove(0);
    assert!(!head.to_lowercase().contains("authorization:"), "{head}");
    assert_eq!(
        content,
        "grant_type=client_credentials&scope=orders%3Aread&resource=https%3A%2F%2Fapi.test%2F&audience=orders&client_id=the%20edge&\
         client_secret=s3cr3t-of-the-edge%25"
    );

    let clients = tests::certificates::Authority::new("clients");
    let own = clients.spiffe("spiffe://corp.test/edge");
    let issuer = HttpsIssuer::start_for(Some(&clients));
    issuer.say(PATH, gives("bound", &json!(600)));
    let (one, other) = (RecordingOrigin::start(), RecordingOrigin::start());
    let gateway = deployment(&issuer, "chain = \"edge.pem\"\nkey = \"edge.key\"")
        .file("edge.pem", &own.certificate)
        .file("edge.key", &own.key)
        .run(&policy(&one, &other).text());
    assert!(eventually(SOON, || gateway.once(get("/own/1", "")).status == 200), "{}", gateway.stderr());
    let (head, content) = issuer.heard().remove(0);
    assert!(!head.to_lowercase().contains("authorization:") && content.ends_with("&client_id=the%20edge"), "{content}");
}

#[test]
fn a_check_asks_nobody_and_finds_what_is_missing() {
    let issuer = HttpsIssuer::start();
    let (own, other) = (RecordingOrigin::start(), RecordingOrigin::start());
    let check = |deployment: Deployment| {
        let deployment = deployment.prepare(&policy(&own, &other).text());
        tests::gateway::run(&["run", "gateway.toml", "--check"], deployment.directory())
    };
    let (status, stdout, stderr) = check(deployment(&issuer, BY_SECRET));
    assert!(status.success() && stdout.starts_with("ok: "), "{stdout}{stderr}");
    assert_eq!(issuer.connections(), 0);
    let wrong = [
        (deployment(&issuer, "secret = \"none.key\""), "the file that secret names cannot be read"),
        (deployment(&issuer, BY_SECRET).file("id-ca.pem", "no PEM"), "id-ca.pem: the pinned CA"),
        (
            deployment(&issuer, "secret = \"client.key\"\nchain = \"client.key\""),
            "expected `secret`, or `chain` and `key`",
        ),
        (
            deployment(&issuer, "chain = \"client.key\"\nkey = \"client.key\"\nsecret_in = \"form\""),
            "expected `secret`, or",
        ),
        (deployment(&issuer, "secret = \"client.key\"\nscope = \"twice\""), "duplicate key"),
        (deployment(&issuer, "secret = \"client.key\"\naudience = \"\""), "expected audience as 1 to 1024 bytes"),
        (
            Deployment::new().file("client.key", SECRET).with(&client("http://id.test/token", BY_SECRET)),
            "plain http is for an address on loopback alone",
        ),
        (
            Deployment::new().file("client.key", SECRET).with(&client("http://127.0.0.1:1/token", BY_SECRET)),
            "expected https://, found \"http://127.0.0.1:1/token\"",
        ),
        (Deployment::new().with("[[origin_credential]]\nname = \"orders\""), "expected one of file, openbao and oauth"),
    ];
    for (deployment, expected) in wrong {
        let (status, _, stderr) = check(deployment);
        assert!(status.code() == Some(1) && stderr.contains(expected), "{expected}: {stderr}");
    }
    assert_eq!(issuer.connections(), 0);
}
