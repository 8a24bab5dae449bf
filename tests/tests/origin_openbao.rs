//! A secret towards an origin from the KV engine of a real OpenBao: a new version is taken without a restart, and the old one
//! stays for a while when the server is sealed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::openbao::{self, OpenBao};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

const SOON: Duration = Duration::from_secs(60);
const POLICY: &str = r#"path "kv/data/orders/edge" { capabilities = ["read"] }"#;

fn start(server: &OpenBao, origin: &RecordingOrigin, more: &str) -> Gateway {
    let own = "credentials = { from = \"orders\", header = \"X-Origin-Key\" }";
    let policy = PolicyText::new()
        .origin_with("origin", &[origin.address()], own)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let token = server.operate("token create -policy=reader -field=token") + "\n";
    let ca = std::fs::read_to_string(server.ca()).unwrap();
    Deployment::new()
        .file("bao.key", &token)
        .file("bao-ca.pem", &ca)
        .with(&format!(
            "[[origin_credential]]\nname = \"orders\"\n[origin_credential.openbao]\naddress = \"https://127.0.0.1:{}\"\nca = \
             \"bao-ca.pem\"\ntoken = \"bao.key\"\nmount = \"kv\"\npath = \"orders/edge\"\n\
             field = \"key\"\nrefresh = \"1s\"\n{more}",
            server.port
        ))
        .run(&policy.text())
}

fn engine(binary: &std::path::Path) -> OpenBao {
    let server = OpenBao::start(binary);
    server.operate("secrets enable -path=kv kv-v2");
    server.operate_with("policy write reader -", POLICY);
    server
}

#[test]
fn a_new_version_is_taken_and_a_bad_one_leaves_the_old() {
    let Some(binary) = openbao::binary() else { return };
    let (server, origin) = (engine(&binary), RecordingOrigin::start());
    let gateway = start(&server, &origin, "");
    let status = || gateway.once(get("/", "Connection: close\r\n")).status;
    let sends =
        |secret: &str| status() == 200 && origin.requests().pop().unwrap().value("X-Origin-Key") == Some(secret);
    gateway.tells("404 Not Found from kv/data/orders/edge");
    assert_eq!(status(), 503, "there is no secret yet");
    for secret in ["f1rst-version", "sec0nd-version"] {
        server.operate_with("kv put kv/orders/edge key=-", secret);
        assert!(eventually(SOON, || sends(secret)), "{secret}: {}", gateway.stderr());
    }
    let activations = gateway.metric("activation");
    let refused = || gateway.metric("origin_material_failures_total");
    for (line, told) in [
        ("kv put kv/orders/edge other=x", Some("expected a member \"key\"")),
        ("kv put kv/orders/edge key=-", Some("found more than one line")),
        ("kv delete kv/orders/edge", None),
    ] {
        server.operate_with(line, "two lines\nof b4d-text");
        // Not what was counted of the one before while this one was written.
        let before = refused();
        match told {
            Some(told) => gateway.tells(told),
            None => assert!(eventually(2 * SOON, || refused() > before), "{}", gateway.stderr()),
        }
        assert!(sends("sec0nd-version"), "{line}: {}", gateway.stderr());
    }
    server.operate_with("kv put kv/orders/edge key=x other=-", &"b4d-text".repeat(40_000));
    gateway.tells("expected an answer of at most 262144 bytes");
    server.operate_with("kv put kv/orders/edge key=-", "th1rd-version");
    // The pause has become longer with each that was refused.
    assert!(eventually(2 * SOON, || sends("th1rd-version")), "{}", gateway.stderr());
    let told = |outcome: &str| {
        let is_it = |line: &&str| line.contains("\"origin-credential\"") && line.contains(outcome);
        gateway.record_text().lines().filter(is_it).count()
    };
    assert!(eventually(SOON, || told("\"unchanged\"") > 1), "each look is on record");
    assert_eq!(gateway.metric("activation"), activations + 1.0, "and one that finds the same changes nothing");
    assert!(eventually(SOON, || told("\"taken\"") == 3), "{}", gateway.record_text());
    assert!(told("\"refused\"") >= 4, "{}", gateway.record_text());
    let moved = gateway.record_text().lines().filter(|line| line.contains("\"adamant.kind\":\"origin\"")).count();
    assert_eq!(moved, 0, "its addresses stay the same: {}", gateway.record_text());
    let token = std::fs::read_to_string(gateway.directory().join("bao.key")).unwrap();
    for text in
        [gateway.stderr(), gateway.record_text(), gateway.admin("/metrics").text(), gateway.admin("/release").text()]
    {
        for secret in ["f1rst", "sec0nd", "th1rd", "b4d-text", token.trim()] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_sealed_server_costs_nothing_until_what_it_said_is_too_old() {
    let Some(binary) = openbao::binary() else { return };
    let (server, origin) = (engine(&binary), RecordingOrigin::start());
    server.operate_with("kv put kv/orders/edge key=-", "kept-for-a-while");
    let gateway = start(&server, &origin, "max_stale = \"15s\"");
    let status = || gateway.once(get("/", "Connection: close\r\n")).status;
    assert!(eventually(SOON, || status() == 200), "{}", gateway.stderr());
    server.operate("operator seal");
    gateway.tells("the server is sealed: bao status; bao operator unseal: the old one stays in use");
    assert_eq!(status(), 200, "what is fresh enough is used");
    let failing = || gateway.admin("/release").text();
    let is_shown = || failing().contains("\"last_failures\"") && failing().contains("the server is sealed");
    assert!(eventually(SOON, is_shown), "{}", failing());
    assert!(eventually(SOON, || status() == 503), "{}", gateway.stderr());
    gateway.tells("has ended, and nothing newer came");
    assert!(!gateway.stderr().contains("kept-for-a-while"));
}
