//! HTTP/1.1 as a gateway must speak it (RFC 9110, RFC 9112): connections, message order, framing, interim responses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use tests::answer::{Answer, Content, When};
use tests::client::{get, post};
use tests::process::eventually;
use tests::scene::Scene;

/// Whether a response is the gateway's own problem document (RFC 9457).
fn is_problem(response: &tests::client::Response) -> bool {
    response.value("Content-Type").is_some_and(|kind| kind.starts_with("application/problem+json"))
}

#[test]
fn many_requests_share_one_connection_on_both_sides() {
    let scene = Scene::scripted(|head, _| Answer::text(&head.target_text()));
    let mut client = scene.gateway.client();
    for number in 0..50 {
        let response = client.exchange(get(&format!("/n/{number}"), ""));
        assert_eq!((response.status, response.text()), (200, format!("/n/{number}")));
    }
    assert_eq!(scene.origin.count(), 50);
    assert_eq!(scene.origin.connections().len(), 1, "one connection to the origin is enough");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let scene = Scene::scripted(|head, index| {
        let answer = Answer::text(&head.target_text());
        if index == 0 { answer.after(Duration::from_millis(200)) } else { answer }
    });
    let mut client = scene.gateway.client();
    let all: String = (0..20).map(|number| get(&format!("/{number}"), "")).collect();
    client.send(all);
    for number in 0..20 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
    assert_eq!(scene.origin.count(), 20);
}

#[test]
fn pipelined_requests_with_content_keep_their_bounds() {
    let scene = Scene::scripted(|_, _| Answer::echo());
    let chunked = "POST /b HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    let mut client = scene.gateway.client();
    client.send(format!("{}{chunked}{}", post("/a", "", "one"), post("/c", "", "three")));
    let echoed: Vec<String> = (0..3).map(|_| client.response().text()).collect();
    assert_eq!(echoed, ["one", "two", "three"]);
}

#[test]
fn requests_may_come_in_pieces() {
    let scene = Scene::scripted(|_, _| Answer::echo());
    let mut client = scene.gateway.client();
    for byte in post("/slow", "", "abc").bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().text(), "abc");
}

#[test]
fn head_204_and_304_have_no_content_and_the_connection_goes_on() {
    let scene = Scene::scripted(|head, _| match head.target_text().as_str() {
        "/204" => Answer::new(204).with_content(Content::None),
        "/304" => Answer::new(304).with_content(Content::None).with_field("ETag", "\"e\""),
        _ => Answer::text("0123456789"),
    });
    let mut client = scene.gateway.client();
    let response = client.exchange(get("/", "").replace("GET", "HEAD"));
    assert_eq!((response.status, response.value("Content-Length")), (200, Some("10")));
    let response = client.exchange(get("/204", ""));
    assert_eq!((response.status, response.value("Content-Length")), (204, None));
    let response = client.exchange(get("/304", ""));
    assert_eq!((response.status, response.value("ETag")), (304, Some("\"e\"")));
    assert_eq!(client.exchange(get("/", "")).text(), "0123456789");
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_before_it_sends() {
    let scene = Scene::scripted(|_, _| Answer::echo());
    let mut client = scene.gateway.client();
    client.send("POST /e HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().0, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
    assert_eq!(client.exchange(post("/e", "", "again")).text(), "again");
}

#[test]
fn a_client_that_waits_and_is_refused_needs_not_send() {
    let scene = Scene::scripted(|_, _| Answer::new(413).at(When::InsteadOfContent).closing());
    let mut client = scene.gateway.client();
    client.send("POST /e HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let (status, _) = client.head();
    assert_eq!(status, 413);
}

#[test]
fn an_unknown_expectation_is_417() {
    let scene = Scene::open();
    assert_eq!(scene.gateway.once(post("/", "Expect: the-unexpected\r\n", "x")).status, 417);
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn early_hints_are_passed_on() {
    let scene = Scene::scripted(|_, _| Answer::text("final").with_interim(103, &[("Link", "</s.css>; rel=preload")]));
    let response = scene.gateway.once(get("/", ""));
    assert_eq!(response.text(), "final");
    let (status, fields) = response.interim.first().expect("an interim response");
    assert_eq!((*status, tests::first_value(fields, "Link")), (103, Some("</s.css>; rel=preload")));
}

#[test]
fn a_client_of_http_1_0_never_sees_an_interim_response() {
    let scene = Scene::scripted(|_, _| Answer::text("final").with_interim(103, &[("Link", "</s.css>")]));
    let response = scene.gateway.once("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n");
    assert_eq!((response.text().as_str(), response.interim.len()), ("final", 0));
}

#[test]
fn a_final_response_comes_through_while_the_content_still_comes() {
    let scene = Scene::scripted(|_, _| Answer::text("early").at(When::AfterHead));
    let mut client = scene.gateway.client();
    client.send("POST /e HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\n01234");
    let (status, _) = client.head();
    assert_eq!(status, 200, "before the content was whole");
    client.send("56789");
    assert!(eventually(Duration::from_secs(60), || scene.origin.requests()[0].complete), "the rest reached the origin");
}

#[test]
fn http_1_0_is_answered_and_closed_unless_it_asks_otherwise() {
    let scene = Scene::scripted(|_, _| Answer::text("ok"));
    let mut client = scene.gateway.client();
    assert_eq!(client.exchange("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n").status, 200);
    assert!(client.is_closed_within(Duration::from_secs(60)));
    let mut client = scene.gateway.client();
    let keep = "GET / HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(client.exchange(keep).status, 200);
    assert_eq!(client.exchange(keep).status, 200);
}

#[test]
fn a_chunked_response_reaches_a_client_of_http_1_0_without_chunks() {
    let chunks = vec![b"abc".to_vec(), b"def".to_vec()];
    let scene = Scene::scripted(move |_, _| {
        Answer::new(200).with_content(Content::Chunked {
            chunks: chunks.clone(),
            trailers: Vec::new(),
            pause: Duration::ZERO,
        })
    });
    let mut client = scene.gateway.client();
    let response = client.exchange("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n");
    assert_eq!((response.text().as_str(), response.value("Transfer-Encoding")), ("abcdef", None));
}

#[test]
fn connection_close_is_honoured() {
    let scene = Scene::open();
    let mut client = scene.gateway.client();
    let response = client.exchange(get("/", "Connection: close\r\n"));
    assert_eq!(response.value("Connection"), Some("close"));
    assert!(client.is_closed_within(Duration::from_secs(60)));
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let scene = Scene::scripted(|_, _| Answer::text("late").after(Duration::from_millis(200)));
    let mut client = scene.gateway.client();
    client.send(get("/", ""));
    client.half_close();
    assert_eq!(client.response().text(), "late");
}

#[test]
fn an_upgrade_is_refused_with_a_clear_answer() {
    let scene = Scene::open();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let response = scene.gateway.once(get("/ws", upgrade));
    assert!((400..=501).contains(&response.status), "{}", response.status);
    assert!(is_problem(&response), "{response:?}");
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn a_malformed_request_is_answered_400_and_closed_at_once() {
    let scene = Scene::open();
    let mut client = scene.gateway.client();
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(response.status, 400);
    assert!(is_problem(&response) && response.value("X-Request-Id").is_some(), "{response:?}");
    assert!(client.is_closed_within(Duration::from_secs(60)));
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn bounds_of_the_head_have_their_own_statuses() {
    let scene = Scene::open();
    assert_eq!(scene.gateway.once(get(&format!("/{}", "a".repeat(10_000)), "")).status, 414);
    assert_eq!(scene.gateway.once(get("/", &format!("X-Large: {}\r\n", "a".repeat(60_000)))).status, 431);
    let many: String = (0..200).map(|number| format!("X-{number}: v\r\n")).collect();
    assert_eq!(scene.gateway.once(get("/", &many)).status, 431);
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn a_response_without_framing_ends_with_the_origin_connection() {
    let scene = Scene::scripted(|_, _| Answer::new(200).with_content(Content::UntilClose(b"until the end".to_vec())));
    for _ in 0..2 {
        assert_eq!(scene.gateway.once(get("/", "")).text(), "until the end");
    }
    assert_eq!(scene.origin.connections().len(), 2);
}
