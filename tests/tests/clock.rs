//! An agent whose clock is minutes off, either way: its calls go on, what depends on the clock is refused or taken for what it
//! is, and the doctor names the clock. The agent's programs run under libfaketime; the gateway has the right time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::agents::{ID, Running, assert_fits, ok, read_pair, through};
use tests::certificates::Authority;
use tests::faketime;
use tests::gateway::{Gateway, binary};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;

const DAY: Duration = Duration::from_secs(86_400);
const AHEAD: &str = "+10m";
const BEHIND: &str = "-10m";

/// `adamant LINE` by a clock that is so far off.
fn with_clock(at: &Path, off: &str, line: &str) -> Command {
    let mut command = Command::new(binary());
    command.env("LD_PRELOAD", faketime::library().unwrap()).env("FAKETIME", off);
    command.args(line.split_whitespace()).current_dir(at).stdin(Stdio::null());
    command
}

fn run(at: &Path, off: &str, line: &str) -> (i32, String) {
    let output = with_clock(at, off, line).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains("panicked"), "{line}: {said}");
    (output.status.code().unwrap(), said)
}

/// A gateway with a certificate of some age, and the built-in CA for agents.
fn scene() -> (Gateway, RecordingOrigin) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ok(at, "ca init ca --trust-domain corp.example --no-passphrase");
    let servers = Authority::new("servers");
    let server = servers.server_between("localhost", 20 * DAY, 20 * DAY);
    for (name, text) in
        [("server.pem", &server.certificate), ("server.key", &server.key), ("servers.pem", &servers.pem)]
    {
        fs::write(at.join(name), text).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(at.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir(at.join("shared")).unwrap();
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .setting("transport = \"mtls\"")
        .origin("origin", &[origin.address()])
        .route("orders", "GET", "/orders/{id}", "origin")
        .scope("orders", &["orders"])
        .client_ca("agents", "ca/ca.pem")
        .agent("reports-bot", &format!("{{ certificate = \"{ID}\", ca = \"agents\" }}"), &["orders"], &[]);
    let more = ["--tls-chain", "server.pem", "--tls-key", "server.key", "--client-certificates", "required"];
    (Gateway::dev_in(directory, &policy.text(), &more), origin)
}

fn enroll(gateway: &Gateway, more: &str) -> String {
    let port = gateway.tls_address().port();
    format!(
        "agent enroll p --agent reports-bot --gateway https://localhost:{port} --gateway-ca servers.pem --spiffe {ID} {more}"
    )
}

#[test]
fn calls_go_on_and_the_doctor_names_the_clock() {
    if faketime::library().is_none() {
        return;
    }
    let (gateway, _origin) = scene();
    let at = gateway.directory();
    ok(at, &enroll(&gateway, "--ca ca"));
    // The cause comes first. By its own clock the certificate of an agent that is behind has not begun.
    for (off, words, codes) in
        [(AHEAD, "ahead of", &["clock"][..]), (BEHIND, "behind", &["clock", "certificate-not-yet-valid"])]
    {
        let (status, said) = run(at, off, "agent doctor p --json --path /orders/7");
        let report: Value = serde_json::from_str(&said).unwrap();
        let steps = report["steps"].as_array().unwrap();
        let failed = || steps.iter().filter(|step| step["outcome"] == "failed");
        let found: Vec<&str> = failed().map(|step| step["code"].as_str().unwrap()).collect();
        assert_eq!((status, found.as_slice()), (1, codes), "{off}: {said}");
        let clock = failed().find(|step| step["code"] == "clock").unwrap();
        let told = clock["found"].as_str().unwrap();
        assert!(told.contains(words) && (told.contains("10m") || told.contains("9m 5")), "{off}: {told}");
        assert!(steps.iter().any(|step| step["step"] == "answer" && step["outcome"] == "ok"), "{off}: {said}");
        // What it has is still good where it counts.
        let proxy = Running::of(at, with_clock(at, off, "agent proxy p"));
        proxy.says("listening", 1);
        let said = through(UnixStream::connect(at.join("p/proxy.sock")).unwrap(), "GET /orders/7", "", "");
        assert!(said.starts_with("HTTP/1.1 200"), "{off}: {said}");
        proxy.end();
    }
    ok(at, "agent doctor p --path /orders/7");
    // A certificate that is valid where it was issued, and not yet for a gateway whose clock is behind.
    let (status, said) = run(at, AHEAD, "agent run p --once");
    assert_eq!(status, 0, "{said}");
    let (status, said) = run(at, AHEAD, "agent doctor p");
    assert!(status == 1 && said.contains("one of the two clocks is wrong, and renewing cannot help"), "{said}");
    ok(at, "agent run p --once");
    ok(at, "agent doctor p");
}

#[test]
fn a_renewal_by_a_wrong_clock_is_taken_or_waits_for_the_right_one() {
    if faketime::library().is_none() {
        return;
    }
    let (gateway, _origin) = scene();
    let at = gateway.directory();
    let (enroll, renew) = (enroll(&gateway, "--requests shared"), "agent run p --once");
    // The CA is elsewhere, and has the right time.
    let sign = format!("ca issue ca --spiffe {ID} --csr shared/reports-bot.csr --out shared/reports-bot.pem --force");
    ok(at, &enroll);
    ok(at, &sign);
    ok(at, &enroll);
    let profile = at.join("p");
    let first = read_pair(&profile);

    let (_, said) = run(at, AHEAD, renew);
    assert!(said.contains("\"waiting\""), "{said}");
    ok(at, &sign);
    let (status, said) = run(at, AHEAD, renew);
    assert!(status == 0 && said.contains("\"renewed\""), "{said}");
    let second = read_pair(&profile);
    assert_ne!(first, second);
    ok(at, "agent doctor p");

    // Behind, what is issued now has not begun: it is not taken, the old one stays, and why is told.
    run(at, BEHIND, renew);
    ok(at, &sign);
    let (status, said) = run(at, BEHIND, renew);
    assert!(status == 1 && said.contains("compare this machine's clock with the CA's"), "{said}");
    assert_eq!(read_pair(&profile), second);
    ok(at, "agent doctor p");
    // With the right time it is taken, by itself.
    let said = ok(at, renew);
    assert!(said.contains("\"renewed\""), "{said}");
    let third = read_pair(&profile);
    assert_fits(&third.1, &third.2);
    assert_ne!(second, third);
    ok(at, "agent doctor p");
}
