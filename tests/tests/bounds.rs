//! Every bound of `[bounds]`, reached with small values: what is within passes, what is beyond is refused as it should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::thread;
use std::time::{Duration, Instant};

use tests::answer::{Answer, Gate};
use tests::client::{Client, get, post};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::scene::{Scene, bearer};
use tests::tokens::{TokenKey, claims, jwks};

const SOON: Duration = Duration::from_secs(60);

/// A gateway with these lines in `[bounds]`.
fn bounded(bounds: &str) -> Scene {
    held(bounds).0
}

/// The same; the origin answers `/slow` once the gate is open and all else at once.
fn held(bounds: &str) -> (Scene, Gate) {
    let gate = Gate::default();
    let of_origin = gate.clone();
    let origin = RecordingOrigin::scripted(move |head, _| {
        if head.target == b"/slow" {
            of_origin.pass();
        }
        Answer::text("ok")
    });
    let gateway = Deployment::new().with(&format!("[bounds]\n{bounds}")).run(&open_to_all(origin.address()).text());
    (Scene { gateway, origin }, gate)
}

/// A chunked POST of `count` bytes in chunks of 100.
fn chunked(count: usize) -> String {
    let mut text = "POST /c HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let mut left = count;
    while left > 0 {
        let piece = left.min(100);
        text.push_str(&format!("{piece:x}\r\n{}\r\n", "x".repeat(piece)));
        left -= piece;
    }
    text.push_str("0\r\n\r\n");
    text
}

fn send_slow(clients: &mut [Client]) {
    for client in clients {
        client.send(get("/slow", ""));
    }
}

fn last_reason(gateway: &Gateway, count: usize) -> String {
    let records = gateway.wait_for_records(count);
    records.last().unwrap()["adamant.reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn connections_beyond_the_bound_are_closed_and_room_comes_back() {
    let scene = bounded("connections_max = 3");
    let mut clients: Vec<Client> = (0..3).map(|_| scene.gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.exchange(get("/", "")).status, 200);
    }
    for _ in 0..3 {
        assert!(scene.gateway.client().is_closed_within(SOON), "a fourth connection is closed");
    }
    for client in &mut clients {
        assert_eq!(client.exchange(get("/", "")).status, 200, "those that are there go on");
    }
    assert!(eventually(SOON, || scene.gateway.metric("connections_refused_total") >= 3.0));
    clients.pop();
    let served = eventually(SOON, || {
        let mut client = scene.gateway.client();
        client.try_send(get("/", "").as_bytes()).is_ok() && client.try_response_to("GET").is_ok()
    });
    assert!(served, "a place that came free is used");
}

#[test]
fn exchanges_in_flight_beyond_the_bound_are_503_with_retry_after() {
    let (scene, gate) = held("exchanges_in_flight_max = 2");
    let mut slow: Vec<Client> = (0..2).map(|_| scene.gateway.client()).collect();
    send_slow(&mut slow);
    scene.origin.wait_for_head(2);
    let mut third = scene.gateway.client();
    let refused = third.exchange(get("/third", ""));
    assert_eq!(refused.status, 503);
    assert!(refused.value("Retry-After").is_some_and(|wait| wait.parse::<u64>().is_ok()), "{refused:?}");
    assert_eq!(scene.origin.count(), 2, "it did not reach the origin");
    assert_eq!(last_reason(&scene.gateway, 1), "overloaded");
    gate.open();
    slow.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(third.exchange(get("/third", "")).status, 200, "the connection goes on, and there is room again");
}

#[test]
fn the_last_request_of_a_connection_is_told_so() {
    let scene = bounded("requests_per_connection_max = 3");
    let mut client = scene.gateway.client();
    for number in 1..=3 {
        let response = client.exchange(get("/", ""));
        assert_eq!(response.status, 200);
        assert_eq!(response.value("Connection"), (number == 3).then_some("close"), "response {number}");
    }
    assert!(client.is_closed_within(SOON));
    let mut pipelining = scene.gateway.client();
    pipelining.send(get("/", "").repeat(5));
    for number in 1..=3 {
        assert_eq!(pipelining.response().value("Connection"), (number == 3).then_some("close"), "response {number}");
    }
    assert!(pipelining.is_closed_within(SOON), "what was pipelined beyond the last is not answered");
    assert_eq!(scene.origin.count(), 6);
}

#[test]
fn content_beyond_the_bound_is_413_before_it_is_sent_where_its_length_is_known() {
    let scene = bounded("request_content_bytes_max = 1000");
    assert_eq!(scene.gateway.once(post("/", "", &"x".repeat(1000))).status, 200);
    let mut client = scene.gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(client.response().status, 413, "told although nothing of it was sent");
    let expecting = "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n";
    let refused = scene.gateway.once(expecting);
    assert_eq!((refused.status, refused.interim.len()), (413, 0));
    assert_eq!(scene.origin.count(), 1, "nothing too large reached the origin");
    assert_eq!(last_reason(&scene.gateway, 3), "content-too-large");
}

#[test]
fn chunked_content_is_413_when_it_reaches_the_bound() {
    let scene = bounded("request_content_bytes_max = 1000");
    assert_eq!(scene.gateway.once(chunked(1000)).status, 200);
    assert_eq!(scene.origin.last_of(1).content_bytes, 1000);
    for count in [1001, 5_000, 200_000] {
        let mut client = scene.gateway.client();
        let _ = client.try_send(chunked(count).as_bytes());
        assert_eq!(client.response().status, 413, "{count} bytes");
        assert!(client.is_closed_within(SOON), "{count} bytes: nobody knows where the next request begins");
    }
    let requests = scene.origin.requests();
    assert!(requests.iter().skip(1).all(|request| !request.complete && request.content_bytes <= 1000), "{requests:?}");
    assert_eq!(last_reason(&scene.gateway, 4), "content-too-large");
}

#[test]
fn the_head_is_bounded_in_bytes_to_the_byte() {
    let scene = bounded("head_bytes_max = 512");
    let head_of = |bytes: usize| {
        let bare = get("/", "X-Fill: \r\n").len();
        get("/", &format!("X-Fill: {}\r\n", "x".repeat(bytes - bare)))
    };
    assert_eq!(head_of(512).len(), 512);
    assert_eq!(scene.gateway.once(head_of(512)).status, 200);
    assert_eq!(scene.gateway.once(head_of(513)).status, 431);
    let mut endless = scene.gateway.client();
    endless.send(&head_of(2_000)[..600]);
    assert_eq!(endless.response().status, 431, "a head that does not end is refused at the bound");
    assert!(endless.is_closed_within(SOON));
    let mut after_content = scene.gateway.client();
    after_content.send(format!("{}{}", post("/", "", &"y".repeat(3_000)), head_of(512)));
    assert_eq!((after_content.response().status, after_content.response().status), (200, 200), "content is no head");
    assert_eq!(scene.origin.count(), 3);
}

#[test]
fn target_and_fields_are_bounded() {
    let scene = bounded("target_bytes_max = 256\nfields_max = 5");
    let target = |bytes: usize| get(&format!("/{}", "t".repeat(bytes - 1)), "");
    assert_eq!(scene.gateway.once(target(256)).status, 200);
    assert_eq!(scene.gateway.once(target(257)).status, 414);
    let fields = |count: usize| get("/", &(1..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>());
    assert_eq!(scene.gateway.once(fields(5)).status, 200, "Host and four more");
    assert_eq!(scene.gateway.once(fields(6)).status, 431);
    assert_eq!(scene.origin.count(), 2);
}

/// Two exchanges at once, so that there are two connections to the origin.
fn two_at_once(scene: &Scene, gate: &Gate) {
    let mut clients: Vec<Client> = (0..2).map(|_| scene.gateway.client()).collect();
    send_slow(&mut clients);
    scene.origin.wait_for_head(2);
    assert_eq!(scene.origin.open_connections(), 2);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
}

#[test]
fn only_so_many_idle_connections_to_an_origin_are_kept() {
    for kept in [0, 1, 2] {
        let (scene, gate) = held(&format!("origin_idle_max = {kept}"));
        two_at_once(&scene, &gate);
        assert!(eventually(SOON, || scene.origin.open_connections() == kept), "{}", scene.origin.open_connections());
        thread::sleep(Duration::from_millis(300));
        assert_eq!(scene.origin.open_connections(), kept);
        assert_eq!(scene.gateway.once(get("/", "")).status, 200);
    }
}

#[test]
fn only_so_many_connections_to_an_origin_are_opened() {
    let (scene, gate) = held("origin_connections_max = 2");
    let mut slow: Vec<Client> = (0..2).map(|_| scene.gateway.client()).collect();
    send_slow(&mut slow);
    scene.origin.wait_for_head(2);
    let refused = scene.gateway.once(post("/third", "", "x"));
    assert_eq!(refused.status, 503);
    assert!(refused.value("Retry-After").is_some(), "{refused:?}");
    assert_eq!(scene.origin.connections().len(), 2);
    gate.open();
    slow.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(scene.gateway.once(post("/third", "", "x")).status, 200, "a kept connection is taken");
    assert_eq!(scene.origin.connections().len(), 2);
}

/// Sixteen tokens in turn, four rounds, with a cache of so many entries: how many were found and how many were verified
/// anew.
fn found_and_verified(entries: &str) -> (f64, f64) {
    let key = TokenKey::generate("ES256", "k1");
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
        .agent("staff", "{ token = { issuer = \"corp\", subject = \"*\" } }", &["all"], &[]);
    let gateway = Deployment::new()
        .file("corp.jwks.json", &jwks(&[&key]))
        .with(&format!("[bounds]\n{entries}"))
        .run(&policy.text());
    let tokens: Vec<String> = (0..16).map(|subject| key.sign(&claims(&format!("subject-{subject}")))).collect();
    let mut client = gateway.client();
    for _ in 0..4 {
        for token in &tokens {
            assert_eq!(client.exchange(get("/", &bearer(token))).status, 200);
        }
        let mut forged = tokens[0].clone();
        forged.replace_range(forged.len() - 6..forged.len() - 2, "AAAA");
        assert_eq!(client.exchange(get("/", &bearer(&forged))).status, 401, "never taken for the good one");
    }
    assert_eq!(origin.count(), 64);
    // Workers tell their look-ups once a tick, those of forged ones among them.
    let told = || (gateway.metric("token_cache_hits_total"), gateway.metric("token_cache_misses_total"));
    assert!(eventually(SOON, || told().0 + told().1 >= 68.0), "{:?}", told());
    told()
}

#[test]
fn tokens_that_fell_out_of_the_cache_are_still_verified() {
    found_and_verified("token_cache_entries_max = 8");
}

#[test]
fn what_the_cache_holds_is_not_verified_again_and_the_metrics_say_so() {
    let (roomy, tight) = (found_and_verified(""), found_and_verified("token_cache_entries_max = 8"));
    assert!((16.0..=20.0).contains(&roomy.1) && roomy.0 >= 48.0, "sixteen tokens, at most four forged ones: {roomy:?}");
    assert!(tight.1 >= roomy.1 + 4.0, "{tight:?} found and verified with room for eight, {roomy:?} with room for all");
}

#[test]
fn failed_identifications_are_bounded_for_one_client_and_in_total() {
    for bound in ["identification_failures_per_prefix_per_s_max = 5", "identification_failures_per_s_max = 5"] {
        let key = TokenKey::generate("ES256", "k1");
        let origin = RecordingOrigin::start();
        let policy = PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .issuer(&["ES256"], "")
            .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
        let gateway = Deployment::new()
            .file("corp.jwks.json", &jwks(&[&key]))
            .with(&format!("[bounds]\n{bound}"))
            .run(&policy.text());
        let stranger = TokenKey::generate("ES256", "k1");
        let (mut client, begun) = (gateway.client(), Instant::now());
        for number in 0..40 {
            let forged = bearer(&stranger.sign(&claims(&format!("s{number}"))));
            assert!([401, 429, 503].contains(&client.exchange(get("/", &forged)).status), "{bound}");
        }
        // Five more in each second that it takes.
        let most = 20 + 5 * usize::try_from(begun.elapsed().as_secs()).unwrap();
        let records = gateway.wait_for_records(40);
        let checked = records.iter().filter(|record| record["adamant.reason"] == "token-invalid").count();
        assert!((5..=most).contains(&checked), "{bound}: {checked} signatures were checked of 40");
        thread::sleep(Duration::from_millis(2_500));
        assert_eq!(client.exchange(get("/", &bearer(&key.sign(&claims("bot"))))).status, 200, "{bound}: it passes");
    }
}
