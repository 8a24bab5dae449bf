//! Who calls: tokens, API keys, populations, the anonymous agent, and every way to pretend.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::thread;
use std::time::Duration;

use serde_json::json;
use tests::apikey::ApiKey;
use tests::client::{Response, get};
use tests::process::eventually;
use tests::scene::{self, Scene, bearer};
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, encode, hmac_sha256, now_s};

const BOT: &str = "{ token = { issuer = \"corp\", subject = \"bot\" } }";

fn with_bot(key: &TokenKey) -> Scene {
    scene::with_tokens(key, |policy| policy.agent("bot", BOT, &["all"], &[]))
}

fn assert_unauthorised(response: &Response, what: &str) {
    assert_eq!(response.status, 401, "{what}");
    let challenge = response.value("WWW-Authenticate");
    assert!(challenge.is_some_and(|text| text.starts_with("Bearer")), "{what}: WWW-Authenticate {challenge:?}");
}

#[test]
fn a_token_of_each_algorithm_identifies_its_subject() {
    for algorithm in ["ES256", "ES384", "EdDSA", "RS256", "PS256"] {
        let key = TokenKey::generate(algorithm, "k1");
        let scene = with_bot(&key);
        let response = scene.gateway.once(get("/", &bearer(&key.sign(&claims("bot")))));
        assert_eq!(response.status, 200, "{algorithm}");
        assert_eq!(scene.origin.last_of(1).value("Adamant-Agent"), Some("bot"));
    }
}

#[test]
fn nobody_and_strangers_are_401() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = with_bot(&key);
    assert_unauthorised(&scene.gateway.once(get("/", "")), "no credential");
    let stranger = TokenKey::generate("ES256", "k1");
    assert_unauthorised(&scene.gateway.once(get("/", &bearer(&stranger.sign(&claims("bot"))))), "another key");
    assert_unauthorised(&scene.gateway.once(get("/", &bearer(&key.sign(&claims("mallory"))))), "another subject");
    for fields in [
        "Authorization: Basic eDp5\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer a b\r\n",
        "X-API-Key: x\r\n",
    ] {
        assert_unauthorised(&scene.gateway.once(get("/", fields)), fields);
    }
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn two_authorization_fields_are_400() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = with_bot(&key);
    let one = bearer(&key.sign(&claims("bot")));
    assert_eq!(scene.gateway.once(get("/", &format!("{one}{one}"))).status, 400);
    assert_eq!(scene.origin.count(), 0);
}

/// Every attack on a token that has a name: none may be taken for the bot.
#[test]
fn forged_and_twisted_tokens_are_401() {
    let key = TokenKey::generate("ES256", "k1");
    let rsa = TokenKey::generate("RS256", "r1");
    let own = TokenKey::generate("ES256", "k1");
    let scene = scene::with_keys(&[&key, &rsa], &["ES256", "RS256"], |policy| policy.agent("bot", BOT, &["all"], &[]));
    let good = claims("bot");
    let text = |value: &serde_json::Value| encode(value.to_string().as_bytes());
    let none = |alg: &str| format!("{}.{}.", text(&json!({"alg": alg, "typ": "JWT"})), text(&good));
    let confused = |secret: &[u8]| {
        let input = format!("{}.{}", text(&json!({"alg": "HS256", "typ": "JWT", "kid": "r1"})), text(&good));
        format!("{input}.{}", encode(&hmac_sha256(secret, input.as_bytes())))
    };
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64_of(&rsa.public_der()));
    let header = |more: serde_json::Value| {
        let mut header = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    let signed = key.sign(&good);
    let (input, signature) = signed.rsplit_once('.').unwrap();
    let zero = format!("{input}.{}", encode(&[0; 64]));
    let attacks = [
        ("alg none", none("none")),
        ("alg None", none("NONE")),
        ("alg absent", format!("{}.{}.", text(&json!({"typ": "JWT"})), text(&good))),
        ("HS256 over the DER of a public key", confused(&rsa.public_der())),
        ("HS256 over the PEM of a public key", confused(pem.as_bytes())),
        ("jwk in the header", own.sign_with(&header(json!({"jwk": own.jwk()})), &good)),
        ("jku in the header", own.sign_with(&header(json!({"jku": "http://127.0.0.1:1/keys"})), &good)),
        ("x5u in the header", own.sign_with(&header(json!({"x5u": "http://127.0.0.1:1/cert"})), &good)),
        ("kid of a path", own.sign_with(&header(json!({"kid": "../../../../dev/null"})), &good)),
        ("kid of another key family", key.sign_with(&header(json!({"kid": "r1"})), &good)),
        ("kid that is no string", key.sign_with(&header(json!({"kid": 1})), &good)),
        ("unknown kid", key.sign_with(&header(json!({"kid": "k2"})), &good)),
        ("unknown crit", key.sign_with(&header(json!({"crit": ["x-new"], "x-new": 1})), &good)),
        ("empty crit", key.sign_with(&header(json!({"crit": []})), &good)),
        ("b64 false", key.sign_with(&header(json!({"b64": false, "crit": ["b64"]})), &good)),
        ("signature of zeros", zero),
        ("signature cut short", format!("{input}.{}", &signature[..signature.len() - 4])),
        ("signature left out", format!("{input}.")),
        ("padding", format!("{signed}==")),
        ("four parts", format!("{signed}.x")),
        (
            "claims twice",
            key.sign_text(&header(json!({})).to_string(), &good.to_string().replace('{', "{\"sub\":\"x\",")),
        ),
        ("alg twice", key.sign_text("{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"k1\"}", &good.to_string())),
        ("not JSON", key.sign_text(&header(json!({})).to_string(), "bot")),
    ];
    for (what, token) in &attacks {
        assert_unauthorised(&scene.gateway.once(get("/", &bearer(token))), what);
    }
    assert_eq!(scene.origin.count(), 0);
    assert_eq!(scene.gateway.once(get("/", &bearer(&signed))).status, 200, "the good one is still good");
    let reasons: Vec<String> =
        scene.gateway.wait_for_records(1).iter().map(|record| record["adamant.reason"].to_string()).collect();
    assert!(!reasons.iter().any(|reason| reason.contains("throttled")), "refused unchecked: {reasons:?}");
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn claims_that_do_not_fit_are_401() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = with_bot(&key);
    let now = now_s();
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims("bot");
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        key.sign(&claims)
    };
    let wrong = [
        ("expired", with("exp", json!(now - 1))),
        ("no exp", with("exp", json!(null))),
        ("exp as text", with("exp", json!("2100-01-01"))),
        ("negative exp", with("exp", json!(-1))),
        ("nbf ahead", with("nbf", json!(now + 60))),
        ("nbf far ahead", with("nbf", json!(99_999_999_999_u64))),
        ("no iss", with("iss", json!(null))),
        ("other iss", with("iss", json!("https://evil.test"))),
        ("iss with a slash", with("iss", json!(format!("{ISSUER}/")))),
        ("iss as list", with("iss", json!([ISSUER]))),
        ("no aud", with("aud", json!(null))),
        ("other aud", with("aud", json!("other-api"))),
        ("longer aud", with("aud", json!(format!("{AUDIENCE}-2")))),
        ("no sub", with("sub", json!(null))),
        ("sub as number", with("sub", json!(1))),
    ];
    for (what, token) in &wrong {
        assert_unauthorised(&scene.gateway.once(get("/", &bearer(token))), what);
    }
    assert_eq!(scene.gateway.once(get("/", &bearer(&with("aud", json!(["other", AUDIENCE]))))).status, 200);
}

#[test]
fn a_token_that_expires_on_an_open_connection_is_refused_at_the_next_request() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = with_bot(&key);
    // What ends too soon for a machine that stands still is tried again, to end later.
    let begun = [8, 16, 32].into_iter().find_map(|life_s| {
        let (mut short, ends_s) = (claims("bot"), now_s() + life_s);
        short["exp"] = json!(ends_s);
        let request = get("/", &bearer(&key.sign(&short)));
        let mut client = scene.gateway.client();
        // Once more, from the cache.
        let is_good = (0..2).all(|_| client.exchange(&request).status == 200);
        assert!(is_good || now_s() >= ends_s, "refused before its end");
        is_good.then_some((client, request))
    });
    let (mut client, request) = begun.expect("a token that has not ended passes");
    let mut last = None;
    let ends = || last.insert(client.exchange(&request)).status != 200;
    assert!(eventually(Duration::from_secs(60), ends));
    assert_unauthorised(&last.unwrap(), "after its time");
}

#[test]
fn an_api_key_identifies_in_either_field_and_only_as_it_is() {
    let (first, second, other) = (ApiKey::new("bot-1"), ApiKey::new("bot-2"), ApiKey::new("bot-1"));
    let scene = api_key_scene(&[&first, &second], "{ api_key = [\"bot-1\", \"bot-2\"] }");
    for key in [&first, &second] {
        assert_eq!(scene.gateway.once(get("/", &format!("X-API-Key: {}\r\n", key.text))).status, 200);
        assert_eq!(scene.gateway.once(get("/", &bearer(&key.text))).status, 200);
    }
    for wrong in
        [&other.text, &first.with_wrong_checksum(), &first.text.to_uppercase(), &first.text.replace("bot-1", "bot-2")]
    {
        assert_unauthorised(&scene.gateway.once(get("/", &format!("X-API-Key: {wrong}\r\n"))), wrong);
    }
    assert_eq!(scene.origin.count(), 4);
}

fn api_key_scene(keys: &[&ApiKey], identity: &str) -> Scene {
    Scene::with_policy(
        |_, _| tests::answer::Answer::text("ok"),
        |origin| {
            let policy = tests::policy::PolicyText::new()
                .origin("origin", &[origin])
                .route("all", "*", "/{rest...}", "origin")
                .scope("all", &["all"])
                .agent("bot", identity, &["all"], &[]);
            keys.iter().fold(policy, |policy, key| policy.api_key(key, "")).text()
        },
    )
}

#[test]
fn an_expired_api_key_is_401() {
    let key = ApiKey::new("old");
    let origin = tests::origin::RecordingOrigin::start();
    let policy = tests::policy::PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .agent("bot", "{ api_key = [\"old\"] }", &["all"], &[])
        .api_key(&key, "expires = 2021-01-31T00:00:00Z");
    let gateway = tests::gateway::Gateway::dev(&policy.text());
    assert_eq!(gateway.once(get("/", &format!("X-API-Key: {}\r\n", key.text))).status, 401);
}

#[test]
fn credentials_of_two_agents_are_401() {
    let token_key = TokenKey::generate("ES256", "k1");
    let api_key = ApiKey::new("other-1");
    let scene = scene::with_tokens(&token_key, |policy| {
        policy
            .agent("bot", BOT, &["all"], &[])
            .agent("other", "{ api_key = [\"other-1\"] }", &["all"], &[])
            .api_key(&api_key, "")
    });
    let token = bearer(&token_key.sign(&claims("bot")));
    let api = format!("X-API-Key: {}\r\n", api_key.text);
    assert_eq!(scene.gateway.once(get("/", &token)).status, 200);
    assert_eq!(scene.gateway.once(get("/", &api)).status, 200);
    assert_unauthorised(&scene.gateway.once(get("/", &format!("{token}{api}"))), "two agents");
    let bad = bearer(&token_key.sign(&claims("nobody")));
    assert_unauthorised(&scene.gateway.once(get("/", &format!("{bad}{api}"))), "a good key beside a bad token");
}

#[test]
fn proofs_needed_together_are_no_use_apart() {
    let token_key = TokenKey::generate("ES256", "k1");
    let api_key = ApiKey::new("bot-1");
    let both = "{ api_key = [\"bot-1\"], token = { issuer = \"corp\", subject = \"bot\" } }";
    let scene = scene::with_tokens(&token_key, |policy| {
        policy
            .agent("bot", both, &["all"], &[])
            .agent("staff", "{ token = { issuer = \"corp\", subject = \"*\" } }", &["all"], &[])
            .api_key(&api_key, "")
    });
    let token = bearer(&token_key.sign(&claims("bot")));
    let api = format!("X-API-Key: {}\r\n", api_key.text);
    assert_eq!(scene.gateway.once(get("/", &format!("{token}{api}"))).status, 200);
    assert_unauthorised(&scene.gateway.once(get("/", &token)), "the token alone, not even as one of the population");
    assert_unauthorised(&scene.gateway.once(get("/", &api)), "the key alone");
}

#[test]
fn a_population_takes_every_subject_but_the_excepted_and_those_named_elsewhere() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = scene::with_tokens(&key, |policy| {
        policy
            .route("private", "GET", "/private", "origin")
            .scope("private", &["private"])
            .agent("boss", "{ token = { issuer = \"corp\", subject = \"boss\" } }", &["private"], &[])
            .agent("staff", "{ token = { issuer = \"corp\", subject = \"*\", except = [\"mallory\"] } }", &["all"], &[])
    });
    let as_subject = |subject: &str, path: &str| scene.gateway.once(get(path, &bearer(&key.sign(&claims(subject)))));
    assert_eq!(as_subject("alice", "/x").status, 200);
    assert_eq!(as_subject("bob", "/x").status, 200);
    assert_unauthorised(&as_subject("mallory", "/x"), "excepted");
    assert_eq!(as_subject("boss", "/private").status, 200);
    assert_eq!(as_subject("boss", "/x").status, 403, "the boss is not one of the staff");
    let agents: Vec<String> =
        scene.origin.requests().iter().filter_map(|request| request.value("Adamant-Agent").map(Into::into)).collect();
    assert_eq!(agents, ["staff", "staff", "boss"]);
}

#[test]
fn a_known_agent_is_403_where_it_may_not_go_and_where_nothing_is() {
    let key = TokenKey::generate("ES256", "k1");
    let origin = tests::origin::RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("corp.jwks.json"), tests::tokens::jwks(&[&key])).unwrap();
    let policy = tests::policy::PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("read", "GET", "/orders/{id}", "origin")
        .route("write", "POST", "/orders", "origin")
        .scope("orders:read", &["read"])
        .scope("orders:write", &["write"])
        .issuer(&["ES256"], "scope_claim = \"scope\"")
        .agent("bot", BOT, &["orders:read"], &[])
        .agent(
            "clerk",
            "{ token = { issuer = \"corp\", subject = \"clerk\" } }",
            &["orders:read", "orders:write"],
            &[],
        );
    let gateway = tests::gateway::Gateway::dev_in(directory, &policy.text(), &[]);
    let call = |subject: &str, scope: Option<&str>, request: &str| {
        let mut claims = claims(subject);
        if let Some(scope) = scope {
            claims["scope"] = json!(scope);
        }
        gateway.once(request.replace("\r\n\r\n", &format!("\r\n{}\r\n", bearer(&key.sign(&claims))))).status
    };
    let read = get("/orders/1", "");
    let write = "POST /orders HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n";
    let both = Some("orders:read orders:write");
    assert_eq!(call("bot", both, &read), 200);
    assert_eq!(call("bot", both, write), 403, "no scope, whatever the token says");
    assert_eq!(call("bot", both, &get("/nothing", "")), 403, "the same answer for what does not exist");
    assert_eq!(call("bot", both, &get("/orders/1/x", "")), 403);
    assert_eq!(call("clerk", both, write), 200);
    assert_eq!(call("clerk", Some("orders:read"), write), 403, "the token narrows");
    assert_eq!(call("clerk", None, &read), 403, "a claim that is configured and absent grants nothing");
    assert_eq!(gateway.once(&read).status, 401, "nobody is told to identify");
}

#[test]
fn the_anonymous_agent_adds_to_everybody_and_hides_nothing() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = scene::with_tokens(&key, |policy| {
        policy
            .route("public", "GET", "/public", "origin")
            .scope("public", &["public"])
            .anonymous(&["public"], &["1000/minute per subject"])
            .agent("bot", BOT, &["all"], &[])
    });
    assert_eq!(scene.gateway.once(get("/public", "")).status, 200);
    assert_eq!(scene.origin.last_of(1).value("Adamant-Agent"), None);
    assert_unauthorised(&scene.gateway.once(get("/private", "")), "not public");
    assert_unauthorised(&scene.gateway.once(get("/public", &bearer("garbage"))), "a bad credential on a public route");
    assert_eq!(scene.gateway.once(get("/public", &bearer(&key.sign(&claims("bot"))))).status, 200);
}

#[test]
fn a_flood_of_bad_tokens_does_not_keep_a_good_one_out_for_long_nor_reach_the_origin() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = with_bot(&key);
    let stranger = TokenKey::generate("ES256", "k1");
    let mut client = scene.gateway.client();
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    for number in 0..500 {
        let response = client.exchange(get("/", &bearer(&stranger.sign(&claims(&number.to_string())))));
        *statuses.entry(response.status).or_default() += 1;
        if response.value("Connection") == Some("close") {
            client = scene.gateway.client();
        }
    }
    assert_eq!(scene.origin.count(), 0);
    assert!(statuses.keys().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(scene.gateway.once(get("/", &bearer(&key.sign(&claims("bot"))))).status, 200);
}
