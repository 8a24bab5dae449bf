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
use tests::client::{get, post};
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::tokens::{TokenKey, claims, jwks};

#[path = "review/unlike.rs"]
mod unlike;

const SOON: Duration = Duration::from_secs(60);

struct Stage {
    gateway: Gateway,
    origin: RecordingOrigin,
    /// Of the policy here; none where another one serves.
    keys: Vec<ApiKey>,
}

fn policy(origin: &RecordingOrigin, keys: &[ApiKey]) -> String {
    let [reports, spare, deploy, year_end] = keys else { panic!("{} keys", keys.len()) };
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
             limits = [\"100/second burst 300\", \"1000/hour quota\"]  # should do",
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
        // The bucket of `reports` takes so long to refill: of less time it is not judged.
        std::thread::sleep(Duration::from_secs(3));
        Self::after(gateway, origin, keys.into(), 14)
    }

    /// When so many exchanges are on record, and the gateway has stopped.
    fn after(gateway: Gateway, origin: RecordingOrigin, keys: Vec<ApiKey>, exchanges: usize) -> Self {
        gateway.wait_for_records(exchanges);
        gateway.signal("TERM");
        let has_stopped = eventually(SOON, || gateway.record_text().contains("\"stop\""));
        assert!(has_stopped, "{}", gateway.stderr());
        Self { gateway, origin, keys }
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
    for stays in [
        "# who makes reports\n",
        "  \"orders:read\",    # daily\n",
        "limits = [\"8/second burst 24\", \"1000/hour quota\"]  # should do",
    ] {
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

/// Where the command was run another file may be called as the source is.
#[test]
fn a_patch_of_what_stands_elsewhere_says_where_it_is_applied() {
    let stage = Stage::new();
    let (source, here) = (stage.directory().join("policy.toml"), stage.directory().join("some where"));
    fs::create_dir(&here).unwrap();
    fs::copy(&source, here.join("policy.toml")).unwrap();
    let before = fs::read(&source).unwrap();
    let records = format!("../{RECORDS_FILE}");
    let line = ["review", &records, "--policy", "../policy.toml", "--accept-holes", "--patch", "least.patch"];
    let (_, stdout, stderr) = gateway::run(&line, &here);
    let told = stdout.lines().find_map(|line| line.split_once("where the source stands: "));
    let (_, apply) = told.unwrap_or_else(|| panic!("{stdout}{stderr}"));
    let applied = Command::new("sh").args(["-c", apply]).current_dir(&here).output().unwrap();
    assert!(applied.status.success(), "{apply}: {}", String::from_utf8_lossy(&applied.stderr));
    assert_eq!(fs::read(here.join("policy.toml")).unwrap(), before);
    assert_ne!(fs::read(&source).unwrap(), before);
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
            ("limit-loose", "reports/second"),
        ],
        "{document}"
    );
    assert_eq!((&document["exchanges"], &document["judged"]), (&json!(14), &json!(true)));
    let notes = document["notes"].to_string();
    let too_long = "records for less than one window of it: 1 limit: reports/hour-quota (1000/hour quota)";
    assert!(notes.contains("NOT JUDGED") && notes.contains(too_long), "{notes}");
    let metrics = fs::read_to_string(stage.directory().join("review.prom")).unwrap();
    assert!(metrics.contains("adamant_review_findings{topic=\"agent-unused\"} 2\n"), "{metrics}");

    fs::write(stage.directory().join("review.toml"), "[keep]\nagents = [\"closing\"] # once a year\n").unwrap();
    let kept = stage.document(&["--keep", "route:create", "--keep", "api-key:reports-2"]);
    assert_eq!(
        topics(&kept),
        [("agent-unused", "deploy"), ("route-unused", "orders:read"), ("limit-loose", "reports/second")]
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

/// Of two gateways with one policy the records of one are reviewed; the other one says what its agents used.
#[test]
fn a_use_that_only_the_gateway_remembers_is_kept() {
    let stage = Stage::new();
    let other = Deployment::new().run(&policy(&stage.origin, &stage.keys));
    let by = |key: &ApiKey| format!("X-API-Key: {}\r\n", key.text);
    assert_eq!(other.once(post("/orders", &by(&stage.keys[2]), "{}")).status, 200);
    assert_eq!(other.once(get("/orders", &by(&stage.keys[1]))).status, 200);
    let told = || other.admin("/last-use").text();
    let is_told = || {
        let told: Value = serde_json::from_str(&told()).unwrap();
        let rows = told["credentials"].as_array().unwrap().clone();
        let is_used = |name: &str| rows.iter().any(|row| row["name"] == name && row["used"].is_string());
        is_used("deploy-1") && is_used("reports-2") && is_used("deploy")
    };
    assert!(eventually(SOON, is_told), "{}", told());
    fs::write(stage.directory().join("other.json"), told()).unwrap();
    fs::write(stage.directory().join("wrong.json"), "{\"type\": \"adm_secret\"}").unwrap();

    let notes = |document: &Value| document["notes"].to_string();
    let records_alone = stage.document(&[]);
    assert!(topics(&records_alone).contains(&("agent-unused", "deploy")), "{records_alone:#}");
    assert!(notes(&records_alone).contains("only records were asked"), "{records_alone:#}");
    let address = format!("http://{}", other.admin_address());
    for teller in [address.as_str(), &format!("gateway:{address}"), "other.json"] {
        let document = stage.document(&["--last-use", teller]);
        let kept = [
            ("agent-unused", "closing"),
            ("scope-unused", "reports"),
            ("route-unused", "orders:read"),
            ("limit-loose", "reports/second"),
        ];
        assert_eq!(topics(&document), kept, "{teller}: {document:#}");
        let (name, notes) = (teller.trim_start_matches("gateway:"), notes(&document));
        assert!(notes.contains(&format!("last uses are those of {name}, noted since 20")), "{notes}");
        assert!(notes.contains("1 agent called, and no record shows it") && notes.contains(": deploy"), "{notes}");
    }
    let (status, stdout, stderr) = stage.review(&[RECORDS_FILE], &["--last-use", &address, "--patch", "least.patch"]);
    assert_eq!(status, 10, "{stdout}{stderr}");
    let patch = fs::read_to_string(stage.directory().join("least.patch")).unwrap();
    assert!(patch.contains("migration of 2024"), "{patch}");
    assert!(!patch.lines().any(|line| line.starts_with('-') && line.contains("[\"orders:write\"]")), "{patch}");

    // Whoever names one wants to go by it.
    for (teller, why) in [
        ("http://127.0.0.1:1", "no last uses of http://127.0.0.1:1: cannot be reached"),
        ("wrong.json", "wrong.json: expected the answer of /last-use, found"),
        ("no.json", "no.json"),
    ] {
        let (status, stdout, stderr) = stage.review(&[RECORDS_FILE], &["--last-use", teller]);
        assert!(status == 1 && stderr.contains(why) && !stderr.contains("adm_secret"), "{stdout}{stderr}");
        assert!(!stdout.contains("Agents that nobody used"), "{stdout}");
    }
    assert_eq!(stage.run(&["review", RECORDS_FILE, "--anomalies", "--last-use", "other.json"]).0, 2);
}

#[test]
fn tokens_that_carry_more_than_their_agent_needs_are_told() {
    let (origin, key) = (RecordingOrigin::start(), TokenKey::generate("ES256", "k1"));
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("read", "GET", "/orders/{id}", "origin")
        .route("create", "POST", "/orders", "origin")
        .scope("orders:read", &["read"])
        .scope("orders:write", &["create"])
        .issuer(&["ES256"], "scope_claim = \"scope\"\n")
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["orders:read", "orders:write"], &[]);
    let gateway = Deployment::new().file("corp.jwks.json", &jwks(&[&key])).run(&policy.text());
    let token = |scopes: &str| {
        let mut claims = claims("bot");
        claims["scope"] = json!(scopes);
        bearer(&key.sign(&claims))
    };
    for id in 0..3 {
        let asked = get(&format!("/orders/{id}"), &token("orders:read orders:write admin"));
        assert_eq!(gateway.once(asked).status, 200);
    }
    let stage = Stage::after(gateway, origin, Vec::new(), 3);
    let document = stage.document(&[]);
    assert_eq!(topics(&document), [("scope-unused", "bot"), ("token-broad", "bot")], "{document:#}");
    let broad = &document["findings"][1];
    assert_eq!(broad["found"], "carried and never needed: admin, orders:write");
    assert_eq!(broad["advice"], "let the issuer give tokens without");
}
