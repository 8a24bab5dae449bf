//! Channels of a store over their life: pointed, renewed, rolled back, gathered by several people; and what somebody
//! who can write to the store can do about it.
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

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::desk::{Desk, END, assert_says};
use tests::policy::{PolicyText, open_to_all};

const AT: &str = "--store store --channel production --trust-root root.json";
const POINTER: &str = "store/channels/production/pointer.json";

/// One route more, or one less, than the policy that the office begins with.
fn with_routes(count: usize) -> PolicyText {
    let mut policy = PolicyText::new().origin("origin", &["127.0.0.1:9".parse().unwrap()]);
    let names: Vec<String> = (0..count).map(|i| format!("r{i}")).collect();
    for name in &names {
        policy = policy.route(name, "GET", &format!("/{name}"), "origin");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    policy.scope("all", &names).anonymous(&["all"], &[])
}

/// alice and bob must both sign what is wider; either points. `1.json` is a release that both signed.
fn office() -> Desk {
    let desk = Desk::new();
    desk.keys(&["alice", "bob", "carol"]);
    desk.good(&format!(
        "trust init --key alice=alice.pub --key bob=bob.pub --threshold 2 --role release-narrower=1 --role pointer=1 \
         --expires {END} -o root.json"
    ));
    desk.good("trust sign root.json --key alice.key --key bob.key");
    fs::create_dir(desk.path("store")).unwrap();
    release(&desk, 1, 2, "alice.key bob.key");
    desk
}

/// Builds `VERSION.json` of a policy with so many routes; its digest.
fn release(desk: &Desk, version: u64, routes: usize, signers: &str) -> String {
    desk.write("policy.toml", with_routes(routes).text());
    desk.good(&format!("release build policy.toml --version {version} --expires {END} -o {version}.json"));
    for signer in signers.split(' ') {
        desk.good(&format!("release sign {version}.json --key {signer}"));
    }
    let said = desk.good(&format!("release show {version}.json"));
    said.lines().next().unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

fn file_of(digest: &str) -> String {
    format!("store/releases/{}.json", digest.replace(':', "-"))
}

fn pointer(desk: &Desk, file: &str) -> Value {
    let envelope: Value = serde_json::from_slice(&desk.read(file)).unwrap();
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

fn serial(desk: &Desk) -> u64 {
    pointer(desk, POINTER)["serial"].as_u64().unwrap()
}

#[test]
fn a_channel_is_pointed_renewed_and_shown() {
    let desk = office();
    assert_says(&desk.good("point show --store store"), &["no channels"]);
    let said = desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    assert_says(
        &said,
        &[
            "release    sha256:",
            "version 1",
            "the channel has no release yet",
            "release-wider: 2 of 2 signatures (",
            "serial 1",
            "(in 30 days)",
            "wrote store/releases/sha256-",
            "wrote store/channels/production/pointer.json",
        ],
    );
    assert!(!said.contains("warning"), "{said}");
    assert_eq!((desk.mode(POINTER), desk.all("store").len()), (0o644, 2));
    let digest = pointer(&desk, POINTER)["release"].as_str().unwrap().to_owned();
    assert_eq!(desk.read(&file_of(&digest)), desk.read("1.json"));

    let said = desk.good(&format!("point {AT} --release current --key bob.key --for 12h"));
    assert_says(&said, &["none: the channel points at it already", "serial 2", "(in 12 hours)"]);
    assert_eq!((serial(&desk), pointer(&desk, POINTER)["release"].as_str().unwrap()), (2, digest.as_str()));
    let shown = desk.good("point show --store store --trust-root root.json");
    assert_says(&shown, &["channel production, serial 2", &digest, "1 of 1 signature (bob)", "  made     "]);
    assert_says(&desk.good("point show --store store"), &["not verified without --trust-root"]);
    assert_says(&desk.good(&format!("point show {POINTER} --trust-root root.json")), &["serial 2", "(bob)"]);
    desk.good(&format!("point {AT} --release {digest} --key alice.key --serial 10 --expires {END}"));
    assert_eq!(serial(&desk), 10);
    assert_says(
        &desk.bad(&format!("point {AT} --release 1.json --key alice.key --serial 10")),
        &["above 10", "found 10"],
    );
}

#[test]
fn what_a_release_will_need_at_the_gateways_is_told() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    release(&desk, 2, 1, "alice.key");
    let said = desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    assert_says(&said, &["change   narrower", "release-narrower: 1 of 1 signature (alice)"]);
    assert!(!said.contains("warning"), "{said}");
    release(&desk, 3, 4, "alice.key");
    let said = desk.good(&format!("point {AT} --release 3.json --key alice.key"));
    assert_says(
        &said,
        &[
            "change   wider",
            "release-wider: 1 of 2 signatures (alice); 1 more of: bob",
            "warning: gateways will not take",
        ],
    );
    // What the channel points at was not taken by any gateway: renewing the pointer does not make it narrower.
    let said = desk.good(&format!("point {AT} --release current --key alice.key"));
    assert_says(&said, &["release-wider where it is not served yet: 1 of 2 signatures (alice); 1 more of: bob"]);
    // bob signs too: the store's copy takes his signature, and the channel is pointed again.
    desk.good("release sign 3.json --key bob.key");
    let said = desk.good(&format!("point {AT} --release 3.json --key alice.key"));
    assert_says(&said, &["none: the channel points at it already", "wrote store/releases/"]);
    // Nobody's signature, and a release that is none.
    release(&desk, 4, 1, "carol.key");
    assert_says(&desk.bad(&format!("point {AT} --release 4.json --key alice.key")), &["4.json", "found 0"]);
    assert_says(&desk.bad(&format!("point {AT} --release root.json --key alice.key")), &["expected a release"]);
    desk.good("release build policy.toml --version 5 --expires 2026-01-01T00:00:00Z -o 5.json");
    desk.good("release sign 5.json --key alice.key --key bob.key");
    assert_says(
        &desk.bad(&format!("point {AT} --release 5.json --key alice.key")),
        &["5.json", "expired at 2026-01-01"],
    );
    assert_eq!(serial(&desk), 5);
}

#[test]
fn a_rollback_is_a_new_pointer_and_is_compared_too() {
    let desk = office();
    let first = pointer_digest(&desk, "1.json");
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    assert_says(&desk.bad(&format!("rollback {AT} --to previous --key alice.key")), &["no previous release"]);
    let second = release(&desk, 2, 1, "alice.key bob.key");
    desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    let said = desk.good(&format!("rollback {AT} --to previous --key alice.key"));
    assert_says(&said, &[&first, "version 1", "change   wider", "release-wider: 2 of 2", "serial 3"]);
    assert_eq!(pointer(&desk, POINTER)["release"].as_str().unwrap(), first);
    let said = desk.good(&format!("rollback {AT} --to {second} --key alice.key"));
    assert_says(&said, &[&second, "change   narrower", "serial 4"]);
    assert_says(&desk.bad(&format!("rollback {AT} --to {second} --key alice.key")), &["runs", "already"]);
    let nowhere = format!("sha256:{}", "0".repeat(64));
    assert_says(&desk.bad(&format!("rollback {AT} --to {nowhere} --key alice.key")), &["no such release"]);
    let elsewhere = AT.replace("production", "staging");
    assert_says(
        &desk.bad(&format!("rollback {elsewhere} --to previous --key alice.key")),
        &["nothing to go back from"],
    );
}

fn pointer_digest(desk: &Desk, file: &str) -> String {
    desk.good(&format!("release show {file}")).lines().next().unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn two_people_make_one_pointer() {
    let desk = office();
    desk.good("trust renew root.json --threshold pointer=2 -o root-2.json");
    desk.good("trust sign root-2.json --after root.json --key alice.key --key bob.key");
    desk.good("trust publish root-2.json --trust-root root.json --store store");
    // The store's successor counts, though the first root is what was given.
    let said = desk.bad(&format!("point {AT} --release 1.json --key alice.key"));
    assert_says(&said, &["1 of 2 signatures (alice); 1 more of: bob", "nothing was published", "--out"]);
    let said = desk.good(&format!("point {AT} --release 1.json --key alice.key --out pointer.json"));
    assert_says(
        &said,
        &["the store is as it was", "adamant point sign pointer.json", "adamant point publish pointer.json"],
    );
    assert!(!desk.path("store/channels").exists() && !desk.path("store/releases").exists());
    let publish = format!("point publish pointer.json {AT} --release 1.json");
    assert_says(&desk.bad(&publish), &["2 signatures by different keys", "found 1 (alice)"]);
    let said = desk.good("point sign pointer.json --key bob.key --detached -o bob.sig");
    assert_says(&said, &["channel production runs sha256:", "serial 1"]);
    desk.good("point merge pointer.json bob.sig");
    desk.good(&publish);
    assert_eq!((desk.read(POINTER), desk.all("store").len()), (desk.read("pointer.json"), 3));
    assert_says(&desk.bad(&publish), &["above 1", "found 1"]);
    let elsewhere = publish.replace("production", "staging");
    assert_says(&desk.bad(&elsewhere), &["another release or channel"]);
    assert_says(
        &desk.bad(&format!("point {AT} --release 1.json --key carol.key")),
        &["role pointer", "would not count"],
    );
}

/// Whoever writes to the store cannot make the commands believe or follow anything.
#[test]
fn a_store_in_the_hands_of_somebody_else() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key --serial 7"));
    let (good, digest) = (desk.read(POINTER), pointer_digest(&desk, "1.json"));
    let renew = format!("point {AT} --release {digest} --key alice.key");

    // A pointer that carol made, one that is torn, one of another channel or kind, one with a flipped bit.
    desk.good(&format!("trust init --key carol=carol.pub --threshold 1 --expires {END} -o carols.json"));
    desk.good("trust sign carols.json --key carol.key");
    desk.good("release sign 1.json --key carol.key -o by-carol.json");
    fs::create_dir(desk.path("carols")).unwrap();
    let of_carol = "--store carols --channel production --trust-root carols.json";
    desk.good(&format!("point {of_carol} --release by-carol.json --key carol.key --serial 9000000000000000"));
    let forged = desk.read("carols/channels/production/pointer.json");
    let other_channel = AT.replace("production", "staging");
    desk.good(&format!("point {other_channel} --release 1.json --key alice.key"));
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let staging = desk.read("store/channels/staging/pointer.json");
    for bad in [&forged[..], &good[..good.len() / 2], b"", &staging, &desk.read("root.json"), &flipped] {
        desk.write(POINTER, bad);
        let said = desk.bad(&renew);
        assert_says(&said, &["is not believed", "--serial"]);
        assert_eq!(desk.read(POINTER), bad);
        assert_says(&desk.bad(&format!("rollback {AT} --to previous --key alice.key")), &["not"]);
    }
    let said = desk.good(&format!("{renew} --serial 8"));
    assert_says(&said, &["warning: the pointer of channel production is not believed and is replaced", "serial 8"]);

    // A damaged release, and another one under its name.
    let whole = desk.read(&file_of(&digest));
    desk.write(&file_of(&digest), &whole[..whole.len() - 9]);
    assert_says(&desk.bad(&renew), &["releases/sha256-", "DSSE envelope"]);
    let said = desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    assert_says(&said, &["warning: ", "damaged and is replaced by yours"]);
    assert_eq!(desk.read(&file_of(&digest)), desk.read("1.json"));
    release(&desk, 2, 1, "alice.key bob.key");
    desk.write(&file_of(&digest), desk.read("2.json"));
    assert_says(&desk.bad(&renew), &["expected the release sha256:", "under its name"]);
    desk.write(&file_of(&digest), &whole);

    // A successor of the trust root that carol crowned herself with.
    fs::create_dir(desk.path("store/roots")).unwrap();
    desk.good("trust rotate carols.json carol=bob.pub -o carols-2.json");
    desk.good("trust sign carols-2.json --after carols.json --key carol.key --key bob.key");
    fs::copy(desk.path("carols-2.json"), desk.path("store/roots/2.json")).unwrap();
    assert_says(&desk.good(&renew), &["warning: ", "roots/2.json is passed over", "the one before"]);
}

#[test]
fn no_path_leads_out_of_the_store() {
    let desk = office();
    for channel in ["..", "../production", "a/b", "/etc", "Production", "-x", ""] {
        let line =
            format!("point --store store --channel={channel} --trust-root root.json --release 1.json --key alice.key");
        let (code, _, said) = desk.run(&line);
        assert!(code == 2 && said.contains("expected a channel"), "{channel}: {said}");
    }
    for digest in ["sha256:../../../etc/passwd", "sha256:", &format!("sha256:{}", "A".repeat(64))] {
        let (code, _, said) = desk.run(&format!("point {AT} --release {digest} --key alice.key"));
        assert!(code == 2 && said.contains("64 lower-case hex digits"), "{digest}: {said}");
    }
    assert_eq!(desk.all("store"), []);
    fs::create_dir(desk.path("elsewhere")).unwrap();
    for link in ["releases", "channels", "channels/production", POINTER.trim_start_matches("store/")] {
        let path = desk.path("store").join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(desk.path("elsewhere"), &path).unwrap();
        assert_says(
            &desk.bad(&format!("point {AT} --release 1.json --key alice.key")),
            &["symbolic link", "take it away"],
        );
        assert_eq!(desk.all("elsewhere"), [], "{link}");
        fs::remove_file(path).unwrap();
        fs::remove_dir_all(desk.path("store")).unwrap();
        fs::create_dir(desk.path("store")).unwrap();
    }
    // A pipe would keep a careless reader waiting for ever.
    fs::create_dir_all(desk.path("store/channels/production")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(desk.path(POINTER)).status().unwrap();
    assert!(made.success());
    assert_says(
        &desk.bad(&format!("point {AT} --release 1.json --key alice.key")),
        &["expected a regular file", "pipe"],
    );
    assert_says(&desk.bad("point show --store store"), &["1 channel cannot be read"]);
    assert_says(
        &desk
            .bad(&format!("point {} --release 1.json --key alice.key", AT.replace("--store store", "--store nowhere"))),
        &["nowhere", "mkdir"],
    );
}

/// Ten at once: serials are not given twice, no pointer is lost, and nothing is left lying about.
#[test]
fn several_people_point_at_once() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let line = format!("point {AT} --release 1.json --key alice.key");
    let running: Vec<_> = (0..10)
        .map(|_| {
            use std::process::Stdio;
            desk.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut published = 0;
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            published += 1;
        } else {
            assert_says(&said, &["meanwhile", "nothing was published"]);
        }
    }
    assert!(published >= 1);
    assert_eq!(serial(&desk), 1 + published);
    assert_eq!(desk.all("store").len(), 2);
}

#[test]
fn another_policy_needs_another_channel() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let text = open_to_all("127.0.0.1:9".parse().unwrap()).text().replace("\"tests\"", "\"others\"");
    desk.write("others.toml", text);
    desk.good(&format!("release build others.toml --version 2 --expires {END} -o others.json"));
    desk.good("release sign others.json --key alice.key --key bob.key");
    let said = desk.bad(&format!("point {AT} --release others.json --key alice.key"));
    assert_says(&said, &["is of policy \"tests\"", "\"others\"", "--channel"]);
    desk.good(&format!("point {} --release others.json --key alice.key", AT.replace("production", "others")));
    assert_says(&desk.good("point show --store store"), &["channel others", "channel production"]);
    assert_says(&desk.good("point show --store store --channel others"), &["policy   others"]);
}
