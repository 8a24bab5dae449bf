//! `adamant agent` with certificates of a real OpenBao: enrolled, renewed, and told what is wrong while it is sealed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tests::agents::{ID, Running, assert_fits, read_pair};
use tests::desk::{Desk, assert_says};
use tests::openbao::{self, OpenBao};

const POLICY: &str = r#"path "pki/sign/agents" { capabilities = ["update"] }"#;

#[test]
fn openbao_signs_and_its_failures_leave_what_was_there() {
    let Some(binary) = openbao::binary() else { return };
    let server = OpenBao::start(&binary);
    server.operate("secrets enable pki");
    let ca =
        server.operate("write -field=certificate pki/root/generate/internal common_name=agents ttl=8760h key_type=ec");
    let role = "write pki/roles/agents allowed_uri_sans=spiffe://corp.example/* allow_any_name=true require_cn=false \
                key_type=ec server_flag=false client_flag=true max_ttl=24h";
    server.operate(&role.split_whitespace().collect::<Vec<_>>().join(" "));
    server.operate_with("policy write signer -", POLICY);
    let desk = Desk::new();
    desk.write("token", server.operate("token create -policy=signer -field=token") + "\n");
    fs::set_permissions(desk.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    desk.write("gateway-ca.pem", &ca);
    let enroll = format!(
        "agent enroll p --agent reports-bot --gateway https://localhost:1 --gateway-ca gateway-ca.pem --spiffe {ID} --life 8s \
         --openbao https://127.0.0.1:{} --bao-ca {} --bao-token-file token",
        server.port,
        server.ca().display()
    );
    assert_says(&desk.bad(&format!("{enroll} --role nobody")), &["pki/sign/nobody", "hint: "]);
    assert!(!desk.path("p/current").exists());
    desk.good(&format!("{enroll} --role agents"));
    let profile = desk.path("p");
    let (first, cert, key) = read_pair(&profile);
    assert_fits(&cert, &key);

    let keeper = Running::start(&desk.path("."), "agent run p");
    keeper.says("\"renewed\"", 1);
    // Sealed in the middle: the last good one stays, and it is told what to do.
    server.operate("operator seal");
    keeper.says("bao operator unseal", 1);
    let (_, cert, key) = read_pair(&profile);
    assert_fits(&cert, &key);
    assert!(!first.exists() || first != read_pair(&profile).0);
    let token = String::from_utf8(desk.read("token")).unwrap();
    assert!(keeper.end().iter().all(|line| !line.contains(token.trim())));
}
