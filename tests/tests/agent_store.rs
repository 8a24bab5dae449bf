//! Agents that follow a channel: what the release grants, and where their gateway is, comes from the store by signatures
//! alone, follows the pointer forwards and back, and is not led anywhere by whoever holds the store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::agents::{ID, Running, assert_fits, ok, read_pair, run, through};
use tests::gateway::Gateway;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::store::{Built, Key, World, envelope};

#[path = "agent_store/doctor.rs"]
mod doctor;
#[path = "agent_store/enrolling.rs"]
mod enrolling;
#[path = "agent_store/stores.rs"]
mod stores;
#[path = "agent_store/thief.rs"]
mod thief;
#[path = "agent_store/to_and_fro.rs"]
mod to_and_fro;

/// Longer than any of it takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const AT: &str = "--channel production --trust-root root.json";
const TLS: &str = "\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \"server.key\" }], \
                   client_certificates = \"required\" }\n";

/// A gateway behind mutual TLS that follows a store, a CA for its agents, and the keys that publish there.
struct Stage {
    world: World,
    /// The store, as commands name it.
    url: String,
}

impl Stage {
    fn new(url: &str, ca: Option<&Path>, token: Option<&str>) -> Self {
        let world = World::with("hot", TLS);
        for number in [1, 2, 4] {
            secret(&world, &format!("{number}.key"), &Key::file(number));
        }
        ok(
            world.home(),
            "ca init ca --trust-domain corp.example --server localhost --server 127.0.0.1 --no-passphrase",
        );
        ok(world.home(), "ca issue ca --server localhost --server 127.0.0.1 --key-out server.key --out server.pem");
        let mut members = format!("url = \"{url}\"");
        if let Some(ca) = ca {
            fs::copy(ca, world.path("store-ca.pem")).unwrap();
            members += ", ca = \"store-ca.pem\"";
        }
        if let Some(token) = token {
            secret(&world, "store.token", token);
            members += ", token = \"store.token\"";
        }
        let store = if url.contains("://") { format!("{{ {members} }}") } else { format!("\"{url}\"") };
        world.configure(&format!("store = {store}\nchannel = \"production\"\nactivation = \"hot\""));
        Self { world, url: url.to_owned() }
    }

    fn directory() -> Self {
        Self::new("store", None, None)
    }

    fn policy(&self, scopes: &[&str]) -> PolicyText {
        let policy = PolicyText::new()
            .origin("origin", &[self.world.origin.address()])
            .route("orders", "GET", "/orders/{id}", "origin")
            .route("reports", "GET", "/reports/{id}", "origin")
            .scope("orders:read", &["orders"])
            .scope("reports:read", &["reports"])
            .client_ca("agents", "ca/ca.pem");
        let identity = |id: &str| format!("{{ certificate = \"{id}\", ca = \"agents\" }}");
        // All scopes are used, whoever has them.
        let policy =
            policy.agent("other-bot", &identity("spiffe://corp.example/other"), &["orders:read", "reports:read"], &[]);
        if scopes.is_empty() {
            return policy;
        }
        policy.agent("reports-bot", &identity(ID), scopes, &["1000000/minute"])
    }

    /// A release in which `reports-bot` has these scopes; none: in which it is not.
    fn build(&self, version: u64, scopes: &[&str]) -> Built {
        let built = self.world.build(version, &self.policy(scopes));
        self.world.write(&format!("{version}.json"), &envelope("release", &built.payload, &[1, 2]));
        built
    }

    /// A command with the place of the store behind its own words.
    fn try_run(&self, line: &str) -> (i32, String) {
        let mut line = format!("{line} --store {}", self.url);
        for (option, name) in [("--store-ca", "store-ca.pem"), ("--store-token", "store.token")] {
            if self.world.path(name).exists() {
                line += &format!(" {option} {name}");
            }
        }
        let (status, stdout, stderr) = run(self.world.home(), &line);
        (status, stdout + &stderr)
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        let (status, said) = self.try_run(line);
        assert_eq!(status, 0, "adamant {line}: {said}");
        said
    }

    /// What it complains about.
    #[track_caller]
    fn bad(&self, line: &str) -> String {
        let (status, said) = self.try_run(line);
        assert!(status == 1 && said.contains("error: ") && said.contains("hint: "), "adamant {line}: {status} {said}");
        said
    }

    fn point(&self, version: u64) -> String {
        self.run(&format!("point {AT} --key 4.key --release {version}.json"))
    }

    /// The document of what the channel runs.
    fn issue(&self, gateway: &str) -> String {
        self.run(&format!("profile issue {AT} --gateway {gateway} --gateway-ca ca/ca.pem --key 1.key --key 2.key"))
    }

    /// Release 1 in force, with its document.
    fn opened(&self) -> Gateway {
        self.build(1, &["orders:read"]);
        self.build(2, &["orders:read", "reports:read"]);
        self.point(1);
        let gateway = self.world.start();
        let said = self.issue(&url(&gateway, "localhost"));
        assert!(said.contains("wrote") && said.contains("profiles/sha256-"), "{said}");
        gateway
    }

    fn enroll(&self) -> String {
        self.run(&format!("agent enroll p --agent reports-bot --ca ca {AT}"))
    }

    fn follow(&self) -> Running {
        Running::start(self.world.home(), "agent run p --metrics 127.0.0.1:0")
    }

    fn profile(&self) -> Value {
        serde_json::from_slice(&fs::read(self.world.path("p/profile.json")).unwrap()).unwrap()
    }

    #[track_caller]
    fn is_soon_at(&self, version: u64, keeper: &Running) {
        let reached = eventually(SOON, || self.profile()["granted"]["version"] == version);
        assert!(reached, "version {version} was to be followed: {:#}\n{:#?}", self.profile(), keeper.lines());
    }

    /// What a local program gets through the proxy.
    fn call(&self, path: &str) -> String {
        let stream = UnixStream::connect(self.world.path("p/proxy.sock")).unwrap();
        through(stream, &format!("GET {path}"), "", "")
    }
}

fn secret(world: &World, name: &str, text: &str) {
    world.write(name, text.as_bytes());
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

fn url(gateway: &Gateway, host: &str) -> String {
    format!("https://{host}:{}", gateway.tls_address().port())
}

fn proxy(stage: &Stage) -> Running {
    let proxy = Running::start(stage.world.home(), "agent proxy p");
    let socket = stage.world.path("p/proxy.sock");
    assert!(eventually(SOON, || UnixStream::connect(&socket).is_ok()), "{:?}", proxy.lines());
    proxy
}

/// Lines of the log of this kind, about the profile.
fn told(keeper: &Running, kind: &str) -> Vec<Value> {
    keeper.json().into_iter().filter(|line| line["kind"] == kind && line["what"] == "profile").collect()
}

/// Enrolled by the channel, forwards, back, and to another address: with a key that stays, and calls that go on.
fn life(stage: &Stage) -> (Gateway, Running) {
    let gateway = stage.opened();
    let said = stage.enroll();
    assert!(said.contains("follows") && said.contains("orders:read") && said.contains("version 1"), "{said}");
    let first = stage.profile();
    assert_eq!(first["gateway"], url(&gateway, "localhost"));
    assert_eq!(first["granted"]["scopes"], serde_json::json!(["orders:read"]));
    let (_, cert, key) = read_pair(&stage.world.path("p"));
    let _proxy = proxy(stage);
    assert!(stage.call("/orders/7").starts_with("HTTP/1.1 200"), "{}", stage.call("/orders/7"));
    assert!(stage.call("/reports/7").starts_with("HTTP/1.1 403"), "{}", stage.call("/reports/7"));

    let keeper = stage.follow();
    stage.run(&format!("profile issue {AT} --release 2.json --key 1.key --key 2.key"));
    stage.point(2);
    stage.is_soon_at(2, &keeper);
    keeper.says("\"why\":\"release\"", 1);
    assert!(eventually(SOON, || stage.call("/reports/7").starts_with("HTTP/1.1 200")), "{}", gateway.stderr());
    let line = told(&keeper, "refresh").pop().unwrap();
    assert_eq!((&line["outcome"], &line["changes"][0]), (&"renewed".into(), &"version 1 → 2".into()), "{line:#}");
    assert!(line["changes"].to_string().contains("with scope reports:read"), "{line:#}");
    assert!(line["old_sha256"].is_string() && line["old_sha256"] != line["new_sha256"], "{line:#}");

    stage.run(&format!("rollback {AT} --key 4.key --to previous"));
    stage.is_soon_at(1, &keeper);
    keeper.says("\"why\":\"rollback\"", 1);
    keeper.says("scope-gone", 1);
    let warning = told(&keeper, "warning").pop().unwrap();
    assert_eq!((&warning["why"], &warning["outcome"]), (&"scope-gone".into(), &"renewed".into()), "{warning:#}");

    // Another address, by another document of the release that is in force again.
    let there = url(&gateway, "127.0.0.1");
    stage.run(&format!("point {AT} --key 4.key --key 1.key --key 2.key --release 2.json"));
    stage.is_soon_at(2, &keeper);
    stage.issue(&there);
    assert!(eventually(SOON, || stage.profile()["gateway"] == there.as_str()), "{:#?}", keeper.lines());
    keeper.says("\"why\":\"document\"", 1);
    assert!(stage.call("/orders/7").starts_with("HTTP/1.1 200"), "the proxy goes there without a restart");
    let (_, cert_now, key_now) = read_pair(&stage.world.path("p"));
    assert!(cert_now == cert && key_now == key, "key and certificate are those of before");
    assert_fits(&cert_now, &key_now);
    (gateway, keeper)
}

#[test]
fn a_directory_is_followed_forwards_and_back() {
    let stage = Stage::directory();
    let (_gateway, keeper) = life(&stage);
    // Nothing else is told, and it ends in order.
    let lines = keeper.end();
    assert!(lines.iter().all(|line| !line.contains("failed")), "{lines:#?}");
    // Once is enough for those who have a timer of their own.
    stage.run(&format!("rollback {AT} --key 4.key --key 1.key --key 2.key --to previous"));
    let said = ok(stage.world.home(), "agent run p --once");
    assert!(said.contains("\"why\":\"rollback\"") && said.contains("\"what\":\"certificate\""), "{said}");
    assert_eq!(stage.profile()["granted"]["version"], 1);
    assert_eq!(
        fs::metadata(stage.world.path("p/channel-production.json")).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
