//! Stores on servers: a gateway follows them as it does a directory, believes none of them, and goes on whatever they do.
//! etcd and OpenBao are the real ones; Consul is what its API's documentation says, and an https server is a small one.
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
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::apikey::ApiKey;
use tests::client::get;
use tests::gateway::{self, Gateway};
use tests::process::eventually;
use tests::store::{Built, Key, World, envelope, told};

#[path = "store_remote/consul.rs"]
mod consul;
#[path = "store_remote/double.rs"]
mod double;
#[path = "store_remote/https.rs"]
mod https;
#[path = "store_remote/real.rs"]
mod real;
#[path = "store_remote/writers.rs"]
mod writers;

/// Longer than any of it takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A gateway that follows a store on a server, and the commands that publish there.
struct Stage {
    world: World,
    /// The store, as commands name it.
    url: String,
    key: ApiKey,
}

impl Stage {
    /// `token`: the first line of its file.
    fn new(url: &str, ca: Option<&Path>, token: Option<&str>) -> Self {
        let world = World::new("hot");
        for number in [1, 2, 4] {
            secret(&world, &format!("{number}.key"), &Key::file(number));
        }
        let mut members = format!("url = \"{url}\"");
        if let Some(ca) = ca {
            fs::copy(ca, world.path("store-ca.pem")).unwrap();
            members += ", ca = \"store-ca.pem\"";
        }
        if let Some(token) = token {
            secret(&world, "store.token", token);
            members += ", token = \"store.token\"";
        }
        world.configure(&format!("store = {{ {members} }}\nchannel = \"production\"\nactivation = \"hot\""));
        Self { world, url: url.to_owned(), key: ApiKey::new("reports-1") }
    }

    /// Anybody may read these, `bot` with its key everything.
    fn build(&self, version: u64, paths: &[&str]) -> Built {
        let policy = self.world.policy(paths).route("all", "*", "/bot/{rest...}", "origin").scope("bot", &["all"]);
        let policy = policy.agent("bot", "{ api_key = [\"reports-1\"] }", &["bot"], &[]).api_key(&self.key, "");
        let built = self.world.build(version, &policy);
        self.world.write(&format!("{version}.json"), &envelope("release", &built.payload, &[1, 2]));
        built
    }

    /// Where the store is, and how it is spoken to.
    fn place(&self) -> Vec<String> {
        let mut words = vec!["--store".to_owned(), self.url.clone()];
        for (option, name) in [("--store-ca", "store-ca.pem"), ("--store-token", "store.token")] {
            if self.world.path(name).exists() {
                words.extend([option.to_owned(), name.to_owned()]);
            }
        }
        words
    }

    /// A command with the place of the store behind its own words; whether it was content, and all that it said.
    fn try_run(&self, line: &str) -> (bool, String) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).chain(self.place()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (status, stdout, stderr) = gateway::run(&words, self.world.home());
        assert!(!stderr.contains("panicked"), "{line}: {stderr}");
        (status.success(), stdout + &stderr)
    }

    fn run(&self, line: &str) -> String {
        let (good, said) = self.try_run(line);
        assert!(good, "adamant {line}: {said}");
        said
    }

    fn bad(&self, line: &str) -> String {
        let (good, said) = self.try_run(line);
        assert!(!good, "adamant {line}: {said}");
        said
    }

    fn point(&self, version: u64) -> String {
        self.run(&format!("point {AT} --key 4.key --release {version}.json"))
    }

    fn with_key(&self, gateway: &Gateway) -> u16 {
        gateway.once(get("/bot/x", &format!("X-API-Key: {}\r\n", self.key.text))).status
    }

    /// Revokes the key of `bot`; how long that takes to be in force.
    fn revoke(&self, gateway: &Gateway) -> Duration {
        assert_eq!(self.with_key(gateway), 200);
        self.run(&format!("revoke {AT} --key 1.key --api-key reports-1"));
        let since = Instant::now();
        assert!(eventually(SOON, || self.with_key(gateway) == 401), "{:#}\n{}", told(gateway), gateway.stderr());
        since.elapsed()
    }
}

const AT: &str = "--channel production --trust-root root.json";

fn secret(world: &World, name: &str, text: &str) {
    // Whoever looks at it never sees it open to others.
    let new = world.path(&format!("{name}.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, world.path(name)).unwrap();
}

fn serves_soon(gateway: &Gateway, version: u64) {
    let reached = eventually(SOON, || told(gateway)["version"] == version);
    assert!(reached, "version {version} was to serve: {:#}\n{}", told(gateway), gateway.stderr());
}

/// Waits until the release side says of the store what `part` is in; what it says.
fn refused_soon(gateway: &Gateway, part: &str) -> Value {
    let mut shown = Value::Null;
    let reached = eventually(SOON, || {
        shown = told(gateway)["refusal"].clone();
        shown.to_string().contains(part)
    });
    assert!(reached, "{part:?} was to be refused: {shown:#}\n{}", gateway.stderr());
    shown
}

fn content_soon(gateway: &Gateway) {
    let reached = eventually(SOON, || told(gateway)["refusal"].is_null());
    assert!(reached, "nothing was to be refused any more: {:#}\n{}", told(gateway), gateway.stderr());
}

/// From an empty store to a release that serves, one after it, back, and the kill switch.
fn life(stage: &Stage) -> Gateway {
    let (one, _) = (stage.build(1, &["/one"]), stage.build(2, &["/one", "/two"]));
    let why = stage.world.try_start().err().expect("there is nothing to serve");
    assert!(why.contains("channels/production/pointer.json is not there"), "{why}");
    stage.point(1);
    let gateway = stage.world.start();
    assert_eq!((told(&gateway)["version"].clone(), stage.with_key(&gateway)), (1.into(), 200));
    stage.point(2);
    serves_soon(&gateway, 2);
    assert_eq!(gateway.once(get("/two", "")).status, 200);
    stage.run(&format!("rollback {AT} --key 4.key --to {}", one.digest));
    serves_soon(&gateway, 1);
    let listed = stage.run(&format!("point show {AT}"));
    assert!(listed.contains(&one.digest) && listed.contains("serial 3"), "{listed}");
    eprintln!("revoked within {} ms", stage.revoke(&gateway).as_millis());
    gateway
}
