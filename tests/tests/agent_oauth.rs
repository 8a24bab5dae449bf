//! Tokens that `adamant agent` fetches and renews, at a real authorization server and at one that lies.
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
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::agents::{ID, Running, bad, ok, read_pair, through};
use tests::certificates::Authority;
use tests::gateway::Gateway;
use tests::issuer::{HttpsIssuer, Reply};
use tests::oidc::{OidcProvider, directory};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

#[path = "agent_oauth/dpop.rs"]
mod dpop;

const SECRET: &str = "secret-of-the-bot";
const SOON: Duration = Duration::from_secs(60);

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A gateway behind mutual TLS that takes tokens of `server` for `client`, `bound` or not, and has a CA of its own in `ca`.
fn gateway(server: &OidcProvider, vouches: &Authority, client: &str, bound: &str) -> (Gateway, RecordingOrigin) {
    gateway_in(with_ca(), server, vouches, client, bound)
}

/// A directory with a CA in it.
fn with_ca() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    ok(directory.path(), "ca init ca --trust-domain corp.example --server localhost --no-passphrase");
    directory
}

fn gateway_in(
    directory: tempfile::TempDir,
    server: &OidcProvider,
    vouches: &Authority,
    client: &str,
    bound: &str,
) -> (Gateway, RecordingOrigin) {
    let at = directory.path();
    ok(at, "ca issue ca --server localhost --key-out server.key --out server.pem");
    fs::write(at.join("id-ca.pem"), &vouches.pem).unwrap();
    let origin = RecordingOrigin::start();
    let identity = format!(
        "{{ certificate = \"{ID}\", ca = \"agents\", token = {{ issuer = \"corp\", subject = \"{client}\"{bound} }} }}"
    );
    let policy = PolicyText::new()
        .setting("transport = \"mtls\"")
        .origin("origin", &[origin.address()])
        .route("orders", "GET", "/orders/{id}", "origin")
        .scope("all", &["orders"])
        .client_ca("agents", "ca/ca.pem")
        .with(&issuer(server))
        .agent("reports-bot", &identity, &["all"], &["1000000/minute"]);
    let more = ["--tls-chain", "server.pem", "--tls-key", "server.key", "--client-certificates", "required"];
    (Gateway::dev_in(directory, &policy.text(), &more), origin)
}

/// What a policy says of the server.
fn issuer(server: &OidcProvider) -> String {
    format!(
        "[[issuer]]\nname = \"corp\"\nissuer = \"{0}\"\naudience = [\"orders-api\"]\nalgorithms = [\"ES256\"]\nscope_claim = \
         \"scope\"\nkeys = {{ url = \"{0}/jwks\", refresh = \"10m\", max_stale = \"1h\", ca = {{ file = \"id-ca.pem\" }} }}",
        server.issuer()
    )
}

fn enroll(gateway: &Gateway, server: &OidcProvider, more: &str) -> String {
    ok(gateway.directory(), &enrolment(gateway, server, more))
}

fn enrolment(gateway: &Gateway, server: &OidcProvider, more: &str) -> String {
    let port = gateway.tls_address().port();
    format!(
        "agent enroll p --agent reports-bot --gateway https://localhost:{port} --ca ca --spiffe {ID} --token-url {}/token \
         --token-ca id-ca.pem --token-scope all {more}",
        server.issuer()
    )
}

/// Ends the calls, also where a test stops at a surprise.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Calls through the proxy until told to stop, and at least so often; how often, all of them answered by 200.
fn calls(socket: &Path, stop: &AtomicBool, least: usize) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) || count < least {
        let said = through(UnixStream::connect(socket).unwrap(), "GET /orders/7", "", "");
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        count += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    count
}

/// The token in use, with its certificate.
fn in_use(profile: &Path) -> (String, Vec<u8>) {
    let (current, cert, _) = read_pair(profile);
    (fs::read_to_string(current.join("token")).unwrap(), cert)
}

fn of_kind(running: &Running, what: &str, outcome: &str) -> Vec<Value> {
    let lines = running.json().into_iter();
    lines.filter(|line| line["what"] == what && line["outcome"] == outcome).collect()
}

#[test]
fn tokens_of_seconds_are_renewed_and_no_call_fails() {
    let Some(directory) = directory() else { return };
    let (authority, files) = (Authority::new("everybody"), tempfile::tempdir().unwrap());
    let server = OidcProvider::start_tls(&directory, &authority, files.path());
    let (gateway, _origin) = gateway(&server, &authority, "bot", "");
    let at = gateway.directory();
    secret(&at.join("bot.secret"), &format!("{SECRET}\n"));
    let by_secret = "--client-id bot --client-secret bot.secret --token-resource https://api.test/jwt/20 --life 22s";
    let told = enroll(&gateway, &server, by_secret);
    assert!(told.contains("/token, as bot"), "{told}");
    let profile = at.join("p");
    let keeper = Running::start(at, "agent run p --metrics 127.0.0.1:0 --touch touched");
    let proxy = Running::start(at, "agent proxy p");
    proxy.says("listening", 1);
    assert!(eventually(SOON, || {
        through(UnixStream::connect(profile.join("proxy.sock")).unwrap(), "GET /orders/7", "", "")
            .starts_with("HTTP/1.1 200")
    }));
    let stop = AtomicBool::new(false);
    let mut seen = Vec::new();
    let count = std::thread::scope(|scope| {
        let calling = scope.spawn(|| calls(&profile.join("proxy.sock"), &stop, 101));
        let stopping = Stopping(&stop);
        let mut rounds = 0;
        let renewed = || !of_kind(&keeper, "certificate", "renewed").is_empty();
        while (seen.len() < 3 || !renewed()) && rounds < 1_200 {
            let (token, _) = in_use(&profile);
            assert!(claims(&token)["exp"].as_u64().unwrap() > tests::tokens::now_s(), "what is in use has not ended");
            if !seen.contains(&token) {
                seen.push(token);
            }
            std::thread::sleep(Duration::from_millis(100));
            rounds += 1;
        }
        drop(stopping);
        calling.join().unwrap()
    });
    assert!(count > 100 && seen.len() >= 3, "{count} calls, {} tokens", seen.len());
    keeper.says("\"what\":\"token\"", 2);
    assert!(!of_kind(&keeper, "certificate", "renewed").is_empty(), "the certificate renews beside it");
    let renewed = of_kind(&keeper, "token", "renewed").remove(0);
    assert_eq!((&renewed["why"], renewed["new_sha256"].as_str().unwrap().len()), (&json!("two-thirds"), 16));
    assert!(of_kind(&keeper, "token", "failed").is_empty());
    let touched = fs::read_to_string(at.join("touched")).unwrap();
    assert!(touched.starts_with("token ") || touched.starts_with("certificate "), "{touched}");
    let address =
        keeper.json()[0]["metrics"].as_str().unwrap().strip_prefix("http://").unwrap().replace("/metrics", "");
    let metrics = tests::client::once(
        address.parse().unwrap(),
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .text();
    assert!(metrics.contains("adamant_agent_refreshes_total{what=\"token\"}"), "{metrics}");
    // Nothing that anybody could read has a secret.
    let cmdline = fs::read(format!("/proc/{}/cmdline", keeper.child.id())).unwrap();
    let lines =
        [keeper.end().join("\n"), proxy.end().join("\n"), metrics, String::from_utf8(cmdline).unwrap()].concat();
    let json = fs::read_to_string(profile.join("profile.json")).unwrap();
    for text in [lines, json, gateway.stderr(), gateway.record_text()] {
        assert!(!text.contains(SECRET) && seen.iter().all(|token| !text.contains(token.trim())), "{text}");
    }
    assert_eq!(fs::metadata(read_pair(&profile).0.join("token")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_token_that_is_bound_to_the_certificate_is_renewed_with_it() {
    let Some(directory) = directory() else { return };
    let (authority, files) = (Authority::new("everybody"), tempfile::tempdir().unwrap());
    let home = with_ca();
    let agents = fs::read_to_string(home.path().join("ca/ca.pem")).unwrap();
    let server = OidcProvider::start_tls_for(&directory, &authority, &agents, files.path());
    let (gateway, _origin) = gateway_in(home, &server, &authority, "certified", ", bound = \"certificate\"");
    let at = gateway.directory();
    let profile = at.join("p");
    enroll(
        &gateway,
        &server,
        "--client-id certified --token-auth tls --token-resource https://api.test/jwt/60 --life 21s",
    );
    let keeper = Running::start(at, "agent run p");
    let proxy = Running::start(at, "agent proxy p");
    proxy.says("listening", 1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| calls(&profile.join("proxy.sock"), &stop, 51));
        let stopping = Stopping(&stop);
        let mut after = 0;
        for _ in 0..1_200 {
            // Until there is another certificate, and a few more.
            after += usize::from(!of_kind(&keeper, "certificate", "renewed").is_empty());
            if after > 10 {
                break;
            }
            let (token, cert) = in_use(&profile);
            let der = CertificateDer::from_pem_slice(&cert).unwrap();
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&der));
            assert_eq!(claims(&token)["cnf"]["x5t#S256"], json!(hash), "each generation's token is its certificate's");
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(stopping);
        assert!(calling.join().unwrap() > 50);
    });
    assert!(!of_kind(&keeper, "certificate", "renewed").is_empty(), "{:#?}", keeper.lines());
    assert!(of_kind(&keeper, "token", "renewed").is_empty(), "none is needed in between");
    // An order renews both at once, the token with the certificate.
    tests::process::signal(keeper.child.id(), "HUP");
    keeper.says("\"order\"", 1);
    // Without the server, the pair that is there stays.
    drop(server);
    keeper.says("\"failed\"", 1);
    let (token, cert) = in_use(&profile);
    let der = CertificateDer::from_pem_slice(&cert).unwrap();
    assert_eq!(claims(&token)["cnf"]["x5t#S256"], json!(URL_SAFE_NO_PAD.encode(Sha256::digest(&der))));
    keeper.end();
    proxy.end();
}

#[test]
fn a_key_signs_for_the_agent() {
    let Some(directory) = directory() else { return };
    let (authority, files) = (Authority::new("everybody"), tempfile::tempdir().unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let point = &rcgen::PublicKeyData::der_bytes(&key)[1..];
    let (x, y) = point.split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
    fs::write(files.path().join("client.jwks.json"), json!({"keys": [jwk]}).to_string()).unwrap();
    let server = OidcProvider::start_tls(&directory, &authority, files.path());
    let (gateway, _origin) = gateway(&server, &authority, "signer", "");
    let at = gateway.directory();
    secret(&at.join("signer.key"), &key.serialize_pem());
    let by_key = "--client-id signer --token-auth private-key-jwt --client-key signer.key --token-resource https://api.test/jwt/60";
    enroll(&gateway, &server, by_key);
    assert_eq!(claims(&in_use(&at.join("p")).0)["sub"], "signer");
    let report = ok(at, "agent doctor p --path /orders/7");
    assert!(report.contains("nothing is wrong"), "{report}");
    ok(at, "agent run p --once");
    let exported = ok(at, "agent export p env");
    assert!(exported.contains("/current/token\""), "{exported}");
}

/// A profile whose tokens a server gives that says what a test wants.
fn lying(reply: Reply) -> (tempfile::TempDir, HttpsIssuer, String) {
    let (directory, issuer) = (with_ca(), HttpsIssuer::start());
    let at = directory.path();
    issuer.say("/token", reply);
    fs::write(at.join("id-ca.pem"), &issuer.ca).unwrap();
    secret(&at.join("bot.secret"), &format!("{SECRET}\n"));
    let line = format!(
        "agent enroll p --agent reports-bot --gateway https://localhost:1 --ca ca --spiffe {ID} --token-url {} \
         --token-ca id-ca.pem --client-id bot",
        issuer.url("/token")
    );
    (directory, issuer, line)
}

fn gives(token: &str, expires_in: u64) -> Reply {
    Reply::json(&json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}).to_string())
}

#[test]
fn what_is_no_token_leaves_what_was_there_and_is_told() {
    let lie = |json: &str| Reply::json(json);
    let (directory, issuer, line) = lying(lie("<html>l1e"));
    let at = directory.path();
    let line = format!("{line} --client-secret bot.secret");
    for (reply, expected) in [
        (lie("<html>l1e"), "found no JSON"),
        (lie("{\"access_token\":\"l1e\",\"token_type\":\"MAC\"}"), "another `token_type` than Bearer"),
        (lie("{\"access_token\":\"l1e\",\"token_type\":\"Bearer\",\"expires_in\":0}"), "has ended already"),
        (Reply::Whole(302, "Location: /x\r\n".into(), Vec::new()), "a redirect, which is never followed"),
        (Reply::Whole(401, String::new(), b"{\"error\":\"invalid_client\"}".to_vec()), "(invalid_client)"),
        (Reply::Endless, "an answer of at most 65536 bytes"),
    ] {
        issuer.say("/token", reply);
        let told = bad(at, &line);
        assert!(told.contains(expected) && !told.contains("l1e") && !told.contains(SECRET), "{told}");
        assert!(!at.join("p/current").exists(), "nothing is in use that was not before");
    }
    issuer.say("/token", gives("first-token", 6));
    ok(at, &line);
    issuer.say("/token", Reply::Whole(503, "Retry-After: 4\r\n".into(), b"{\"error\":\"l1e\"}".to_vec()));
    let keeper = Running::start(at, "agent run p");
    keeper.says("\"failed\"", 1);
    assert_eq!(in_use(&at.join("p")).0, "first-token", "the last good one stays");
    let failed = of_kind(&keeper, "token", "failed").remove(0);
    assert!(failed["again_in_ms"].as_u64().unwrap() >= 4_000, "as the server asks: {failed}");
    keeper.says("\"expired\"", 1);
    issuer.say("/token", gives("second-token", 600));
    keeper.says("\"renewed\"", 1);
    assert_eq!(in_use(&at.join("p")).0, "second-token");
    let lines = keeper.end().join("\n");
    for none in ["first-token", "second-token", SECRET, "l1e"] {
        assert!(!lines.contains(none), "{none} in {lines}");
    }
}

#[test]
fn a_command_line_that_cannot_work_is_refused_before_anybody_is_asked() {
    let (directory, issuer, line) = lying(gives("t", 600));
    let at = directory.path();
    secret(&at.join("rsa.key"), "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    fs::write(at.join("open.secret"), "0pen").unwrap();
    for (more, expected) in [
        ("", "found none or several"),
        ("--token-auth tls --client-secret bot.secret", "found none or several"),
        ("--token-auth private-key-jwt --client-key rsa.key", "expected a P-256 key in PEM"),
        ("--client-secret open.secret", "expected a file that its owner alone may read"),
        ("--client-secret none", "none"),
    ] {
        let told = bad(at, &format!("{line} {more}"));
        assert!(told.contains(expected) && !told.contains("0pen"), "{told}");
    }
    let plain = line.replace(&issuer.url("/token"), "http://id.test/token");
    assert!(
        bad(at, &format!("{plain} --client-secret bot.secret")).contains("plain http is for an address on loopback")
    );
    assert_eq!((issuer.connections(), at.join("p/current").exists()), (0, false));
    let help = Command::new(tests::gateway::binary()).args(["agent", "enroll", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("--token-url"));
}
