//! Every decision of a gateway follows from its record: explained one by one, replayed all together, and put to a
//! candidate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::{Value, json};
use tests::apikey::ApiKey;
use tests::certificates::Authority;
use tests::client::{Client, get};
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::scene::bearer;
use tests::tokens::{TokenKey, claims, jwks};

const HOST: &str = "api.test";
const BOT: &str = "spiffe://corp.test/bot";
/// Reasons that follow from policy and record.
const REASONS: [&str; 11] = [
    "target-not-admitted",
    "transport-too-weak",
    "credential-missing",
    "api-key-expired",
    "proofs-incomplete",
    "proofs-conflict",
    "agent-unknown",
    "route-unknown",
    "scope-missing",
    "limit-exceeded",
    "subjects-full",
];

struct Stage {
    gateway: Gateway,
    _origin: RecordingOrigin,
    token_key: TokenKey,
    key: ApiKey,
    old_key: ApiKey,
    anybody: Arc<ClientConfig>,
    bot: Arc<ClientConfig>,
    policy: String,
}

impl Stage {
    fn new() -> Self {
        let (server_ca, agents_ca) = (Authority::new("server CA"), Authority::new("agents CA"));
        let token_key = TokenKey::generate("ES256", "k1");
        let (key, old_key) = (ApiKey::new("key-1"), ApiKey::new("key-old"));
        let origin = RecordingOrigin::start();
        let policy = PolicyText::new()
            .setting("transport = \"tls\"")
            .origin("origin", &[origin.address()])
            .route("read", "GET", "/orders/{id}", "origin")
            .route("write", "POST", "/orders", "origin")
            .route("public", "GET", "/public", "origin")
            .scope("read", &["read"])
            .scope("write", &["write"])
            .scope("public", &["public"])
            .issuer(&["ES256"], "scope_claim = \"scope\"")
            .client_ca("agents", "agents.pem")
            .agent(
                "bot",
                &format!(
                    "{{ certificate = \"{BOT}\", ca = \"agents\", token = {{ issuer = \"corp\", subject = \"bot\" }} }}"
                ),
                &["read", "write"],
                &["60/hour burst 3", "1000/day quota"],
            )
            .agent("keyed", "{ api_key = [\"key-1\", \"key-old\"] }", &["read"], &["100/second burst 20"])
            .with(
                "[[agent]]\nname = \"staff\"\nidentity = [{ token = { issuer = \"corp\", subject = \"*\", except = [\"mallory\"] } }]\n\
                 scopes = [\"read\"]\nlimits = [{ limit = \"1/hour burst 2 per subject\", subjects = 2, on_full = \"deny\" }]",
            )
            .anonymous(&["public"], &["1/hour burst 2"])
            .api_key(&key, "")
            .api_key(&old_key, "expires = 2021-01-31T00:00:00Z")
            .text();
        let gateway = Deployment::new()
            .cores("[0, 1]")
            .file("corp.jwks.json", &jwks(&[&token_key]))
            .file("agents.pem", &agents_ca.pem)
            .tls_listener(&server_ca.server(&[HOST]), "optional")
            .run(&policy);
        let anybody = server_ca.client_config(None);
        let bot = server_ca.client_config(Some(&agents_ca.spiffe(BOT)));
        Self { gateway, _origin: origin, token_key, key, old_key, anybody, bot, policy }
    }

    fn directory(&self) -> &Path {
        self.gateway.directory()
    }

    fn token(&self, subject: &str, scope: Value) -> String {
        let mut claims = claims(subject);
        claims["scope"] = scope;
        bearer(&self.token_key.sign(&claims))
    }

    fn status(&self, config: &Arc<ClientConfig>, request: &str) -> u16 {
        Client::connect_tls(self.gateway.tls_address(), HOST, config).unwrap().exchange(request).status
    }

    fn api_key(&self) -> String {
        format!("X-API-Key: {}\r\n", self.key.text)
    }

    /// Every kind of caller, and every reason that the policy has.
    fn act(&self) {
        let (anybody, bot) = (&self.anybody, &self.bot);
        let both = json!("read write");
        let as_bot = self.token("bot", both.clone());
        let post = |fields: &str| {
            get("/orders", fields).replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")
        };
        let old_key = format!("X-API-Key: {}\r\n", self.old_key.text);
        let two_keys = format!("{}{}", self.api_key(), bearer(&self.old_key.text));
        let cases = [
            (200, self.status(bot, &get("/orders/1?secret=x", &as_bot)), "certificate and token"),
            (200, self.status(bot, &post(&as_bot)), "certificate and token, write"),
            (403, self.status(bot, &post(&self.token("bot", json!("read")))), "narrowed by the token"),
            (403, self.status(bot, &post(&self.token("bot", json!(["read write"])))), "a scope with a space is none"),
            (200, self.status(bot, &get("/orders/1", &as_bot)), "the last of the bucket"),
            (429, self.status(bot, &get("/orders/1", &as_bot)), "limit-exceeded"),
            (401, self.status(bot, &get("/orders/1", "")), "proofs-incomplete: certificate alone"),
            (401, self.status(anybody, &get("/orders/1", &as_bot)), "proofs-incomplete: token alone"),
            (401, self.status(bot, &get("/orders/1", &self.api_key())), "proofs-conflict"),
            (401, self.status(anybody, &get("/orders/1", &self.token("mallory", both.clone()))), "agent-unknown"),
            (401, self.status(anybody, &get("/orders/1", &old_key)), "api-key-expired"),
            (401, self.status(anybody, &get("/orders/1", &two_keys)), "two keys: not the policy's"),
            (200, self.status(anybody, &get("/orders/1", &self.api_key())), "API key"),
            (403, self.status(anybody, &get("/nothing", &self.api_key())), "route-unknown"),
            (400, self.status(anybody, &get("/orders/a%2Fb", &self.api_key())), "target-not-admitted"),
            (401, self.status(anybody, &get("/orders/1", "")), "credential-missing"),
            (200, self.status(anybody, &get("/public", "")), "anonymous"),
            (200, self.status(anybody, &get("/public", &self.token("alice", both.clone()))), "public, identified"),
            (429, self.status(anybody, &get("/public", "")), "limit-exceeded, anonymous"),
            (200, self.status(anybody, &get("/orders/1", &self.token("alice", both.clone()))), "population"),
            (200, self.status(anybody, &get("/orders/1", &self.token("alice", both.clone()))), "population, second"),
            (
                429,
                self.status(anybody, &get("/orders/1", &self.token("alice", both.clone()))),
                "limit-exceeded, subject",
            ),
            (200, self.status(anybody, &get("/orders/1", &self.token("bob", both.clone()))), "another subject"),
            (429, self.status(anybody, &get("/orders/1", &self.token("carol", both))), "subjects-full"),
            (401, self.status(anybody, &get("/orders/1", &bearer("garbage"))), "token-invalid: not the policy's"),
            (400, self.status(anybody, &get("/orders/../x", "")), "invalid-target: not the policy's"),
            (
                421,
                self.status(anybody, &get("/orders/1", "").replace(HOST, "other.test")),
                "misdirected: not the policy's",
            ),
            (204, self.status(anybody, "OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n"), "about the gateway"),
            (403, self.gateway.once(get("/public", "")).status, "transport-too-weak"),
        ];
        for (expected, found, what) in cases {
            assert_eq!(found, expected, "{what}");
        }
        self.gateway.wait_for_records(cases.len());
    }

    fn replay(&self, arguments: &[&str]) -> (i32, String) {
        let mut all = vec!["replay"];
        all.extend_from_slice(arguments);
        let (status, stdout, stderr) = gateway::run(&all, self.directory());
        // Warnings about a candidate's source stand beside what is asked for.
        (status.code().unwrap(), if stdout.is_empty() { stderr } else { stdout })
    }
}

#[test]
fn every_decision_is_explained_as_it_was_recorded() {
    let stage = Stage::new();
    stage.act();
    let records = stage.gateway.records();
    let mut reasons: Vec<&str> = records.iter().filter_map(|record| record["adamant.reason"].as_str()).collect();
    for reason in REASONS {
        assert!(reasons.contains(&reason), "{reason} did not come up: {reasons:?}");
    }
    reasons.retain(|reason| !REASONS.contains(reason));
    for record in &records {
        let id = record["adamant.request_id"].as_str().unwrap();
        let arguments = ["explain", "--records", RECORDS_FILE, "--request-id", id, "--release", "release.json"];
        let (status, stdout, stderr) = gateway::run(&arguments, stage.directory());
        assert!(status.success(), "{record}\n{stdout}{stderr}");
        let reason = record["adamant.reason"].as_str();
        let by_policy = reason.map_or(record["adamant.decision"] == "permit", |reason| REASONS.contains(&reason));
        assert_eq!(stdout.contains("\nas recorded\n"), by_policy, "{record}\n{stdout}");
        if let Some(reason) = reason {
            assert!(stdout.contains(reason), "{reason}:\n{stdout}");
        }
    }
    let denied = records.iter().find(|record| record["adamant.reason"] == "proofs-incomplete").unwrap();
    let line = denied.to_string();
    let (status, stdout, _) =
        gateway::run(&["explain", "--record", &line, "--release", "release.json"], stage.directory());
    assert!(status.success() && stdout.contains("is of agent \"bot\", which also needs"), "{stdout}");
    stage.gateway.once("GET /%zz HTTP/1.1\r\nHost: api.test\r\n\r\n");
    let records = stage.gateway.wait_for_records(records.len() + 1);
    for (reason, head) in [
        ("invalid-target", "a request that was not understood\n  at "),
        ("credential-malformed", "GET https://api.test/orders/1\n  at "),
    ] {
        let line = records.iter().find(|of| of["adamant.reason"] == reason).unwrap().to_string();
        let (status, stdout, _) = gateway::run(&["explain", "--record", &line], stage.directory());
        assert!(status.success() && stdout.starts_with(head), "{line}\n{stdout}");
    }
    let lie = line.replace("proofs-incomplete", "agent-unknown");
    let (status, stdout, _) =
        gateway::run(&["explain", "--record", &lie, "--release", "release.json"], stage.directory());
    assert_eq!(status.code(), Some(1));
    assert!(stdout.contains("recorded deny (agent-unknown), follows deny (proofs-incomplete)"), "{stdout}");
}

#[test]
fn a_whole_log_follows_from_its_release_and_a_changed_line_does_not() {
    let stage = Stage::new();
    stage.act();
    // Both workers at once, at the edge of a limit: which request is refused must still follow from its record.
    let request = get("/orders/1", &stage.api_key());
    let (address, anybody) = (stage.gateway.tls_address(), &stage.anybody);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::connect_tls(address, HOST, anybody).unwrap();
                for _ in 0..60 {
                    assert!([200, 429].contains(&client.exchange(&request).status));
                }
            });
        }
    });
    stage.gateway.wait_for_records(29 + 360);
    stage.gateway.signal("TERM");
    let has_stopped = || stage.gateway.record_text().contains("\"stop\"");
    assert!(tests::process::eventually(Duration::from_secs(60), has_stopped), "{}", stage.gateway.stderr());
    let (status, text) = stage.replay(&[RECORDS_FILE, "--release", "release.json"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("no difference") && text.contains("2  credential-malformed"), "{text}");
    let (status, text) = stage.replay(&[RECORDS_FILE, "--release", "release.json", "--format", "json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &document["outcome"], &document["differing"]), (0, &json!("same"), &json!(0)));
    assert_eq!(document["exchanges"], 389);
    assert!(REASONS.iter().all(|reason| document["refused"][reason].as_u64() > Some(0)), "{text}");

    let log = stage.gateway.record_text();
    for (from, to) in [
        ("\"adamant.decision\":\"permit\"", "\"adamant.decision\":\"deny\""),
        ("\"url.path\":\"/orders/1\"", "\"url.path\":\"/orders/1/2\""),
        ("\"adamant.certificate.cas\":[\"agents\"]", "\"adamant.certificate.cas\":[]"),
        ("\"adamant.token.subject\":\"bot\"", "\"adamant.token.subject\":\"eve\""),
    ] {
        // What was refused may be refused all the same.
        let is_meant = |line: &str| line.contains(from) && line.contains("\"adamant.decision\":\"permit\"");
        let number = log.lines().position(is_meant).unwrap_or_else(|| panic!("{from} is not in the log"));
        let changed = log.lines().zip(0..).map(|(line, at)| match at == number {
            true => line.replacen(from, to, 1) + "\n",
            false => line.to_owned() + "\n",
        });
        let changed: String = changed.collect();
        fs::write(stage.directory().join("changed.jsonl"), changed).unwrap();
        let (status, text) = stage.replay(&["changed.jsonl", "--release", "release.json"]);
        assert_eq!(status, 1, "{from}: {text}");
        assert!(
            text.contains("made again: 1 differs") && text.contains(&format!("line {}, request", number + 1)),
            "{text}"
        );
    }
    let (status, text) = stage.replay(&[RECORDS_FILE, "--store", "state"]);
    assert!(status == 0 && text.contains("no difference"), "from the state directory: {text}");
    let (status, text) = stage.replay(&[RECORDS_FILE]);
    assert!(status == 1 && text.contains("--against"), "{text}");
    fs::create_dir(stage.directory().join("bare")).unwrap();
    let (status, text, stderr) = gateway::run(&["replay", RECORDS_FILE, "--store", "bare"], stage.directory());
    let words = "decisions could not be made again";
    assert!(status.code() == Some(1) && text.contains("; 3") && stderr.contains(words), "{text}{stderr}");
    assert_eq!(stage.replay(&["policy.toml", "--release", "release.json"]).0, 1, "no log");
}

#[test]
fn a_candidate_is_rehearsed_on_the_past() {
    let stage = Stage::new();
    stage.act();
    let against = |policy: &str| {
        fs::write(stage.directory().join("next.toml"), policy).unwrap();
        stage.replay(&[RECORDS_FILE, "--release", "release.json", "--against", "next.toml", "--format", "json"])
    };
    let outcome = |policy: &str| {
        let (status, text) = against(policy);
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (status, document)
    };
    assert_eq!(outcome(&stage.policy).0, 0, "the same policy");
    let keyed = "scopes = [\"read\"]\nlimits = [\"100/second burst 20\"]";
    assert!(stage.policy.contains(keyed));
    let (status, refused) = outcome(&stage.policy.replace(keyed, "scopes = []\nlimits = []"));
    assert_eq!(
        (status, &refused["newly_refused"], &refused["newly_permitted"]),
        (10, &json!(1), &json!(0)),
        "{refused}"
    );
    let group = refused["groups"].as_array().unwrap().iter().find(|group| group["change"] == "newly-refused").unwrap();
    assert_eq!((&group["agent"], &group["method"], &group["route"]), (&json!("keyed"), &json!("GET"), &json!("read")));
    assert_eq!((&group["before"], &group["after"]), (&json!("permit"), &json!("deny (scope-missing)")));
    let (status, permitted) = outcome(&stage.policy.replace("burst 2 per subject", "burst 3 per subject"));
    assert_eq!((status, &permitted["newly_permitted"]), (11, &json!(1)), "alice's third: {permitted}");
    let both = stage
        .policy
        .replace("burst 2 per subject", "burst 3 per subject")
        .replace("60/hour burst 3", "60/hour burst 2");
    assert_eq!(outcome(&both).0, 12);
    let (status, text) = stage.replay(&[RECORDS_FILE, "--against", "next.toml"]);
    assert_eq!(status, 12, "{text}");
    assert!(text.contains("1 newly refused, 1 newly permitted") && text.contains("simulated along the log"), "{text}");
}

#[test]
fn a_request_that_nobody_made_is_explained() {
    let stage = Stage::new();
    let explain = |arguments: &[&str], input: &str| {
        let mut child = Command::new(gateway::binary())
            .args(["explain", "--policy", "policy.toml"])
            .args(arguments)
            .current_dir(stage.directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let read = "GET https://api.test/orders/7";
    let (_, text) = explain(&["--request", read, "--agent", "bot"], "");
    assert!(text.contains("permitted: forwarded to origin \"origin\""), "{text}");
    let (_, text) = explain(&["--request", "PUT https://api.test/orders", "--agent", "bot"], "");
    assert!(text.contains("refused: 403, route-unknown") && text.contains("nearly \"write\""), "{text}");
    let token = stage.token_key.sign(&claims("alice"));
    let (ok, text) = explain(&["--request", read, "--token", &token], "");
    assert!(!ok && text.contains("others can see the command line"), "{text}");
    let (_, text) = explain(&["--request", read, "--token", "-"], &token);
    assert!(text.contains("verified with the keys") && text.contains("refused: 403, scope-missing"), "{text}");
    let (_, text) = explain(&["--request", read, "--token", "-", "--scopes", "read"], &token);
    assert!(text.contains("population \"staff\"") && text.contains("permitted:"), "{text}");
    let stranger = TokenKey::generate("ES256", "k1").sign(&claims("alice"));
    let (_, text) = explain(&["--request", read, "--token", "-"], &stranger);
    assert!(text.contains("refused: 401, token-invalid"), "{text}");
    let name = format!("{BOT}@agents");
    let (_, text) = explain(&["--request", read, "--certificate", &name, "--api-key-id", "key-1"], "");
    assert!(text.contains("refused: 401, proofs-conflict"), "{text}");
    let (ok, text) = explain(&["--request", read, "--certificate", &format!("{BOT}@agent")], "");
    assert!(!ok && text.contains("found \"agent\"") && text.contains(&format!("did you mean {BOT}@agents?")), "{text}");
    let (ok, text) = explain(&["--request", read, "--certificate", &format!("{BOT}@zebra")], "");
    assert!(!ok && text.contains("the policy's client CAs are: agents"), "{text}");
    let (_, text) = explain(&["--request", read, "--certificate", "dns:bot.test@agents"], "");
    for part in ["no agent names \"dns:bot.test\" under CA \"agents\"", "no credential was presented, so"] {
        assert!(text.contains(part), "{text}");
    }
    // One certificate with two names.
    let both = ["--request", read, "--certificate", "dns:bot.test@agents", "--certificate", &name];
    let (_, text) = explain(&both, "");
    assert!(text.contains(&format!("presented  a certificate dns:bot.test, {BOT} under CA \"agents\"")), "{text}");
    assert!(text.contains("is of agent \"bot\", which also needs a token"), "{text}");
    let (_, text) = explain(&["--request", read, "--api-key-id", "key-old", "--at", "2021-01-30T23:59:59Z"], "");
    assert!(text.contains("permitted:"), "{text}");
    let (_, text) = explain(&["--request", read, "--api-key-id", "key-old", "--at", "2021-01-31T00:00:00Z"], "");
    assert!(text.contains("expired"), "{text}");
    // What may be a secret is not repeated.
    let (ok, text) = explain(&["--request", read, "--api-key-id", &stage.key.text], "");
    assert!(!ok && text.contains("what looks like a whole key"), "{text}");
    assert!(!text.contains("key-1") && !text.contains(stage.key.text.rsplit('_').next().unwrap()), "{text}");
    let mut nameless = claims("alice");
    nameless.as_object_mut().unwrap().remove("iss");
    let (ok, text) = explain(&["--request", read, "--token", "-"], &stage.token_key.sign(&nameless));
    assert!(!ok && text.contains("expected an iss claim, found none"), "{text}");
    let (_, text) = explain(&["--request", "GET http://api.test/public", "--client", "2001:db8::1"], "");
    assert!(text.contains("refused: 403, transport-too-weak"), "{text}");
}
