//! What a policy can be named by: the same for `adamant explain --request`, for a record, and for `adamant diff`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::Path;

use tests::client::get;
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{self, Gateway};
use tests::policy::PolicyText;

const PATH: &str = "/orders/7";

/// A gateway, a store beside it with the release that it serves, and that release's digest.
fn served() -> (Gateway, String) {
    let policy = PolicyText::new()
        .origin("orders", &["127.0.0.1:9".parse().unwrap()])
        .route("read", "GET", "/orders/{id}", "orders")
        .scope("read", &["read"])
        .agent("bot", "{ api_key = [\"bot-1\"] }", &["read"], &[])
        .with(&format!("[[api_key]]\nid = \"bot-1\"\nsha256 = \"{}\"", "b".repeat(64)));
    let gateway = Deployment::new().run(&policy.text());
    let directory = gateway.directory();
    let (_, shown, _) = gateway::run(&["release", "show", "release.json"], directory);
    let digest = shown.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    fs::create_dir_all(directory.join("store/releases")).unwrap();
    fs::copy(directory.join("release.json"), directory.join(stored(&digest))).unwrap();
    (gateway, digest)
}

fn stored(digest: &str) -> String {
    format!("store/releases/{}.json", digest.replace(':', "-"))
}

/// Whether it succeeds, and all that it says.
fn said(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let (status, stdout, stderr) = gateway::run(arguments, directory);
    (status.success(), stdout + &stderr)
}

fn explain(directory: &Path, sides: &[&str]) -> (bool, String) {
    let request = format!("GET http://api.test{PATH}");
    said(directory, &[&["explain", "--request", &request, "--agent", "bot"], sides].concat())
}

#[test]
fn a_request_is_explained_with_whatever_names_a_policy() {
    let (gateway, digest) = served();
    let directory = gateway.directory();
    let asked = format!("gateway:http://{}", gateway.admin_address());
    for sides in [
        &["--policy", "policy.toml"][..],
        &["--policy", "release.json"],
        &["--release", "release.json"],
        &["--policy", &digest, "--store", "store"],
        &["--policy", &asked, "--store", "store"],
        // The store, or a gateway's state directory, has no other release.
        &["--policy", "store"],
        &["--store", "store"],
        &["--store", "state"],
    ] {
        let (fine, text) = explain(directory, sides);
        assert!(fine && text.contains("permitted: forwarded to origin \"orders\""), "{sides:?}: {text}");
        let with =
            if sides[1] == "policy.toml" { "with policy.toml, policy" } else { &format!("with release {digest} of") };
        assert!(text.contains(with), "{sides:?}: {text}");
        assert_eq!(text.contains(&format!(", from {asked}\n")), sides[1] == asked, "{text}");
    }
}

#[test]
fn a_name_that_names_no_policy_is_told() {
    let (gateway, digest) = served();
    let directory = gateway.directory();
    let asked = format!("http://{}", gateway.admin_address());
    let other = format!("sha256:{}", "0".repeat(64));
    for (sides, words) in [
        (&[][..], "one --release FILE, or --policy sha256:… with --store DIR"),
        (&["--policy", &digest], "give the store with --store DIR"),
        (&["--policy", &other, "--store", "store"], "is it the right store, and up to date?"),
        (&["--policy", &asked, "--store", "store"], &format!("gateway:{asked}")),
        (&["--policy", "gateway:https://127.0.0.1:9902", "--store", "store"], "give --ca, --cert and --key"),
        (&["--policy", "nowhere.toml"], "check the path"),
        (&["--store", "."], "expected a store with a release, found none"),
        (&["--store", "nowhere"], "nowhere"),
    ] {
        let (fine, text) = explain(directory, sides);
        assert!(!fine && text.contains("error: ") && text.contains(words), "{sides:?}: {text}");
    }
    // Which one of several is meant is for whoever asks to say; a file under another release's name is none.
    fs::copy(directory.join("release.json"), directory.join(stored(&other))).unwrap();
    let (fine, text) = explain(directory, &["--store", "store"]);
    assert!(!fine && text.contains("expected one release, found 2"), "{text}");
    assert!(text.contains("sha256:… with --store store"), "{text}");
    let (fine, text) = explain(directory, &["--policy", &other, "--store", "store"]);
    assert!(!fine && text.contains("found another"), "{text}");
}

#[test]
fn a_record_is_decided_by_and_a_change_is_compared_with_the_same_names() {
    let (gateway, digest) = served();
    let directory = gateway.directory();
    gateway.once(get(PATH, ""));
    let id = gateway.wait_for_records(1)[0]["adamant.request_id"].as_str().unwrap().to_owned();
    for sides in [&["--policy", &digest, "--store", "store"][..], &["--policy", "store"], &["--policy", "policy.toml"]]
    {
        let record = ["explain", "--records", RECORDS_FILE, "--request-id", &id];
        let (fine, text) = said(directory, &[&record, sides].concat());
        assert!(fine && text.contains("as recorded"), "{sides:?}: {text}");
    }
    for old in ["store", "state"] {
        let (fine, text) = said(directory, &["diff", old, "policy.toml"]);
        assert!(fine && text.contains("same:") && text.contains(&digest), "{old}: {text}");
    }
}
