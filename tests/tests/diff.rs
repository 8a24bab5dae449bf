//! `adamant diff` as people and pipelines use it: what it says, what it ends with, and where its two sides come from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "diff/judging.rs"]
mod judging;

use std::fs;

use serde_json::Value;
use tests::certificates::Authority;
use tests::deployment::Deployment;
use tests::desk::{Desk, END, assert_says};
use tests::gateway::Gateway;
use tests::policy::PolicyText;

/// Two agents by key and everybody, two routes.
fn policy() -> PolicyText {
    PolicyText::new()
        .origin("orders", &["127.0.0.1:9".parse().unwrap()])
        .route("read", "GET HEAD", "/orders/{id}", "orders")
        .route("change", "PUT", "/orders/{id}", "orders")
        .route("status", "GET", "/status", "orders")
        .scope("orders:read", &["read"])
        .scope("orders:write", &["change"])
        .scope("public", &["status"])
        .agent("bot", "{ api_key = [\"bot-1\"] }", &["orders:read"], &["60/minute"])
        .agent("editor", "{ api_key = [\"editor-1\"] }", &["orders:read", "orders:write"], &[])
        .anonymous(&["public"], &[])
        .with(&format!("[[api_key]]\nid = \"bot-1\"\nsha256 = \"{}\"", "b".repeat(64)))
        .with(&format!("[[api_key]]\nid = \"editor-1\"\nsha256 = \"{}\"", "e".repeat(64)))
}

/// A desk with a policy, and an edit of it.
fn desk(edit: impl FnOnce(String) -> String) -> Desk {
    let desk = Desk::new();
    let text = policy().text();
    desk.write("old.toml", &text);
    desk.write("new.toml", edit(text));
    desk
}

fn wider(text: String) -> String {
    let before = "scopes = [\"orders:read\"]\nlimits = [\"60/minute\"]";
    assert!(text.contains(before), "{text}");
    text.replace(before, "scopes = [\"orders:read\", \"orders:write\"]\nlimits = [\"60/minute\"]")
}

fn json(desk: &Desk, line: &str, status: i32) -> Value {
    let (code, stdout, stderr) = desk.run(line);
    assert_eq!(code, status, "adamant {line}: {stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn the_verdict_is_first_and_the_exit_status_tells_it() {
    let desk = desk(wider);
    let (code, said, stderr) = desk.run("diff old.toml new.toml");
    assert_eq!(code, 11, "{stderr}");
    assert!(said.starts_with("wider: something becomes possible, and nothing stops\n"), "{said}");
    assert_says(&said, &["release-wider", "newly allowed", "agent bot, by API key bot-1", "PUT any host /orders/{id}"]);
    assert_says(
        &said,
        &["e.g. PUT https://", "with API key bot-1", "was refused (scope-missing)", "scope orders:write"],
    );
    assert!(!said.contains("newly refused") && !said.contains("limits") && !said.contains("settings"), "{said}");
    let (code, said, _) = desk.run("diff new.toml old.toml");
    assert_eq!(code, 10);
    assert!(said.starts_with("narrower: nobody can do more than before\n"), "{said}");
    assert_says(&said, &["release-narrower", "newly refused", "is refused (scope-missing)"]);
    let (code, said, _) = desk.run("diff old.toml old.toml");
    assert_eq!((code, said.lines().next()), (0, Some("same: nothing changes for anybody")));
}

#[test]
fn what_becomes_possible_and_what_stops_at_once_is_both() {
    let desk = desk(|text| wider(text).replace("path = \"/status\"", "path = \"/health\""));
    let (code, said, _) = desk.run("diff old.toml new.toml");
    assert_eq!(code, 12, "{said}");
    assert_says(&said, &["both:", "newly allowed", "newly refused", "anyone", "GET any host /health", "/status"]);
}

#[test]
fn limits_and_settings_are_said() {
    let edit = |text: String| text.replace("60/minute", "10/minute").replace("127.0.0.1:9", "127.0.0.1:10");
    let desk = desk(edit);
    let (code, said, _) = desk.run("diff old.toml new.toml");
    assert_eq!(code, 12, "{said}");
    assert_says(&said, &["limits\n  narrower   bot: 60/minute → 10/minute", "changed", "origin orders, addresses"]);
    let headline = "both: settings change, limits become narrower, and nothing becomes possible or stops";
    assert_eq!(said.lines().next(), Some(headline));
    let audit = policy().setting("audit = \"durable\"").text();
    desk.write("new.toml", audit);
    let (code, said, _) = desk.run("diff old.toml new.toml");
    assert_eq!(code, 10, "{said}");
    assert_says(
        &said,
        &["release-wider, because of a setting marked * below", "narrower*  policy tests, audit: queued → durable"],
    );
}

/// The policy with one more agent by certificate.
fn certified(scopes: &[&str]) -> String {
    policy()
        .client_ca("agents", "agents.pem")
        .agent("blocked", "{ certificate = \"spiffe://x/blocked\", ca = \"agents\" }", scopes, &[])
        .text()
}

#[test]
fn who_removes_an_agent_with_a_certificate_is_told_how_to_cut_it_off() {
    let desk = Desk::new();
    desk.write("agents.pem", Authority::new("agents CA").pem);
    desk.write("old.toml", certified(&["orders:read"]));
    desk.write("gone.toml", policy().client_ca("agents", "agents.pem").text());
    desk.write("cut.toml", certified(&[]));
    let (code, said, stderr) = desk.run("diff old.toml gone.toml");
    assert_eq!(code, 12, "{said}{stderr}");
    assert_says(
        &said,
        &["release-wider", "was refused (proofs-conflict)", "hint: to cut blocked off, take its scopes away"],
    );
    let (code, said, stderr) = desk.run("diff old.toml cut.toml");
    assert_eq!(code, 10, "{said}{stderr}");
    assert!(said.contains("release-narrower") && !said.contains("hint:"), "{said}");
}

/// Two names of one certificate belong to two agents: its holder shows both, always.
#[test]
fn who_has_one_certificate_is_told_as_newly_allowed_and_not_as_showing_less() {
    let desk = Desk::new();
    desk.write("agents.pem", Authority::new("agents CA").pem);
    let machine = policy().client_ca("agents", "agents.pem").agent(
        "machine",
        "{ certificate = \"spiffe://x/machine\", ca = \"agents\" }",
        &["orders:read"],
        &[],
    );
    desk.write("new.toml", machine.text());
    let hash = "0f".repeat(32);
    let blocked = format!("{{ certificate = \"spki-sha256:{hash}\", ca = \"agents\" }}");
    desk.write("old.toml", machine.agent("blocked", &blocked, &[], &[]).text());
    let (code, said, stderr) = desk.run("diff old.toml new.toml");
    assert_eq!(code, 11, "{said}{stderr}");
    let names = format!("whoever has one certificate with several names, spki-sha256:{hash} of agents among them");
    assert_says(&said, &[&names, "GET,HEAD any host /orders/{id}", "was refused (proofs-conflict); is permitted"]);
    // What is open to anybody, he had without his certificate.
    let (plain, together) = said.split_once("only when shown together").unwrap();
    assert!(plain.contains(&names) && !plain.contains("/status") && together.contains("/status"), "{said}");
    assert!(together.contains("unless his issuer binds his token to his certificate"), "{said}");
    assert_says(
        &said,
        &["of agents is told to origins as no agent instead of blocked", "hint: blocked may do nothing already"],
    );
    let found = json(&desk, "diff old.toml new.toml --format json", 11);
    let class = &found["allowed"][0];
    assert_eq!((&class["by_any_means"], &class["requests"][0]["path"]), (&true.into(), &"/orders/{id}".into()));
    assert_eq!(class["example"]["certificate"]["names"].as_array().unwrap().len(), 2);
}

#[test]
fn a_caller_under_another_name_is_said() {
    let swapped = |text: String| {
        let bot = text.replace("name = \"bot\"", "name = \"other\"");
        bot.replace("name = \"editor\"", "name = \"bot\"").replace("name = \"other\"", "name = \"editor\"")
    };
    let desk = desk(swapped);
    let (_, said, _) = desk.run("diff old.toml new.toml");
    assert_says(
        &said,
        &["identities\n  changed    API key bot-1 is told to origins as editor instead of bot\n    e.g. GET"],
    );
    assert_says(&said, &["API key editor-1 is told to origins as bot instead of editor", "its counter starts anew"]);
    desk.write("new.toml", policy().text().replace("name = \"editor\"", "name = \"writer\""));
    let (code, said, _) = desk.run("diff old.toml new.toml");
    assert_eq!(code, 11, "{said}");
    assert!(said.starts_with("wider: identities change, and nothing becomes possible or stops\n"), "{said}");
    assert_says(
        &said,
        &["release-wider, because callers are told", "API key editor-1 is told to origins as writer instead of editor"],
    );
    assert!(!said.contains("newly allowed") && !said.contains("newly refused") && !said.contains("limits"), "{said}");
    let found = json(&desk, "diff old.toml new.toml --format json", 11);
    let change = &found["identities"][0];
    assert_eq!((&found["counts"]["identities"], &found["needs_wider"]), (&1.into(), &true.into()));
    assert_eq!(
        (&change["old"], &change["new"], &change["direction"]),
        (&"editor".into(), &"writer".into(), &"changed".into())
    );
    assert_eq!((&change["by"][0], &change["example"]["api_key"]), (&"API key editor-1".into(), &"editor-1".into()));
}

#[test]
fn an_expiry_is_shown_and_is_no_part_of_the_verdict() {
    let desk = desk(|text| text);
    for (version, expires) in [(1, "2090-01-01T00:00:00Z"), (2, END)] {
        desk.good(&format!("release build old.toml --version {version} --expires {expires} --out {version}.json"));
    }
    let (code, said, _) = desk.run("diff 1.json 2.json");
    assert_eq!(code, 0, "{said}");
    let later =
        format!("note   the release expires later: {END} instead of 2090-01-01T00:00:00Z (no part of the verdict)");
    assert_says(
        &said,
        &["same:", "version 1, sha256:", ", expires 2090-01-01T00:00:00Z)", &format!(", expires {END})"), &later],
    );
    assert_says(&desk.run("diff 2.json 1.json").1, &["expires sooner: 2090-01-01T00:00:00Z"]);
    assert!(!desk.run("diff 1.json 1.json").1.contains("note"), "nothing changed");
    let found = json(&desk, "diff 1.json 2.json --format json", 0);
    assert_eq!((&found["old"]["expires"], &found["new"]["expires"]), (&"2090-01-01T00:00:00Z".into(), &END.into()));
    assert_eq!((&found["new"]["version"], &found["verdict"]), (&2.into(), &"same".into()));
    assert!(json(&desk, "diff old.toml 2.json --format json", 0)["old"]["expires"].is_null());
}

#[test]
fn a_limit_with_a_new_name_or_window_is_not_narrower() {
    let named = |limit: &str, name: &str| {
        policy()
            .text()
            .replace("limits = [\"60/minute\"]", &format!("limits = [{{ limit = \"{limit}\", name = \"{name}\" }}]"))
    };
    let desk = Desk::new();
    desk.write("old.toml", named("3/day quota", "first"));
    for (limit, name, expected) in
        [("3/day quota", "second", "wider"), ("1/hour quota", "first", "both"), ("2/day quota", "first", "narrower")]
    {
        desk.write("new.toml", named(limit, name));
        let (_, said, stderr) = desk.run("diff old.toml new.toml");
        assert!(said.starts_with(&format!("{expected}:")), "{limit} {name}: {said}{stderr}");
        assert_eq!(said.contains("its counter starts anew"), expected != "narrower", "{said}");
    }
}

#[test]
fn json_holds_all_of_it() {
    let desk = desk(wider);
    let found = json(&desk, "diff old.toml new.toml --format json", 11);
    assert_eq!(
        (&found["verdict"], &found["needs_wider"], &found["role"]),
        (&"wider".into(), &true.into(), &"release-wider".into())
    );
    assert_eq!(found["old"]["kind"], "source");
    assert_eq!(found["counts"]["allowed"], 1);
    let class = &found["allowed"][0];
    assert_eq!((&class["principals"][0]["kind"], &class["principals"][0]["name"]), (&"agent".into(), &"bot".into()));
    assert_eq!(
        (&class["requests"][0]["methods"][0], &class["requests"][0]["new_route"]),
        (&"PUT".into(), &"change".into())
    );
    let example = &class["example"];
    assert_eq!((&example["old"]["permitted"], &example["new"]["permitted"]), (&false.into(), &true.into()));
    assert_eq!((&example["api_key"], &example["new"]["scope"]), (&"bot-1".into(), &"orders:write".into()));
    assert_eq!(json(&desk, "diff old.toml old.toml --format json", 0)["verdict"], "same");
}

/// A root under which what is wider takes both, and what is narrower either.
fn two_owners(desk: &Desk) {
    desk.keys(&["alice", "bob"]);
    desk.good(&format!(
        "trust init --key alice=alice.key --key bob=bob.key --threshold 2 --role release-narrower=1 --expires {END} --out root.json"
    ));
    desk.good("trust sign root.json --key alice.key");
    desk.good("trust sign root.json --key bob.key");
}

#[test]
fn releases_are_compared_by_file_and_by_digest_and_verified_under_a_root() {
    let desk = desk(wider);
    two_owners(&desk);
    let built = desk.good(&format!("release build old.toml --version 1 --expires {END} --out old.json"));
    let digest = built.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    fs::create_dir_all(desk.path("store/releases")).unwrap();
    fs::copy(desk.path("old.json"), desk.path("store/releases").join(digest.replace(':', "-") + ".json")).unwrap();
    // Unsigned: shown as unverified, refused under a root.
    let (code, said, _) = desk.run("diff old.json new.toml");
    assert_eq!(code, 11, "{said}");
    assert_says(&said, &["unverified release of tests, version 1, sha256:", &digest]);
    assert_says(&desk.bad("diff old.json new.toml --trust-root root.json"), &["old.json: ", "hint: "]);
    desk.good("release sign old.json --key alice.key");
    let (code, said, _) = desk.run("diff old.json new.toml --trust-root root.json");
    assert_eq!(code, 11, "{said}");
    assert_says(&said, &["verified release of tests", "needs  2 signatures of release-wider"]);
    let (_, said, _) = desk.run("diff new.toml old.json --trust-root root.json");
    assert_says(&said, &["needs  1 signature of release-narrower"]);
    // By digest, from a store.
    let found = json(&desk, &format!("diff {digest} new.toml --store store --format json"), 11);
    assert_eq!((&found["old"]["digest"], &found["old"]["version"]), (&digest.clone().into(), &1.into()));
    assert_says(&desk.bad(&format!("diff {digest} new.toml")), &["expected a store", "--store DIR"]);
    let other = format!("sha256:{}", "0".repeat(64));
    assert_says(&desk.bad(&format!("diff {other} new.toml --store store")), &["has no release sha256:0000", "hint: "]);
    // A file under another release's name.
    fs::write(desk.path(&format!("store/releases/{}.json", other.replace(':', "-"))), desk.read("old.json")).unwrap();
    assert_says(&desk.bad(&format!("diff {other} new.toml --store store")), &["expected", "found"]);
}

#[test]
fn whose_signatures_are_there_and_whose_are_needed_is_told() {
    let desk = desk(wider);
    two_owners(&desk);
    for (name, version) in [("old", 1), ("new", 2)] {
        desk.good(&format!("release build {name}.toml --version {version} --expires {END} --out {name}.json"));
        desk.good(&format!("release sign {name}.json --key alice.key"));
    }
    desk.good("release sign old.json --key bob.key");
    let (code, said, _) = desk.run("diff old.json new.json --trust-root root.json");
    assert_eq!(code, 11, "{said}");
    let (old, new) = said.split_once("  new    ").unwrap();
    assert_says(old, &["release-wider: 2 of 2 signatures (alice, bob): enough for any change"]);
    assert_says(old, &["release-narrower: 2 signatures, 1 needed (alice, bob): enough for what is narrower"]);
    assert_says(new, &["release-wider: 1 of 2 signatures (alice); 1 more of: bob\n"]);
    assert_says(new, &["release-narrower: 1 of 1 signature (alice): enough for what is narrower"]);
    assert_says(
        new,
        &["needs  2 signatures of release-wider (trust root version 1)", "the new release lacks 1 of them"],
    );
    // The other way round one signature is enough.
    let (_, said, _) = desk.run("diff new.json old.json --trust-root root.json");
    assert_says(&said, &["needs  1 signature of release-narrower", "the new release has them"]);
    let (_, said, _) = desk.run("diff old.json new.json");
    assert!(!said.contains("signatures (") && !said.contains("the new release"), "no root, no word of it: {said}");

    let found = json(&desk, "diff old.json new.json --trust-root root.json --format json", 11);
    let signatures = |enough: bool, valid: u64, signers: &[&str]| {
        serde_json::json!([
            { "role": "release-wider", "needed": 2, "valid": valid, "enough": enough, "signers": signers },
            { "role": "release-narrower", "needed": 1, "valid": valid, "enough": true, "signers": signers },
        ])
    };
    assert_eq!(found["new"]["signatures"], signatures(false, 1, &["alice"]));
    assert_eq!(found["old"]["signatures"], signatures(true, 2, &["alice", "bob"]));
    let needs = |found: &Value| -> Value {
        ["role", "signatures_needed", "signatures_enough", "trust_root_version"].map(|name| found[name].clone()).into()
    };
    assert_eq!(needs(&found), serde_json::json!(["release-wider", 2, false, 1]));
    let found = json(&desk, "diff old.json new.toml --trust-root root.json --format json", 11);
    assert_eq!(needs(&found), serde_json::json!(["release-wider", 2, null, 1]));
    assert_eq!((&found["new"]["signatures"], &found["old"]["verified"]), (&Value::Null, &true.into()));
    let found = json(&desk, "diff old.json new.json --format json", 11);
    assert_eq!(needs(&found), serde_json::json!(["release-wider", null, null, null]));
    assert_eq!((&found["old"]["signatures"], &found["old"]["verified"]), (&Value::Null, &false.into()));
}

#[test]
fn a_running_gateway_is_one_side() {
    let desk = desk(wider);
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::dev_in(directory, &policy().text(), &["--admin", "127.0.0.1:0"]);
    let address = gateway.admin_address();
    // What `adamant dev` serves is in no store.
    fs::create_dir_all(desk.path("store/releases")).unwrap();
    let said = desk.bad(&format!("diff gateway:http://{address} new.toml --store store"));
    assert_says(&said, &["has no release sha256:", "is it the right store"]);
    assert_says(&desk.bad(&format!("diff gateway:http://{address} new.toml")), &["expected a store", "--store DIR"]);
    assert_says(&desk.bad("diff gateway:unix:/nonexistent/admin new.toml --store store"), &["cannot be reached"]);
    assert_says(&desk.bad("diff gateway:there new.toml --store store"), &["expected a gateway like"]);
    assert_says(&desk.bad("diff gateway:https://127.0.0.1:9902 new.toml --store store"), &["--ca"]);
}

#[test]
fn what_a_gateway_serves_is_found_in_the_store() {
    let desk = desk(wider);
    // A copy of the policy with the same hashes of keys.
    let policy = String::from_utf8(desk.read("old.toml")).unwrap();
    let gateway = Deployment::new().run(&policy);
    let shown = desk.good(&format!("release show {}", gateway.directory().join("release.json").display()));
    let digest = shown.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    fs::create_dir_all(desk.path("store/releases")).unwrap();
    let stored = desk.path("store/releases").join(digest.replace(':', "-") + ".json");
    fs::copy(gateway.directory().join("release.json"), stored).unwrap();
    let line = format!("diff gateway:http://{} new.toml --store store --format json", gateway.admin_address());
    let found = json(&desk, &line, 11);
    assert_eq!((&found["old"]["kind"], &found["old"]["digest"]), (&"gateway".into(), &digest.into()));
    assert_eq!(found["counts"]["allowed"], 1);
}

#[test]
fn mistakes_are_told() {
    let desk = desk(|text| text.replace("origin = \"orders\"", "origin = \"orrders\""));
    assert_says(&desk.bad("diff old.toml nowhere.toml"), &["nowhere.toml", "hint: "]);
    assert_says(&desk.bad("diff old.toml new.toml"), &["unknown origin", "orrders", "the policy has errors"]);
    desk.write("broken.json", "{\"payload\": 1}");
    assert_says(&desk.bad("diff broken.json old.toml"), &["broken.json: "]);
    assert_says(&desk.bad("diff sha256:12 old.toml --store ."), &["sha256:12: "]);
    assert_says(&desk.bad("diff http://127.0.0.1:1 old.toml"), &["hint: ", "gateway:http://127.0.0.1:1"]);
    let text = String::from_utf8(desk.read("old.toml")).unwrap();
    desk.write("other.toml", text.replace("name = \"tests\"", "name = \"others\""));
    let (_, said, _) = desk.run("diff old.toml other.toml");
    assert_says(&said, &["a gateway for tests takes no release of others"]);
    let (code, _, stderr) = desk.run("diff old.toml");
    assert_eq!(code, 2, "{stderr}");
    let help = desk.good("diff --help");
    assert_says(&help, &["0 when nothing changes", "10 narrower", "11 wider", "12 both"]);
}
