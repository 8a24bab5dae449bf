//! The harness against itself: the client, the origin and the drive work where no gateway stands between.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::time::Duration;

use tests::answer::{Answer, Content, Fault, When};
use tests::client::{Client, Ended, get, post};
use tests::origin::RecordingOrigin;

#[test]
fn the_origin_answers_as_its_script_says_and_records_what_came() {
    let origin = RecordingOrigin::scripted(|head, _| match head.target_text().as_str() {
        "/chunks" => Answer::new(200).with_content(Content::Chunked {
            chunks: vec![b"ab".to_vec(), b"cd".to_vec()],
            trailers: vec![("X-Sum".into(), "1".into())],
            pause: Duration::ZERO,
        }),
        "/hints" => Answer::text("x").with_interim(103, &[("Link", "y")]),
        _ => Answer::echo(),
    });
    let mut client = Client::connect(origin.address());
    let response = client.exchange(get("/chunks", ""));
    assert_eq!((response.text().as_str(), tests::first_value(&response.trailers, "X-Sum")), ("abcd", Some("1")));
    assert_eq!(client.exchange(get("/hints", "")).interim[0].0, 103);
    assert_eq!(client.exchange(post("/", "", "hello")).text(), "hello");
    let requests = origin.wait_for(3);
    assert_eq!((requests[2].content.as_slice(), requests[2].connection), (&b"hello"[..], 0));
    assert_eq!(origin.take_raw().concat().iter().filter(|byte| **byte == b'G').count(), 2);
    assert!(origin.take_raw().is_empty());
}

#[test]
fn the_origin_breaks_where_it_is_told_to() {
    for (fault, whole_head) in [(Fault::BeforeResponse, false), (Fault::InHead, false), (Fault::InContent, true)] {
        let origin = RecordingOrigin::scripted(move |_, _| Answer::broken(fault));
        let mut client = Client::connect(origin.address());
        client.send(get("/", ""));
        let (bytes, ended) = client.read_until_quiet(Duration::from_secs(60), Duration::from_secs(60));
        assert_ne!(ended, Ended::Open, "{fault:?}");
        assert_eq!(bytes.windows(4).any(|window| window == b"\r\n\r\n"), whole_head, "{fault:?}");
        assert!(!bytes.ends_with(b"0123456789"));
    }
}

#[test]
fn the_origin_refuses_what_is_not_canonical_and_says_why() {
    let origin = RecordingOrigin::start();
    let mut client = Client::connect(origin.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 400);
    assert!(client.is_closed_within(Duration::from_secs(60)));
    let fault = origin.connections()[0].fault.clone();
    assert!(fault.is_some_and(|why| why.contains("Content-Length together with Transfer-Encoding")));
}

#[test]
fn an_early_answer_comes_before_the_content() {
    let origin = RecordingOrigin::scripted(|_, _| Answer::text("early").at(When::AfterHead));
    let mut client = Client::connect(origin.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.response().text(), "early");
    assert!(!origin.requests()[0].complete);
    client.send("abc");
    assert!(origin.wait_for(1)[0].complete);
}

#[test]
fn a_stopped_origin_refuses_and_its_address_can_be_taken_again() {
    let mut origin = RecordingOrigin::start();
    let address = origin.address();
    origin.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
    let again = RecordingOrigin::at(address, |_, _| Answer::text("again"));
    assert_eq!(tests::client::once(again.address(), get("/", "")).text(), "again");
}
