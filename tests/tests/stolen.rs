//! What a thief of one key can do to gateways that follow a store or a file, and how his traces go.
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
use std::time::Duration;

use serde_json::{Value, json};
use tests::apikey::ApiKey;
use tests::client::get;
use tests::gateway::Gateway;
use tests::process::eventually;
use tests::store::{Built, CHANNEL, END, Key, World, envelope, pointer_payload, root_payload, served, told};

const SOON: Duration = Duration::from_secs(60);
/// The highest serial and version (RFC 7493 §2.2).
const HIGHEST: u64 = (1 << 53) - 1;

fn serves_soon(gateway: &Gateway, built: &Built) {
    let reached = eventually(SOON, || served(gateway) == built.digest);
    assert!(reached, "{} was to serve, {} does: {}", built.digest, served(gateway), gateway.stderr());
}

/// Waits until a refusal at `check` is shown; its message.
fn refused_soon(gateway: &Gateway, check: &str) -> String {
    let mut shown = Value::Null;
    let reached = eventually(SOON, || {
        shown = told(gateway);
        shown["refusal"]["check"] == check
    });
    assert!(reached, "a refusal at {check} was to be shown: {shown:#}\n{}", gateway.stderr());
    shown["refusal"]["message"].as_str().unwrap().to_owned()
}

fn point(world: &World, serial: u64, built: &Built, by: &[u8]) {
    let payload = pointer_payload("tests", CHANNEL, &built.digest, serial, END);
    world.replace(&world.pointer_path(), &envelope("pointer", &payload, by));
}

/// A trust root with these keys and thresholds in some roles, and else those of `root_payload`.
fn root_with(version: u64, keys: &[u8], roles: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(&root_payload(version, END, keys)).unwrap();
    for (role, numbers, threshold) in roles {
        let mut ids: Vec<String> = numbers.iter().map(|number| Key::new(*number).id()).collect();
        ids.sort();
        root["roles"][role] = json!({ "keys": ids, "threshold": threshold });
    }
    envelope("trust-root", root.to_string().as_bytes(), &[1, 2, 3])
}

/// Key 4 points alone. The older release has all signatures that it ever needed.
#[test]
fn the_pointer_key_alone_does_not_bring_back_what_was_taken_away() {
    let world = World::new("hot");
    let (wide, narrow) = (world.build(1, &world.policy(&["/one", "/two"])), world.build(2, &world.policy(&["/one"])));
    let wider = world.build(3, &world.policy(&["/one", "/three"]));
    world.publish(1, &wide);
    let mut gateway = world.start();
    world.publish(2, &narrow);
    serves_soon(&gateway, &narrow);

    point(&world, 3, &wide, &[4]);
    let message = refused_soon(&gateway, "pointer-threshold");
    for part in [
        "2 signatures by different keys of role release-wider",
        "leads back to version 1 (version 2 was accepted already)",
        "/two",
        "found 0",
        "adamant point sign",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    gateway.restart("TERM");
    refused_soon(&gateway, "pointer-threshold");
    assert_eq!((served(&gateway), gateway.once(get("/two", "")).status), (narrow.digest.clone(), 401));
    point(&world, 3, &wide, &[4, 1]);
    assert!(eventually(SOON, || refused_soon(&gateway, "pointer-threshold").contains("found 1 (owner-1)")));

    // The same pointer, signed by one more; back to the narrower one key 4 is enough, and for what is new.
    point(&world, 3, &wide, &[4, 1, 3]);
    serves_soon(&gateway, &wide);
    assert_eq!(gateway.once(get("/two", "")).status, 200);
    point(&world, 4, &narrow, &[4]);
    serves_soon(&gateway, &narrow);
    world.publish(5, &wider);
    serves_soon(&gateway, &wider);
    point(&world, 6, &wide, &[4]);
    refused_soon(&gateway, "pointer-threshold");
}

#[test]
fn the_highest_serial_is_forgotten_with_the_key_that_signed_it() {
    let world = World::new("hot");
    let (one, two) = (world.build(1, &world.policy(&["/one"])), world.build(2, &world.policy(&["/one", "/two"])));
    world.publish(7, &one);
    world.put_release(&two, &[1, 2]);
    let mut gateway = world.start();
    point(&world, HIGHEST, &one, &[4]);
    assert!(eventually(SOON, || told(&gateway)["pointer"]["serial"] == HIGHEST), "{}", gateway.stderr());

    // A root that leaves the role as it was forgets nothing.
    world.write("store/roots/2.json", &root_with(2, &[1, 2, 3, 5], &[]));
    assert!(eventually(SOON, || told(&gateway)["trust_root"] == 2), "{}", gateway.stderr());
    point(&world, 8, &two, &[4]);
    refused_soon(&gateway, "pointer-serial");
    assert!(!gateway.stderr().contains("forgotten"), "{}", gateway.stderr());

    world.write("store/roots/3.json", &root_with(3, &[1, 2, 3, 5], &[("pointer", &[5], 1)]));
    assert!(eventually(SOON, || told(&gateway)["trust_root"] == 3), "{}", gateway.stderr());
    let forgotten = format!("serial {HIGHEST} of channel production");
    gateway.tells(&forgotten);
    let recorded = || gateway.record_text().contains(&format!("\"adamant.forgotten\":\"{forgotten}\""));
    assert!(eventually(SOON, recorded), "{}", gateway.record_text());

    // The thief's pointer is still there, and the commands count on from the last good one.
    point(&world, HIGHEST, &one, &[4]);
    refused_soon(&gateway, "pointer-signatures");
    world.write("5.key", Key::file(5).as_bytes());
    fs::set_permissions(world.path("5.key"), fs::Permissions::from_mode(0o600)).unwrap();
    // The store has that release though nobody pointed at it: whoever knows that says so.
    let line = format!(
        "point --store store --channel {CHANNEL} --trust-root root.json --release {} --serial 8 --key 5.key --below-threshold",
        two.digest
    );
    let (status, stdout, stderr) = tests::gateway::run(&line.split(' ').collect::<Vec<_>>(), world.home());
    assert!(status.success(), "{stdout}{stderr}");
    serves_soon(&gateway, &two);
    gateway.restart("TERM");
    point(&world, 7, &two, &[5]);
    refused_soon(&gateway, "pointer-serial");
}

/// The new role goes on to have a key that signed the pointer accepted last: no older one of his comes back.
#[test]
fn a_serial_whose_signer_stays_is_not_forgotten() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(7, &one);
    let gateway = world.start();
    world.write("store/roots/2.json", &root_with(2, &[1, 2, 3, 5], &[("pointer", &[4, 5], 1)]));
    assert!(eventually(SOON, || told(&gateway)["trust_root"] == 2), "{}", gateway.stderr());
    point(&world, 6, &one, &[4]);
    refused_soon(&gateway, "pointer-serial");
}

#[test]
fn the_highest_version_of_a_file_is_forgotten_with_the_keys_that_signed_it() {
    let world = World::new("restart");
    world.configure("release = \"release.json\"");
    let put = |built: &Built, by: &[u8]| world.write("release.json", &envelope("release", &built.payload, by));
    let (high, good) = (world.build(HIGHEST, &world.policy(&["/one"])), world.build(3, &world.policy(&["/two"])));
    put(&high, &[1, 2]);
    drop(world.start());
    let roles: [(&str, &[u8], u32); 2] = [("release-narrower", &[3], 1), ("release-wider", &[3, 5], 2)];
    // Those who signed stay: nothing is forgotten.
    world.write("root.json", &root_with(2, &[1, 2, 3, 5], &[("release-wider", &[1, 2, 3, 5], 2)]));
    put(&good, &[1, 3]);
    let gateway = world.start();
    assert_eq!(served(&gateway), high.digest);
    gateway.tells("release-version");
    drop(gateway);
    world.write("root.json", &root_with(3, &[1, 2, 3, 5], &roles));
    put(&good, &[3, 5]);
    let gateway = world.start();
    assert_eq!(served(&gateway), good.digest, "{}", gateway.stderr());
    gateway.tells(&format!("forgotten: release version {HIGHEST}"));
}

/// Key 1 may release what allows nothing new, key 4 points: together they could bring out the highest version of all, and
/// every later release would count as leading back.
#[test]
fn version_numbers_cannot_be_used_up_by_who_may_only_take_away() {
    let world = World::new("hot");
    let policy = world.policy(&["/one"]);
    let one = world.build(1, &policy);
    world.publish(1, &one);
    let gateway = world.start();
    let highest = world.build(HIGHEST, &policy);
    world.put_release(&highest, &[1]);
    point(&world, 2, &highest, &[4]);
    let message = refused_soon(&gateway, "release-threshold");
    for part in ["2 signatures by different keys of role release-wider", "more than 1000000 above 1", "1 (owner-1)"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(served(&gateway), one.digest);
    let near = world.build(1_000_001, &policy);
    world.put_release(&near, &[1]);
    point(&world, 3, &near, &[4]);
    serves_soon(&gateway, &near);
    let wider = world.build(1_000_002, &world.policy(&["/one", "/two"]));
    world.publish(4, &wider);
    serves_soon(&gateway, &wider);

    // `point` says so before it publishes; those who may do anything may do that too.
    world.write("4.key", Key::file(4).as_bytes());
    fs::set_permissions(world.path("4.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let far = world.build(5_000_000, &world.policy(&["/one"]));
    let run = |by: &[u8]| {
        world.put_release(&far, by);
        let line = format!(
            "point --store store --channel {CHANNEL} --trust-root root.json --release {} --key 4.key",
            far.digest
        );
        tests::gateway::run(&line.split(' ').collect::<Vec<_>>(), world.home())
    };
    let (status, said, complained) = run(&[1]);
    assert!(!status.success() && complained.contains("nothing was published"), "{said}{complained}");
    assert!(said.contains("more than 1000000 above 1000002") && said.contains("release-wider"), "{said}");
    let (status, said, complained) = run(&[1, 2]);
    assert!(status.success(), "{said}{complained}");
    serves_soon(&gateway, &far);
}

/// Key 1 may release what allows nothing new, key 4 points: together they could let the holder of one agent's key pass
/// for another agent, to origins and in records.
#[test]
fn a_caller_is_not_made_another_agent_by_who_may_only_take_away() {
    let world = World::new("hot");
    let (bot_key, root_key) = (ApiKey::new("bot-1"), ApiKey::new("root-1"));
    let of = |agents: &[(&str, &str)]| {
        let mut policy = world.policy(&["/one"]).api_key(&bot_key, "").api_key(&root_key, "");
        for (name, identity) in agents {
            policy = policy.agent(name, identity, &["all"], &[]);
        }
        policy
    };
    let (bot, admin) = ("{ api_key = [\"bot-1\"] }", "{ api_key = [\"root-1\"] }");
    let one = world.build(1, &of(&[("bot", bot), ("admin", admin)]));
    world.publish(1, &one);
    let gateway = world.start();
    let asked = || gateway.once(get("/one", &format!("X-API-Key: {}\r\n", bot_key.text))).status;
    let told = || world.origin.requests().last().and_then(|it| it.value("adamant-agent").map(str::to_owned));
    assert_eq!((asked(), told().as_deref()), (200, Some("bot")));

    let both = format!("{bot}, {admin}");
    let moved = [
        (vec![("bot", admin), ("admin", bot)], "API key root-1 is told to origins as bot instead of admin"),
        (vec![("admin", &*both)], "API key bot-1 is told to origins as admin instead of bot"),
        (vec![("robot", bot), ("admin", admin)], "API key bot-1 is told to origins as robot instead of bot"),
    ];
    for ((agents, why), version) in moved.iter().zip(2..) {
        let built = world.build(version, &of(agents));
        world.put_release(&built, &[1]);
        point(&world, version, &built, &[4]);
        let said = eventually(SOON, || refused_soon(&gateway, "release-threshold").contains(why));
        assert!(said, "{why}: {}", gateway.stderr());
        assert_eq!((served(&gateway), asked(), told().as_deref()), (one.digest.clone(), 200, Some("bot")));
    }
    // Who may do anything may do that.
    let last = world.build(5, &of(&moved[1].0));
    world.publish(5, &last);
    serves_soon(&gateway, &last);
    assert_eq!((asked(), told().as_deref()), (200, Some("admin")));
}

/// Opening a pipe would wait for ever.
#[test]
fn a_pipe_in_the_state_directory_does_not_stop_a_start() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(1, &one);
    let begun = world.start();
    // It is written with the first checkpoint, by a thread of its own.
    assert!(eventually(SOON, || world.path("state/log.json").exists()));
    drop(begun);
    for name in ["log.json", "node.pub"] {
        let path = world.path("state").join(name);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let gateway = world.start();
        assert_eq!(served(&gateway), one.digest, "{name}");
    }
    assert!(fs::metadata(world.path("state/node.pub")).unwrap().is_file(), "it is written anew");
}
