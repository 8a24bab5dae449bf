//! Assertions to origins: an origin that verifies them takes what came through the gateway, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "assertion/doctor.rs"]
mod doctor;
#[path = "assertion/fleet.rs"]
mod fleet;
#[path = "assertion/recipes.rs"]
mod recipes;
#[path = "assertion/rotation.rs"]
mod rotation;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tests::answer::{Answer, Fault};
use tests::apikey::ApiKey;
use tests::asserting::{FIELD, Looks, Verifier, claims_of};
use tests::certificates::Authority;
use tests::client::{get, once, post};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::{Recorded, RecordingOrigin};
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::tokens::{ISSUER, TokenKey, claims, jwks};

const SOON: Duration = Duration::from_secs(60);
const ASSERTED: &str = "assertion = { audience = \"orders\" }";

/// An origin that refuses what did not come through the gateway, and a gateway before it with the agent `bot`.
struct Guarded {
    verifier: Arc<Verifier>,
    origin: RecordingOrigin,
    gateway: Gateway,
    key: ApiKey,
}

impl Guarded {
    fn new(deployment: Deployment) -> Self {
        Self::looking(Looks::AtAll, deployment)
    }

    fn looking(looks: Looks, deployment: Deployment) -> Self {
        let (verifier, key) = (Verifier::new(looks), ApiKey::new("bot-1"));
        let door = Arc::clone(&verifier);
        let origin = RecordingOrigin::scripted(move |head, _| door.answer(head));
        let gateway = deployment.run(&policy(origin.address(), ASSERTED, &key).text());
        verifier.trust(gateway.admin_address());
        Self { verifier, origin, gateway, key }
    }

    /// The field line by which the gateway knows `bot`.
    fn bot(&self) -> String {
        format!("X-API-Key: {}\r\n", self.key.text)
    }
}

fn policy(origin: SocketAddr, more: &str, key: &ApiKey) -> PolicyText {
    PolicyText::new()
        .origin_with("origin", &[origin], more)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .api_key(key, "")
        .agent("bot", &format!("{{ api_key = [\"{}\"] }}", key.id), &["all"], &[])
}

/// The assertions of a request, in all spellings that an origin may fold into the field.
fn assertions_of(request: &Recorded) -> Vec<String> {
    let folded = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    let fields = request.head.fields.iter().chain(&request.trailers);
    fields.filter(|field| folded(&field.name) == folded(FIELD)).map(|field| field.text().to_owned()).collect()
}

#[test]
fn what_came_through_is_taken_whatever_it_asks() {
    let guarded = Guarded::new(Deployment::new());
    let mut client = guarded.gateway.client();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT"] {
        for target in ["/", "/orders/7", "/orders/7?x=1&y=%2F", "/a%20b/?", "/a?q=a?b", "/%C3%A9;v=1"].iter().take(5) {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: api.test\r\n{}\r\n", guarded.bot());
            assert_eq!(client.exchange(request).status, 200, "{method} {target}: {:?}", guarded.verifier.refusals());
        }
    }
    assert_eq!(client.exchange(post("/orders", &guarded.bot(), "content")).status, 200);
    let (fields, chunks) = ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n");
    let chunked = format!("POST /c HTTP/1.1\r\nHost: api.test\r\n{}{fields}\r\n{chunks}", guarded.bot());
    assert_eq!(client.exchange(chunked).status, 200);
    let head = format!("HEAD /h HTTP/1.1\r\nHost: api.test\r\n{}\r\n", guarded.bot());
    assert_eq!(client.send(head).response_to("HEAD").status, 200, "{:?}", guarded.verifier.refusals());
    // HTTP/1.0 without a Host: the origin gets its own address, and the assertion says so.
    let old = format!("GET /old HTTP/1.0\r\n{}\r\n", guarded.bot());
    assert_eq!(guarded.gateway.once(old).status, 200, "{:?}", guarded.verifier.refusals());
    // Normalised by the gateway: what is asserted is what was forwarded.
    assert_eq!(guarded.gateway.once(get("/%6Frders/%37", &guarded.bot())).status, 200);
    assert_eq!(guarded.verifier.refusals(), [""; 0]);
    let targets: Vec<_> = guarded.origin.requests().iter().map(Recorded::target).collect();
    assert!(targets.contains(&"/orders/7?x=1&y=%2F".to_owned()) && targets.last().unwrap() == "/orders/7");
}

#[test]
fn what_did_not_come_through_is_refused() {
    let guarded = Guarded::new(Deployment::new());
    assert_eq!(guarded.gateway.once(get("/orders/7?x=1", &guarded.bot())).status, 200);
    let assertion = assertions_of(&guarded.origin.last_of(1)).remove(0);
    let direct = |request: String| {
        let status = once(guarded.origin.address(), request).status;
        let why = guarded.verifier.refusals().pop().unwrap_or_default();
        assert_eq!(status, 401, "{why}");
        why
    };
    let with = |assertion: &str| format!("{FIELD}: {assertion}\r\n");
    assert_eq!(direct(get("/orders/7?x=1", "")), "0 assertions");
    assert_eq!(direct(get("/orders/7?x=1", &with(&assertion))), "a replay");
    for target in ["/orders/8?x=1", "/orders/7", "/orders/7?x=2", "/orders/7?x=1&"] {
        assert!(direct(get(target, &with(&assertion))).starts_with("target_sha256 is"), "{target}");
    }
    assert!(direct(post("/orders/7?x=1", &with(&assertion), "a")).starts_with("htm is"));
    let elsewhere = format!("GET /orders/7?x=1 HTTP/1.1\r\nHost: other.test\r\n{}\r\n", with(&assertion));
    assert!(direct(elsewhere).starts_with("authority is"));

    let parts: Vec<_> = assertion.split('.').collect();
    let mut tampered = claims_of(&assertion);
    tampered["sub"] = json!("admin");
    let tampered = tests::tokens::encode(tampered.to_string().as_bytes());
    assert_eq!(direct(get("/", &with(&format!("{}.{tampered}.{}", parts[0], parts[2])))), "InvalidSignature");
    let kid: Value = serde_json::from_slice(&decoded(parts[0])).unwrap();
    let other = TokenKey::generate("ES256", kid["kid"].as_str().unwrap());
    let forged = other.sign_with(&kid, &claims_of(&assertion));
    assert_eq!(direct(get("/orders/7?x=1", &with(&forged))), "InvalidSignature");
    // Of the right key, and another kind of token.
    assert_eq!(kid["typ"], "adamant-assertion+jwt");
    assert_eq!(kid["alg"], "ES256");
}

fn decoded(part: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()
}

#[test]
fn it_says_who_asked_for_what_under_which_rule() {
    let origin = RecordingOrigin::start();
    let key = TokenKey::generate("ES256", "k1");
    let policy = PolicyText::new()
        .origin_with("origin", &[origin.address()], ASSERTED)
        .route("order-read", "GET", "/orders/{id}", "origin")
        .route("open", "GET", "/open", "origin")
        .scope("orders:read", &["order-read"])
        .scope("open", &["open"])
        .issuer(&["ES256"], "")
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["orders:read"], &[])
        .agent(
            "staff",
            "{ token = { issuer = \"corp\", subject = \"*\" } }",
            &["orders:read"],
            &["9/minute per subject"],
        )
        .anonymous(&["open"], &["10/minute"]);
    let deployment = Deployment::new().file("corp.jwks.json", &jwks(&[&key]));
    let gateway = deployment.run(&policy.text());
    let release: Value = serde_json::from_str(&gateway.admin("/release").text()).unwrap();
    for (count, (target, subject, agent, route, scope)) in [
        ("/orders/7?x=1", Some("bot"), Some("bot"), "order-read", "orders:read"),
        ("/orders/8", Some("al\"ice é"), Some("staff"), "order-read", "orders:read"),
        ("/open", None, None, "open", "open"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = tests::tokens::now_s();
        let fields = subject.map_or_else(String::new, |subject| bearer(&key.sign(&claims(subject))));
        let answer = gateway.once(get(target, &fields));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let request = origin.last_of(count + 1);
        let said = claims_of(&assertions_of(&request)[0]);
        let iat = said["iat"].as_u64().unwrap();
        assert!((before..=tests::tokens::now_s()).contains(&iat), "{said}");
        let mut expected = json!({
            "iss": "tests", "aud": "orders", "jti": answer.value("X-Request-Id"), "route": route, "scope": scope,
            "release": release["release"], "htm": "GET", "authority": "api.test", "iat": iat, "exp": iat + 30,
            "target_sha256": tests::tokens::encode(&sha256(target)),
        });
        if let (Some(agent), Some(subject)) = (agent, subject) {
            expected["sub"] = json!(agent);
            expected["sub_id"] = json!({ "format": "iss_sub", "iss": ISSUER, "sub": subject });
        }
        assert_eq!(said, expected, "{target}");
    }
}

fn sha256(text: &str) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).to_vec()
}

#[test]
fn a_client_cannot_send_one_in_any_spelling() {
    let (with, without, key) = (RecordingOrigin::start(), RecordingOrigin::start(), ApiKey::new("bot-1"));
    let policy = PolicyText::new()
        .origin_with("with", &[with.address()], ASSERTED)
        .origin("without", &[without.address()])
        .route("a", "*", "/a", "with")
        .route("b", "*", "/b", "without")
        .scope("all", &["a", "b"])
        .api_key(&key, "")
        .agent("bot", "{ api_key = [\"bot-1\"] }", &["all"], &[]);
    let gateway = Gateway::dev(&policy.text());
    let mine = format!(
        "X-API-Key: {}\r\nAdamant-Assertion: mine\r\nadamant_assertion: mine\r\nADAMANT.ASSERTION: mine\r\n\
         Adamant-Assertion2: mine\r\nConnection: Adamant-Assertion\r\n",
        key.text
    );
    let chunked = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: api.test\r\n{mine}Transfer-Encoding: chunked\r\nTrailer: Adamant-Assertion\r\n\r\n\
             2\r\nab\r\n0\r\nAdamant-Assertion: mine\r\nAdamant_Assertion: mine\r\nX-Checksum: c\r\n\r\n"
        )
    };
    for (origin, path, own) in [(&with, "/a", 1), (&without, "/b", 0)] {
        assert_eq!(gateway.once(get(path, &mine)).status, 200);
        assert_eq!(gateway.once(chunked(path)).status, 200);
        for request in origin.wait_for(2) {
            let found = assertions_of(&request);
            assert!(found.len() == own && !found.contains(&"mine".to_owned()), "{path}: {found:?}");
        }
        let raw = origin.take_raw().concat();
        assert!(!String::from_utf8_lossy(&raw).contains("mine"), "{path}");
    }
}

#[test]
fn it_goes_over_tls_beside_a_credential_and_stands_in_no_record() {
    let (authority, key) = (Authority::new("origin CA"), ApiKey::new("bot-1"));
    let verifier = Verifier::new(Looks::AtAll);
    let door = Arc::clone(&verifier);
    let origin =
        RecordingOrigin::tls(authority.server(&["origin.test"]).server_config(), move |head, _| door.answer(head));
    let more = format!(
        "tls = {{ ca = {{ file = \"origins.pem\" }}, server_name = \"origin.test\" }}\n{ASSERTED}\n\
         credentials = {{ from = \"orders\", header = \"Authorization\", value = \"Bearer {{secret}}\" }}"
    );
    let gateway = Deployment::new()
        .file("origins.pem", &authority.pem)
        .file("orders.key", "s3cr3t-of-the-origin\n")
        .with("[[origin_credential]]\nname = \"orders\"\nfile = \"orders.key\"")
        .run(&policy(origin.address(), &more, &key).text());
    verifier.trust(gateway.admin_address());
    let bot = format!("X-API-Key: {}\r\n", key.text);
    for _ in 0..3 {
        assert_eq!(gateway.once(get("/orders/7", &bot)).status, 200, "{:?}", verifier.refusals());
    }
    let requests = origin.wait_for(3);
    assert!(requests.iter().all(|request| request.value("Authorization") == Some("Bearer s3cr3t-of-the-origin")));
    gateway.wait_for_records(3);
    let told = gateway.record_text() + &gateway.stderr() + &gateway.admin("/metrics").text();
    for request in &requests {
        let assertion = &assertions_of(request)[0];
        assert!(assertion.split('.').all(|part| !told.contains(part)), "an assertion was written down");
    }
    let state = fs::read_to_string(gateway.directory().join("state/assertion.keys")).unwrap();
    let keys = state.lines().filter_map(|line| line.split(' ').nth(2)).filter(|word| word.len() > 100);
    let release = gateway.admin("/release").text() + &gateway.admin("/.well-known/jwks.json").text();
    assert!(keys.clone().count() == 2 && keys.into_iter().all(|key| !(told.clone() + &release).contains(&key[..40])));
}

#[test]
fn a_request_that_is_sent_again_is_no_replay() {
    let guarded = Guarded::new(Deployment::new());
    let door = Arc::clone(&guarded.verifier);
    // The origin breaks when it has seen and remembered the first.
    guarded.origin.answer_with(move |head, index| match door.answer(head) {
        answer if answer.status == 200 && index == 0 => Answer::broken(Fault::BeforeResponse),
        answer => answer,
    });
    let answer = guarded.gateway.once(get("/again", &guarded.bot()));
    assert_eq!(answer.status, 200, "{:?}", guarded.verifier.refusals());
    let ids: Vec<_> =
        guarded.origin.wait_for(2).iter().map(|sent| claims_of(&assertions_of(sent)[0])["jti"].clone()).collect();
    let id = answer.value("X-Request-Id").unwrap();
    assert_eq!(ids, [json!(id), json!(format!("{id}.1"))]);
}
