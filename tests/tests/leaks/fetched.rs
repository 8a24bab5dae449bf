//! What the gateway fetches and makes by itself, and what an agent's tokens come from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::agents::ID;
use tests::issuer::{HttpsIssuer, Reply};
use tests::pebble::{self, Character, EXTERNAL, Pebble};

use super::*;

const OAUTH_SECRET: &str = "vR8xKc1-of-the-oauth-client-6pHnYtSz";
const ACCESS: &str = "bT5mZq9-an-access-token-2wLdGfJr";
const KV_SECRET: &str = "nE3yXu7-from-the-kv-engine-4cVaQsPk";
const KV_TOKEN: &str = "hvs.gW6jBo2-to-the-kv-engine-9iMeRtFx";
const ALL: [&str; 4] = [OAUTH_SECRET, ACCESS, KV_SECRET, KV_TOKEN];
const KV: &str = "/v1/kv/data/orders";
/// Files that are given to it with secrets in them, or that it makes, beside all in `state/certificates`.
const MAY_HOLD: [&str; 5] = ["client.key", "bao.key", "external.key", "node.key", "assertion.keys"];

fn good(issuer: &HttpsIssuer) {
    let token = json!({ "access_token": ACCESS, "token_type": "Bearer", "expires_in": 8 });
    let secret = json!({ "data": { "data": { "key": KV_SECRET }, "metadata": { "version": 1 } } });
    issuer.say("/token", Reply::json(&token.to_string()));
    issuer.say(KV, Reply::json(&secret.to_string()));
}

/// Says everything it knows, in answers that cannot be used.
fn talkative(issuer: &HttpsIssuer, round: usize) {
    let all = ALL.join(" ");
    let lines = json!({ "data": { "key": format!("{all}\n{all}") } });
    let told = json!({ "error": all, "error_description": all, "errors": [all], "data": lines });
    let answers = [
        Reply::Whole(403, "Content-Type: application/json\r\n".to_owned(), told.to_string().into_bytes()),
        Reply::json(&told.to_string()),
        Reply::Whole(500, format!("X-Said: {all}\r\n"), all.clone().into_bytes()),
        Reply::Whole(302, format!("Location: https://{ACCESS}.example/{KV_SECRET}\r\n"), Vec::new()),
    ];
    for (at, path) in ["/token", KV].into_iter().enumerate() {
        issuer.say(path, answers[(round + at) % answers.len()].clone());
    }
}

fn policy(origin: &RecordingOrigin) -> String {
    let token = "credentials = { from = \"token\", header = \"Authorization\", value = \"Bearer {secret}\" }\n\
                 assertion = { audience = \"orders\" }";
    PolicyText::new()
        .origin_with("token", &[origin.address()], token)
        .origin_with("kv", &[origin.address()], "credentials = { from = \"kv\", header = \"X-Origin-Key\" }")
        .route("token", "*", "/token/{rest...}", "token")
        .route("kv", "*", "/kv/{rest...}", "kv")
        .scope("all", &["token", "kv"])
        .anonymous(&["all"], &[])
        .text()
}

fn deployment(issuer: &HttpsIssuer) -> Deployment {
    let port = issuer.url("").rsplit(':').next().unwrap().to_owned();
    Deployment::new()
        .file("id-ca.pem", &issuer.ca)
        .file("client.key", &format!("{OAUTH_SECRET}\n"))
        .file("bao.key", &format!("{KV_TOKEN}\n"))
        .file("external.key", EXTERNAL.1)
        .with(&format!(
            "[[origin_credential]]\nname = \"token\"\n[origin_credential.oauth]\ntoken_url = \"{}\"\nca = \"id-ca.pem\"\n\
             client_id = \"the edge\"\nsecret = \"client.key\"",
            issuer.url("/token")
        ))
        .with(&format!(
            "[[origin_credential]]\nname = \"kv\"\n[origin_credential.openbao]\naddress = \"https://127.0.0.1:{port}\"\nca = \
             \"id-ca.pem\"\ntoken = \"bao.key\"\nmount = \"kv\"\npath = \"orders\"\nfield = \"key\"\nrefresh = \"1s\""
        ))
}

/// A real ACME server, where there is one, with a listener whose certificate comes from it.
fn with_acme(deployment: Deployment) -> (Deployment, Option<Pebble>) {
    let Some(binary) = pebble::binary() else { return (deployment, None) };
    let (port, mut server) = (tests::process::free_port(), Pebble::at(&binary));
    server.start(Character { looks_at: port, life_s: 3_600, rejects: 0, wants_external_account: true });
    let (url, ca) = (server.directory_url(), server.ca());
    let source = format!(
        "[[certificate_source]]\nname = \"ca\"\nacme = {{ directory = \"{url}\", ca = \"{}\", agree_to_terms = true, \
         external_account = {{ key_id = \"{}\", key = \"external.key\" }} }}",
        ca.display(),
        EXTERNAL.0
    );
    let listener = format!(
        "address = \"127.0.0.1:{port}\"\ntls = {{ certificates = [{{ from = \"ca\", names = [\"api.test\"] }}], \
         client_certificates = \"off\" }}"
    );
    (deployment.listener(&listener).with(&source), Some(server))
}

/// The keys that it has made, and what it was given.
fn known(at: &Path) -> Known {
    let mut known = Known::default();
    ALL.iter().for_each(|text| known.text(text, text));
    known.text("external account key", EXTERNAL.1);
    let assertion = fs::read_to_string(at.join("state/assertion.keys")).unwrap();
    for line in assertion.lines().filter(|line| line.starts_with(['n', 'c', 'p'])) {
        // Behind the private number stands what everybody may know.
        let key = URL_SAFE_NO_PAD.decode(line.rsplit(' ').next().unwrap()).unwrap();
        known.bytes("key of assertions", &key[..32]);
    }
    known.key("node key", &fs::read_to_string(at.join("state/node.key")).unwrap());
    for path in certificates(at) {
        let text = fs::read_to_string(&path).unwrap();
        match text.find("-----BEGIN PRIVATE KEY-----") {
            Some(key) => known.key("key of an obtained certificate", &text[key..]),
            None => {
                let account: Value = serde_json::from_str(&text).unwrap();
                let key = URL_SAFE_NO_PAD.decode(account["key_pkcs8"].as_str().unwrap()).unwrap();
                known.der("key of the ACME account", &key);
            }
        }
    }
    known
}

fn certificates(at: &Path) -> Vec<PathBuf> {
    let folder = at.join("state/certificates");
    if folder.exists() { files(&folder) } else { Vec::new() }
}

#[test]
fn nor_of_what_the_gateway_fetches_and_makes_itself() {
    let (issuer, origin) = (HttpsIssuer::start(), RecordingOrigin::start());
    good(&issuer);
    let (deployment, acme) = with_acme(deployment(&issuer));
    let deployment = deployment.prepare(&policy(&origin));
    let at = deployment.directory().to_owned();
    let mut gateway = deployment.start(with_cores("run gateway.toml --print-addresses addresses.json")).unwrap();
    let serves = |gateway: &Gateway| {
        ["/token/1", "/kv/1"].iter().all(|path| gateway.once(get(path, "Connection: close\r\n")).status == 200)
    };
    let mut written = Vec::new();
    for round in 0..3 {
        assert!(eventually(PATIENCE, || serves(&gateway)), "{}", gateway.stderr());
        assert!(acme.is_none() || eventually(PATIENCE, || certificates(&at).len() == 2), "{}", gateway.stderr());
        let failures = gateway.metric("origin_material_failures_total");
        talkative(&issuer, round);
        let fails = || gateway.metric("origin_material_failures_total") >= failures + 3.0;
        assert!(eventually(PATIENCE, fails), "{}", gateway.stderr());
        serves(&gateway);
        for path in PAGES {
            written.push((path.to_owned(), gateway.admin(path).text()));
        }
        assert!(!gateway.wait_for_records(2).is_empty());
        gateway.signal("ABRT");
        assert!(gateway.wait(PATIENCE).unwrap().signal().is_some());
        written.push(("standard error".to_owned(), gateway.stderr()));
        good(&issuer);
        gateway.restart_stopped();
    }
    // What it writes at its start is whole then.
    gateway.signal("TERM");
    assert!(gateway.wait(PATIENCE).is_some(), "{}", gateway.stderr());
    let known = known(&at);
    for (name, text) in &written {
        assert_eq!(known.found_in(text.as_bytes()), [""; 0], "in {name}:\n{text}");
    }
    for path in files(&at) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = known.found_in(&fs::read(&path).unwrap_or_default());
        let may_hold = certificates(&at).contains(&path) || MAY_HOLD.contains(&name.as_str());
        assert!(found.is_empty() != may_hold, "{found:?} in {}", path.display());
        assert!(found.is_empty() || mode(&path) == 0o600, "{} has mode {:o}", path.display(), mode(&path));
    }
    assert!(cores(&at).is_none_or(|cores| cores.is_empty()));
}

#[test]
fn nor_an_agent_of_its_tokens_and_of_what_they_are_fetched_with() {
    let (directory, issuer) = (tempfile::tempdir().unwrap(), HttpsIssuer::start());
    let at = directory.path();
    good(&issuer);
    ok(at, "ca init ca --trust-domain corp.example --server localhost --no-passphrase");
    fs::write(at.join("id-ca.pem"), &issuer.ca).unwrap();
    private(at, "bot.secret", &format!("{OAUTH_SECRET}\n"));
    let enroll = format!(
        "agent enroll p --agent bot --gateway https://localhost:1 --ca ca --spiffe {ID} --token-url {} --token-ca id-ca.pem \
         --client-id bot --client-secret bot.secret",
        issuer.url("/token")
    );
    let mut said = ok(at, &enroll);
    for round in 0..4 {
        talkative(&issuer, round);
        for line in ["agent run p --once", "agent doctor p"] {
            let (status, stdout, stderr) = run(at, line);
            assert_ne!(status, 2, "that is no command: {line}: {stderr}");
            said.push_str(&format!("{line}\n{stdout}{stderr}"));
        }
        said.push_str(&exports(at, &["curl", "kubernetes"]));
        let name = format!("run-{round}");
        let told = at.join(format!("{name}.out"));
        // The token ends after 8 s: each of them is renewed, in vain.
        crash(at, &name, "agent run p", || fs::read_to_string(&told).is_ok_and(|text| text.contains("\"failed\"")));
    }
    let mut known = Known::default();
    [OAUTH_SECRET, ACCESS].iter().for_each(|text| known.text(text, text));
    known.key("key of the agent", &fs::read_to_string(at.join("p/current/key.pem")).unwrap());
    assert_eq!(known.found_in(said.as_bytes()), [""; 0], "{said}");
    assert_hold(at, &known, &[("curl", &[ACCESS]), ("kubernetes", &[ACCESS, "key of the agent"])]);
    let mut holding = 0;
    for path in files(at) {
        let found = known.found_in(&fs::read(&path).unwrap());
        if found.is_empty() {
            continue;
        }
        holding += 1;
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!["out", "json", "toml"].contains(&extension.as_str()), "{found:?} in {}", path.display());
        assert_eq!(mode(&path), 0o600, "{found:?} in {}", path.display());
    }
    assert!(holding >= 5, "the secret, the token, the key, and two exports: {holding}");
    assert!(cores(at).is_none_or(|cores| cores.is_empty()));
}
