//! A store in the hands of an attacker, against the real binary: nothing but what enough people signed comes to serve,
//! what served goes on, and each refusal says which check failed, what was expected and found, and what is still served.
//!
//! Every byte of a release, a pointer and a trust root is changed in the tests of `control::accept`, the code that the
//! gateway calls; here the real binary gets a sample of them (each one with FULL=1), and everything
//! else that can be done to files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::client::get;
use tests::gateway::Gateway;
use tests::process::eventually;
use tests::store::{
    Built, CHANNEL, END, World, digest_of, envelope, envelope_with, payload_of, pointer_payload, root_payload, served,
    told,
};

const SOON: Duration = Duration::from_secs(60);

/// A gateway that serves `base`, by a pointer that is put back after each attack.
struct Siege {
    world: World,
    gateway: Gateway,
    base: Built,
    /// The highest that was ever signed.
    serial: u64,
}

impl Siege {
    fn begin() -> Self {
        let world = World::new("hot");
        let base = world.build(5, &world.policy(&["/one"]));
        world.publish(100, &base);
        let gateway = world.start();
        Self { world, gateway, base, serial: 100 }
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn pointer(&mut self, digest: &str) {
        let serial = self.next();
        self.world.point(serial, digest);
    }

    /// A release that serves as soon as it is not refused.
    fn other(&self) -> Built {
        self.world.build(6, &self.world.policy(&["/one", "/other"]))
    }

    /// What is in the store now is refused at `check`; everything about it is told; `base` goes on. Then the store is as
    /// it was.
    fn refused(&mut self, what: &str, check: &str, expected: &str, found: &str) {
        // It may look in the midst of an attack, and find something else first.
        let is_it = |refusal: &Value| {
            let message = refusal["message"].as_str().unwrap_or_default();
            let says = |(before, after): (&str, &str)| before.contains(expected) && after.contains(found);
            refusal["check"] == check && message.split_once("; found ").is_some_and(says)
        };
        let mut shown = Value::Null;
        let reached = eventually(SOON, || {
            shown = told(&self.gateway);
            is_it(&shown["refusal"])
        });
        assert!(
            reached,
            "{what}: a refusal at {check} was to be shown, expected {expected:?} and found {found:?}: {shown:#}\n{}",
            self.gateway.stderr()
        );
        // Shown first, then told.
        let still = format!("still served: release {}", self.base.digest);
        let tells = |line: &str| line.contains(&format!("check {check}:")) && line.contains(&still);
        let told = eventually(SOON, || self.gateway.stderr().lines().any(tells));
        assert!(told, "{what}: {}", self.gateway.stderr());
        assert_eq!(served(&self.gateway), self.base.digest, "{what}");
        assert_eq!(self.gateway.once(get("/one", "")).status, 200, "{what}");
        self.mend(what);
    }

    fn mend(&mut self, what: &str) {
        for folder in ["store/channels/production", "store/releases", "store/roots"] {
            let path = self.world.path(folder);
            if path.is_symlink() || path.is_file() {
                fs::remove_file(&path).unwrap();
            }
            fs::create_dir_all(&path).unwrap();
        }
        let pointer = self.world.pointer_path();
        if pointer.is_dir() {
            fs::remove_dir(&pointer).unwrap();
        }
        let _ = fs::remove_file(self.world.path("store/roots/2.json"));
        self.world.put_release(&self.base, &[1, 2]);
        let digest = self.base.digest.clone();
        self.pointer(&digest);
        let serial = self.serial;
        let mended = eventually(SOON, || {
            let shown = told(&self.gateway);
            shown["refusal"] == Value::Null && shown["pointer"]["serial"] == serial
        });
        assert!(mended, "after {what}: {:#}\n{}", told(&self.gateway), self.gateway.stderr());
    }

    fn put_pointer(&self, bytes: &[u8]) {
        self.world.replace(&self.world.pointer_path(), bytes);
    }
}

#[test]
fn signatures_that_are_missing_foreign_twice_or_too_few() {
    let mut siege = Siege::begin();
    let digest = siege.base.digest.clone();
    let payload = |serial| pointer_payload("tests", CHANNEL, &digest, serial, END);
    siege.put_pointer(&envelope("pointer", &payload(200), &[]));
    siege.refused("no signature", "pointer-signatures", "1 signature of role pointer", "0");
    siege.put_pointer(&envelope("pointer", &payload(200), &[9]));
    siege.refused("a foreign key", "pointer-signatures", "role pointer", "not in the trust root");
    siege.put_pointer(&envelope("pointer", &payload(200), &[1, 2, 3]));
    siege.refused("keys of another role", "pointer-signatures", "role pointer", "not in this role");
    // The signature of the true pointer under another payload.
    let mut moved: Value = serde_json::from_slice(&envelope("pointer", &payload(200), &[4])).unwrap();
    moved["payload"] =
        serde_json::from_slice::<Value>(&envelope("pointer", &payload(201), &[])).unwrap()["payload"].clone();
    siege.put_pointer(moved.to_string().as_bytes());
    siege.refused("a signature over another payload", "pointer-signatures", "role pointer", "does not verify");

    let other = siege.other();
    for (what, by, check, expected, found) in [
        ("an unsigned release", &[][..], "release-signatures", "1 signature of role release-narrower", "0"),
        ("foreign keys", &[8, 9], "release-signatures", "release-narrower", "not in the trust root"),
        ("the pointer's key", &[4], "release-signatures", "release-narrower", "not in this role"),
        ("one where two are needed", &[2], "release-threshold", "2 signatures by different keys", "1 (owner-2)"),
    ] {
        siege.world.put_release(&other, by);
        siege.pointer(&other.digest);
        siege.refused(what, check, expected, found);
    }
    let signed: Value = serde_json::from_slice(&envelope("release", &other.payload, &[2])).unwrap();
    let twice = vec![signed["signatures"][0].clone(), signed["signatures"][0].clone()];
    let bytes = envelope_with("release", &other.payload, twice);
    siege.world.replace(&siege.world.release_path(&other.digest), &bytes);
    siege.pointer(&other.digest);
    siege.refused("one signature twice", "release-threshold", "2 signatures by different keys", "1 (owner-2)");
}

#[test]
fn pointers_that_go_back_or_are_meant_for_others() {
    let mut siege = Siege::begin();
    let other = siege.other();
    siege.world.put_release(&other, &[1, 2]);
    siege.world.point(99, &other.digest);
    siege.refused("an old serial", "pointer-serial", "serial 100 or higher", "serial 99");
    siege.world.point(siege.serial, &other.digest);
    siege.refused("another pointer with the same serial", "pointer-equivocation", "one pointer with serial", "another");
    siege.world.put_release(&other, &[1, 2]);
    let of = |policy: &str, channel: &str, serial| {
        envelope("pointer", &pointer_payload(policy, channel, &other.digest, serial, END), &[4])
    };
    siege.put_pointer(&of("others", CHANNEL, 900));
    siege.refused("another policy", "pointer-policy", "\"tests\"", "\"others\"");
    siege.put_pointer(&of("tests", "staging", 900));
    siege.refused("another channel", "pointer-channel", "\"production\"", "\"staging\"");
    let serial = siege.next();
    siege.put_pointer(&of("tests", CHANNEL, serial));
    assert!(eventually(SOON, || served(&siege.gateway) == other.digest), "and the one that is meant is taken");
}

#[test]
fn releases_that_are_not_what_the_pointer_names() {
    let mut siege = Siege::begin();
    let other = siege.other();
    // A whole, well signed release under the name of another.
    let stolen = envelope("release", &siege.base.payload, &[1, 2]);
    siege.world.replace(&siege.world.release_path(&other.digest), &stolen);
    siege.pointer(&other.digest);
    siege.refused("another release under its name", "release-digest", &other.digest, &siege.base.digest.clone());

    // An embedded file is exchanged and the signatures are kept.
    let text = String::from_utf8(other.payload.clone()).unwrap();
    let swapped = text.replace("\"/other\"", "\"/others\"").into_bytes();
    assert_ne!(swapped, other.payload);
    let signatures: Value = serde_json::from_slice(&envelope("release", &other.payload, &[1, 2])).unwrap();
    let signatures = signatures["signatures"].as_array().unwrap().clone();
    siege
        .world
        .replace(&siege.world.release_path(&other.digest), &envelope_with("release", &swapped, signatures.clone()));
    siege.pointer(&other.digest);
    siege.refused("changed content under old signatures", "release-digest", &other.digest, &digest_of(&swapped));
    let named = Built { digest: digest_of(&swapped), payload: swapped };
    let bytes = envelope_with("release", &named.payload, signatures);
    siege.world.replace(&siege.world.release_path(&named.digest), &bytes);
    siege.pointer(&named.digest);
    siege.refused("and under its own name", "release-signatures", "release-narrower", "does not verify");

    let resigned = |what: &str, replacement: &str| {
        let payload = text.replace(what, replacement).into_bytes();
        assert_ne!(payload, other.payload, "{what}");
        Built { digest: digest_of(&payload), payload }
    };
    for (what, built, check, expected, found) in [
        (
            "an engine that is not there yet",
            resigned("\"engine_min\":\"0.1.0\"", "\"engine_min\":\"99.0.0\""),
            "release-engine",
            "engine 0.1.0",
            "99.0.0",
        ),
        ("another policy", resigned("\"tests\"", "\"others\""), "release-policy", "\"tests\"", "\"others\""),
        ("an expired one", resigned(END, "2026-01-02T00:00:00Z"), "release-expiry", "not expired", "2026-01-02"),
        ("one that is no release", resigned("\"policy\":", "\"polizei\":"), "release-form", "manifest", "polizei"),
        ("one that does not compile", resigned("\"r0\"", "\"r9\""), "release-table", "can compile", "sorted"),
    ] {
        siege.world.put_release(&built, &[1, 2, 3]);
        siege.pointer(&built.digest);
        siege.refused(what, check, expected, found);
    }
    siege.pointer(&digest_of(b"never published"));
    siege.refused("a release that nobody published", "read", "regular file", "that releases/");
}

#[test]
fn files_that_are_torn_huge_or_deep() {
    let mut siege = Siege::begin();
    let other = siege.other();
    let payload = pointer_payload("tests", CHANNEL, &other.digest, 900, END);
    let pointer = envelope("pointer", &payload, &[4]);
    siege.put_pointer(&pointer[..pointer.len() / 2]);
    siege.refused("half a pointer", "pointer-signatures", "a pointer", "EOF");
    siege.put_pointer(b"");
    siege.refused("an empty pointer", "pointer-signatures", "a pointer", "EOF");
    siege.put_pointer(&vec![b' '; 1 << 20]);
    siege.refused("a huge pointer", "read", "bounded size", "more than");
    siege.put_pointer(&[b"[".repeat(60_000), b"]".repeat(60_000)].concat());
    siege.refused("a deep pointer", "pointer-signatures", "a pointer", "envelope");
    let deep = |levels| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)).into_bytes();
    siege.put_pointer(&envelope("pointer", &deep(8_000), &[4]));
    siege.refused("a deep payload, well signed", "pointer-signatures", "a pointer", "canonical");

    let whole = envelope("release", &other.payload, &[1, 2]);
    let path = siege.world.release_path(&other.digest);
    siege.world.replace(&path, &whole[..whole.len() - 100]);
    siege.pointer(&other.digest);
    siege.refused("a torn release", "release-form", "envelope", "EOF");
    // Sparse, beyond any bound, and costs nothing to make.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    siege.pointer(&other.digest);
    siege.refused("a release of a terabyte", "read", "bounded size", "more than");
    let deep = Built { digest: digest_of(&deep(20_000)), payload: deep(20_000) };
    siege.world.put_release(&deep, &[1, 2]);
    siege.pointer(&deep.digest);
    siege.refused("a deep release, well signed", "release-form", "manifest", "canonical");
}

#[test]
fn links_pipes_and_directories_in_the_store() {
    let mut siege = Siege::begin();
    let (pointer, outside) = (siege.world.pointer_path(), tempfile::tempdir().unwrap());
    let other = siege.other();
    let good = envelope("pointer", &pointer_payload("tests", CHANNEL, &other.digest, 900, END), &[4]);
    fs::write(outside.path().join("pointer.json"), &good).unwrap();
    let gone = |path: &std::path::Path| {
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    };
    gone(&pointer);
    symlink("/etc/passwd", &pointer).unwrap();
    siege.refused("a link to /etc/passwd", "read", "regular file", "symbolic link");
    gone(&pointer);
    symlink(outside.path().join("pointer.json"), &pointer).unwrap();
    siege.refused("a link to a well signed pointer", "read", "regular file", "symbolic link");
    gone(&pointer);
    assert!(Command::new("mkfifo").arg(&pointer).status().unwrap().success());
    siege.refused("a pipe", "read", "regular file", "a pipe");
    gone(&pointer);
    fs::create_dir(&pointer).unwrap();
    siege.refused("a directory", "read", "regular file", "a directory");
    let channel = siege.world.path("store/channels/production");
    gone(&channel);
    symlink(outside.path(), &channel).unwrap();
    siege.refused("a linked channel", "read", "regular file", "symbolic link");
    let releases = siege.world.path("store/releases");
    gone(&releases);
    let name = siege.world.release_path(&other.digest).file_name().unwrap().to_owned();
    fs::write(outside.path().join(name), envelope("release", &other.payload, &[1, 2])).unwrap();
    symlink(outside.path(), &releases).unwrap();
    siege.pointer(&other.digest);
    siege.refused("linked releases", "read", "regular file", "symbolic link");
    symlink("/etc/passwd", siege.world.path("store/roots/2.json")).unwrap();
    siege.refused("a linked trust root", "read", "regular file", "symbolic link");
    let text = root_payload(2, END, &[1, 2, 3]);
    siege.world.write("store/roots/2.json", &envelope("trust-root", &text, &[1]));
    siege.refused("a trust root below its threshold", "root-succession", "version 2", "found 1 (owner-1)");
}

/// One changed bit each, at places spread over the whole file. `adamant run --check` reads, verifies and compiles as a
/// start does.
#[test]
fn no_changed_byte_starts_a_gateway() {
    let world = World::new("restart");
    let base = world.build(1, &world.policy(&["/one"]));
    world.publish(1, &base);
    let (status, stdout, stderr) = world.check();
    assert!(status.success() && stdout.contains(&base.digest), "{stdout}{stderr}");
    let full = std::env::var_os("FULL").is_some();
    for path in [world.release_path(&base.digest), world.pointer_path(), world.path("root.json")] {
        let good = fs::read(&path).unwrap();
        let samples = if full { good.len() } else { 64 };
        for number in 0..samples {
            let at = number * (good.len() - 1) / (samples - 1);
            let mut bad = good.clone();
            bad[at] ^= 1 << (number % 7);
            world.replace(&path, &bad);
            let (status, stdout, stderr) = world.check();
            let what = format!("{} byte {at}", path.display());
            if status.success() {
                assert_eq!(payload_of(&bad), payload_of(&good), "{what}: {stdout}");
                assert!(stdout.contains(&base.digest), "{what}: {stdout}");
            } else {
                assert!(stderr.contains("expected") && stderr.contains("found"), "{what}: {stderr}");
            }
        }
        world.replace(&path, &good);
    }
    assert!(world.check().0.success(), "and the good ones still do");
    assert!(!world.path("state").exists(), "a check writes nothing");
}

/// Whoever can write into the store can have each look refused for another reason.
#[test]
fn a_flood_of_refusals_does_not_flood_the_records() {
    let siege = Siege::begin();
    let began = Instant::now();
    let counted = || siege.gateway.metric("acceptance_refusals_total");
    for number in 0.. {
        siege.put_pointer(format!("{}x", " ".repeat(number)).as_bytes());
        std::thread::sleep(Duration::from_millis(50));
        if number % 20 == 0 && counted() >= 40.0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "{} refusals", counted());
    }
    let told = || siege.gateway.stderr().matches("refused at the check").count() as u64;
    assert!(eventually(SOON, || told() >= 20), "{} of {} were told", told(), counted());
    let told = told();
    let most = 33 + began.elapsed().as_secs() / 10;
    assert!(told <= most, "{told} of {} were told", counted());
    assert_eq!(served(&siege.gateway), siege.base.digest);
}

/// A writer that replaces and rewrites files all the time, carefully or not.
#[test]
fn a_store_that_changes_while_it_is_read_gives_one_version_or_none() {
    let world = World::new("hot");
    let releases = [1, 2].map(|version| {
        world.build(version, &world.policy([&["/always", "/odd"][..], &["/always", "/even"]][version as usize - 1]))
    });
    releases.iter().for_each(|built| world.put_release(built, &[1, 2]));
    world.point(1, &releases[0].digest);
    let gateway = world.start();
    let mut last = 1;
    for serial in 2..=1_000 {
        let built = &releases[serial as usize % 2];
        let pointer = envelope("pointer", &pointer_payload("tests", CHANNEL, &built.digest, serial, END), &[4, 1, 2]);
        if serial % 3 == 0 {
            // In place: torn for whoever reads meanwhile.
            fs::write(world.pointer_path(), &pointer[..pointer.len() / 2]).unwrap();
            fs::write(world.pointer_path(), &pointer).unwrap();
        } else {
            world.replace(&world.pointer_path(), &pointer);
        }
        if serial % 5 == 0 {
            fs::write(world.release_path(&built.digest), b"").unwrap();
            fs::write(world.release_path(&built.digest), envelope("release", &built.payload, &[1, 2])).unwrap();
        }
        if serial % 10 == 0 {
            let shown = told(&gateway);
            let now = shown["pointer"]["serial"].as_u64().unwrap();
            assert!(now >= last && now <= serial, "{last} {now} {serial}");
            let expected = if now == 1 { &releases[0] } else { &releases[now as usize % 2] };
            assert_eq!(shown["release"], expected.digest.as_str(), "serial {now}");
            assert_eq!(gateway.once(get("/always", "")).status, 200);
            last = now;
        }
    }
    assert!(eventually(SOON, || told(&gateway)["pointer"]["serial"] == 1_000), "{}", gateway.stderr());
    assert!(eventually(SOON, || told(&gateway)["refusal"] == Value::Null), "{:#}", told(&gateway));
}
