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

#[path = "pointing/hostile.rs"]
mod hostile;
#[path = "pointing/people.rs"]
mod people;
#[path = "pointing/places.rs"]
mod places;
#[path = "pointing/policies.rs"]
mod policies;
#[path = "pointing/withheld.rs"]
mod withheld;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::desk::{Desk, END, assert_says};
use tests::policy::PolicyText;

const AT: &str = "--store store --channel production --trust-root root.json";
const POINTER: &str = "store/channels/production/pointer.json";

/// One route more, or one less, than the policy that the office begins with.
fn with_routes(count: usize) -> PolicyText {
    with_limits(count, &[])
}

fn with_limits(count: usize, limits: &[&str]) -> PolicyText {
    let mut policy = PolicyText::new().origin("origin", &["127.0.0.1:9".parse().unwrap()]);
    let names: Vec<String> = (0..count).map(|i| format!("r{i}")).collect();
    for name in &names {
        policy = policy.route(name, "GET", &format!("/{name}"), "origin");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    policy.scope("all", &names).anonymous(&["all"], limits)
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
    assert_says(&said, &["the same release: the channel points at it already", "serial 2", "(in 12 hours)"]);
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

/// For scripts: by its exit status, and one fact a line.
#[test]
fn what_a_channel_runs_is_told_by_signatures_alone() {
    let desk = office();
    let live = format!("point live {AT}");
    let nothing = |why: &str| {
        let (code, said, complained) = desk.run(&live);
        assert!(code == 4 && !said.contains("release"), "{why}: {code}: {said}{complained}");
        assert_says(&complained, &["warning: ", why]);
    };
    nothing("no channel production");
    assert_says(&desk.run(&live).1, &["next     1\n"]);
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let digest = pointer(&desk, POINTER)["release"].as_str().unwrap().to_owned();
    let said = desk.good(&live);
    assert_says(&said, &[&format!("release  {digest}\nversion  1\nserial   1\n"), "expires  2", "next     2\n"]);
    let json: Value = serde_json::from_str(&desk.good(&format!("{live} --format json"))).unwrap();
    assert_eq!((&json["release"], &json["next_version"], &json["expired"]), (&digest.into(), &2.into(), &false.into()));

    // A narrower one counts on from it; without it, anything could have been before.
    let two = release(&desk, 2, 1, "alice.key");
    desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    assert_says(&desk.good(&live), &[&two, "version  2", "serial   2", "next     3"]);
    let first = json["release"].as_str().unwrap();
    let whole = desk.read(&file_of(first));
    fs::remove_file(desk.path(&file_of(first))).unwrap();
    nothing("release-narrower alone signed");
    desk.write(&file_of(first), whole);
    desk.write(&file_of(&two), desk.read("1.json"));
    nothing("another release under the name");
    desk.write(POINTER, "{}");
    assert_says(&desk.bad(&live), &["is not believed"]);
}

#[test]
fn what_a_release_will_need_at_the_gateways_is_told() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    release(&desk, 2, 1, "alice.key");
    let said = desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    assert_says(&said, &["change   narrower", "release-narrower: 1 of 1 signature (alice)"]);
    // Running gateways take it; one that accepted nothing yet has nothing to compare it with.
    let new_ones = "warning: a new gateway, which has accepted nothing yet, cannot start from this release: \
                    release-wider has 1 of 2";
    assert_says(&said, &[new_ones]);
    let said = desk.good(&format!("point {AT} --release current --key alice.key"));
    assert_says(&said, &["the same release: the channel points at it already", new_ones]);

    // What every gateway would refuse is not published, unless it is asked for by name.
    let before = desk.all("store");
    release(&desk, 3, 4, "alice.key");
    let said = desk.bad(&format!("point {AT} --release 3.json --key alice.key"));
    assert_says(
        &said,
        &[
            "gateways would not take this release",
            "release-wider has 1 of 2 signatures (alice); 1 more of: bob",
            "nothing was published",
            "--below-threshold",
        ],
    );
    assert_eq!(desk.all("store"), before);
    desk.good(&format!("point {AT} --release 3.json --key alice.key --out pointer.json"));
    let publish = format!("point publish pointer.json {AT} --release 3.json");
    assert_says(&desk.bad(&publish), &["gateways would not take this release", "--below-threshold"]);
    assert_eq!(desk.all("store"), before);
    let said = desk.good(&format!("{publish} --below-threshold"));
    assert_says(&said, &["change   wider", "warning: gateways would not take this release"]);

    // Nobody took what the channel points at now: the next one, and its renewal, are compared with the one before.
    let said = desk.bad(&format!("point {AT} --release current --key alice.key"));
    assert_says(&said, &["release-wider has 1 of 2 signatures (alice)", "nothing was published"]);
    release(&desk, 6, 3, "alice.key");
    let (code, said, told) = desk.run(&format!("point {AT} --release 6.json --key alice.key"));
    assert_eq!(code, 1, "{said}{told}");
    assert_says(&said, &["change   wider", "compared with version 2 (sha256:"]);
    // bob signs too: the store's copy takes his signature, and the channel is pointed again.
    desk.good("release sign 3.json --key bob.key");
    let said = desk.good(&format!("point {AT} --release 3.json --key alice.key"));
    assert_says(&said, &["change   wider", "wrote store/releases/"]);
    assert!(!said.contains("warning"), "{said}");
    let said = desk.good(&format!("point {AT} --release current --key alice.key"));
    assert_says(&said, &["the same release: the channel points at it already"]);
    release(&desk, 4, 1, "carol.key");
    // Nobody's signature, and a release that is none.
    assert_says(&desk.bad(&format!("point {AT} --release 4.json --key alice.key")), &["4.json", "found 0"]);
    assert_says(&desk.bad(&format!("point {AT} --release root.json --key alice.key")), &["expected a release"]);
    let late = "release build policy.toml --version 5 --expires 2026-01-01T00:00:00Z -o 5.json";
    assert_says(&desk.bad(late), &["expected an expiry in the future", "--already-expired"]);
    desk.good(&format!("{late} --already-expired"));
    desk.good("release sign 5.json --key alice.key --key bob.key");
    assert_says(
        &desk.bad(&format!("point {AT} --release 5.json --key alice.key")),
        &["5.json", "expired at 2026-01-01"],
    );
    assert_eq!(serial(&desk), 6);
}

#[test]
fn what_else_changes_is_counted_and_a_version_that_is_taken_is_told() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    desk.write("limited.toml", with_limits(2, &["600/minute"]).text());
    desk.good(&format!("release build limited.toml --version 1 --expires {END} -o limited.json"));
    desk.good("release sign limited.json --key alice.key --key bob.key");
    let said = desk.good(&format!("point {AT} --release limited.json --key alice.key"));
    assert_says(&said, &["0 newly allowed, 0 newly refused, 1 limit changed; adamant diff shows each"]);
    assert_says(&said, &["warning: the store has another release of version 1: sha256:"]);
}

#[test]
fn whoever_signs_hears_whether_it_counts_and_who_is_missing() {
    let desk = office();
    release(&desk, 2, 1, "alice.key");
    let sign = "release sign 2.json --trust-root root.json --store store";
    let before = desk.read("2.json");
    assert_says(
        &desk.bad(&format!("{sign} --key carol.key")),
        &["not in the trust root", "would not count", "let sign: alice, bob"],
    );
    assert_eq!(desk.read("2.json"), before);
    let said = desk.good(&format!("{sign} --key alice.key"));
    assert_says(&said, &["release-wider: 1 of 2 signatures (alice); 1 more of: bob", "release-narrower: 1 of 1"]);
    let said = desk.good(&format!("{sign} --key bob.key --detached -o bob.sig"));
    assert_says(&said, &["with this one", "release-wider: 2 of 2 signatures"]);
    assert_eq!(desk.read("2.json"), before, "a detached signature changes nothing");

    // The root that the store leads to counts, also for verifying and showing.
    desk.good(&format!("point {AT} --release 1.json --key alice.key --out pointer.json"));
    let said = desk.good("release verify 1.json --trust-root root.json --store store");
    assert_says(
        &said,
        &["release-wider: 2 of 2 needed (alice, bob)", "release-narrower: 2 signatures, 1 needed (alice, bob)"],
    );
    desk.good("trust rotate root.json bob=carol.pub --threshold pointer=2 -o root-2.json");
    desk.good("trust sign root-2.json --after root.json --key alice.key --key bob.key --key carol.key");
    desk.good("trust publish root-2.json --trust-root root.json --store store");
    desk.good("release verify 1.json --trust-root root.json");
    let (code, _, told) = desk.run("release verify 1.json --trust-root root.json --store store");
    assert!(code == 3 && told.contains("trust root version 2") && told.contains("found 1 (alice)"), "{code}: {told}");
    desk.good(&format!("{sign} --key carol.key"));
    assert_says(&desk.good("point show pointer.json --trust-root root.json"), &["1 of 1 signature (alice)"]);
    let shown = desk.good("point show pointer.json --trust-root root.json --store store");
    assert_says(&shown, &["1 of 2 signatures (alice); 1 more of: bob"]);
    let said = desk.good("point sign pointer.json --trust-root root.json --store store --key carol.key");
    assert_says(&said, &["pointer: 2 of 2 signatures"]);
}

#[test]
fn a_serial_far_ahead_is_noticed() {
    let desk = office();
    let last = "9007199254740991";
    let first = format!("point {AT} --release 1.json --key alice.key");
    assert_says(&desk.bad(&format!("{first} --serial {last}")), &["at most 1000", last, "--serial-jump"]);
    desk.good(&first);
    assert_says(&desk.bad(&format!("{first} --serial 1002")), &["at most 1001", "found 1002"]);
    desk.good(&format!("{first} --serial 1001"));
    desk.good(&format!("{first} --serial {last} --serial-jump --out far.json"));
    assert_says(&desk.bad(&format!("point publish far.json {AT}")), &["at most 2001", last]);
    assert_eq!(serial(&desk), 1001);
    desk.write(POINTER, "garbage");
    let said = desk.bad(&format!("point {AT} --release current --key alice.key"));
    assert_says(&said, &["is not believed", "DSSE envelope"]);
}

#[test]
fn a_rollback_is_a_new_pointer_and_is_compared_too() {
    let desk = office();
    let first = pointer_digest(&desk, "1.json");
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    assert_says(&desk.bad(&format!("rollback {AT} --to previous --key alice.key")), &["no previous release"]);
    let second = release(&desk, 2, 1, "alice.key bob.key");
    desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    let said = desk.bad(&format!("rollback {AT} --to previous --key alice.key"));
    assert_says(&said, &["leads back to what allows more", "release-wider", "several --key"]);
    let said = desk.good(&format!("rollback {AT} --to previous --key alice.key --key bob.key"));
    assert_says(&said, &[&first, "version 1", "change   wider", "release-wider: 2 of 2", "serial 3"]);
    assert_eq!(pointer(&desk, POINTER)["release"].as_str().unwrap(), first);
    // Whoever has not taken the way back yet needs the wider role on what renews it too.
    let renewal = format!("point {AT} --release current --key alice.key");
    assert_says(&desk.good(&renewal), &["serial 4", "leads back, and not this one", "will refuse it"]);
    desk.good(&format!("{renewal} --key bob.key"));
    desk.good(&format!("{renewal} --out renewed.json"));
    assert_says(&desk.good(&format!("point publish renewed.json {AT}")), &["leads back, and not this one"]);
    let said = desk.good(&format!("rollback {AT} --to {second} --key alice.key"));
    assert_says(&said, &[&second, "change   narrower", "serial 7"]);
    // The newest is no way back, whoever signs it.
    for keys in ["--key bob.key", ""] {
        let said = desk.good(&format!("{renewal} {keys}"));
        assert!(!said.contains("leads back"), "{said}");
    }
    assert_says(&desk.bad(&format!("rollback {AT} --to {second} --key alice.key")), &["runs", "already"]);
    let nowhere = format!("sha256:{}", "0".repeat(64));
    assert_says(&desk.bad(&format!("rollback {AT} --to {nowhere} --key alice.key")), &["no such release"]);
    let elsewhere = AT.replace("production", "staging");
    assert_says(
        &desk.bad(&format!("rollback {elsewhere} --to previous --key alice.key")),
        &["the store has no channel staging"],
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
    assert_says(&desk.good(&publish), &["channel production has this pointer already, serial 1"]);
    let elsewhere = publish.replace("production", "staging");
    assert_says(&desk.bad(&elsewhere), &["of channel \"production\"", "--channel names \"staging\""]);
    assert_says(
        &desk.bad(&format!("point {AT} --release 1.json --key carol.key")),
        &["role pointer", "would not count"],
    );
}

/// Whoever writes to the store cannot make the commands believe or follow anything.
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

/// `adamant point … | head -1`: what is to be done is done, whether or not somebody reads what is said of it.
#[test]
fn what_nobody_reads_is_published_all_the_same() {
    let desk = office();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let line = format!("point {AT} --release 1.json --key alice.key");
    let ended = desk.command(&line).stdout(writer).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(pointer(&desk, POINTER)["serial"], 1);
    // A full disk under its output is told, once all is done.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = desk.command(&line.replace("1.json", "current")).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("cannot write to standard output"), "{said}");
    assert_eq!(pointer(&desk, POINTER)["serial"], 2);
}
