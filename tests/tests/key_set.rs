//! API keys that move under a frozen release: a signed set fills the ids that it leaves open, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

use serde_json::{Value, json};
use tests::answer::Answer;
use tests::apikey::ApiKey;
use tests::client::get;
use tests::gateway::{self, Gateway};
use tests::process::eventually;
use tests::store::{END, Key, World, envelope, root_payload, told};

#[path = "key_set/behind.rs"]
mod behind;
#[path = "key_set/forged.rs"]
mod forged;
#[path = "key_set/kept.rs"]
mod kept;
#[path = "key_set/rooted.rs"]
mod rooted;
#[path = "key_set/terms.rs"]
mod terms;

/// Longer than any of it takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A gateway whose release leaves `ci-1` and `ci-2` open, and pins `fixed`. Key 3 signs key sets.
struct Stage {
    world: World,
    running: Option<Gateway>,
    fixed: ApiKey,
}

impl Stage {
    fn new() -> Self {
        let world = World::new("hot");
        for number in [1, 2, 3] {
            private(&world, &format!("{number}.key"), Key::file(number).as_bytes());
        }
        world.origin.answer_with(|_, _| Answer::text("ok"));
        let mut stage = Self { world, running: None, fixed: ApiKey::new("fixed") };
        let release = stage.world.build(1, &stage.policy(true));
        stage.world.publish(1, &release);
        stage.running = Some(stage.world.start());
        stage
    }

    /// With `fixed` pinned, or left open as well.
    fn policy(&self, pinned: bool) -> tests::policy::PolicyText {
        let policy = tests::policy::PolicyText::new()
            .origin("origin", &[self.world.origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .agent("bot", "{ api_key = [\"ci-1\", \"ci-2\"] }", &["all"], &[])
            .agent("fixed", "{ api_key = [\"fixed\"] }", &["all"], &[])
            .open_api_key("ci-1")
            .open_api_key("ci-2");
        if pinned { policy.api_key(&self.fixed, "") } else { policy.open_api_key("fixed") }
    }

    fn gateway(&self) -> &Gateway {
        self.running.as_ref().unwrap()
    }

    fn restart(&mut self) {
        let mut running = self.running.take().unwrap();
        running.signal("TERM");
        assert!(running.wait(SOON).is_some());
        self.running = Some(self.world.start());
    }

    /// As after SIGKILL.
    fn kill(&mut self) {
        drop(self.running.take());
    }

    /// `adamant key-set` with these arguments on the store.
    fn try_key_set(&self, command: &str, arguments: &[&str]) -> (bool, String) {
        let place = ["key-set", command, "--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let (status, stdout, stderr) = gateway::run(&[&place, arguments].concat(), self.world.home());
        (status.success(), format!("{stdout}{stderr}"))
    }

    /// Signed by the key of role `keys`.
    fn key_set(&self, command: &str, arguments: &[&str]) -> String {
        let (done, said) = self.try_key_set(command, &[arguments, &["--key", "3.key"]].concat());
        assert!(done, "{command} {arguments:?}: {said}");
        said
    }

    fn add(&self, key: &ApiKey) {
        self.key_set("add", &["--id", &key.id, "--sha256", &key.sha256]);
    }

    fn set_path(&self) -> PathBuf {
        self.world.path("store/channels/production/key-set.json")
    }

    fn shown(&self) -> Value {
        told(self.gateway())["key_set"].clone()
    }

    fn wait_for_serial(&self, serial: u64) {
        assert!(eventually(SOON, || self.shown()["serial"] == serial), "{}", told(self.gateway()));
    }

    fn wait_for_refusal(&self, check: &str) {
        assert!(eventually(SOON, || self.shown()["refusal"]["check"] == check), "{check}: {}", self.shown());
    }

    fn status(&self, key: &ApiKey) -> u16 {
        self.status_of("/x", key)
    }

    fn status_of(&self, path: &str, key: &ApiKey) -> u16 {
        self.gateway().once(get(path, &format!("X-API-Key: {}\r\n", key.text))).status
    }

    /// Why a request with the key is refused, by its record.
    fn reason(&self, key: &ApiKey) -> String {
        // A path of its own: records of requests before it may still come.
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let path = format!("/why-{}", ASKED.fetch_add(1, Ordering::Relaxed));
        assert_eq!(self.status_of(&path, key), 401);
        let mut lines = Vec::new();
        let told = eventually(SOON, || {
            lines = self.lines(|of| of["url.path"] == path.as_str());
            !lines.is_empty()
        });
        assert!(told, "no record of {path}");
        lines[0]["adamant.reason"].as_str().unwrap().to_owned()
    }

    fn lines(&self, is_meant: impl Fn(&Value) -> bool) -> Vec<Value> {
        let text = self.gateway().record_text();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_meant).collect()
    }

    /// Entries of the rotation log about the key set.
    fn rotations(&self) -> Vec<Value> {
        self.lines(|line| line["adamant.refresh.of"] == "key-set")
    }

    /// The one that tells of this serial. What is in force may be told a moment later.
    fn rotation_to(&self, serial: u64) -> Value {
        let mut found = None;
        let begins = format!("serial-{serial} ");
        let is_it = |line: &Value| line["adamant.refresh.new"].as_str().is_some_and(|new| new.starts_with(&begins));
        let told = eventually(SOON, || {
            found = self.rotations().into_iter().find(|line| line["adamant.refresh.outcome"] == "taken" && is_it(line));
            found.is_some()
        });
        assert!(told, "{:#?}", self.rotations());
        found.unwrap()
    }
}

/// Seconds from now, as a time.
fn in_s(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}", tests::tokens::now_s() + seconds), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A set of a policy and channel, with one key, from the first time to the second.
fn payload([policy, channel]: [&str; 2], serial: u64, key: &ApiKey, times: &[String; 2]) -> Vec<u8> {
    let set = json!({
        "type": "adamant.key-set.v1", "policy_name": policy, "channel": channel, "serial": serial, "issued": times[0],
        "expires": times[1], "keys": [{ "id": key.id, "hashes": [{ "sha256": key.sha256 }] }],
    });
    set.to_string().into_bytes()
}

/// One that has just been issued, for a day.
fn fresh() -> [String; 2] {
    [0, 86_400].map(in_s)
}

fn private(world: &World, name: &str, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    world.write(name, content);
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn an_id_that_the_release_leaves_open_is_filled_without_another_release() {
    let mut stage = Stage::new();
    let key = ApiKey::new("ci-1");
    let gateway = stage.gateway();
    gateway.tells("2 API keys of the release have no key (there is no key set): ci-1, ci-2");
    assert_eq!((stage.status(&stage.fixed), stage.reason(&key)), (200, "api-key-invalid".to_owned()));
    assert_eq!((stage.shown()["serial"].clone(), stage.shown()["unfilled"].clone()), (json!(0), json!(2)));
    let before = told(gateway);

    private(&stage.world, "ci-1.key", key.text.as_bytes());
    let said = stage.key_set("add", &["--key-file", "ci-1.key", "--for", "30d"]);
    assert!(said.contains("serial 1") && said.contains(&format!("adds     ci-1 {}", &key.sha256[..12])), "{said}");
    stage.wait_for_serial(1);
    assert_eq!((stage.status(&key), stage.status(&stage.fixed)), (200, 200));
    let recorded = |of: &Value| of["adamant.api_key"] == "ci-1" && of["adamant.agent"] == "bot";
    assert!(eventually(SOON, || !stage.lines(recorded).is_empty()));
    let after = told(gateway);
    assert_eq!((&before["activation"], &before["release"]), (&after["activation"], &after["release"]));
    assert_eq!((&after["key_set"]["filled"], &after["key_set"]["unfilled"]), (&json!(1), &json!(1)));
    assert_eq!((gateway.metric("key_set_serial"), gateway.metric("key_set_filled")), (1.0, 1.0));
    let admin = format!("http://{}", gateway.admin_address());
    let (_, status, _) = gateway::run(&["status", &admin], stage.world.home());
    assert!(status.contains("note: key set serial 1, 1 API key, until "), "{status}");
    let taken = stage.rotation_to(1);
    assert_eq!(taken["adamant.refresh.new"], format!("serial-1 ci-1:{}", &key.sha256[..12]));
    let (_, shown, _) = gateway::run(&["audit", "show", "--rotations", "records.jsonl"], stage.world.home());
    assert!(shown.contains("key-set") && shown.contains("serial-1"), "{shown}");

    // The kill switch goes before it.
    let place = ["--store", "store", "--channel", "production", "--trust-root", "root.json", "--key", "1.key"];
    let (done, _, said) = gateway::run(&[&["revoke", "--api-key", "ci-1"], &place[..]].concat(), stage.world.home());
    assert!(done.success(), "{said}");
    assert!(eventually(SOON, || stage.status(&key) == 401));
    assert_eq!(stage.reason(&key), "credential-revoked");
    // Whatever moved is in the rotation log, in its order; and nothing else is.
    let rotations = || gateway::run(&["audit", "show", "--rotations", "records.jsonl"], stage.world.home()).1;
    // A list is in force before it is told.
    assert!(eventually(SOON, || rotations().contains(" revocations ")), "{}", rotations());
    let shown = rotations();
    let release = after["release"].as_str().unwrap();
    let [first, set, list] = [
        format!(" release {release} accepted "),
        " key-set production taken (changed) ".to_owned(),
        " revocations serial-1 accepted ".to_owned(),
    ];
    let found: Vec<_> = [&first, &set, &list].iter().map(|text| shown.find(text.as_str())).collect();
    assert!(found[0].is_some() && found.is_sorted_by(|one, other| one < other), "{found:?}: {shown}");
    assert!(!shown.contains(" activation ") && !shown.contains(" start ") && !shown.contains(" permit "), "{shown}");
    stage.restart();
    assert_eq!(stage.reason(&key), "credential-revoked");
}

#[test]
fn a_key_is_rotated_under_load_and_no_valid_request_fails() {
    let stage = Stage::new();
    let (old, new) = (ApiKey::new("ci-1"), ApiKey::new("ci-1"));
    stage.add(&old);
    stage.wait_for_serial(1);
    let (current, stop) = (Mutex::new(old.clone()), AtomicBool::new(false));
    let with_new = Mutex::new(HashSet::<ThreadId>::new());
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut count, mut client) = (0_u32, stage.gateway().client());
                    while !stop.load(Ordering::Relaxed) || count <= 10 {
                        let key = current.lock().unwrap().text.clone();
                        let status = client.exchange(get("/x", &format!("X-API-Key: {key}\r\n"))).status;
                        assert_eq!(status, 200, "after {count}");
                        count += 1;
                        with_new.lock().unwrap().extend((key == new.text).then(|| std::thread::current().id()));
                    }
                    count
                })
            })
            .collect();
        let said = stage.key_set("rotate", &["--id", "ci-1", "--sha256", &new.sha256, "--overlap", "12h"]);
        assert!(said.contains("keeps    ci-1") && said.contains(", until "), "{said}");
        stage.wait_for_serial(2);
        assert_eq!((stage.status(&old), stage.status(&new)), (200, 200), "both hold");
        let third = ApiKey::new("ci-1");
        let (done, said) = stage.try_key_set("rotate", &["--id", "ci-1", "--sha256", &third.sha256, "--key", "3.key"]);
        assert!(!done && said.contains("two keys already"), "{said}");
        *current.lock().unwrap() = new.clone();
        std::thread::sleep(Duration::from_millis(1_200));
        assert!(eventually(SOON, || with_new.lock().unwrap().len() == 3), "nobody uses the old one any more");
        stage.key_set("remove", &["--id", "ci-1", "--sha256", &old.sha256[..12]]);
        stage.wait_for_serial(3);
        assert_eq!((stage.status(&old), stage.status(&new)), (401, 200));
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        let counts: Vec<u32> = load.into_iter().map(|of| of.join().unwrap()).collect();
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    });
    let last = stage.rotation_to(3);
    let (old_print, new_print) = (&old.sha256[..12], &new.sha256[..12]);
    let mut both = [old_print, new_print];
    both.sort_unstable();
    assert_eq!(last["adamant.refresh.old"], format!("serial-2 ci-1:{} ci-1:{}", both[0], both[1]));
    assert_eq!(last["adamant.refresh.new"], format!("serial-3 ci-1:{new_print}"));
    assert_eq!(last["adamant.refresh.overlap"], format!("ci-1:{new_print}"));
    assert!((1..120).contains(&last["adamant.refresh.overlap_s"].as_u64().unwrap()), "they stood side by side: {last}");
    // Digits that begin two keys name neither.
    let alike = format!("{}{}", &new.sha256[..16], &old.sha256[16..]);
    stage.key_set("rotate", &["--id", "ci-1", "--sha256", &alike, "--overlap", "12h"]);
    stage.wait_for_serial(4);
    let both = ["--id", "ci-1", "--sha256", &new.sha256[..16], "--key", "3.key"];
    let (done, said) = stage.try_key_set("remove", &both);
    assert!(!done && said.contains("begins several of ci-1"), "{said}");
    stage.key_set("remove", &["--id", "ci-1", "--sha256", &alike[..20]]);
    stage.wait_for_serial(5);
    assert_eq!(stage.status(&new), 200);
    // An emergency: nothing of the one before.
    let third = ApiKey::new("ci-1");
    stage.key_set("rotate", &["--id", "ci-1", "--sha256", &third.sha256, "--at-once"]);
    stage.wait_for_serial(6);
    assert_eq!((stage.status(&new), stage.status(&third)), (401, 200));
    stage.key_set("remove", &["--id", "ci-1"]);
    stage.wait_for_serial(7);
    assert_eq!(stage.reason(&third), "api-key-invalid");
    for text in [&old.text, &new.text, &third.text] {
        for place in ["records.jsonl", "store/channels/production/key-set.json", "state/accepted.json"] {
            assert!(!fs::read_to_string(stage.world.path(place)).unwrap().contains(text.as_str()), "{place}");
        }
        assert!(!stage.gateway().stderr().contains(text.as_str()));
    }
}

#[test]
fn what_the_release_pins_or_does_not_declare_is_ignored_and_told() {
    let stage = Stage::new();
    let (thief, nobody) = (ApiKey::new("fixed"), ApiKey::new("nobody"));
    let refused = |key: &ApiKey, parts: [&str; 2]| {
        let (done, said) = stage.try_key_set("add", &["--id", &key.id, "--sha256", &key.sha256, "--key", "3.key"]);
        assert!(!done && parts.iter().all(|part| said.contains(part)), "{said}");
    };
    refused(&thief, ["pins the key of fixed", "--unknown"]);
    refused(&nobody, ["no API key \"nobody\"", "--unknown"]);
    stage.key_set("add", &["--id", "fixed", "--sha256", &thief.sha256, "--unknown"]);
    stage.wait_for_serial(1);
    stage.key_set("add", &["--id", "nobody", "--sha256", &nobody.sha256, "--unknown"]);
    stage.wait_for_serial(2);
    stage.gateway().tells("2 ids are ignored, because the release pins or does not declare them: fixed, nobody");
    assert_eq!((stage.status(&stage.fixed), stage.status(&thief), stage.status(&nobody)), (200, 401, 401));
    assert!(eventually(SOON, || stage.gateway().metric("key_set_ignored") == 2.0));

    // A release that leaves it open is a wider one, and takes it from the set.
    let release = stage.world.build(2, &stage.policy(false));
    stage.world.write("open.toml", stage.policy(false).text().as_bytes());
    stage.world.write("pinned.toml", stage.policy(true).text().as_bytes());
    for (from, to) in [("pinned.toml", "open.toml"), ("open.toml", "pinned.toml")] {
        let (status, said, _) = gateway::run(&["diff", from, to], stage.world.home());
        assert_eq!(status.code(), Some(11), "{said}");
        assert!(said.contains("filled by the moving key set"), "{said}");
    }
    stage.world.publish(2, &release);
    assert!(eventually(SOON, || stage.status(&thief) == 200), "{}", told(stage.gateway()));
    assert_eq!(stage.status(&stage.fixed), 401);
    assert!(eventually(SOON, || stage.gateway().metric("key_set_ignored") == 1.0));
}

#[test]
fn several_people_sign_a_set_before_it_is_published() {
    let stage = Stage::new();
    let key = ApiKey::new("ci-2");
    let said = stage.key_set("add", &["--id", "ci-2", "--sha256", &key.sha256, "--out", "next.json"]);
    assert!(said.contains("adamant key-set publish next.json"), "{said}");
    assert!(!stage.set_path().exists());
    let run = |arguments: &[&str]| {
        let (status, stdout, stderr) = gateway::run(arguments, stage.world.home());
        (status.success(), format!("{stdout}{stderr}"))
    };
    let (done, said) = run(&["key-set", "sign", "next.json", "--key", "1.key", "--trust-root", "root.json"]);
    assert!(!done && said.contains("role keys"), "{said}");
    assert!(run(&["key-set", "sign", "next.json", "--key", "3.key", "--detached", "--out", "3.sig"]).0);
    assert!(run(&["key-set", "merge", "next.json", "3.sig"]).0);
    let (done, said) = stage.try_key_set("publish", &["next.json"]);
    assert!(done && said.contains("adds     ci-2"), "{said}");
    stage.wait_for_serial(1);
    assert_eq!(stage.status(&key), 200);
    let (done, said) = stage.try_key_set("publish", &["next.json"]);
    assert!(!done && said.contains("expected a serial above 1, found 1"), "{said}");
    let (_, said) = stage.try_key_set("add", &["--id", "ci-2", "--sha256", &key.sha256, "--key", "3.key"]);
    assert!(said.contains("has a key already"), "{said}");
    let (done, said) = stage.try_key_set("show", &[]);
    assert!(done && said.contains(&format!("ci-2 {}", &key.sha256[..12])) && said.contains("1 of 1"), "{said}");
}
