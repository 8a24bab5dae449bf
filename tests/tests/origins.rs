//! Origins that are slow, broken or away: what the client sees, and what is tried again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::time::{Duration, Instant};

use tests::answer::{Answer, Fault};
use tests::certificates::Authority;
use tests::client::{get, post};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::free_port;
use tests::scene::Scene;

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

fn over(addresses: &[std::net::SocketAddr]) -> String {
    PolicyText::new()
        .origin("origin", addresses)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[])
        .text()
}

#[test]
fn an_origin_that_refuses_is_502_with_proxy_status() {
    let gateway = Gateway::dev(&over(&[nobody()]));
    let response = gateway.once(get("/", ""));
    assert_eq!(response.status, 502);
    assert!(response.value("Proxy-Status").is_some_and(|status| status.contains("error=")), "{response:?}");
}

#[test]
fn an_origin_that_breaks_off_is_502() {
    for fault in [Fault::BeforeResponse, Fault::InHead] {
        let scene = Scene::scripted(move |_, _| Answer::broken(fault));
        let response = scene.gateway.once(post("/", "", "x"));
        assert_eq!(response.status, 502, "{fault:?}");
        assert_eq!(scene.origin.count(), 1, "a request that may not be repeated is sent once");
    }
}

#[test]
fn an_origin_that_talks_nonsense_is_502() {
    let nonsense: [&[u8]; 5] = [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ];
    for bytes in nonsense {
        let scene =
            Scene::scripted(move |_, _| Answer::new(200).with_content(tests::answer::Content::Raw(bytes.to_vec())));
        let status = scene.gateway.once(post("/", "", "x")).status;
        assert_eq!(status, 502, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn an_origin_that_is_too_slow_is_504() {
    let origin = RecordingOrigin::scripted(|_, _| Answer::broken(Fault::Silence));
    let gateway =
        Deployment::new().with("[timeouts]\norigin_first_byte = \"500ms\"").run(&open_to_all(origin.address()).text());
    let started = Instant::now();
    let response = gateway.once(post("/", "", "x"));
    assert_eq!(response.status, 504);
    assert!(started.elapsed() > Duration::from_millis(400));
}

#[test]
fn a_safe_request_is_tried_again_once_and_no_other_is() {
    let scene = Scene::scripted(
        |_, index| if index == 0 { Answer::broken(Fault::BeforeResponse) } else { Answer::text("2nd") },
    );
    assert_eq!(scene.gateway.once(get("/", "")).text(), "2nd");
    assert_eq!(scene.origin.count(), 2);
    let scene = Scene::scripted(|_, _| Answer::broken(Fault::BeforeResponse));
    assert_eq!(scene.gateway.once(get("/", "")).status, 502);
    assert_eq!(scene.origin.count(), 2, "once more, not for ever");
}

#[test]
fn a_stale_pooled_connection_is_noticed_before_a_request_that_may_not_be_repeated() {
    let scene = Scene::open();
    for round in 0..5 {
        assert_eq!(scene.gateway.once(get("/warm", "")).status, 200);
        scene.origin.close_connections();
        std::thread::sleep(Duration::from_millis(150));
        let response = scene.gateway.once(post("/order", "", "one"));
        assert_eq!(response.status, 200, "round {round}");
    }
    assert_eq!(scene.origin.requests().iter().filter(|request| request.head.method == "POST").count(), 5);
}

#[test]
fn addresses_take_turns_and_a_failed_one_is_set_aside() {
    let (one, two) = (RecordingOrigin::start(), RecordingOrigin::start());
    let gateway = Gateway::dev(&over(&[one.address(), two.address()]));
    for _ in 0..20 {
        assert_eq!(gateway.once(get("/", "")).status, 200);
    }
    assert!(one.count() >= 5 && two.count() >= 5, "{} and {}", one.count(), two.count());

    let gateway = Gateway::dev(&over(&[nobody(), two.address()]));
    let before = two.count();
    for _ in 0..20 {
        assert_eq!(gateway.once(get("/", "")).status, 200, "the good address serves what the bad one cannot");
    }
    assert_eq!(two.count() - before, 20);
}

#[test]
fn an_origin_that_comes_back_is_used_again() {
    let mut origin = RecordingOrigin::start();
    let address = origin.address();
    let gateway = Gateway::dev(&over(&[address]));
    assert_eq!(gateway.once(get("/", "")).status, 200);
    origin.stop();
    assert_eq!(gateway.once(get("/", "")).status, 502);
    let back = RecordingOrigin::at(address, |_, _| Answer::text("back"));
    let served = tests::process::eventually(Duration::from_secs(60), || gateway.once(get("/", "")).status == 200);
    assert!(served && back.count() > 0);
}

#[test]
fn an_origin_over_tls_is_verified() {
    let authority = Authority::new("origin CA");
    let server = authority.server(&["origin.test"]);
    let origin = RecordingOrigin::tls(server.server_config(), |_, _| Answer::text("over TLS"));
    let policy = |ca: &str, name: &str| {
        PolicyText::new()
            .origin_with(
                "origin",
                &[origin.address()],
                &format!("tls = {{ ca = {{ file = \"{ca}\" }}, server_name = \"{name}\" }}"),
            )
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .anonymous(&["all"], &[])
            .text()
    };
    let gateway = |ca: &str, name: &str| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("good.pem"), &authority.pem).unwrap();
        fs::write(directory.path().join("other.pem"), Authority::new("other CA").pem).unwrap();
        Gateway::dev_in(directory, &policy(ca, name), &[])
    };
    assert_eq!(gateway("good.pem", "origin.test").once(get("/", "")).text(), "over TLS");
    assert_eq!(gateway("other.pem", "origin.test").once(get("/", "")).status, 502);
    assert_eq!(gateway("good.pem", "another.test").once(get("/", "")).status, 502);
    assert_eq!(origin.count(), 1, "nothing is sent to an origin that is not verified");
}
