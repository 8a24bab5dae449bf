//! Fields on their way: what is passed, what is stripped, what the gateway sets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use tests::answer::Answer;
use tests::client::{get, post};
use tests::policy::PolicyText;
use tests::scene::{self, Scene, bearer};
use tests::tokens::{TokenKey, claims};

#[test]
fn hop_by_hop_fields_and_what_connection_lists_are_removed() {
    let scene = Scene::scripted(|_, _| {
        Answer::text("ok")
            .with_field("Keep-Alive", "timeout=99")
            .with_field("Connection", "X-Private")
            .with_field("X-Private", "origin")
            .with_field("Proxy-Authenticate", "Basic")
            .with_field("X-Public", "seen")
    });
    let fields = "Connection: keep-alive, X-Secret-Hop\r\nKeep-Alive: timeout=5\r\nX-Secret-Hop: 1\r\nTE: gzip\r\n\
                  Proxy-Authorization: Basic eDp5\r\nProxy-Connection: close\r\nX-End: to-end\r\n";
    let response = scene.gateway.once(get("/", fields));
    let request = scene.origin.last_of(1);
    for name in ["Keep-Alive", "X-Secret-Hop", "TE", "Proxy-Authorization", "Proxy-Connection"] {
        assert_eq!(request.value(name), None, "{name} reached the origin");
    }
    assert_eq!(request.value("X-End"), Some("to-end"));
    for name in ["Keep-Alive", "X-Private", "Proxy-Authenticate"] {
        assert_eq!(response.value(name), None, "{name} reached the client");
    }
    assert_eq!(response.value("X-Public"), Some("seen"));
}

#[test]
fn forwarding_fields_are_the_gateways_own() {
    let scene = Scene::open();
    let spoofed = "Forwarded: for=6.6.6.6;proto=https\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
                   X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\n\
                   X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\n\
                   X-Method-Override: DELETE\r\n";
    scene.gateway.once(get("/", spoofed));
    let request = scene.origin.last_of(1);
    let text = format!("{:?}", request.head.fields);
    for part in ["6.6.6.6", "evil.test", "/admin", "DELETE"] {
        assert!(!request.head.fields.iter().any(|field| field.text().contains(part)), "{part} in {text}");
    }
    assert_eq!(request.value("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.value("X-Forwarded-Proto"), Some("http"));
    assert_eq!(request.value("X-Forwarded-Host"), Some("api.test"));
    let forwarded = request.value("Forwarded").expect("Forwarded is set");
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
    assert!(request.value("Via").is_some());
}

#[test]
fn look_alikes_of_the_gateways_fields_do_not_pass() {
    let scene = Scene::open();
    scene.gateway.once(get("/", "X_Forwarded_For: 6.6.6.6\r\nAdamant_Agent: admin\r\nadamant-agent: admin\r\n"));
    let request = scene.origin.last_of(1);
    let values: Vec<&str> = request.head.fields.iter().map(tests::wire::Field::text).collect();
    assert!(!values.contains(&"6.6.6.6") && !values.contains(&"admin"), "{values:?}");
}

#[test]
fn every_exchange_has_one_request_id_that_both_sides_see() {
    let scene = Scene::open();
    let mut client = scene.gateway.client();
    let first = client.exchange(get("/", ""));
    let second = client.exchange(get("/", ""));
    let requests = scene.origin.wait_for(2);
    let ids: Vec<&str> = [&first, &second].iter().map(|response| response.value("X-Request-Id").unwrap()).collect();
    assert_eq!(requests[0].value("X-Request-Id"), Some(ids[0]));
    assert_eq!(requests[1].value("X-Request-Id"), Some(ids[1]));
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn traceparent_is_passed_on() {
    let scene = Scene::open();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    scene.gateway.once(get("/", &format!("traceparent: {trace}\r\ntracestate: a=b\r\n")));
    let request = scene.origin.last_of(1);
    assert_eq!(request.value("traceparent"), Some(trace));
    assert_eq!(request.value("tracestate"), Some("a=b"));
}

fn with_bot(key: &TokenKey) -> Scene {
    scene::with_tokens(key, |policy| {
        policy.agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[])
    })
}

#[test]
fn the_origin_learns_the_agent_from_the_gateway_alone() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = with_bot(&key);
    let fields = format!("{}Adamant-Agent: root\r\nADAMANT-AGENT: root\r\n", bearer(&key.sign(&claims("bot"))));
    assert_eq!(scene.gateway.once(get("/", &fields)).status, 200);
    let request = scene.origin.last_of(1);
    let agents: Vec<&str> = request
        .head
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("adamant-agent"))
        .map(tests::wire::Field::text)
        .collect();
    assert_eq!(agents, ["bot"]);
}

#[test]
fn credentials_are_stripped_unless_the_policy_passes_them() {
    let key = TokenKey::generate("ES256", "k1");
    let token = key.sign(&claims("bot"));
    let scene = with_bot(&key);
    assert_eq!(scene.gateway.once(get("/", &bearer(&token))).status, 200);
    let request = scene.origin.last_of(1);
    assert_eq!((request.value("Authorization"), request.value("X-API-Key")), (None, None));

    let passing = tests::origin::RecordingOrigin::start();
    let directory = tempfile_with_keys(&key);
    let policy = PolicyText::new()
        .origin_with("origin", &[passing.address()], "credentials = \"pass\"")
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
    let gateway = tests::gateway::Gateway::dev_in(directory, &policy.text(), &[]);
    assert_eq!(gateway.once(get("/", &bearer(&token))).status, 200);
    assert_eq!(passing.last_of(1).value("Authorization"), Some(format!("Bearer {token}").as_str()));
}

fn tempfile_with_keys(key: &TokenKey) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("corp.jwks.json"), tests::tokens::jwks(&[key])).unwrap();
    directory
}

#[test]
fn the_origin_is_not_told_to_clients_and_the_target_is_what_was_matched() {
    let scene = Scene::scripted(|_, _| Answer::text("ok").with_field("Server", "secret-origin/1.0"));
    let response = scene.gateway.once(get("/%7Euser/%61?q=%2f", ""));
    assert_ne!(response.value("Server"), Some("secret-origin/1.0"));
    assert_eq!(scene.origin.last_of(1).target(), "/~user/a?q=%2f");
}

#[test]
fn targets_that_could_mean_two_things_are_refused() {
    let scene = Scene::open();
    for path in [
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/./b",
        "/a//b",
        "/a\\b",
        "/a%5cb",
        "/a%00b",
        "/a%2fb",
        "/a/..;/b",
        "/%zz",
        "/a%c0%af",
    ] {
        let response = scene.gateway.once(get(path, ""));
        assert_eq!(response.status, 400, "{path}");
    }
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn end_to_end_fields_pass_both_ways_unchanged() {
    let scene = Scene::scripted(|_, _| {
        Answer::text("ok").with_field("Set-Cookie", "a=1").with_field("Set-Cookie", "b=2").with_field("ETag", "W/\"x\"")
    });
    let response = scene.gateway.once(post("/", "Content-Type: text/x\r\nCookie: a=1; b=\"2\"\r\nX-Empty:\r\n", "c"));
    let cookies: Vec<&str> = response
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("set-cookie"))
        .map(tests::wire::Field::text)
        .collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    let request = scene.origin.last_of(1);
    assert_eq!(request.value("Content-Type"), Some("text/x"));
    assert_eq!(request.value("Cookie"), Some("a=1; b=\"2\""));
    assert_eq!(request.value("X-Empty"), Some(""));
    assert_eq!(request.value("Host"), Some("api.test"));
}
