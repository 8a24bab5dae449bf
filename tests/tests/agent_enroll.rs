//! `adamant agent enroll` and renewals on the real binary: what is obtained is of the right CA and for the right key, and takes
//! its place whole or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tests::agents::{ID, Scene, bad, ok, read_pair, run};
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;

fn requests(scene: &Scene) -> String {
    let url = scene.url();
    format!("agent enroll p --agent reports-bot --gateway {url} --requests shared --gateway-ca ca/ca.pem --spiffe {ID}")
}

/// The command that enroll says for where the CA is.
fn told(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("adamant ca issue CA")).expect(said);
    line.trim().trim_start_matches("adamant ").replace(" CA ", " ca ")
}

#[test]
fn a_request_that_was_replaced_is_signed_by_nobody() {
    let scene = Scene::new();
    let shared = scene.at().join("shared");
    fs::create_dir(&shared).unwrap();
    let sign = told(&ok(scene.at(), &requests(&scene)));
    assert!(sign.contains(" --key-sha256 "), "{sign}");
    // Whoever may write there asks for a certificate of theirs in the agent's name.
    let theirs = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&theirs).unwrap().pem().unwrap();
    let own = fs::read(shared.join("reports-bot.csr")).unwrap();
    fs::write(shared.join("reports-bot.csr"), csr).unwrap();
    let said = bad(scene.at(), &sign);
    assert!(said.contains("expected a request of the key") && said.contains("do not sign it"), "{said}");
    assert!(!shared.join("reports-bot.pem").exists());
    let said = bad(scene.at(), &requests(&scene));
    assert!(said.contains("expected this profile's own request"), "{said}");
    // The key of a renewal is told in its line.
    let (_, stdout, _) = run(scene.at(), "agent run p --once");
    assert!(stdout.contains("expected this profile's own request"), "{stdout}");
    fs::write(shared.join("reports-bot.csr"), own).unwrap();
    let (_, stdout, _) = run(scene.at(), "agent run p --once");
    let line: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert!(sign.contains(line["key_sha256"].as_str().unwrap()), "{stdout}");
    assert!(ok(scene.at(), &sign).contains("(SHA-256)"));
    assert!(!ok(scene.at(), &requests(&scene)).contains("waiting"));
    ok(scene.at(), "agent doctor p");
}

#[test]
fn a_directory_for_everybody_takes_no_requests() {
    let scene = Scene::new();
    let shared = scene.at().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    let said = bad(scene.at(), &requests(&scene));
    assert!(said.contains("not everybody may write, found mode 1777"), "{said}");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
}

#[test]
fn a_certificate_of_another_ca_does_not_take_the_place_of_a_good_one() {
    let scene = Scene::new();
    scene.enroll("");
    let before = read_pair(&scene.at().join("p"));
    // Of the same name; only its key is another.
    ok(scene.at(), "ca init other --trust-domain corp.example --server localhost --no-passphrase");
    fs::rename(scene.at().join("ca"), scene.at().join("away")).unwrap();
    fs::rename(scene.at().join("other"), scene.at().join("ca")).unwrap();
    let said = bad(scene.at(), "agent run p --once");
    assert!(said.contains("found one of another") && said.contains("--force"), "{said}");
    assert_eq!(read_pair(&scene.at().join("p")), before);
    ok(scene.at(), "agent doctor p");
    fs::rename(scene.at().join("ca"), scene.at().join("other")).unwrap();
    fs::rename(scene.at().join("away"), scene.at().join("ca")).unwrap();
    ok(scene.at(), "agent run p --once");
    assert_ne!(read_pair(&scene.at().join("p")), before);
}

#[test]
fn an_enrolment_that_fails_late_leaves_the_old_one_in_use() {
    let scene = Scene::new();
    scene.enroll("");
    let profile = scene.at().join("p");
    let state = || (read_pair(&profile), fs::read(profile.join("profile.json")).unwrap());
    let before = state();
    // The certificate is there already when the CA of the gateway cannot be written.
    let ca = profile.join("gateway-ca.pem");
    let pem = fs::read(&ca).unwrap();
    fs::remove_file(&ca).unwrap();
    fs::create_dir(&ca).unwrap();
    let again =
        format!("agent enroll p --force --agent reports-bot --gateway https://localhost:1 --ca ca --spiffe {ID}");
    bad(scene.at(), &again);
    assert_eq!(state(), before);
    assert_eq!(fs::read_dir(profile.join("generations")).unwrap().count(), 1, "nothing half is left");
    assert!(fs::symlink_metadata(profile.join(".current-new")).is_err());
    fs::remove_dir(&ca).unwrap();
    fs::write(&ca, pem).unwrap();
    ok(scene.at(), "agent doctor p");
    ok(scene.at(), &again);
    let after = state();
    assert!(after.0 != before.0 && after.1 != before.1);
}

#[test]
fn a_profile_is_swapped_with_its_certificate() {
    let scene = Scene::new();
    scene.enroll("");
    let profile = scene.at().join("p");
    for name in ["profile.json", "gateway-ca.pem"] {
        assert_eq!(fs::read_link(profile.join(name)).unwrap(), std::path::Path::new("current").join(name));
    }
    let before = fs::read(profile.join("profile.json")).unwrap();
    let first = fs::canonicalize(profile.join("current")).unwrap();
    ok(scene.at(), "agent run p --once");
    assert_ne!(fs::canonicalize(profile.join("current")).unwrap(), first);
    assert_eq!(fs::read(profile.join("profile.json")).unwrap(), before, "a renewal changes nothing of it");
    // Whoever opened the one before still has all of it.
    assert_eq!(fs::read(first.join("profile.json")).unwrap(), before);
    ok(scene.at(), "agent doctor p");
}

#[test]
fn an_enrolment_that_waits_changes_nothing_that_is_in_use() {
    let scene = Scene::new();
    scene.enroll("");
    let shared = scene.at().join("shared");
    fs::create_dir(&shared).unwrap();
    let profile = scene.at().join("p");
    let state = || {
        let [json, ca] = ["profile.json", "gateway-ca.pem"].map(|name| fs::read(profile.join(name)).unwrap());
        (read_pair(&profile), json, ca)
    };
    let before = state();
    // Another gateway, and another CA of it.
    ok(scene.at(), "ca init other --trust-domain corp.example --server localhost --no-passphrase");
    let enroll = format!(
        "agent enroll p --force --agent reports-bot --gateway https://localhost:1 --requests shared \
         --gateway-ca other/ca.pem --spiffe {ID}"
    );
    let said = ok(scene.at(), &enroll);
    assert!(said.contains("what was enrolled before stays in use") && !said.contains("  until  "), "{said}");
    let sign = told(&said);
    assert_eq!(state(), before);
    ok(scene.at(), "agent doctor p");
    // A keeper asks for it, and takes the answer; all of it comes at once.
    assert!(bad(scene.at(), "agent run p --once").contains("waits for its answer"));
    assert_eq!(state(), before);
    ok(scene.at(), &sign);
    ok(scene.at(), "agent run p --once");
    let after = state();
    assert!(after.0 != before.0 && String::from_utf8(after.1).unwrap().contains("https://localhost:1\""));
    assert_eq!(after.2, fs::read(scene.at().join("other/ca.pem")).unwrap());
    assert!(!profile.join("enrolling").exists());
}

#[test]
fn a_key_is_written_with_its_certificate_or_not_at_all() {
    let scene = Scene::new();
    let issue = |more: &str| bad(scene.at(), &format!("ca issue ca --spiffe {ID} {more}"));
    assert!(issue("--key-out both.pem --out ./both.pem").contains("found the same"));
    issue("--key-out new.key --out no/such/new.pem");
    assert!(!scene.at().join("both.pem").exists() && !scene.at().join("new.key").exists());
}

#[test]
fn nothing_of_a_ca_is_replaced_by_what_it_issues() {
    let scene = Scene::new();
    let ca = || ["ca.key", "ca.pem", "ca.json"].map(|name| fs::read(scene.at().join("ca").join(name)).unwrap());
    let before = ca();
    for more in [
        "--key-out new.key --out ca/ca.key",
        "--key-out ca/ca.key --out new.pem",
        "--key-out new.key --out ./ca/../ca/ca.pem",
        "--key-out new.key --out ca/revoked.jsonl",
    ] {
        let said = bad(scene.at(), &format!("ca issue ca --spiffe {ID} {more} --force"));
        assert!(said.contains("one of the CA's own"), "{more}: {said}");
        assert!(ca() == before && !scene.at().join("new.key").exists(), "{more}");
    }
}

#[test]
fn the_issuer_of_a_ca_is_a_url() {
    let scene = Scene::new();
    for issuer in ["corp", "http://id.corp.example", "https://id.corp.example/\nx", "https://", "https://a.example/?b"]
    {
        let line = ["ca", "init", "other", "--trust-domain", "corp.example", "--no-passphrase", "--issuer", issuer];
        let (status, _, said) = tests::gateway::run(&line, scene.at());
        assert!(!status.success() && said.contains("--issuer: "), "{issuer}: {said}");
        assert!(!scene.at().join("other").exists());
    }
}

#[test]
fn a_ca_that_somebody_holds_is_not_waited_for_without_end() {
    let scene = Scene::new();
    scene.enroll("");
    let held = File::create(scene.at().join("ca/lock")).unwrap();
    held.lock().unwrap();
    let said = bad(scene.at(), "agent run p --once");
    assert!(said.contains("ca/lock: expected it to be free within"), "{said}");
    drop(held);
    ok(scene.at(), "agent run p --once");
}

#[test]
fn a_token_for_openbao_goes_to_no_server_that_proves_nothing() {
    let scene = Scene::new();
    fs::write(scene.at().join("token"), "s3cret\n").unwrap();
    fs::set_permissions(scene.at().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let (url, to) = (scene.url(), server.local_addr().unwrap());
    let said = bad(
        scene.at(),
        &format!(
            "agent enroll p --agent reports-bot --gateway {url} --gateway-ca ca/ca.pem --spiffe {ID} --openbao http://{to} \
             --role agents --bao-token-file token"
        ),
    );
    assert!(said.contains("expected https://HOST:PORT"), "{said}");
    assert!(server.accept().is_err(), "nobody was connected to");
}

/// Its certificate opens the connection, and names nobody; what it may do, the release says of its token.
#[test]
fn an_agent_that_is_known_by_a_token_alone_enrolls_by_the_release() {
    const END: &str = "2100-01-01T00:00:00Z";
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let issuer = "https://ca.corp.example";
    ok(at, &format!("ca init ca --trust-domain corp.example --server localhost --issuer {issuer} --no-passphrase"));
    ok(at, "ca issue ca --server localhost --key-out server.key --out server.pem");
    let origin = RecordingOrigin::start();
    let token = "{ token = { issuer = \"ca\", subject = \"reports-bot\", bound = \"certificate\" } }";
    let policy = PolicyText::new()
        .setting("transport = \"mtls\"")
        .origin("origin", &[origin.address()])
        .route("orders", "GET", "/orders/{id}", "origin")
        .scope("orders", &["orders"])
        .client_ca("agents", "ca/ca.pem")
        .with(&format!(
            "[[issuer]]\nname = \"ca\"\nissuer = \"{issuer}\"\naudience = [\"orders\"]\nalgorithms = [\"ES256\"]\nkeys = {{ \
             file = \"ca/jwks.json\" }}"
        ))
        .agent("reports-bot", token, &["orders"], &["60/minute"])
        .agent("other-bot", &format!("{{ certificate = \"{ID}\", ca = \"agents\" }}"), &["orders"], &[]);
    let more = ["--tls-chain", "server.pem", "--tls-key", "server.key", "--client-certificates", "required"];
    let scene = Scene { gateway: Gateway::dev_in(directory, &policy.text(), &more), origin };
    let at = scene.at();
    ok(at, "key signer --out alice.key --no-passphrase");
    ok(at, &format!("trust init --key alice=alice.key --threshold 1 --expires {END} --out root.json"));
    ok(at, "trust sign root.json --key alice.key");
    ok(at, &format!("release build policy.toml --version 1 --expires {END} --out release.json"));
    ok(at, "release sign release.json --key alice.key");
    let trusted = "--ca ca --release release.json --trust-root root.json";
    let enroll = format!("agent enroll p --agent reports-bot --gateway {} {trusted}", scene.url());
    let said = bad(at, &enroll);
    assert!(said.contains("by a token alone") && said.contains("--spiffe"), "{said}");
    let said = bad(at, &format!("{enroll} --spiffe {ID}"));
    assert!(said.contains("which is of other-bot"), "{said}");
    let said = ok(at, &format!("{enroll} --spiffe spiffe://corp.example/connection"));
    assert!(said.contains("scopes   orders") && said.contains("limits   60/minute"), "{said}");
    for _ in 0..2 {
        let said = ok(at, "agent doctor p --path /orders/7");
        assert!(said.contains("nothing is wrong"), "{said}");
        ok(at, "agent run p --once");
    }
    assert_eq!(scene.origin.count(), 2);
    let said = bad(at, &enroll.replace("release.json", "policy.toml"));
    assert!(said.contains("policy.toml: expected a release, found a policy source"), "{said}");
}

#[test]
fn what_enroll_is_given_and_cannot_be_right_is_told_at_once() {
    const END: &str = "2100-01-01T00:00:00Z";
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ok(at, "ca init ca --trust-domain corp.example --no-passphrase");
    let issuer = tests::tokens::TokenKey::generate("ES256", "k1");
    fs::write(at.join("corp.jwks.json"), tests::tokens::jwks(&[&issuer])).unwrap();
    let proofs = format!(
        "{{ certificate = \"{ID}\", ca = \"agents\", token = {{ issuer = \"corp\", subject = \"reports-bot\" }} }}"
    );
    let policy = PolicyText::new()
        .setting("transport = \"mtls\"")
        .origin("origin", &["127.0.0.1:9".parse().unwrap()])
        .route("orders", "GET", "/orders/{id}", "origin")
        .scope("orders", &["orders"])
        .issuer(&["ES256"], "")
        .client_ca("agents", "ca/ca.pem")
        .agent("reports-bot", &proofs, &["orders"], &["60/minute"]);
    fs::write(at.join("policy.toml"), policy.text().replace("host = \"*\"", "host = \"api.corp.example\"")).unwrap();
    ok(at, "key signer --out alice.key --no-passphrase");
    ok(at, &format!("trust init --key alice=alice.key --threshold 1 --expires {END} --out root.json"));
    ok(at, "trust sign root.json --key alice.key");
    ok(at, &format!("release build policy.toml --version 1 --expires {END} --out release.json"));
    ok(at, "release sign release.json --key alice.key");
    fs::create_dir(at.join("shared")).unwrap();
    let enroll = |profile: &str, host: &str, more: &str| {
        let line = format!(
            "agent enroll {profile} --agent reports-bot --gateway https://{host}:8443 --gateway-ca ca/ca.pem --release \
             release.json --trust-root root.json {more}"
        );
        run(at, &line)
    };
    // A host that none of its routes has: every call would be refused.
    let told = "no route of reports-bot is at localhost: they are at api.corp.example";
    let (status, _, said) = enroll("p", "localhost", "--ca ca");
    assert!(status == 0 && said.contains(told), "{said}");
    // A token is wanted, and that is no news of the second run.
    let (status, _, said) = enroll("q", "api.corp.example", "--requests shared");
    assert!(status == 0 && !said.contains("no route") && said.contains("also wants a token"), "{said}");
    // What is the home of something else is not made this agent's.
    fs::create_dir(at.join("store")).unwrap();
    fs::write(at.join("store/other"), "").unwrap();
    fs::set_permissions(at.join("store"), fs::Permissions::from_mode(0o755)).unwrap();
    let (status, _, said) = enroll("store", "api.corp.example", "--ca ca");
    assert!(status == 1 && said.contains("a directory of its own") && !said.contains("chmod"), "{said}");
    fs::remove_file(at.join("store/other")).unwrap();
    let (_, _, said) = enroll("store", "api.corp.example", "--ca ca");
    assert!(said.contains("chmod 700 store"), "{said}");
}

/// Of the same gateway, unless something else is said.
#[test]
fn a_profile_that_is_replaced_keeps_what_the_gateway_must_be() {
    let scene = Scene::new();
    scene.enroll("");
    ok(scene.at(), "ca init other --trust-domain corp.example --server localhost --no-passphrase");
    let pinned = || fs::read(scene.at().join("p/gateway-ca.pem")).unwrap();
    let ca = |name: &str| fs::read(scene.at().join(name).join("ca.pem")).unwrap();
    let force = |more: &str| {
        let line = format!("agent enroll p --force --agent reports-bot --ca other --spiffe {ID} {more}");
        let (status, _, said) = run(scene.at(), &line);
        assert_eq!(status, 0, "{said}");
        said
    };
    let here = format!("--gateway {}", scene.url());
    let said = force(&here);
    assert!(pinned() == ca("ca") && said.contains("stays pinned as it was") && said.contains("--gateway-ca"), "{said}");
    let said = force(&format!("{here} --gateway-ca other/ca.pem"));
    assert!(pinned() == ca("other") && said.contains("the CA that was pinned before is pinned no more"), "{said}");
    fs::write(scene.at().join("both.pem"), [ca("ca"), ca("other")].concat()).unwrap();
    assert_eq!(force(&format!("{here} --gateway-ca both.pem")), "");
    assert_eq!(force("--gateway https://localhost:1"), "");
    assert_eq!(pinned(), ca("other"), "another gateway has pins of its own");
}
