//! What people sign by and look into can be written by others: nothing in it reaches a terminal but text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use serde_json::{Value, json};
use tests::desk::{Desk, END, assert_says};
use tests::policy::PolicyText;
use tests::store::{envelope, payload_of};

/// Clears the screen and lies; as does what a terminal takes for C1 controls; and one that is read backwards.
const LIES: [&str; 3] = ["\x1b[2J\x1b[Hnarrower", "\u{9b}2Jnarrower", "\u{202e}rewolla\u{2066}"];
/// What a person looks at a release with, before signing it.
const LOOKS: [&str; 5] = [
    "release show bad.json",
    "diff good.json bad.json",
    "diff bad.json good.json --format json",
    "test bad.json",
    "explain --request GET=https://api.test/orders/7 --agent bot --release bad.json",
];

/// A desk with a key and a good release of one agent with one case.
fn desk() -> (Desk, Value) {
    let desk = Desk::new();
    let policy = PolicyText::new()
        .origin("orders", &["127.0.0.1:9".parse().unwrap()])
        .route_with("read", "GET", "/orders/{id}", "orders", "")
        .scope("orders:read", &["read"])
        .agent("bot", "{ api_key = [\"bot-1\"] }", &["orders:read"], &["60/minute"])
        .with(&format!("[[api_key]]\nid = \"bot-1\"\nsha256 = \"{}\"", "b".repeat(64)))
        .with("[[case]]\nname = \"reads\"\nagent = \"bot\"\nrequest = \"GET https://api.test/orders/7\"\nexpect = \"permit\"");
    desk.write("policy.toml", policy.text());
    desk.keys(&["signer"]);
    desk.good(&format!("release build policy.toml --version 1 --expires {END} --out good.json"));
    let payload = serde_json::from_slice(&payload_of(&desk.read("good.json"))).unwrap();
    (desk, payload)
}

/// Places a signed release of this payload.
fn craft(desk: &Desk, payload: &Value) {
    desk.write("bad.json", envelope("release", &serde_json::to_vec(payload).unwrap(), &[1]));
}

/// Runs a command line (`=` for a space in a word); what it says, once it is certain that a terminal only prints it.
fn look(desk: &Desk, line: &str) -> (i32, String, String) {
    let words = line.split(' ').map(|word| if word.starts_with("GET=") { word.replace('=', " ") } else { word.into() });
    let output = desk.command("").args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap_or_else(|fault| panic!("adamant {line}: {fault}"));
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    for said in [&stdout, &stderr] {
        let harmful = |c: char| {
            (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!said.contains(harmful), "adamant {line}: {said:?}");
    }
    assert!(!stderr.contains("panicked"), "adamant {line}: {stderr}");
    (output.status.code().unwrap(), stdout, stderr)
}

/// The looks work at all; otherwise the refusals below would say nothing.
#[test]
fn a_good_release_can_be_looked_at() {
    let (desk, payload) = desk();
    craft(&desk, &payload);
    for line in LOOKS {
        let (code, stdout, stderr) = look(&desk, line);
        assert_eq!(code, 0, "adamant {line}: {stdout}{stderr}");
    }
}

#[test]
fn a_release_that_no_source_gives_is_refused_by_all_and_names_the_field() {
    for lie in LIES {
        let (desk, good) = desk();
        let mut named = good.clone();
        named["policy"]["agents"][0]["name"] = json!(lie);
        let mut placed = good.clone();
        placed["policy"]["routes"][0]["host"] = json!(format!("api.test\n{lie}"));
        let mut long = good;
        long["policy"]["routes"][0]["host"] = json!("a".repeat(2_000));
        for (payload, field) in [(named, "agent 1 ("), (placed, "route 1 (\"read\"), host"), (long, "found 2000 bytes")]
        {
            craft(&desk, &payload);
            look(&desk, "release sign bad.json --key signer.key");
            for line in LOOKS {
                let (code, stdout, stderr) = look(&desk, line);
                assert_eq!(code, 1, "adamant {line}: {stdout}{stderr}");
                assert_says(&stderr, &["error: ", "no policy source gives this", field]);
            }
        }
    }
}

/// Cases are not part of what a gateway reads, so their texts are anybody's.
#[test]
fn what_is_shown_all_the_same_is_shown_as_text() {
    for lie in LIES {
        let (desk, mut payload) = desk();
        payload["cases"][0]["name"] = json!(lie);
        payload["cases"][0]["steps"][0]["expect"]["permit"] = json!(false);
        craft(&desk, &payload);
        let (_, stdout, stderr) = look(&desk, "test bad.json");
        assert!(stdout.contains("FAILED"), "{stdout}{stderr}");
        let (_, stdout, _) = look(&desk, "test bad.json --format json");
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|fault| panic!("{fault}: {stdout}"));
        assert!(document.is_object() || document.is_array(), "{stdout}");
    }
}

#[test]
fn records_and_file_names_are_text() {
    for lie in LIES {
        let (desk, payload) = desk();
        craft(&desk, &payload);
        let record = json!({
            "time": "2026-01-01T00:00:00.000Z", "adamant.kind": lie, "adamant.release": lie, "adamant.request_id": lie,
            "adamant.agent": lie, "url.path": lie, "http.request.method": lie, "adamant.reason": lie,
        });
        desk.write("records.jsonl", format!("{record}\n"));
        desk.write("no-json.jsonl", format!("{lie}\n"));
        for line in [
            "replay records.jsonl --release good.json",
            "replay no-json.jsonl --release good.json",
            "explain --record records.jsonl --release good.json",
            "explain --record no-json.jsonl --release good.json",
            "audit show records.jsonl",
            "audit show no-json.jsonl",
            &format!("release show {lie}.json"),
            &format!("check {lie}.toml"),
            &format!("run {lie}.toml"),
        ] {
            let (code, stdout, stderr) = look(&desk, line);
            let shown = format!("{stdout}{stderr}");
            assert!(code != 2 && !shown.is_empty(), "adamant {line} ended with {code}: {shown}");
        }
        let escape = format!("\\u{:04x}", u32::from(lie.chars().next().unwrap()));
        assert_says(&look(&desk, &format!("release show {lie}.json")).2, &[&escape]);
    }
}

/// As a warning and in a source that is shown with its mistakes.
#[test]
fn a_source_with_such_names_has_mistakes() {
    for lie in LIES {
        let (desk, _) = desk();
        let source = String::from_utf8(desk.read("policy.toml")).unwrap();
        let subject = source.replace(
            "{ api_key = [\"bot-1\"] }",
            &format!("{{ token = {{ issuer = \"corp\", subject = {} }} }}", json!(lie)),
        );
        assert_ne!(source, subject);
        desk.write("bad.toml", subject);
        let (code, _, stderr) = look(&desk, "check bad.toml");
        assert_eq!(code, 1, "{stderr}");
        assert_says(&stderr, &["no control characters"]);
    }
}
