//! From no PKI to a renewing agent that calls through a real gateway with mutual TLS and a scoped token, in under ten
//! commands, after the trust root and signing key that README's first walk makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::answer::Answer;
use tests::desk::{Desk, END};
use tests::gateway::binary;
use tests::origin::RecordingOrigin;

const POLICY: &str = r#"
[policy]
name = "second"
transport = "mtls"

[[client_ca]]
name = "agents"
certificates = { file = "ca/ca.pem" }

[[issuer]]
name = "corp"
issuer = "https://id.corp.example"
audience = ["orders-api"]
algorithms = ["ES256"]
keys = { file = "ca/jwks.json" }
scope_claim = "scope"

[[origin]]
name = "office"
addresses = ["ORIGIN"]

[[route]]
name = "order-read"
host = "*"
methods = ["GET", "HEAD"]
path = "/orders/{id}"
origin = "office"

[[scope]]
name = "orders:read"
routes = ["order-read"]

[[agent]]
name = "reports-bot"
identity = [{ certificate = "spiffe://corp.example/reports", ca = "agents", token = { issuer = "corp", subject = "reports-bot" } }]
scopes = ["orders:read"]
limits = ["60/minute"]
"#;

const GATEWAY: &str = r#"
[gateway]
policy = "second"
state = "state"
release = "release.json"
trust_root = "root.json"

[[listener]]
address = "127.0.0.1:8443"
tls = { certificates = [{ chain = "server.pem", key = "server.key" }], client_certificates = "required" }
"#;

/// The commands, one a line; `&` lets one run on.
const COMMANDS: &[&str] = &[
    "adamant ca init ca --trust-domain corp.example --server localhost --issuer https://id.corp.example --passphrase-file ca.pass",
    "adamant ca issue ca --passphrase-file ca.pass --server localhost --key-out server.key --out server.pem",
    "adamant release build policy.toml --version 1 --expires 2100-01-01T00:00:00Z --out release.json",
    "adamant release sign release.json --key alice.key",
    "adamant run gateway.toml > records.jsonl 2> gateway.log &",
    "adamant agent enroll reports --agent reports-bot --gateway https://localhost:8443 --ca ca --passphrase-file ca.pass \
     --release release.json --trust-root root.json",
    "adamant agent run reports > refreshes.jsonl &",
    "adamant agent doctor reports",
    "curl -sS -K <(adamant agent export reports curl) https://localhost:8443/orders/7",
];

#[test]
fn from_no_pki_to_a_renewing_agent_in_under_ten_commands() {
    assert!(COMMANDS.len() < 10);
    let origin = RecordingOrigin::scripted(|_, _| Answer::text("the order"));
    let desk = Desk::new();
    desk.keys(&["alice"]);
    desk.good(&format!("trust init --key alice=alice.key --threshold 1 --expires {END} --out root.json"));
    desk.good("trust sign root.json --key alice.key");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let placed = |text: &str| text.replace("8443", &port.to_string()).replace("ORIGIN", &origin.address().to_string());
    desk.write("policy.toml", placed(POLICY));
    desk.write("gateway.toml", placed(GATEWAY));
    // Waits for what runs on, as a person would; SIGHUP is a renewal now instead of in sixteen hours.
    let mut script = String::from("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    script.push_str("(umask 077; echo 'correct horse battery' > ca.pass)\n");
    for command in COMMANDS {
        script.push_str(&placed(command));
        script.push('\n');
        if command.contains("adamant run") {
            script.push_str(
                "for i in $(seq 200); do grep -q 'listening on https' gateway.log && break; sleep 0.05; done\n",
            );
        }
        if command.contains("agent run") {
            script.push_str(
                "keeper=$!; for i in $(seq 200); do [ -s reports/lock ] && break; sleep 0.05; done; sleep 0.5\n",
            );
            script.push_str(
                "kill -HUP $keeper; for i in $(seq 200); do [ -s refreshes.jsonl ] && break; sleep 0.05; done\n",
            );
        }
    }
    fs::create_dir(desk.path("bin")).unwrap();
    std::os::unix::fs::symlink(binary(), desk.path("bin/adamant")).unwrap();
    let path = format!("{}:{}", desk.path("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(desk.path("."))
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&desk.read("gateway.log")));
    for part in [
        "CA in ca",
        "profile reports of agent reports-bot",
        "id       spiffe://corp.example/reports",
        "scopes   orders:read",
        "limits   60/minute",
        "✓ token        reports-bot of https://id.corp.example",
        "nothing is wrong",
        "the order",
    ] {
        assert!(said.contains(part), "{part:?} is not in what was said:\n{said}");
    }
    assert_eq!(origin.count(), 1);
    let line = String::from_utf8(desk.read("refreshes.jsonl")).unwrap();
    let line: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!((&line["outcome"], &line["why"]), (&"renewed".into(), &"order".into()));
    let records = String::from_utf8(desk.read("records.jsonl")).unwrap();
    let permitted = records.lines().rfind(|line| line.contains("\"adamant.decision\":\"permit\"")).unwrap();
    let record: Value = serde_json::from_str(permitted).unwrap();
    assert_eq!((&record["adamant.agent"], &record["adamant.scope"]), (&"reports-bot".into(), &"orders:read".into()));
    // What is secret stands in its own files alone.
    let token = fs::read_to_string(desk.path("reports/current/token")).unwrap();
    assert!(!said.contains(token.trim()) && !records.contains(token.trim()));
}
