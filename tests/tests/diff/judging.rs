//! What a gateway makes of the new side beside what it allows: its version, its expiry, and which trust root holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::store::{Key, envelope};

use super::*;

const NARROW: &str =
    "trust init --key alice=alice.key --key bob=bob.key --threshold 2 --role release-narrower=1 --role pointer=1";

/// A desk with a trust root by two, releases of the old policy (version 7, signed by both), and of its narrower and wider
/// neighbour as asked for.
fn signed() -> Desk {
    let desk = desk(wider);
    desk.keys(&["alice", "bob"]);
    root(&desk, "root.json", END);
    release(&desk, ("old", "old"), "--version 7", END, &["alice", "bob"]);
    desk
}

fn root(desk: &Desk, name: &str, expires: &str) {
    desk.good(&format!("{NARROW} --expires {expires} --out {name}"));
    for who in ["alice", "bob"] {
        desk.good(&format!("trust sign {name} --key {who}.key"));
    }
}

fn release(desk: &Desk, (policy, name): (&str, &str), more: &str, expires: &str, signers: &[&str]) {
    desk.good(&format!("release build {policy}.toml {more} --expires {expires} --out {name}.json"));
    for who in signers {
        desk.good(&format!("release sign {name}.json --key {who}.key"));
    }
}

/// What both formats say of a comparison under `root`.
fn judged(desk: &Desk, line: &str, status: i32) -> (String, Value) {
    let (code, said, stderr) = desk.run(&format!("diff {line}"));
    assert_eq!(code, status, "{said}{stderr}");
    (said, json(desk, &format!("diff {line} --format json"), status))
}

fn refusals(found: &Value) -> Vec<&str> {
    found["gateway_refuses"].as_array().unwrap().iter().map(|of| of["check"].as_str().unwrap()).collect()
}

#[test]
fn a_version_far_above_the_old_one_needs_the_wider_role_whatever_changes() {
    let desk = signed();
    let far = 7 + 1_000_000;
    for (version, needed, enough) in [(far, "release-narrower", true), (far + 1, "release-wider", false)] {
        release(&desk, ("old", "next"), &format!("--version {version}"), END, &["alice"]);
        let (said, found) = judged(&desk, "old.json next.json --trust-root root.json", 0);
        assert_eq!((&found["role"], &found["signatures_enough"]), (&needed.into(), &enough.into()));
        assert_eq!(found["needs_wider"], !enough);
        assert_eq!(refusals(&found), if enough { vec![] } else { vec!["release-threshold"] });
        assert_eq!(said.contains("because version 1000008 is more than 1000000 above 7"), !enough, "{said}");
        assert_eq!(said.contains("the new release lacks 1 of them"), !enough, "{said}");
        fs::remove_file(desk.path("next.json")).unwrap();
    }
    // Without a root, or where it is wider anyway.
    release(&desk, ("new", "next"), "--version 1000008", END, &["alice", "bob"]);
    let (said, found) = judged(&desk, "old.json next.json", 11);
    assert!(!said.contains("is more than") && refusals(&found).is_empty(), "{said}");
    let (said, found) = judged(&desk, "next.json old.json --trust-root root.json", 10);
    assert!(found["role"] == "release-narrower" && !said.contains("is more than"), "a version below: {said}");
}

#[test]
fn what_has_expired_is_refused_by_gateways() {
    let desk = signed();
    let gone = "2020-01-01T00:00:00Z";
    release(&desk, ("old", "late"), "--version 8 --already-expired", gone, &["alice", "bob"]);
    for line in ["old.json late.json --trust-root root.json", "old.json late.json"] {
        let (said, found) = judged(&desk, line, 0);
        assert_says(&said, &["note   a gateway refuses the new side: the release (version 8) expired at 2020-01-01"]);
        assert_eq!(refusals(&found), ["release-expiry"]);
    }
    // Who serves it goes on.
    let (said, found) = judged(&desk, "late.json late.json", 0);
    assert!(!said.contains("refuses") && refusals(&found).is_empty(), "{said}");
    assert_eq!(refusals(&judged(&desk, "late.json old.json", 0).1), [""; 0]);

    // A root of two keys that expired.
    for (name, number) in [("alice", 1), ("bob", 2)] {
        desk.write(&format!("{name}.key"), Key::file(number));
        desk.good(&format!("release sign late.json --key {name}.key"));
    }
    fs::remove_file(desk.path("root.json")).unwrap();
    root(&desk, "root.json", END);
    let whole: Value = serde_json::from_slice(&desk.read("root.json")).unwrap();
    let payload = String::from_utf8(STANDARD.decode(whole["payload"].as_str().unwrap()).unwrap()).unwrap();
    desk.write("gone.json", envelope("trust-root", payload.replace(END, gone).as_bytes(), &[1, 2]));
    let (said, found) = judged(&desk, "old.toml late.json --trust-root gone.json", 0);
    assert_says(&said, &["a gateway refuses the new side: the trust root (version 1) expired at 2020-01-01"]);
    assert_eq!(refusals(&found), ["root-expiry", "release-expiry"]);
    assert_eq!(refusals(&judged(&desk, "old.toml late.json --trust-root root.json", 0).1), ["release-expiry"]);
}

#[test]
fn a_way_back_to_what_allows_more_needs_the_wider_role_on_the_pointer() {
    let desk = signed();
    let line = "the pointer needs release-wider too, which leads back: version";
    for (version, back) in [(6, true), (7, true), (8, false)] {
        release(&desk, ("new", "next"), &format!("--version {version}"), END, &["alice", "bob"]);
        let (said, found) = judged(&desk, "old.json next.json --trust-root root.json", 11);
        assert_eq!(said.contains(&format!("{line} {version} is not above 7")), back, "{said}");
        assert_eq!((&found["pointer_needs_wider"], &found["signatures_enough"]), (&back.into(), &true.into()));
        fs::remove_file(desk.path("next.json")).unwrap();
    }
    // Back to what allows no more: the pointer role is enough.
    release(&desk, ("new", "more"), "--version 9", END, &["alice", "bob"]);
    let (said, found) = judged(&desk, "more.json old.json --trust-root root.json", 10);
    assert!(!said.contains(line) && found["pointer_needs_wider"] == false, "{said}");
}

#[test]
fn the_new_side_is_judged_under_the_newest_root_of_the_store() {
    let desk = signed();
    desk.keys(&["carol"]);
    fs::create_dir_all(desk.path("store")).unwrap();
    let (said, _) = judged(&desk, "old.json new.toml --trust-root root.json", 11);
    assert_says(&said, &["root   version 1; successors of it are looked for with --store"]);
    let (said, _) = judged(&desk, "old.json new.toml --trust-root root.json --store store", 11);
    assert_says(&said, &["root   version 1: the store has no successor of it"]);
    // Alice has another key from now on.
    desk.good("trust rotate root.json alice=carol.pub -o root-2.json");
    for who in ["alice", "bob", "carol"] {
        desk.good(&format!("trust sign root-2.json --key {who}.key --after root.json"));
    }
    desk.good("trust publish root-2.json --trust-root root.json --store store");
    release(&desk, ("new", "next"), "--version 8", END, &["alice", "bob"]);
    let (_, found) = judged(&desk, "old.json next.json --trust-root root.json", 11);
    assert_eq!((&found["signatures_enough"], &found["trust_root_version"]), (&true.into(), &1.into()));
    let (said, found) = judged(&desk, "old.json next.json --trust-root root.json --store store", 11);
    assert_says(&said, &["root   version 2, to which the store leads from version 1"]);
    assert_eq!((&found["signatures_enough"], &found["trust_root_version"]), (&false.into(), &2.into()));
    // What serves is taken under the root of its time, what is new is not.
    release(&desk, ("old", "hers"), "--version 6", END, &["alice"]);
    let (_, found) = judged(&desk, "hers.json next.json --trust-root root.json --store store", 11);
    assert_eq!(found["old"]["signatures"][0]["signers"], serde_json::json!(["alice"]));
    let line = "diff next.json hers.json --trust-root root.json --store store";
    assert_says(&desk.bad(line), &["hers.json: ", "trust root version 2", "found 0"]);
}
