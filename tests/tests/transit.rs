//! Signing by keys that never leave a server: the commands against a real OpenBao with TLS. What a server does that
//! lies is tried beside the client, in `engine/src/signer/transit/tests.rs`.
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

use tests::desk::{Desk, END, assert_says};
use tests::openbao::{self, OpenBao};
use tests::policy::open_to_all;

/// What the holder of a transit key may do, and no more.
const SIGNERS_POLICY: &str = r#"
path "transit/keys/*" { capabilities = ["read"] }
path "transit/sign/alice" { capabilities = ["update"] }
"#;

/// A server with the key alice, and a desk whose token may sign with it.
fn office(server: &OpenBao) -> (Desk, String) {
    server.operate("secrets enable transit");
    server.operate("write -f transit/keys/alice type=ed25519");
    server.operate("write -f transit/keys/bob type=ed25519");
    server.operate("write -f transit/keys/elliptic type=ecdsa-p256");
    server.operate_with("policy write signer -", SIGNERS_POLICY);
    let token = server.operate("token create -policy=signer -field=token");
    let mut desk = Desk::new();
    desk.set("BAO_TOKEN", &token);
    desk.set("BAO_CACERT", server.ca().to_str().unwrap());
    (desk, token)
}

#[test]
fn a_release_is_signed_and_pointed_at_without_a_private_key_on_disk() {
    let Some(binary) = openbao::binary() else { return };
    let server = OpenBao::start(&binary);
    let (desk, token) = office(&server);
    let key = format!("transit:https://127.0.0.1:{}/transit/keys/alice", server.port);
    let public = desk.good(&format!("key public {key}"));
    assert!(public.starts_with("adamant-ed25519:"), "{public}");

    desk.write("policy.toml", open_to_all("127.0.0.1:9".parse().unwrap()).text());
    fs::create_dir(desk.path("store")).unwrap();
    desk.good(&format!("trust init --key alice={key} --threshold 1 --expires {END} -o root.json"));
    assert_says(&desk.good(&format!("trust sign root.json --key {key}")), &["1 of 1 signature (alice)"]);
    desk.good(&format!("release build policy.toml --version 1 --expires {END} -o release.json"));
    desk.good(&format!("release sign release.json --key {key}"));
    desk.good("release verify release.json --trust-root root.json");
    let at = "--store store --channel production --trust-root root.json";
    desk.good(&format!("point {at} --release release.json --key {key}"));
    desk.good(&format!("release sign release.json --key {key} --detached -o alice.sig"));
    desk.good("release merge release.json alice.sig");
    for (path, content) in desk.all(".") {
        let content = String::from_utf8_lossy(&content);
        assert!(!content.contains("PRIVATE KEY") && !content.contains(&token), "{}", path.display());
    }

    // Another version of the key is another key.
    server.operate("write -f transit/keys/alice/rotate");
    assert_ne!(desk.good(&format!("key public {key}")), public);
    assert_says(&desk.bad(&format!("trust sign root.json --key {key}")), &["would not count"]);
    assert_eq!(desk.good(&format!("key public {key}@1")), public);
    desk.good(&format!("trust sign root.json --key {key}@1"));
    desk.good(&format!("trust rotate root.json alice={key} -o root-2.json"));
    desk.good(&format!("trust sign root-2.json --after root.json --key {key}@1 --key {key}@2"));
    desk.good("trust verify root-2.json --after root.json");
}

#[test]
fn what_a_server_refuses_is_told_with_what_to_do_and_no_token_is_shown() {
    let Some(binary) = openbao::binary() else { return };
    let server = OpenBao::start(&binary);
    let (mut desk, token) = office(&server);
    let key = |name: &str| format!("transit:https://127.0.0.1:{}/transit/keys/{name}", server.port);
    desk.write("policy.toml", open_to_all("127.0.0.1:9".parse().unwrap()).text());
    desk.good(&format!("release build policy.toml --version 1 --expires {END} -o release.json"));
    let before = desk.read("release.json");
    let sign = |name: &str| format!("release sign release.json --key {}", key(name));
    let tried = |desk: &Desk, line: &str, parts: &[&str]| {
        let said = desk.bad(line);
        assert_says(&said, parts);
        assert!(!said.contains(&token), "{said}");
    };
    tried(&desk, &sign("bob"), &["403", "path \"transit/sign/bob\"", "update", "still valid"]);
    tried(&desk, &sign("nobody"), &["404", "with a key nobody"]);
    tried(&desk, &sign("elliptic"), &["type ed25519", "ecdsa-p256"]);
    tried(&desk, &sign("alice@7"), &["a version that the key has", "7; it has 1"]);
    let elsewhere = format!("transit:https://127.0.0.1:{}/no/transit/keys/alice", server.port);
    tried(&desk, &format!("release sign release.json --key {elsewhere}"), &["403", "no/transit/keys/alice"]);
    let nobody = "transit:https://127.0.0.1:1/transit/keys/alice";
    tried(&desk, &format!("release sign release.json --key {nobody}"), &["cannot reach", "127.0.0.1:1"]);

    // The server's certificate is of a CA that this machine does not know.
    desk.set("BAO_CACERT", "");
    tried(&desk, &sign("alice"), &["certificate", "--ca"]);
    desk.good(&format!("{} --ca {}", sign("alice"), server.ca().display()));
    desk.write("release.json", &before);
    desk.set("VAULT_CACERT", server.ca().to_str().unwrap());

    desk.set("BAO_TOKEN", "");
    tried(&desk, &sign("alice"), &["a token in BAO_TOKEN, VAULT_TOKEN or --token-file, found none"]);
    desk.set("VAULT_TOKEN", "s.wrong");
    tried(&desk, &sign("alice"), &["403", "transit/keys/alice"]);
    desk.write("token", format!("{token}\n"));
    fs::set_permissions(desk.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    desk.good(&format!("{} --token-file token", sign("alice")));
    desk.write("release.json", &before);
    desk.set("VAULT_TOKEN", &token);

    // A transit engine in a namespace of its own.
    server.operate("namespace create team");
    server.operate("secrets enable -namespace=team transit");
    server.operate("write -namespace=team -f transit/keys/carol type=ed25519");
    server.operate_with("policy write -namespace=team signer -", &SIGNERS_POLICY.replace("alice", "carol"));
    let of_team = server.operate("token create -namespace=team -policy=signer -field=token");
    desk.set("VAULT_TOKEN", &of_team);
    desk.good(&format!("{} --namespace team", sign("carol")));
    desk.write("release.json", &before);
    desk.bad(&sign("carol"));

    // Nothing goes to whoever listens there in the clear, on this machine too.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let plain = format!("transit:http://{}/transit/keys/alice", listener.local_addr().unwrap());
    let (code, _, said) = desk.run(&format!("release sign release.json --key {plain}"));
    assert!(code != 0 && said.contains("the token goes over TLS alone, on loopback too"), "{said}");
    assert!(listener.accept().is_err() && !said.contains(&token), "{said}");

    server.operate("operator seal");
    tried(&desk, &sign("alice"), &["the server is sealed", "operator unseal"]);
    assert_eq!(desk.read("release.json"), before, "a refusal writes nothing");
}
