//! What a start, and `adamant run --check` before it, make of a store that is no help, of clocks that differ, and of a
//! gateway that is new.
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
use std::time::Duration;

use serde_json::{Value, json};
use tests::certificates::Authority;
use tests::deployment::Deployment;
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::store::{CHANNEL, END, ISSUED, World, envelope, pointer_payload, root_payload, served, told};

const SOON: Duration = Duration::from_secs(60);

/// Some time from now as RFC 3339: `+10 minutes`.
fn at(offset: &str) -> String {
    let out = std::process::Command::new("date").args(["-u", "-d", offset, "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn records_of_kind(gateway: &Gateway, kind: &str) -> usize {
    let text = gateway.record_text();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["adamant.kind"] == kind).count()
}

/// Runs what the unit runs before it starts the gateway.
fn run_before_start(world: &World) {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/adamant.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.contains("\nExecStart=/usr/local/bin/adamant run /etc/adamant/gateway.toml\n"), "{unit}");
    for line in unit.lines().filter_map(|line| line.strip_prefix("ExecStartPre=")) {
        let arguments = line.strip_prefix("/usr/local/bin/adamant ").expect("the unit runs the gateway's binary");
        let arguments: Vec<&str> = arguments.split(' ').map(|word| word.trim_start_matches("/etc/adamant/")).collect();
        let (status, stdout, stderr) = gateway::run(&arguments, world.home());
        assert!(status.success(), "{line} keeps systemd from starting the gateway: {stdout}{stderr}");
    }
}

#[test]
fn a_check_ends_with_what_a_start_would_come_to() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(1, &one);
    let (status, stdout, stderr) = world.check();
    assert!(status.success() && stdout.contains("to be accepted") && !stderr.contains("warning: "), "{stdout}{stderr}");
    drop(world.start());

    let wider = world.build(2, &world.policy(&["/one", "/two"]));
    world.put_release(&wider, &[1]);
    world.point(2, &wider.digest);
    for (ruin, check) in [("an under-signed release", "release-threshold"), ("no store", "read")] {
        let (status, stdout, stderr) = world.check();
        assert!(status.success(), "{ruin}: a start would serve: {stdout}{stderr}");
        let goes_on =
            stdout.contains(&one.digest) && stdout.contains("state directory: it goes on because what is at ");
        assert!(goes_on && stdout.starts_with("ok: "), "{ruin}: {stdout}");
        assert!(stderr.contains("warning: ") && stderr.contains(&format!("at the check {check}")), "{ruin}: {stderr}");
        run_before_start(&world);
        assert_eq!(served(&world.start()), one.digest, "{ruin}");
        let _ = fs::remove_dir_all(world.path("store"));
    }
    // Nothing to go on with either: a start would fail, and so does the check.
    fs::remove_dir_all(world.path("state")).unwrap();
    let (status, _, stderr) = world.check();
    assert!(!status.success() && stderr.contains("none was ever accepted") && stderr.contains("hint:"), "{stderr}");
}

#[test]
fn a_refusal_at_a_start_is_told_once() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(1, &one);
    drop(world.start());
    let wider = world.build(2, &world.policy(&["/one", "/two"]));
    world.put_release(&wider, &[1]);
    world.point(2, &wider.digest);
    let gateway = world.start();
    assert!(eventually(SOON, || records_of_kind(&gateway, "refused") > 0), "{}", gateway.record_text());
    // The store thread looks four times a second, and at its first look all of it is new to it.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(records_of_kind(&gateway, "refused"), 1, "{}", gateway.record_text());
    gateway.tells("refused at the check release-threshold");
    let stderr = gateway.stderr();
    assert_eq!(stderr.matches("refused at the check release-threshold").count(), 1, "{stderr}");
    assert_eq!(gateway.metric("acceptance_refusals_total"), 1.0);
}

#[test]
fn an_expired_pointer_is_told_by_the_check() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.put_release(&one, &[1, 2]);
    let expires = at("+10 seconds");
    world.point_until(1, &one.digest, &expires);
    drop(world.start());
    assert!(eventually(SOON, || world.check().2.contains("expired at")), "{}", world.check().2);
    let (status, stdout, stderr) = world.check();
    assert!(status.success() && stdout.contains("accepted before"), "{stdout}{stderr}");
    assert!(stderr.contains(&format!("(serial 1) expired at {expires}, nothing new is accepted")), "{stderr}");
}

#[test]
fn a_pointer_from_the_future_is_taken_with_a_warning() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.put_release(&one, &[1, 2]);
    let point = |serial, issued: &str| {
        let payload = String::from_utf8(pointer_payload("tests", CHANNEL, &one.digest, serial, END)).unwrap();
        let payload = payload.replace(ISSUED, issued);
        world.replace(&world.pointer_path(), &envelope("pointer", payload.as_bytes(), &[4]));
    };
    point(1, &at("+2 minutes"));
    let (_, _, stderr) = world.check();
    assert!(!stderr.contains("ahead of this machine's clock"), "two clocks may differ: {stderr}");
    point(1, &at("+2 hours"));
    let (status, _, stderr) = world.check();
    assert!(status.success() && stderr.contains("ahead of this machine's clock"), "{stderr}");
    let gateway = world.start();
    assert_eq!(served(&gateway), one.digest);
    let told_times = || gateway.stderr().matches("ahead of this machine's clock").count();
    assert!(eventually(SOON, || told_times() >= 1), "{}", gateway.stderr());
    assert_eq!(told_times(), 1, "{}", gateway.stderr());
    point(2, &at("+3 hours"));
    assert!(eventually(SOON, || told(&gateway)["pointer"]["serial"] == 2), "{}", gateway.stderr());
    assert!(eventually(SOON, || told_times() == 2), "also of one that is renewed: {}", gateway.stderr());
    assert!(eventually(SOON, || told(&gateway)["refusal"].is_null()), "{:#}", told(&gateway));
}

/// What docs/operating.md says of new gateways in a channel that runs a release signed by release-narrower alone.
#[test]
fn a_new_gateway_needs_the_wider_threshold_of_the_release_that_runs() {
    let world = World::new("hot");
    let (both, one) = (world.build(1, &world.policy(&["/one", "/two"])), world.build(2, &world.policy(&["/one"])));
    world.publish(1, &both);
    let gateway = world.start();
    world.put_release(&one, &[1]);
    world.point(2, &one.digest);
    assert!(eventually(SOON, || served(&gateway) == one.digest), "{}", gateway.stderr());
    drop(gateway);
    fs::rename(world.path("state"), world.path("old")).unwrap();
    let why = world.try_start().err().expect("a new gateway has accepted nothing yet");
    assert!(why.contains("release-threshold") && why.contains("no release was accepted before"), "{why}");
    // Either it is given what another one has accepted, or the others sign the same release too.
    fs::remove_dir_all(world.path("state")).unwrap();
    fs::create_dir(world.path("state")).unwrap();
    for name in ["accepted.json", "releases", "roots"] {
        fs::rename(world.path("old").join(name), world.path("state").join(name)).unwrap();
    }
    assert_eq!(served(&world.start()), one.digest);
    fs::remove_dir_all(world.path("state")).unwrap();
    world.put_release(&one, &[1, 3]);
    assert_eq!(served(&world.start()), one.digest);
}

#[test]
fn a_policy_that_is_spelt_otherwise_is_told_as_that() {
    let world = World::new("hot");
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(1, &one);
    let text = fs::read_to_string(world.path("gateway.toml")).unwrap();
    world.write("gateway.toml", text.replace("policy = \"tests\"", "policy = \"test\"").as_bytes());
    let why = world.try_start().err().expect("another policy");
    assert!(why.contains("a pointer of policy \"test\"; found one of policy \"tests\""), "{why}");
    assert!(why.contains("compare policy = under [gateway] with the name in the policy"), "{why}");
}

/// What is wrong with the configuration is told as that, and not as a fault of the store or of a release.
#[test]
fn what_the_configuration_names_wrongly_is_told_as_that() {
    let world = World::new("hot");
    world.publish(1, &world.build(1, &world.policy(&["/one"])));
    let good = fs::read_to_string(world.path("gateway.toml")).unwrap();
    let own = Authority::new("gateways").server(&["gateway.test"]);
    let other = Authority::new("others").server(&["gateway.test"]);
    world.write("chain.pem", own.certificate.as_bytes());
    world.write("other.key", other.key.as_bytes());
    fs::set_permissions(world.path("other.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for line in [
        "key signer --out x.key --no-passphrase".to_owned(),
        format!("trust init --key x=x.key --threshold 1 --expires {END} --out foreign.json"),
        "trust sign foreign.json --key x.key".to_owned(),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(gateway::run(&words, world.home()).0.success(), "{line}");
    }
    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    let tls = "tls = { certificates = [{ chain = \"chain.pem\", key = \"other.key\" }] }";
    for (from, to, parts) in [
        (format!("channel = \"{CHANNEL}\""), "channel = \"prodution\"".to_owned(), [CHANNEL, "is one of these meant"]),
        ("store = \"store\"".to_owned(), "store = \"stroe\"".to_owned(), ["stroe", "is it the store that was meant"]),
        (
            "store = \"store\"".to_owned(),
            "store = \"empty\"".to_owned(),
            ["no channel of it", "is it the store that was meant"],
        ),
        ("root.json".to_owned(), "foreign.json".to_owned(), ["is it the right trust root", "found 0"]),
        ("root.json".to_owned(), "store/releases".to_owned(), ["expected a file, found something else", "hint: "]),
        (
            "[[listener]]\n".to_owned(),
            format!("[[listener]]\n{tls}\n"),
            ["a certificate of a [[listener]]: ", "other.key"],
        ),
    ] {
        assert!(good.contains(&from), "{from}: {good}");
        world.write("gateway.toml", good.replacen(&from, &to, 1).as_bytes());
        let (status, _, said) = world.check();
        assert!(!status.success() && parts.iter().all(|part| said.contains(part)), "{to}: {said}");
        assert!(!said.contains("let enough owners") && !said.contains("release-table"), "{to}: {said}");
    }
    world.write(
        "gateway.toml",
        good.replacen("root.json", &format!("store/releases/{}", release_file(&world)), 1).as_bytes(),
    );
    let (_, _, said) = world.check();
    assert!(said.contains("expected a trust root, found a release; is it the right file?"), "{said}");
}

fn release_file(world: &World) -> String {
    let mut entries = fs::read_dir(world.path("store/releases")).unwrap();
    entries.next().unwrap().unwrap().file_name().into_string().unwrap()
}

/// What is weaker than it could be, and what was forgotten, is told at a start.
#[test]
fn what_is_forgotten_or_weaker_is_told_once() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .client_ca("clients", "clients.pem")
        .agent("reports-bot", "{ certificate = \"spiffe://corp.test/bot\", ca = \"clients\" }", &["all"], &[])
        .text();
    let unasked = "no listener asks for client certificates, so none can identify reports-bot: ";
    let believed = "says which client he is (trusted_proxies has 0.0.0.0/0, everybody)";
    let inside = ["state: checkpoints of the records go into the directory of the state", "directory of the records"];
    let deployment = || Deployment::new().file("clients.pem", &clients.pem);
    let weak = deployment()
        .listener("address = \"127.0.0.1:0\"\ntrusted_proxies = [\"0.0.0.0/0\"]")
        .tls_listener(&server.server(&["api.test"]), "off")
        .records("checkpoints = [\"state\", \".\"]")
        .run(&policy);
    for told in [unasked, believed, inside[0], inside[1]] {
        weak.tells(told);
        assert_eq!(weak.stderr().matches(told).count(), 1, "{}", weak.stderr());
    }
    let (_, _, checked) = gateway::run(&["run", "gateway.toml", "--check"], weak.directory());
    assert!(checked.contains(unasked) && checked.contains(believed), "{checked}");
    let good = deployment().tls_listener(&server.server(&["api.test"]), "optional");
    fs::create_dir(good.directory().join("outside")).unwrap();
    let good = good.records("checkpoints = [\"outside\"]").run(&policy);
    for told in [unasked, believed, inside[0], inside[1]] {
        assert!(!good.stderr().contains(told), "{}", good.stderr());
    }
}

#[test]
fn a_check_warns_of_what_has_ended_and_notes_what_soon_does() {
    let world = World::new("hot");
    let clients = Authority::new("clients");
    world.write("clients.pem", clients.pem.as_bytes());
    world.write("clients.crl", clients.crl(1, &[], Duration::from_secs(86_400)).as_bytes());
    let root = root_payload(1, &at("+20 days"), &[1, 2, 3]);
    world.write("root.json", &envelope("trust-root", &root, &[1, 2]));
    let policy = world
        .policy(&["/one"])
        .client_ca("clients", "clients.pem")
        .with("crl = { watch = \"clients.crl\" }")
        .agent("bot", "{ certificate = \"spiffe://corp.test/bot\", ca = \"clients\" }", &["all"], &[]);
    let ends = at("+30 seconds");
    let list = json!({
        "type": "adamant.revocations.v1", "policy_name": "tests", "channel": CHANNEL, "serial": 1, "issued": ISSUED,
        "expires": ends, "entries": [],
    });
    let list = envelope("revocations", list.to_string().as_bytes(), &[1]);
    world.write("store/channels/production/revocations.json", &list);
    world.publish(1, &world.build_until(1, &policy, &ends));
    let gateway = world.start();
    let is_kept = || {
        let files = fs::read_dir(world.path("state/moving")).into_iter().flatten().flatten();
        files.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("crl."))
    };
    assert!(eventually(SOON, is_kept), "{}", gateway.stderr());
    drop(gateway);
    let (status, stdout, stderr) = world.check();
    assert!(status.success() && !stderr.contains("warning: the release"), "{stderr}");
    assert!(stdout.contains("\nnote: the trust root version 1 ends in less than 30 days, at "), "{stdout}");
    fs::remove_file(world.path("clients.crl")).unwrap();
    assert!(eventually(SOON, || world.check().2.contains("expired at")), "{}", world.check().2);
    let (status, _, stderr) = world.check();
    assert!(status.success() && !stderr.contains("error: "), "{stderr}");
    for told in [
        format!("warning: the release version 1 ended at {ends}: it goes on serving"),
        format!("warning: the revocation list (serial 1) expired at {ends} and stays in force"),
        "warning: client CA \"clients\": crl: ".to_owned(),
    ] {
        assert!(stderr.contains(&told), "{told}: {stderr}");
    }
}
