//! A gateway that follows a channel of a store: what it accepts, when it serves it, and what it goes on with when the
//! store, the clock or its own state is no help.
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
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::client::get;
use tests::gateway::Gateway;
use tests::process::eventually;
use tests::store::{END, Key, World, digest_of, envelope, root_payload, served, told};

const SOON: Duration = Duration::from_secs(60);

/// Seconds since the epoch, some time from now, as RFC 3339.
fn in_seconds(seconds: u64) -> String {
    let out = std::process::Command::new("date")
        .args(["-u", "-d", &format!("+{seconds} seconds"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn serves_soon(gateway: &Gateway, digest: &str) {
    let reached = eventually(SOON, || served(gateway) == digest);
    assert!(reached, "{digest} was to serve, {} does: {}", served(gateway), gateway.stderr());
}

/// Waits until a refusal at `check` is shown; what is shown.
fn refused_soon(gateway: &Gateway, check: &str) -> Value {
    let mut told_now = Value::Null;
    let reached = eventually(SOON, || {
        told_now = told(gateway);
        told_now["refusal"]["check"] == check
    });
    assert!(reached, "a refusal at {check} was to be shown: {told_now:#}\n{}", gateway.stderr());
    told_now
}

#[test]
fn a_gateway_follows_its_channel_forward_and_back() {
    let world = World::new("hot");
    let (one, two) = (world.build(1, &world.policy(&["/one"])), world.build(2, &world.policy(&["/one", "/two"])));
    world.publish(1, &one);
    let gateway = world.start();
    assert_eq!(served(&gateway), one.digest);
    assert_eq!((gateway.once(get("/one", "")).status, gateway.once(get("/two", "")).status), (200, 401));

    world.publish(2, &two);
    serves_soon(&gateway, &two.digest);
    assert_eq!(gateway.once(get("/two", "")).status, 200);
    assert!(eventually(SOON, || told(&gateway)["pointer"]["serial"] == 2), "{:#}", told(&gateway));
    let shown = told(&gateway);
    assert_eq!((&shown["pointer"]["serial"], &shown["pointer"]["channel"]), (&2.into(), &"production".into()));
    assert_eq!((&shown["version"], &shown["trust_root"], &shown["refusal"]), (&2.into(), &1.into(), &Value::Null));
    assert_eq!(gateway.metric("pointer_serial"), 2.0);

    // Back: a new pointer at the older release.
    world.point(3, &one.digest);
    serves_soon(&gateway, &one.digest);
    assert_eq!(gateway.once(get("/two", "")).status, 401);
    let accepted = || -> Vec<Value> {
        let text = gateway.record_text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["adamant.kind"] == "accepted").collect()
    };
    assert!(eventually(SOON, || accepted().len() == 3), "each is recorded: {}", gateway.record_text());
    assert_eq!(accepted()[1]["adamant.pointer.serial"], 2);
    assert_eq!(accepted()[1]["adamant.signers"], "owner-1, owner-2");
}

/// The same with the commands that people use.
#[test]
fn what_the_commands_publish_is_followed() {
    let world = World::new("hot");
    let command = |line: &str| {
        let (status, stdout, stderr) = tests::gateway::run(&line.split(' ').collect::<Vec<_>>(), world.home());
        assert!(status.success(), "adamant {line}: {stdout}{stderr}");
        stdout
    };
    for number in [1, 2, 4] {
        let path = world.path(&format!("{number}.key"));
        fs::write(&path, Key::file(number)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (version, paths) in [("1", &["/one"][..]), ("2", &["/one", "/two"])] {
        let file = format!("{version}.json");
        world.write("policy.toml", world.policy(paths).text().as_bytes());
        command(&format!("release build policy.toml --version {version} --expires {END} --out {file}"));
        command(&format!("release sign {file} --key 1.key"));
        command(&format!("release sign {file} --key 2.key"));
    }
    let at = "--store store --channel production --trust-root root.json --key 4.key";
    command(&format!("point {at} --release 1.json --for 4w"));
    let gateway = world.start();
    let first = served(&gateway);
    command(&format!("point {at} --release 2.json --for 4w"));
    assert!(eventually(SOON, || told(&gateway)["version"] == 2), "{}", gateway.stderr());
    assert_eq!(gateway.once(get("/two", "")).status, 200);
    command(&format!("rollback {at} --to {first}"));
    serves_soon(&gateway, &first);
    assert!(eventually(SOON, || told(&gateway)["pointer"]["serial"] == 3), "{:#}", told(&gateway));
    assert_eq!(
        (told(&gateway)["pointer"]["serial"].clone(), told(&gateway)["refusal"].clone()),
        (3.into(), Value::Null)
    );
}

#[test]
fn with_activation_restart_a_newer_release_waits_and_says_so() {
    let world = World::new("restart");
    let (one, two) = (world.build(1, &world.policy(&["/one"])), world.build(2, &world.policy(&["/two"])));
    world.publish(1, &one);
    let mut gateway = world.start();
    // A renewed pointer at the same release needs no activation.
    world.point_until(2, &one.digest, "2099-01-01T00:00:00Z");
    assert!(eventually(SOON, || told(&gateway)["pointer"]["serial"] == 2), "{}", gateway.stderr());
    assert_eq!(told(&gateway)["activation"], 1);

    world.publish(3, &two);
    assert!(eventually(SOON, || told(&gateway)["waiting"]["release"] == two.digest.as_str()), "{}", gateway.stderr());
    assert_eq!((served(&gateway), gateway.metric("release_waiting")), (one.digest.clone(), 1.0));
    gateway.tells("waits for a restart");
    let (status, stdout, stderr) = world.check();
    assert!(status.success() && stdout.contains(&two.digest) && stdout.contains("serial 3"), "{stdout}{stderr}");

    // What waits goes on waiting while something else is refused, and is gone with its pointer.
    world.write("store/roots/2.json", b"garbage");
    refused_soon(&gateway, "root-succession");
    assert_eq!(gateway.metric("release_waiting"), 1.0);
    fs::remove_file(world.path("store/roots/2.json")).unwrap();
    world.point(4, &one.digest);
    assert!(eventually(SOON, || gateway.metric("release_waiting") == 0.0), "{}", gateway.stderr());
    world.point(5, &two.digest);
    assert!(eventually(SOON, || gateway.metric("release_waiting") == 1.0), "{}", gateway.stderr());

    gateway.restart("TERM");
    assert_eq!(served(&gateway), two.digest);
    assert_eq!(
        (told(&gateway)["pointer"]["serial"].clone(), told(&gateway)["waiting"].clone()),
        (5.into(), Value::Null)
    );
}

#[test]
fn a_gateway_with_nothing_to_serve_does_not_start() {
    let world = World::new("hot");
    let why = world.try_start().err().expect("there is nothing to serve");
    for part in ["check read", "pointer.json is not there", "none was ever accepted", "hint:"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let one = world.build(1, &world.policy(&["/one"]));
    world.put_release(&one, &[1]);
    world.point(1, &one.digest);
    let why = world.try_start().err().expect("the first release needs the wider threshold");
    for part in ["release-threshold", "2 signatures by different keys of role release-wider", "found 1 (owner-1)"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let (status, _, stderr) = world.check();
    assert!(!status.success() && stderr.contains("release-threshold"), "{stderr}");
    assert!(!world.path("state").join("accepted.json").exists() || !world.path("state/releases").exists());
}

#[test]
fn the_last_accepted_release_outlives_its_store() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(7, &one);
    drop(world.start());
    let store = world.path("store");
    type Ruin<'w> = Box<dyn Fn() + 'w>;
    let ruins: [(&str, Ruin<'_>); 4] = [
        ("garbage", Box::new(|| fs::write(world.pointer_path(), b"\0garbage").unwrap())),
        ("no pointer", Box::new(|| fs::remove_file(world.pointer_path()).unwrap())),
        (
            "empty",
            Box::new(|| {
                fs::remove_dir_all(&store).unwrap();
                fs::create_dir(&store).unwrap();
            }),
        ),
        ("gone", Box::new(|| fs::remove_dir_all(&store).unwrap())),
    ];
    for (name, ruin) in ruins {
        ruin();
        let gateway = world.start();
        assert_eq!((served(&gateway), gateway.once(get("/one", "")).status), (one.digest.clone(), 200), "{name}");
        gateway.tells("refused at the check");
        gateway.tells(&format!("still served: release {} version 1 (channel production, serial 7)", one.digest));
        assert_eq!(told(&gateway)["pointer"]["serial"], 7, "{name}");
        assert_eq!(gateway.metric("acceptance_refused"), 1.0, "{name}");
    }
}

#[test]
fn an_expired_pointer_is_an_alarm_and_accepts_nothing_new() {
    let world = World::new("hot");
    let (one, two) = (world.build(1, &world.policy(&["/one"])), world.build(2, &world.policy(&["/one", "/two"])));
    world.put_release(&one, &[1, 2]);
    world.point_until(1, &one.digest, &in_seconds(10));
    let mut gateway = world.start();
    assert_eq!(gateway.metric("pointer_expired"), 0.0);
    assert!(eventually(SOON, || gateway.metric("pointer_expired") == 1.0));
    assert_eq!(gateway.once(get("/one", "")).status, 200);
    assert!(eventually(SOON, || gateway.record_text().contains("\"pointer-expired\"")), "{}", gateway.record_text());
    gateway.restart("TERM");
    assert_eq!(
        (served(&gateway), gateway.metric("pointer_expired")),
        (one.digest.clone(), 1.0),
        "also across a restart"
    );

    world.put_release(&two, &[1, 2]);
    world.point_until(2, &two.digest, "2026-01-02T00:00:00Z");
    refused_soon(&gateway, "pointer-expiry");
    let of_this_one = || told(&gateway)["refusal"].to_string().contains("expired at 2026-01-02");
    assert!(eventually(SOON, of_this_one), "{:#}", told(&gateway));
    assert_eq!(served(&gateway), one.digest);
    world.point(3, &two.digest);
    serves_soon(&gateway, &two.digest);
    assert!(eventually(SOON, || gateway.metric("pointer_expired") == 0.0));
    assert!(eventually(SOON, || told(&gateway)["refusal"].is_null()), "{:#}", told(&gateway));
}

#[test]
fn an_expired_release_goes_on_and_is_not_activated() {
    let world = World::new("hot");
    let until = Instant::now() + Duration::from_secs(10);
    let soon = world.build_until(1, &world.policy(&["/one"]), &in_seconds(10));
    world.publish(1, &soon);
    let mut gateway = world.start();
    let expired = world.build_until(2, &world.policy(&["/two"]), "2026-01-02T00:00:00Z");
    world.publish(2, &expired);
    let shown = refused_soon(&gateway, "release-expiry");
    assert_eq!(shown["refusal"]["release"], expired.digest.as_str());
    std::thread::sleep(until.saturating_duration_since(Instant::now()) + Duration::from_secs(1));
    gateway.restart("KILL");
    assert_eq!((served(&gateway), gateway.once(get("/one", "")).status), (soon.digest.clone(), 200));
}

#[test]
fn as_many_must_sign_as_the_change_needs() {
    let world = World::new("hot");
    let base = world.build(1, &world.policy(&["/one", "/two"]));
    world.publish(1, &base);
    let gateway = world.start();
    let narrower = world.build(2, &world.policy(&["/one"]));
    world.put_release(&narrower, &[1]);
    world.point(2, &narrower.digest);
    serves_soon(&gateway, &narrower.digest);

    // The way back is wider, whatever was accepted before: the same file needs one more.
    world.put_release(&base, &[1]);
    world.point_anywhere(3, &base.digest);
    let shown = refused_soon(&gateway, "release-threshold");
    let message = shown["refusal"]["message"].as_str().unwrap();
    assert!(message.contains("2 signatures by different keys of role release-wider"), "{message}");
    assert!(message.contains("found 1 (owner-1)") && message.contains("/two"), "{message}");
    assert_eq!(served(&gateway), narrower.digest);
    world.put_release(&base, &[1, 3]);
    serves_soon(&gateway, &base.digest);
    assert_eq!(told(&gateway)["signers"], serde_json::json!(["owner-1", "owner-3"]));
}

#[test]
fn trust_roots_come_in_turn() {
    let world = World::new("hot");
    let (one, two) = (world.build(1, &world.policy(&["/one"])), world.build(2, &world.policy(&["/two"])));
    world.publish(1, &one);
    let mut gateway = world.start();
    let root = |version, keys: &[u8], by: &[u8]| envelope("trust-root", &root_payload(version, END, keys), by);
    // Version 3 before version 2 is not looked at.
    world.write("store/roots/3.json", &root(3, &[1, 2, 5], &[1, 2]));
    world.write("store/roots/2.json", &root(2, &[1, 2, 5], &[1]));
    let shown = refused_soon(&gateway, "root-succession");
    assert_eq!((&shown["trust_root"], &shown["release"]), (&1.into(), &one.digest.as_str().into()));
    fs::remove_file(world.path("store/roots/3.json")).unwrap();
    world.write("store/roots/2.json", &root(2, &[1, 2, 5], &[1, 2]));
    assert!(eventually(SOON, || told(&gateway)["trust_root"] == 2), "{}", gateway.stderr());
    // Key 3 makes no roots any more, and what serves goes on.
    world.write("store/roots/3.json", &root(3, &[1, 2, 5], &[1, 3]));
    refused_soon(&gateway, "root-succession");
    world.write("store/roots/3.json", &root(3, &[1, 2, 5], &[1, 5]));
    assert!(eventually(SOON, || told(&gateway)["trust_root"] == 3), "{}", gateway.stderr());
    world.publish(2, &two);
    serves_soon(&gateway, &two.digest);
    // The store forgets; the gateway does not.
    fs::remove_dir_all(world.path("store/roots")).unwrap();
    gateway.restart("TERM");
    assert_eq!(told(&gateway)["trust_root"], 3);
    drop(gateway);

    // A root that is placed by hand: the next of the line is taken, another line is not.
    let gateway = world.start();
    world.write("root.json", &root(4, &[1, 2, 5], &[2, 5]));
    gateway.signal("HUP");
    assert!(eventually(SOON, || told(&gateway)["trust_root"] == 4), "{}", gateway.stderr());
    drop(gateway);
    world.write("root.json", &root(4, &[1, 2, 6], &[2, 6]));
    let why = world.try_start().err().expect("another root of the same version");
    assert!(why.contains("found another of the same version") && why.contains("root.json"), "{why}");
    world.write("root.json", &root(6, &[1, 2, 5], &[2, 5]));
    let why = world.try_start().err().expect("a version was left out");
    assert!(why.contains("expected the successor of trust root version 4, found version 6"), "{why}");
}

#[test]
fn a_damaged_state_directory_is_not_passed_over() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(5, &one);
    drop(world.start());
    let accepted = world.path("state/accepted.json");
    let good = fs::read(&accepted).unwrap();
    let serial = String::from_utf8(good.clone()).unwrap().replace("\"serial\":5", "\"serial\":4");
    for bad in [&b""[..], b"{}", &good[..good.len() / 2], serial.as_bytes()] {
        fs::write(&accepted, bad).unwrap();
        let why = world.try_start().err().expect("the serial is not known");
        assert!(why.contains("accepted.json") && why.contains("forgets the highest serial"), "{why}");
    }
    fs::write(&accepted, &good).unwrap();
    // The release itself can be had from the store, by its digest.
    let kept = world.path("state/releases").join(world.release_path(&one.digest).file_name().unwrap());
    fs::write(&kept, b"damaged").unwrap();
    let gateway = world.start();
    assert_eq!(served(&gateway), one.digest);
    eventually(SOON, || fs::read(&kept).is_ok_and(|bytes| bytes != b"damaged"));
    drop(gateway);
    assert_eq!(digest_of(&tests::store::payload_of(&fs::read(&kept).unwrap())), one.digest, "and is kept again");
    fs::write(&kept, b"damaged").unwrap();
    fs::remove_dir_all(world.path("store")).unwrap();
    let why = world.try_start().err().expect("nobody has the release");
    assert!(why.contains("nothing is served") && why.contains("the release that was accepted last, whole"), "{why}");
}

#[test]
fn a_release_that_is_a_file_never_goes_back() {
    let world = World::new("restart");
    world.configure("release = \"release.json\"");
    let put = |built: &tests::store::Built| world.write("release.json", &envelope("release", &built.payload, &[1, 2]));
    let (one, two) = (world.build(1, &world.policy(&["/one"])), world.build(2, &world.policy(&["/two"])));
    put(&two);
    drop(world.start());
    put(&one);
    let gateway = world.start();
    assert_eq!(served(&gateway), two.digest);
    for part in ["release-version", "version above 2", "version 1 of release", "rollback", "still served"] {
        gateway.tells(part);
    }
    drop(gateway);
    let other = world.build(2, &world.policy(&["/other"]));
    put(&other);
    assert_eq!(served(&world.start()), two.digest, "nor to another of the same version");
    fs::remove_file(world.path("release.json")).unwrap();
    assert_eq!(served(&world.start()), two.digest, "nor is it lost with its file");
}
