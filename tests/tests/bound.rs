//! Tokens that are bound: to the client certificate of their connection, and to a key that signs a DPoP proof for each
//! request. Stolen alone they are of no use.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::certificates::{Authority, Identity};
use tests::client::{Client, Response, get};
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::dpop::{self, fields, proof_header, thumbprint};
use tests::gateway::{Gateway, run};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::scene::bearer;
use tests::tokens::{TokenKey, claims, encode, jwks, now_s};

#[path = "bound/explained.rs"]
mod explained;
#[path = "bound/room.rs"]
mod room;

const HOST: &str = "api.test";
const BOT: &str = "{ token = { issuer = \"corp\", subject = \"bot\", bound = \"certificate\" } }";
const FREE: &str = "{ token = { issuer = \"corp\", subject = \"free\" } }";

fn policy(origin: &RecordingOrigin) -> PolicyText {
    PolicyText::new()
        .setting("transport = \"tls\"")
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
}

/// SHA-256 over the certificate, as `x5t#S256` says it.
fn x5t(identity: &Identity) -> String {
    let body: String = identity.certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    encode(&Sha256::digest(STANDARD.decode(body).unwrap()))
}

/// Claims with this `cnf`.
fn bound(subject: &str, cnf: &Value) -> Value {
    let mut claims = claims(subject);
    claims["cnf"] = cnf.clone();
    claims
}

struct Stage {
    gateway: Gateway,
    origin: RecordingOrigin,
    server_ca: Authority,
    agents_ca: Authority,
    key: TokenKey,
}

impl Stage {
    /// `bot` needs a token bound to its certificate, `free` any token.
    fn certificates() -> Self {
        let (server_ca, agents_ca) = (Authority::new("server CA"), Authority::new("agents CA"));
        let (origin, key) = (RecordingOrigin::start(), TokenKey::generate("ES256", "k1"));
        let policy = policy(&origin)
            .client_ca("agents", "agents.pem")
            .agent("bot", BOT, &["all"], &[])
            .agent("free", FREE, &["all"], &[])
            .agent("pair", explained::PAIR, &["all"], &[]);
        let gateway = Deployment::new()
            .file("agents.pem", &agents_ca.pem)
            .file("corp.jwks.json", &jwks(&[&key]))
            .tls_listener(&server_ca.server(&[HOST]), "optional")
            .run(&policy.text());
        Self { gateway, origin, server_ca, agents_ca, key }
    }

    fn ask(&self, identity: Option<&Identity>, token: &Value) -> Response {
        let config = self.server_ca.client_config(identity);
        let mut client = Client::connect_tls(self.gateway.tls_address(), HOST, &config).unwrap();
        client.exchange(get("/", &bearer(&self.key.sign(token))))
    }
}

#[test]
fn a_token_bound_to_a_certificate_is_of_no_use_without() {
    let stage = Stage::certificates();
    let (own, other) =
        (stage.agents_ca.spiffe("spiffe://corp.test/bot"), stage.agents_ca.spiffe("spiffe://corp.test/bot"));
    for subject in ["bot", "free"] {
        // `free` need not be bound; a token that is must be honoured all the same.
        let token = bound(subject, &json!({ "x5t#S256": x5t(&own) }));
        assert_eq!(stage.ask(Some(&own), &token).status, 200, "{subject}");
        assert_eq!(stage.ask(Some(&other), &token).status, 401, "{subject}: stolen, with the thief's own certificate");
        assert_eq!(stage.ask(None, &token).status, 401, "{subject}: stolen, without any");
    }
    assert_eq!(stage.ask(Some(&own), &claims("bot")).status, 401, "not bound, and it must be");
    assert_eq!(stage.ask(None, &claims("free")).status, 200, "not bound, and need not be");
    for unknown in [json!({ "kid": "a" }), json!({ "x5t#S256": x5t(&own), "jwk": {} }), json!({}), json!("a")] {
        assert_eq!(stage.ask(Some(&own), &bound("free", &unknown)).status, 401, "{unknown}");
    }
    let records = stage.gateway.wait_for_records(12);
    let (permitted, denied): (Vec<&Value>, Vec<&Value>) = records.iter().partition(|it| it["adamant.reason"].is_null());
    let bound: Vec<&Value> = permitted.iter().map(|record| &record["adamant.token.bound"]).collect();
    assert_eq!(bound, [&json!("certificate"), &json!("certificate"), &Value::Null]);
    let reasons: Vec<&str> = denied.iter().map(|record| record["adamant.reason"].as_str().unwrap()).collect();
    let stolen = ["token-certificate-wrong", "token-certificate-missing"];
    assert_eq!((&reasons[..2], &reasons[2..4]), (&stolen[..], &stolen[..]));
    let rest = ["token-unbound", "token-binding-unknown", "token-binding-unknown", "token-invalid", "token-invalid"];
    assert_eq!(reasons[4..], rest);
    assert!(denied.iter().all(|record| record["adamant.token.bound"].is_null()));
    assert_eq!(stage.origin.count(), 3);
}

#[test]
fn records_of_bound_tokens_are_decided_the_same_again() {
    let stage = Stage::certificates();
    let own = stage.agents_ca.spiffe("spiffe://corp.test/bot");
    let token = bound("bot", &json!({ "x5t#S256": x5t(&own) }));
    assert_eq!(stage.ask(Some(&own), &token).status, 200);
    assert_eq!(stage.ask(Some(&own), &claims("bot")).status, 401);
    let directory = stage.gateway.directory();
    for record in stage.gateway.wait_for_records(2) {
        let id = record["adamant.request_id"].as_str().unwrap();
        let arguments = ["explain", "--records", RECORDS_FILE, "--request-id", id, "--release", "release.json"];
        let (status, out, err) = run(&arguments, directory);
        assert!(status.success() && out.contains("\nas recorded\n"), "{record}\n{out}{err}");
        assert_eq!(out.contains("a token must be bound to a certificate"), record["adamant.reason"] == "token-unbound");
    }
    let replay = ["replay", RECORDS_FILE, "--release", "release.json", "--against", "policy.toml"];
    let (status, out, err) = run(&replay, directory);
    assert!(status.success(), "{out}{err}");
    // Without the binding the other one would pass.
    let policy = fs::read_to_string(directory.join("policy.toml")).unwrap();
    fs::write(directory.join("looser.toml"), policy.replace(", bound = \"certificate\"", "")).unwrap();
    let (status, out, err) = run(&["diff", "release.json", "looser.toml"], directory);
    assert_eq!(status.code(), Some(11), "wider: {out}{err}");
    assert!(out.contains("token corp/bot not bound"), "{out}");
    let (_, out, err) =
        run(&["replay", RECORDS_FILE, "--release", "release.json", "--against", "looser.toml"], directory);
    assert!(out.contains("token-unbound"), "{out}{err}");
}

/// A gateway that asks `bot` for DPoP, over plain HTTP on loopback.
struct Proving {
    gateway: Gateway,
    origin: RecordingOrigin,
    issuer: TokenKey,
    holder: TokenKey,
}

impl Proving {
    fn new(deployment: Deployment) -> Self {
        let (origin, issuer) = (RecordingOrigin::start(), TokenKey::generate("ES256", "k1"));
        let identity = BOT.replace("certificate", "dpop");
        let policy = PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .issuer(&["ES256"], "")
            .agent("bot", &identity, &["all"], &[])
            .agent("free", FREE, &["all"], &[])
            .agent("slow", &identity.replace("\"bot\"", "\"slow\""), &["all"], &["1/hour"]);
        let gateway = deployment.file("corp.jwks.json", &jwks(&[&issuer])).run(&policy.text());
        Self { gateway, origin, issuer, holder: TokenKey::generate("ES256", "h1") }
    }

    fn token(&self, subject: &str) -> String {
        self.issuer.sign(&bound(subject, &json!({ "jkt": thumbprint(&self.holder) })))
    }

    fn ask(&self, token: &str, proof: &str) -> Response {
        self.gateway.once(get("/orders/7?page=2", &fields(token, proof)))
    }

    /// A proof for `GET /orders/7`, after `change`.
    fn proof(&self, token: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = proof_claims(token);
        change(&mut claims);
        self.holder.sign_with(&proof_header(&self.holder), &claims)
    }
}

/// Values of `WWW-Authenticate` for this scheme.
fn challenge(response: &Response, scheme: &str) -> Option<String> {
    let fields = response.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("WWW-Authenticate"));
    fields.map(|field| field.text().to_owned()).find(|text| text.starts_with(&format!("{scheme} ")))
}

/// Of a proof for `GET /orders/7`.
fn proof_claims(token: &str) -> Value {
    dpop::proof_claims(&format!("http://{HOST}/orders/7"), token)
}

#[test]
fn a_right_proof_passes_once_and_on_no_other_connection_or_worker() {
    let stage = Proving::new(Deployment::new().cores("[0, 1]"));
    let token = stage.token("bot");
    let proof = stage.proof(&token, |_| {});
    assert_eq!(stage.ask(&token, &proof).status, 200);
    let passed = stage.origin.last_of(1);
    assert_eq!(passed.value("Adamant-Agent"), Some("bot"));
    assert_eq!((passed.value("DPoP"), passed.value("Authorization")), (None, None), "they are the gateway's");
    for _ in 0..12 {
        let again = stage.ask(&token, &proof);
        assert_eq!(again.status, 401);
        let told = challenge(&again, "DPoP").unwrap();
        assert!(told.contains("error=\"invalid_dpop_proof\"") && told.contains("ES256"), "{told}");
    }
    let records = stage.gateway.wait_for_records(13);
    let (passed, refused): (Vec<&Value>, Vec<&Value>) =
        records.iter().partition(|it| it["adamant.decision"] == "permit");
    assert_eq!((passed.len(), &passed[0]["adamant.token.bound"]), (1, &json!("dpop")));
    let reasons: Vec<&Value> = refused.iter().map(|record| &record["adamant.reason"]).collect();
    assert!(reasons.iter().all(|reason| **reason == "dpop-replayed"), "{reasons:?}");
    // The same `jti` with another signature is the same proof.
    let jti = json!("the-same");
    for expected in [200, 401] {
        assert_eq!(stage.ask(&token, &stage.proof(&token, |claims| claims["jti"] = jti.clone())).status, expected);
    }
    assert_eq!(stage.origin.count(), 2);
}

#[test]
fn wrong_proofs_are_refused_and_say_why_in_the_record() {
    let stage = Proving::new(Deployment::new());
    let token = stage.token("bot");
    let thief = TokenKey::generate("ES256", "h1");
    let none = format!(
        "{}.{}.",
        encode(proof_header(&stage.holder).to_string().replace("ES256", "none").as_bytes()),
        encode(proof_claims(&token).to_string().as_bytes())
    );
    let hs256 = TokenKey::generate("HS256", "h1");
    let mut header = proof_header(&stage.holder);
    header["alg"] = json!("HS256");
    let confused = hs256.sign_with(&header, &proof_claims(&token));
    let mut private = proof_header(&stage.holder);
    private["jwk"]["d"] = json!("AA");
    let wrong = [
        ("htm", stage.proof(&token, |claims| claims["htm"] = json!("POST")), "dpop-request-wrong"),
        (
            "htu",
            stage.proof(&token, |claims| claims["htu"] = json!(format!("http://{HOST}/orders/8"))),
            "dpop-request-wrong",
        ),
        (
            "scheme",
            stage.proof(&token, |claims| claims["htu"] = json!(format!("https://{HOST}/orders/7"))),
            "dpop-request-wrong",
        ),
        (
            "host",
            stage.proof(&token, |claims| claims["htu"] = json!("http://other.test/orders/7")),
            "dpop-request-wrong",
        ),
        ("ath", stage.proof(&token, |claims| claims["ath"] = json!(encode(&Sha256::digest("x")))), "dpop-token-wrong"),
        ("old", stage.proof(&token, |claims| claims["iat"] = json!(now_s() - 90)), "dpop-time-wrong"),
        ("future", stage.proof(&token, |claims| claims["iat"] = json!(now_s() + 90)), "dpop-time-wrong"),
        ("no jti", stage.proof(&token, |claims| claims["jti"] = json!("")), "dpop-malformed"),
        ("another key", thief.sign_with(&proof_header(&thief), &proof_claims(&token)), "dpop-key-wrong"),
        ("another signer", thief.sign_with(&proof_header(&stage.holder), &proof_claims(&token)), "dpop-invalid"),
        ("alg none", none, "dpop-invalid"),
        ("alg HS256", confused, "dpop-invalid"),
        ("private key", stage.holder.sign_with(&private, &proof_claims(&token)), "dpop-malformed"),
        ("a token as proof", token.clone(), "dpop-malformed"),
        ("garbage", "x".to_owned(), "dpop-malformed"),
    ];
    for (what, proof, _) in &wrong {
        assert_eq!(stage.ask(&token, proof).status, 401, "{what}");
    }
    let records = stage.gateway.wait_for_records(wrong.len());
    for ((what, _, reason), record) in wrong.iter().zip(&records) {
        assert_eq!(record["adamant.reason"], *reason, "{what}");
    }
    assert_eq!(stage.origin.count(), 0);
    // The address may be spelt otherwise, and the query does not count.
    let other = "HTTP://API.test:80/orders/%37?x#y".to_owned();
    assert_eq!(stage.ask(&token, &stage.proof(&token, |claims| claims["htu"] = json!(other))).status, 200);
}

#[test]
fn a_bound_token_cannot_be_downgraded_and_an_unbound_one_not_dressed_up() {
    let stage = Proving::new(Deployment::new());
    for subject in ["bot", "free"] {
        let token = stage.token(subject);
        let proof = stage.proof(&token, |_| {});
        assert_eq!(stage.gateway.once(get("/orders/7", &bearer(&token))).status, 401, "{subject}: as Bearer");
        let both = format!("{}DPoP: {proof}\r\n", bearer(&token));
        assert_eq!(stage.gateway.once(get("/orders/7", &both)).status, 401, "{subject}: as Bearer with a proof");
        assert_eq!(stage.gateway.once(get("/orders/7", &format!("Authorization: DPoP {token}\r\n"))).status, 401);
        let twice = format!("{}DPoP: {proof}\r\n", fields(&token, &proof));
        assert_eq!(stage.gateway.once(get("/orders/7", &twice)).status, 400, "two proofs");
        assert_eq!(stage.ask(&token, &proof).status, 200, "{subject}: none of these spent the proof");
    }
    let unbound = stage.issuer.sign(&claims("free"));
    assert_eq!(stage.ask(&unbound, &stage.proof(&unbound, |_| {})).status, 401, "no key is bound to it");
    assert_eq!(stage.gateway.once(get("/orders/7", &bearer(&unbound))).status, 200);
    let unbound = stage.issuer.sign(&claims("bot"));
    assert_eq!(stage.gateway.once(get("/orders/7", &bearer(&unbound))).status, 401, "the policy asks for DPoP");
    let told = stage.gateway.once(get("/orders/7", ""));
    assert!(challenge(&told, "DPoP").is_some_and(|text| !text.contains("error")), "{:?}", told.fields);
}

#[test]
fn a_gateway_that_asks_for_nonces_gives_one_and_takes_it() {
    let stage = Proving::new(Deployment::new().with("[dpop]\nnonce = true"));
    let token = stage.token("bot");
    for first in [stage.proof(&token, |_| {}), stage.proof(&token, |claims| claims["nonce"] = json!("made-up"))] {
        let asked = stage.ask(&token, &first);
        assert_eq!(asked.status, 401);
        let told = challenge(&asked, "DPoP").unwrap();
        assert!(told.contains("error=\"use_dpop_nonce\""), "{told}");
        let nonce = asked.value("DPoP-Nonce").expect("a nonce").to_owned();
        let proof = stage.proof(&token, |claims| claims["nonce"] = json!(nonce));
        assert_eq!(stage.ask(&token, &proof).status, 200);
        assert_eq!(stage.ask(&token, &proof).status, 401, "a nonce does not make a proof good twice");
    }
    let records = stage.gateway.wait_for_records(6);
    let reasons: Vec<&str> = records.iter().filter_map(|record| record["adamant.reason"].as_str()).collect();
    assert_eq!(reasons, ["dpop-nonce-wrong", "dpop-replayed", "dpop-nonce-wrong", "dpop-replayed"]);
}

#[test]
fn the_language_says_what_a_binding_needs() {
    let directory = tempfile::tempdir().unwrap();
    let origin = RecordingOrigin::start();
    let key = TokenKey::generate("ES256", "k1");
    fs::write(directory.path().join("corp.jwks.json"), jwks(&[&key])).unwrap();
    let check = |text: &str| {
        fs::write(directory.path().join("policy.toml"), text).unwrap();
        let (status, out, err) = run(&["check", "policy.toml"], directory.path());
        (status.success(), format!("{out}{err}"))
    };
    let plain = policy(&origin).agent("bot", BOT, &["all"], &[]).text().replace("transport = \"tls\"\n", "");
    let (ok, told) = check(&plain);
    assert!(!ok && told.contains("binding-needs-certificate") && told.contains("transport = \"tls\""), "{told}");
    let (ok, told) = check(&policy(&origin).agent("bot", BOT, &["all"], &[]).text());
    assert!(!ok && told.contains("binding-needs-certificate") && told.contains("[[client_ca]]"), "{told}");
    let other = BOT.replace("bound = \"certificate\"", "bound = \"dpop\"").replace("} }", "}, api_key = [\"k\"] }");
    let differ = policy(&origin).with("[[api_key]]\nid = \"k\"").agent(
        "bot",
        &format!("{}, {other}", BOT.replace(", bound = \"certificate\"", "")),
        &["all"],
        &[],
    );
    let (ok, told) = check(&differ.text());
    assert!(!ok && told.contains("bindings-differ"), "{told}");
    let (ok, told) = check(&plain.replace("\"certificate\"", "\"dpopp\""));
    assert!(!ok && told.contains("did you mean `dpop`?"), "{told}");
    let cases = "[[case]]\nname = \"bound\"\nagent = \"bot\"\nrequest = \"GET https://h/a\"\nexpect = \"permit\"\n\
        [[case]]\nname = \"not bound\"\ntoken = { issuer = \"corp\", subject = \"bot\" }\nrequest = \"GET https://h/a\"\nexpect = \"token-unbound\"\n\
        [[case]]\nname = \"said\"\ntoken = { issuer = \"corp\", subject = \"bot\", bound = \"dpop\" }\nrequest = \"GET https://h/a\"\nexpect = \"permit\"\n";
    fs::write(directory.path().join("policy.toml"), plain.replace("\"certificate\"", "\"dpop\"") + cases).unwrap();
    let (status, out, err) = run(&["test", "policy.toml"], directory.path());
    assert!(status.success(), "{out}{err}");
}
