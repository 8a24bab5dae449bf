//! From the traffic of a real gateway to a tighter policy: reviewed, patched, applied, compared and replayed; and what
//! stands against it: holes in the records, names that are kept, times that are not covered.
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
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::apikey::ApiKey;
use tests::client::get;
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

struct Stage {
    gateway: Gateway,
    _origin: RecordingOrigin,
}

fn policy(origin: &RecordingOrigin, keys: &[ApiKey; 4]) -> String {
    let [reports, spare, deploy, year_end] = keys;
    PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("list", "GET", "/orders", "origin")
        .route("read", "GET", "/orders/{id}", "origin")
        .route("create", "POST", "/orders", "origin")
        .route("close", "POST", "/year/close", "origin")
        .route("status", "GET", "/status", "origin")
        .scope("orders:read", &["list", "read"])
        .scope("orders:write", &["create"])
        .scope("year-end", &["close"])
        .scope("public", &["status"])
        .with(
            "# who makes reports\n[[agent]]\nname = \"reports\"\nidentity = [{ api_key = [\"reports-1\", \"reports-2\"] }]\n\
             scopes = [\n  \"orders:read\",    # daily\n  \"orders:write\",   # for the migration of 2024\n]\n\
             limits = [\"6000/minute\"]  # should do",
        )
        .agent("deploy", "{ api_key = [\"deploy-1\"] }", &["orders:write"], &[])
        .agent("closing", "{ api_key = [\"closing-1\"] }", &["year-end"], &[])
        .anonymous(&["public"], &[])
        .api_key(reports, "")
        .api_key(spare, "")
        .api_key(deploy, "")
        .api_key(year_end, "")
        .with(
            "[[case]]\nname = \"deploy creates\"\nagent = \"deploy\"\nrequest = \"POST http://api.test/orders\"\nexpect = \"permit\"",
        )
        .with(
            "[[case]]\nname = \"reports reads\"\nagent = \"reports\"\nrequest = \"GET http://api.test/orders/7\"\nexpect = \"permit\"",
        )
        .text()
}

impl Stage {
    /// Reports are read, the status is asked for, and nobody does anything else. Then the gateway stops.
    fn new() -> Self {
        let origin = RecordingOrigin::start();
        let keys = ["reports-1", "reports-2", "deploy-1", "closing-1"].map(ApiKey::new);
        let gateway = Deployment::new().run(&policy(&origin, &keys));
        let as_reports = format!("X-API-Key: {}\r\n", keys[0].text);
        for id in 0..12 {
            assert_eq!(gateway.once(get(&format!("/orders/{id}"), &as_reports)).status, 200);
        }
        assert_eq!(gateway.once(get("/status", "")).status, 200);
        assert_eq!(gateway.once(get("/nothing", &as_reports)).status, 403);
        gateway.wait_for_records(14);
        gateway.signal("TERM");
        eventually(Duration::from_secs(10), || gateway.record_text().contains("\"stop\""));
        Self { gateway, _origin: origin }
    }

    fn directory(&self) -> &Path {
        self.gateway.directory()
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let (status, stdout, stderr) = gateway::run(arguments, self.directory());
        (status.code().unwrap(), stdout, stderr)
    }

    /// Over the time from the first line to the last.
    fn review(&self, records: &[&str], more: &[&str]) -> (i32, String, String) {
        let text = self.gateway.record_text();
        let time = |line: Option<&str>| {
            let record: Value = serde_json::from_str(line.unwrap()).unwrap();
            record["time"].as_str().unwrap().to_owned()
        };
        let (since, until) = (time(text.lines().next()), time(text.lines().last()));
        let window = ["--policy", "policy.toml", "--since", &since, "--until", &until];
        self.run(&[&["review"], records, &window, more].concat())
    }

    fn document(&self, more: &[&str]) -> Value {
        let (_, stdout, stderr) = self.review(&[RECORDS_FILE], &[&["--format", "json"], more].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
    }
}

fn topics(document: &Value) -> Vec<(&str, &str)> {
    let text = |found: &Value, member: &str| found[member].as_str().unwrap().to_owned();
    let findings = document["findings"].as_array().unwrap();
    assert!(findings.iter().all(|found| !text(found, "found").is_empty()));
    findings.iter().map(|found| (found["topic"].as_str().unwrap(), found["name"].as_str().unwrap())).collect()
}

#[test]
fn the_patch_applies_is_narrower_and_changes_no_past_decision() {
    let stage = Stage::new();
    let (status, stdout, stderr) = stage.review(&[RECORDS_FILE], &["--patch", "least.patch"]);
    assert_eq!(status, 10, "{stdout}{stderr}");
    assert!(stdout.contains("proved: adamant diff says narrower; 14 recorded decisions"), "{stdout}");
    assert!(stdout.contains("1 test case fail with it") && stdout.contains("deploy creates"), "{stdout}");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");

    let before = fs::read_to_string(stage.directory().join("policy.toml")).unwrap();
    fs::write(stage.directory().join("old.toml"), &before).unwrap();
    let applied = Command::new("git").args(["apply", "least.patch"]).current_dir(stage.directory()).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let after = fs::read_to_string(stage.directory().join("policy.toml")).unwrap();
    assert_ne!(before, after);
    for stays in ["# who makes reports\n", "  \"orders:read\",    # daily\n", "limits = [\"24/minute\"]  # should do"] {
        assert!(after.contains(stays), "{stays}: {after}");
    }
    for gone in ["migration of 2024", "routes = [\"list\", \"read\"]"] {
        assert!(before.contains(gone) && !after.contains(gone), "{gone}: {after}");
    }

    let (status, text, warnings) = stage.run(&["diff", "old.toml", "policy.toml"]);
    assert_eq!(status, 10, "narrower: {text}");
    // Each once, those of what is new alone.
    assert_eq!(warnings.matches("policy.toml: 5 warnings").count(), 1, "{warnings}");
    assert_eq!(stage.run(&["diff", "policy.toml", "old.toml"]).2, "");
    let replay = ["replay", RECORDS_FILE, "--release", "release.json", "--against", "policy.toml"];
    let (status, text, _) = stage.run(&replay);
    assert_eq!(status, 0, "no change: {text}");
    let (status, text, told) = stage.review(&[RECORDS_FILE], &["--patch", "more.patch"]);
    assert_eq!((status, told), (10, warnings), "{text}");
    assert!(text.contains("there is nothing to change") && !stage.directory().join("more.patch").exists(), "{text}");
}

#[test]
fn findings_are_told_and_what_is_kept_is_not() {
    let stage = Stage::new();
    let document = stage.document(&["--metrics", "review.prom"]);
    assert_eq!(
        topics(&document),
        [
            ("agent-unused", "closing"),
            ("agent-unused", "deploy"),
            ("scope-unused", "reports"),
            ("key-unused", "reports-2"),
            ("route-unused", "orders:read"),
            ("limit-loose", "reports/minute"),
        ],
        "{document}"
    );
    assert_eq!((&document["exchanges"], &document["judged"]), (&json!(14), &json!(true)));
    let metrics = fs::read_to_string(stage.directory().join("review.prom")).unwrap();
    assert!(metrics.contains("adamant_review_findings{topic=\"agent-unused\"} 2\n"), "{metrics}");

    fs::write(stage.directory().join("review.toml"), "[keep]\nagents = [\"closing\"] # once a year\n").unwrap();
    let kept = stage.document(&["--keep", "route:create", "--keep", "api-key:reports-2"]);
    assert_eq!(
        topics(&kept),
        [("agent-unused", "deploy"), ("route-unused", "orders:read"), ("limit-loose", "reports/minute")]
    );
    fs::write(stage.directory().join("review.toml"), "[keep]\nagents = [\"closng\"]\n").unwrap();
    let (status, _, stderr) = stage.review(&[RECORDS_FILE], &[]);
    assert!(status == 1 && stderr.contains("did you mean \"closing\"?"), "{stderr}");
}

#[test]
fn bad_evidence_gives_no_patch() {
    let stage = Stage::new();
    let text = stage.gateway.record_text();
    let patched = |records: &str, more: &[&str]| {
        fs::write(stage.directory().join("some.jsonl"), records).unwrap();
        let mut all = vec!["review", "some.jsonl", "--policy", "policy.toml", "--patch", "no.patch"];
        all.extend_from_slice(more);
        let (status, stdout, stderr) = stage.run(&all);
        assert!(!stage.directory().join("no.patch").exists(), "{stdout}");
        assert!(status == 1 && !stdout.contains("Agents that nobody used"), "{status} {stdout}");
        // As it reads, wherever its lines end.
        (stdout + &stderr).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let short = patched(&text, &[]);
    assert!(short.contains("do not cover the 30 days"), "{short}");
    let missing: String =
        text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 5).map(|(_, line)| line).collect();
    let told = patched(&missing, &["--days", "1"]);
    assert!(told.contains("NOT JUDGED") && told.contains("some.jsonl:6"), "{told}");
    let lost = text.replacen("\"adamant.kind\":\"exchange\"", "\"adamant.kind\":\"intent\"", 1);
    assert!(patched(&lost, &["--days", "1"]).contains("NOT JUDGED"));
    let foreign = patched(&format!("hello\n{text}"), &["--days", "1"]);
    assert!(foreign.contains("1 line is no record"), "{foreign}");

    let wrong = |arguments: &[&str]| stage.run(&[&["review"], arguments].concat());
    let (status, _, stderr) = wrong(&[RECORDS_FILE, "--policy", "release.json", "--patch", "no.patch"]);
    assert!(status == 1 && stderr.contains("expected a policy source to patch"), "{stderr}");
    let (status, _, stderr) = wrong(&["-", "--policy", "policy.toml", "--patch", "no.patch"]);
    assert!(status == 1 && stderr.contains("standard input"), "{stderr}");
    for more in [&["--policy", "policy.toml"][..], &["--policy", "policy.toml", "--accept-holes"], &["--anomalies"]] {
        let (status, stdout, stderr) = wrong(&[&[RECORDS_FILE, "policy.toml"], more].concat());
        assert!(
            status == 1 && stderr.contains("policy.toml: expected records, found none: line 1: "),
            "{stdout}{stderr}"
        );
        assert!(stdout.is_empty() && stderr.contains("hint: "), "{stdout}{stderr}");
    }
    let (status, _, stderr) = wrong(&[".", "--policy", "policy.toml"]);
    assert!(status == 1 && stderr.contains("directory"), "{stderr}");
    assert_eq!(wrong(&[RECORDS_FILE]).0, 2, "a policy is needed");
}

#[test]
fn what_is_unlike_the_baseline_is_told() {
    let stage = Stage::new();
    // The same traffic is like itself.
    let same = ["review", RECORDS_FILE, "--anomalies", "--baseline", RECORDS_FILE, "--metrics", "a.prom"];
    let (status, stdout, stderr) = stage.run(&same);
    assert!(status == 0 && stdout.contains("nothing unusual"), "{stdout}{stderr}");
    let metrics = fs::read_to_string(stage.directory().join("a.prom")).unwrap();
    assert!(metrics.contains("adamant_review_anomalies{kind=\"new-pair\",severity=\"medium\"} 0\n"), "{metrics}");

    let text = stage.gateway.record_text();
    let now = text
        .replace("\"client.address\":\"127.0.0.1\"", "\"client.address\":\"203.0.113.9\"")
        .replace("\"adamant.route\":\"read\"", "\"adamant.route\":\"list\"");
    fs::write(stage.directory().join("now.jsonl"), now).unwrap();
    let (status, stdout, _) =
        stage.run(&["review", "now.jsonl", "--anomalies", "--baseline", RECORDS_FILE, "--format", "json"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let found: Vec<(&str, &str)> = document["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["kind"].as_str().unwrap(), found["who"].as_str().unwrap()))
        .collect();
    assert_eq!(
        (status, found),
        (10, vec![("new-prefix", "API key reports-1"), ("new-pair", "agent reports, route list")])
    );
    let (status, _, stderr) = stage.run(&["review", RECORDS_FILE, "--anomalies", "--since", "2000-01-01"]);
    assert!(status == 1 && stderr.contains("in the baseline"), "{stderr}");
}
