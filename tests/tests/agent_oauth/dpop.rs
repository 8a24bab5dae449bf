//! Tokens that are bound to a key (DPoP, RFC 9449): fetched, renewed and proved, at the real server and the real gateway.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivateKeyDer;
use tests::answer::Answer;
use tests::certificates::trusting;
use tests::client::{Client, Response, get};
use tests::deployment::Deployment;
use tests::dpop::{fields, proof_claims, proof_header};
use tests::tokens::{TokenKey, encode};

use super::*;

/// Content that the proxy keeps.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// For a renewal.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server of tokens, and a gateway behind mutual TLS whose policy wants them bound to a key. Its origin sees what agents show.
struct Stage {
    server: OidcProvider,
    gateway: Gateway,
    origin: RecordingOrigin,
    _files: tempfile::TempDir,
}

impl Stage {
    /// None where there is no server to test with.
    fn start(client: &str, more: &str) -> Option<Self> {
        let directory = directory()?;
        let (authority, files) = (Authority::new("everybody"), tempfile::tempdir().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let (x, y) = rcgen::PublicKeyData::der_bytes(&key)[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k", "x": encode(x), "y": encode(y)});
        fs::write(files.path().join("client.jwks.json"), json!({"keys": [jwk]}).to_string()).unwrap();
        let server = OidcProvider::start_tls(&directory, &authority, files.path());
        let deployment = Deployment::new();
        let at = deployment.directory();
        ok(at, "ca init ca --trust-domain corp.example --server localhost --no-passphrase");
        ok(at, "ca issue ca --server localhost --key-out server.key --out server.pem");
        secret(&at.join("bot.secret"), &format!("{SECRET}\n"));
        secret(&at.join("client.key"), &key.serialize_pem());
        fs::write(at.join("id-ca.pem"), &authority.pem).unwrap();
        let origin = RecordingOrigin::start();
        let identity = format!(
            "{{ certificate = \"{ID}\", ca = \"agents\", token = {{ issuer = \"corp\", subject = \"{client}\", bound = \"dpop\" }} }}"
        );
        let policy = PolicyText::new()
            .setting("transport = \"mtls\"")
            .origin_with("origin", &[origin.address()], "credentials = \"pass\"")
            .route("orders", "GET POST", "/orders/{id}", "origin")
            .scope("all", &["orders"])
            .client_ca("agents", "ca/ca.pem")
            .with(&issuer(&server))
            .agent("reports-bot", &identity, &["all"], &["1000000/minute"]);
        let listener = "address = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \"server.key\" }], \
                        client_certificates = \"required\" }";
        let gateway = deployment.only_listener(listener).with(more).run(&policy.text());
        Some(Self { server, gateway, origin, _files: files })
    }

    fn at(&self) -> &Path {
        self.gateway.directory()
    }

    fn profile(&self) -> PathBuf {
        self.at().join("p")
    }

    /// The line of an enrolment of `bot`, for tokens that live for so long.
    fn enrolment(&self, seconds: u64) -> String {
        enrolment(
            &self.gateway,
            &self.server,
            &format!("--client-id bot --client-secret bot.secret --token-resource https://api.test/jwt/{seconds}"),
        )
    }

    fn proxy(&self) -> Running {
        let proxy = Running::start(self.at(), "agent proxy p");
        proxy.says("listening", 1);
        proxy
    }

    fn call(&self, line: &str, fields: &str, content: &str) -> String {
        through(UnixStream::connect(self.profile().join("proxy.sock")).unwrap(), line, fields, content)
    }

    /// Content without a length.
    fn call_in_pieces(&self) -> String {
        let mut stream = UnixStream::connect(self.profile().join("proxy.sock")).unwrap();
        let head =
            "POST /orders/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        write!(stream, "{head}5\r\nhello\r\n0\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    /// Straight to the gateway, with the agent's certificate, as a thief who has all but the key of the token.
    fn steal(&self, fields: &str) -> Response {
        let (_, cert, key) = read_pair(&self.profile());
        let ca = fs::read_to_string(self.at().join("ca/ca.pem")).unwrap();
        let mut config = std::sync::Arc::unwrap_or_clone(trusting(&ca, None, rustls::DEFAULT_VERSIONS));
        let chain = vec![CertificateDer::from_pem_slice(&cert).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
        config.client_auth_cert_resolver = std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        let address = self.gateway.tls_address();
        let mut client = Client::connect_tls(address, "localhost", &std::sync::Arc::new(config)).unwrap();
        client.exchange(get("/orders/7", fields).replace("api.test", &format!("localhost:{}", address.port())))
    }

    /// Reasons of all that was refused, once there are so many records. What was permitted may be written later.
    fn reasons(&self, all: usize) -> Vec<Value> {
        let records = self.gateway.wait_for_records(all);
        records.iter().map(|record| record["adamant.reason"].clone()).filter(|reason| !reason.is_null()).collect()
    }
}

/// As a token names the key in this file.
fn thumbprint(pem: &str) -> String {
    let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap() else { panic!("PKCS#8") };
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der()).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (encode(x), encode(y));
    encode(&Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
}

/// Key and token of the generation in use.
fn bound(profile: &Path) -> (String, String) {
    let (current, _, _) = read_pair(profile);
    let read = |name: &str| fs::read_to_string(current.join(name)).unwrap();
    (read("dpop-key.pem"), read("token"))
}

#[test]
fn tokens_of_a_key_are_renewed_and_each_call_is_proved() {
    for nonces in ["", "[dpop]\nnonce = true"] {
        let Some(stage) = Stage::start("bot", nonces) else { return };
        let (at, profile) = (stage.at(), stage.profile());
        let told = ok(at, &format!("{} --token-dpop --life 22s", stage.enrolment(20)));
        assert!(told.contains("as bot, each bound to a key (DPoP)"), "{told}");
        let keeper = Running::start(at, "agent run p");
        let proxy = stage.proxy();
        let stop = AtomicBool::new(false);
        let mut seen = Vec::new();
        let count = std::thread::scope(|scope| {
            let calling = scope.spawn(|| calls(&profile.join("proxy.sock"), &stop, 51));
            let stopping = Stopping(&stop);
            let begun = Instant::now();
            let renewed = || !of_kind(&keeper, "certificate", "renewed").is_empty();
            while (seen.len() < 2 || !renewed()) && begun.elapsed() < PATIENCE {
                let pair = bound(&profile);
                assert_eq!(claims(&pair.1)["cnf"]["jkt"], json!(thumbprint(&pair.0)), "each token is its key's");
                if !seen.contains(&pair) {
                    seen.push(pair);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            drop(stopping);
            calling.join().unwrap()
        });
        assert!(count > 50 && seen.len() >= 2, "{count} calls, {} tokens", seen.len());
        assert!(seen.windows(2).all(|pairs| pairs[0].0 != pairs[1].0), "a key a token");
        assert!(!of_kind(&keeper, "certificate", "renewed").is_empty(), "the certificate renews beside it");
        let key = read_pair(&profile).0.join("dpop-key.pem");
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        // What a program brings does not get through, and real ones come through.
        let curl = Command::new("curl")
            .args(["-sS", "-i", "--unix-socket", "p/proxy.sock", "http://localhost/orders/7?page=2"])
            .args(["-H", "Authorization: DPoP mine", "-H", "DPoP: mine", "-H", "DPoP: mine too"])
            .current_dir(at)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&curl.stdout).into_owned();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        let shown = stage.origin.requests().pop().unwrap();
        assert!(
            shown.value("authorization").unwrap().starts_with("DPoP ey") && shown.value("dpop").unwrap().len() > 200
        );
        // With nonces, one call was refused at first, and repeated.
        let refused = stage.gateway.records().into_iter().filter(|record| !record["adamant.reason"].is_null());
        let refused: Vec<Value> = refused.map(|record| record["adamant.reason"].clone()).collect();
        let expected = if nonces.is_empty() { vec![] } else { vec![json!("dpop-nonce-wrong")] };
        assert_eq!(refused, expected);
        let lines =
            [keeper.end().join("\n"), proxy.end().join("\n"), stage.gateway.stderr(), stage.gateway.record_text()];
        for (key, token) in &seen {
            let line = key.lines().nth(1).unwrap();
            assert!(lines.iter().all(|text| !text.contains(line) && !text.contains(token.trim())), "{lines:?}");
        }
    }
}

#[test]
fn a_stolen_token_is_worth_nothing_and_no_proof_passes_twice() {
    let Some(stage) = Stage::start("bot", "") else { return };
    ok(stage.at(), &format!("{} --token-dpop", stage.enrolment(600)));
    let proxy = stage.proxy();
    assert!(stage.call("GET /orders/7?x=1", "", "").starts_with("HTTP/1.1 200"));
    let shown = stage.origin.last_of(1);
    let (authorization, proof) = (shown.value("authorization").unwrap(), shown.value("dpop").unwrap());
    let token = bound(&stage.profile()).1;
    assert_eq!(authorization, format!("DPoP {token}"));
    let thief = TokenKey::generate("ES256", "k");
    let url = format!("https://localhost:{}/orders/7", stage.gateway.tls_address().port());
    let own = thief.sign_with(&proof_header(&thief), &proof_claims(&url, &token));
    for (sent, reason) in [
        (fields(&token, proof), "dpop-replayed"),
        (format!("Authorization: Bearer {token}\r\n"), "dpop-missing"),
        (format!("Authorization: DPoP {token}\r\n"), "dpop-missing"),
        (fields(&token, &own), "dpop-key-wrong"),
    ] {
        let said = stage.steal(&sent);
        assert_eq!(said.status, 401, "{reason}: {}", said.text());
        assert!(stage.gateway.records().iter().all(|record| record["adamant.reason"] != "token-invalid"));
    }
    assert_eq!(stage.reasons(5), ["dpop-replayed", "dpop-missing", "dpop-missing", "dpop-key-wrong"].map(Value::from));
    assert_eq!(stage.origin.count(), 1);
    proxy.end();
}

#[test]
fn what_the_gateway_wants_in_proofs_is_learnt_and_nothing_is_sent_twice() {
    let Some(mut stage) = Stage::start("bot", "[dpop]\nnonce = true") else { return };
    ok(stage.at(), &format!("{} --token-dpop", stage.enrolment(600)));
    // What cannot be kept: the nonce is asked for first.
    let proxy = stage.proxy();
    let large = "x".repeat(KEPT_BYTES_MAX + 1);
    let said = stage.call("POST /orders/7", "", &large);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // Two records, of two rings: either may be written first.
    let asked = stage.gateway.wait_for_records(2);
    let asked = asked.iter().find(|record| record["url.path"] == "/.well-known/adamant-doctor").unwrap();
    assert_eq!(asked["adamant.reason"], "dpop-nonce-wrong");
    assert_eq!((stage.origin.last_of(1).content, stage.origin.count()), (large.clone().into_bytes(), 1));
    assert!(stage.call_in_pieces().starts_with("HTTP/1.1 200"));
    // The doctor answers the challenge too.
    let report = ok(stage.at(), "agent doctor p --path /orders/7");
    assert!(report.contains("bound to this profile's key (DPoP)") && report.contains("nothing is wrong"), "{report}");

    // Another process of the gateway takes no nonces of the one before. What is kept is repeated, once.
    let before = format!("localhost:{}", stage.gateway.tls_address().port());
    let restart = |stage: &mut Stage, before: &str| {
        stage.gateway.restart("TERM");
        let now = format!("localhost:{}", stage.gateway.tls_address().port());
        let path = stage.profile().join("profile.json");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(before, &now)).unwrap();
        now
    };
    let before = restart(&mut stage, &before);
    let count = stage.origin.count();
    let said = stage.call("POST /orders/7", "X-Mine: yes\r\n", &large[1..]);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let seen = stage.origin.last_of(count + 1);
    let shown = (seen.content.len(), seen.value("x-mine"), stage.origin.count());
    assert_eq!(shown, (KEPT_BYTES_MAX, Some("yes"), count + 1));
    // What is not kept is refused, and passes when it is sent again.
    restart(&mut stage, &before);
    let said = stage.call_in_pieces();
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("adamant-agent: dpop-nonce"), "{said}");
    assert!(said.contains("send it again") && stage.origin.count() == count + 1, "{said}");
    assert!(stage.call_in_pieces().starts_with("HTTP/1.1 200"));
    // What an origin says is no word of the gateway: it is passed on, and nothing is sent twice for it.
    let wants = "DPoP error=\"use_dpop_nonce\"";
    stage.origin.answer_with(move |_, _| {
        Answer::new(401).with_field("WWW-Authenticate", wants).with_field("DPoP-Nonce", "of-an-origin")
    });
    let count = stage.origin.count();
    for said in [stage.call("POST /orders/7", "", "once"), stage.call_in_pieces()] {
        assert!(said.starts_with("HTTP/1.1 401") && said.contains("of-an-origin"), "{said}");
    }
    assert_eq!(stage.origin.count(), count + 2);
    proxy.end();
}

#[test]
fn a_server_that_wants_a_nonce_is_given_it_and_the_client_proves_itself_anew() {
    let Some(stage) = Stage::start("signer", "") else { return };
    let by_key =
        "--client-id signer --token-auth private-key-jwt --client-key client.key --token-dpop --token-resource";
    let line = enrolment(&stage.gateway, &stage.server, &format!("{by_key} https://api.test/jwt/600"));
    ok(stage.at(), &line);
    ok(stage.at(), "agent run p --once");
    let report = ok(stage.at(), "agent doctor p --path /orders/7");
    assert!(report.contains("nothing is wrong"), "{report}");
}

#[test]
fn a_token_that_is_not_of_the_key_is_refused() {
    let (directory, issuer, line) = lying(gives("t", 600));
    let at = directory.path();
    let line = format!("{line} --client-secret bot.secret --token-dpop");
    let gives = |token: &str, kind: &str| Reply::json(&json!({"access_token": token, "token_type": kind}).to_string());
    let jwt = |claims: Value| format!("e30.{}.l1e", encode(claims.to_string().as_bytes()));
    let wants = |fields: &str, error: &str| {
        Reply::Whole(400, fields.to_owned(), json!({"error": error}).to_string().into_bytes())
    };
    for (reply, expected, asked) in [
        (gives("l1e", "Bearer"), "another `token_type` than DPoP", 1),
        (gives(&jwt(json!({"cnf": {"jkt": "l1e"}})), "DPoP"), "found one that is bound to another (`cnf.jkt`)", 1),
        (gives(&jwt(json!({})), "DPoP"), "found one that is bound to none", 1),
        (wants("DPoP-Nonce: n1\r\n", "use_dpop_nonce"), "(use_dpop_nonce)", 2),
        (wants("", "use_dpop_nonce"), "(use_dpop_nonce)", 1),
        (wants("DPoP-Nonce: n1\r\n", "invalid_client"), "(invalid_client)", 1),
        (wants("", "invalid_dpop_proof"), "compare this machine's clock with the server's", 1),
    ] {
        let before = issuer.asked("/token");
        issuer.say("/token", reply);
        let told = bad(at, &line);
        assert!(told.contains(expected) && !told.contains("l1e"), "{told}");
        assert_eq!(issuer.asked("/token") - before, asked, "{expected}");
        assert!(!at.join("p/current").exists(), "nothing is in use that was not before");
    }
    // Each proof is another one, of another key; the second has the nonce.
    let heard = issuer.heard();
    let proofs = heard.iter().map(|(head, _)| {
        let proof =
            head.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("dpop")));
        claims(proof.unwrap().1)
    });
    let proofs: Vec<Value> = proofs.collect();
    let mut ids: Vec<&Value> = proofs.iter().map(|proof| &proof["jti"]).collect();
    ids.sort_by_key(|id| id.to_string());
    ids.dedup();
    assert_eq!((ids.len(), proofs.len()), (8, 8));
    let with_nonce: Vec<&Value> = proofs.iter().filter(|proof| !proof["nonce"].is_null()).collect();
    assert_eq!((with_nonce.len(), &with_nonce[0]["nonce"]), (1, &json!("n1")));
    assert!(proofs.iter().all(|proof| proof["htu"] == issuer.url("/token") && proof["htm"] == "POST"));
    // Without DPoP, a token that wants it is refused too.
    issuer.say("/token", gives("l1e", "DPoP"));
    assert!(bad(at, &line.replace(" --token-dpop", "")).contains("another `token_type` than Bearer"));
}

#[test]
fn the_doctor_names_clock_and_key_and_no_tool_gets_the_token_alone() {
    let Some(stage) = Stage::start("bot", "") else { return };
    let at = stage.at();
    ok(at, &stage.enrolment(600));
    // Bearer tokens are not what this policy wants.
    let (status, said, _) = tests::agents::run(at, "agent doctor p --path /orders/7");
    assert!(status == 1 && said.contains("401: the gateway does not let this caller in"), "{said}");
    ok(at, &format!("{} --token-dpop --force", stage.enrolment(600)));
    let codes = |said: &str| -> Vec<String> {
        let report: Value = serde_json::from_str(said).unwrap();
        let steps = report["steps"].as_array().unwrap().iter();
        steps.filter(|step| step["outcome"] != "ok").map(|step| step["code"].as_str().unwrap().to_owned()).collect()
    };
    let doctor = |off: &str| {
        let mut command = Command::new("faketime");
        command.args(["-f", off]).arg(tests::gateway::binary());
        command.args(["agent", "doctor", "p", "--path", "/orders/7", "--json"]).current_dir(at).stdin(Stdio::null());
        command.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if let Some(said) = doctor("+5m") {
        assert_eq!(codes(&said), ["clock", "dpop-proof"], "{said}");
        assert!(said.contains("DPoP proofs (`iat`)") && said.contains("ahead of the gateway's"), "{said}");
        assert_eq!(codes(&doctor("-50s").unwrap()).last().unwrap(), "clock", "behind by less than a proof's life");
        let said = doctor("+20s").unwrap();
        assert_eq!(codes(&said), ["clock", "dpop-proof"], "{said}");
    }
    // No tool gets the token in a header.
    for tool in ["curl", "requests", "httpx", "node", "go", "kubernetes"] {
        let told = bad(at, &format!("agent export p {tool}"));
        assert!(
            told.contains("none can be exported as a bearer header") && told.contains("adamant agent proxy"),
            "{told}"
        );
    }
    let env = ok(at, "agent export p env");
    assert!(env.contains("has no bearer token"), "{env}");
    // Without quotes around it, all of it is one line: a remark hides none of the variables.
    let shell = Command::new("sh").args(["-c", "eval $1; echo \"$ADAMANT_DPOP_KEY\"", "sh", &env]).output().unwrap();
    let said = String::from_utf8(shell.stdout).unwrap();
    assert!(said.trim_end().ends_with("/p/current/dpop-key.pem"), "{said}{env}");
    // Another key than the token's.
    let key = read_pair(&stage.profile()).0.join("dpop-key.pem");
    secret(&key, &rcgen::KeyPair::generate().unwrap().serialize_pem());
    let (status, said, _) = tests::agents::run(at, "agent doctor p --path /orders/7 --json");
    assert_eq!((status, codes(&said)), (1, vec!["dpop-key".to_owned(), "unauthorized".to_owned()]), "{said}");
    fs::remove_file(&key).unwrap();
    let (_, said, _) = tests::agents::run(at, "agent doctor p --path /orders/7 --json");
    assert_eq!(codes(&said)[0], "dpop-key-missing", "{said}");
    assert!(bad(at, "agent proxy p").contains("dpop-key.pem"));
    // The next renewal makes both anew.
    ok(at, "agent run p --once");
    ok(at, "agent doctor p --path /orders/7");
}
