//! Every limit of `[timeouts]`, reached with small values: not before its time, and not long after it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tests::answer::{Answer, Content, Fault};
use tests::certificates::Authority;
use tests::client::{Client, get, post};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::scene::Scene;

/// The limit under test; the others are far away.
const LIMIT: &str = "600ms";
const EARLIEST: Duration = Duration::from_millis(550);
/// Two ticks of the sweep, and a slow machine.
const LATEST: Duration = Duration::from_millis(2_500);

fn limited(which: &str, answer: Answer) -> Scene {
    let origin = RecordingOrigin::scripted(move |_, _| answer.clone());
    let gateway = Deployment::new()
        .with(&format!("[timeouts]\n{which} = \"{LIMIT}\""))
        .run(&open_to_all(origin.address()).text());
    Scene { gateway, origin }
}

/// Runs `what`, which must take about as long as the limit.
fn takes_the_limit<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = run();
    let took = started.elapsed();
    assert!((EARLIEST..LATEST).contains(&took), "{what} took {took:?}, the limit is {LIMIT}");
    result
}

/// Waits until the peer closes; false where it does not in ten seconds.
fn closes(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buffer = [0; 1_024];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !tests::stream::timed_out(&error),
        }
    }
}

fn reason_of(gateway: &Gateway) -> String {
    gateway.wait_for_records(1)[0]["adamant.reason"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_idle() {
    let scene = limited("idle", Answer::text("ok"));
    let mut silent = TcpStream::connect(scene.address()).unwrap();
    takes_the_limit("a connection without a request", || assert!(closes(&mut silent)));
    let mut client = scene.gateway.client();
    for _ in 0..4 {
        assert_eq!(client.exchange(get("/", "")).status, 200);
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(client.exchange(get("/", "")).status, 200, "each request starts the time anew");
    takes_the_limit("idling after a request", || assert!(client.is_closed_within(Duration::from_secs(10))));
}

#[test]
fn a_head_must_be_whole_in_time_however_slowly_it_comes() {
    let scene = limited("head", Answer::text("ok"));
    let mut stalled = TcpStream::connect(scene.address()).unwrap();
    thread::sleep(Duration::from_millis(900));
    stalled.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    takes_the_limit("a head that stalls", || assert!(closes(&mut stalled)));
    let mut dripping = TcpStream::connect(scene.address()).unwrap();
    let mut writer = dripping.try_clone().unwrap();
    takes_the_limit("a head that drips", || {
        thread::spawn(move || {
            for byte in get("/", &"X: y\r\n".repeat(50)).bytes() {
                if writer.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        assert!(closes(&mut dripping));
    });
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn a_handshake_must_be_over_in_time() {
    let (authority, origin) = (Authority::new("server CA"), RecordingOrigin::start());
    let gateway = Deployment::new()
        .tls_listener(&authority.server(&["api.test"]), "off")
        .with(&format!("[timeouts]\nhandshake = \"{LIMIT}\""))
        .run(&open_to_all(origin.address()).text());
    let mut silent = TcpStream::connect(gateway.tls_address()).unwrap();
    takes_the_limit("a handshake that never begins", || assert!(closes(&mut silent)));
    let mut dripping = TcpStream::connect(gateway.tls_address()).unwrap();
    let mut writer = dripping.try_clone().unwrap();
    takes_the_limit("a handshake that drips", || {
        thread::spawn(move || {
            let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 500]].concat();
            for byte in hello {
                if writer.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        assert!(closes(&mut dripping));
    });
    let mut client = Client::connect_tls(gateway.tls_address(), "api.test", &authority.client_config(None)).unwrap();
    thread::sleep(Duration::from_millis(1_200));
    assert_eq!(client.exchange(get("/", "")).status, 200, "one that is over has no limit of it left");
}

#[test]
fn a_client_that_stalls_in_its_content_is_cut() {
    let scene = limited("content_idle", Answer::text("ok"));
    let mut client = TcpStream::connect(scene.address()).unwrap();
    client.write_all(&post("/", "", "0123456789").as_bytes()[..60]).unwrap();
    takes_the_limit("content that stalls", || assert!(closes(&mut client)));
    assert_eq!(reason_of(&scene.gateway), "client-timeout");
    assert!(scene.origin.requests().iter().all(|request| !request.complete));
    let gone = eventually(Duration::from_secs(5), || scene.origin.open_connections() == 0);
    assert!(gone, "a request cut short leaves no connection to the origin");

    let mut slow = scene.gateway.client();
    slow.send("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 6\r\n\r\n");
    for _ in 0..6 {
        slow.send("x");
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(slow.response().status, 200, "slow is not idle");
}

#[test]
fn an_origin_that_stalls_in_its_content_is_cut() {
    let pieces = |pause| Content::Chunked {
        chunks: vec![b"one".to_vec(), b"two".to_vec(), b"three".to_vec()],
        trailers: Vec::new(),
        pause: Duration::from_millis(pause),
    };
    let scene = limited("content_idle", Answer::new(200).with_content(pieces(4_000)));
    let mut client = scene.gateway.client();
    client.send(get("/", ""));
    let broken = takes_the_limit("content that stalls", || client.try_response_to("GET"));
    assert!(broken.is_err(), "a response cut short is no whole one: {broken:?}");
    assert_eq!(reason_of(&scene.gateway), "origin-timeout");
    scene.origin.answer_with(move |_, _| Answer::new(200).with_content(pieces(350)));
    assert_eq!(scene.gateway.once(get("/", "")).text(), "onetwothree", "slow is not idle");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let scene = limited("content_idle", Answer::new(200).with_content(Content::Filler(64 << 20)));
    let mut client = scene.gateway.client();
    client.send(get("/", ""));
    let started = Instant::now();
    scene.gateway.wait_for_records(1);
    assert!((EARLIEST..LATEST).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(reason_of(&scene.gateway), "client-timeout");
}

fn over(origin: SocketAddr, more: &str) -> String {
    PolicyText::new()
        .origin_with("origin", &[origin], more)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[])
        .text()
}

/// A listener that takes no further connection: its queue is full.
fn full() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(150)).ok();
    let waiting: Vec<TcpStream> = std::iter::from_fn(connect).take(10_000).collect();
    assert!(waiting.len() < 10_000, "the queue never filled");
    (listener, waiting)
}

#[test]
fn an_origin_that_does_not_take_the_connection_is_504() {
    let (listener, _waiting) = full();
    let gateway = Deployment::new()
        .with(&format!("[timeouts]\norigin_connect = \"{LIMIT}\""))
        .run(&over(listener.local_addr().unwrap(), ""));
    let response = takes_the_limit("connecting", || gateway.once(post("/", "", "x")));
    assert_eq!(response.status, 504);
    assert!(response.value("Proxy-Status").is_some_and(|status| status.contains("timeout")), "{response:?}");
    assert_eq!(reason_of(&gateway), "origin-connect-timeout");
}

#[test]
fn an_origin_that_does_not_finish_the_handshake_is_504() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = "tls = { ca = { file = \"ca.pem\" }, server_name = \"origin.test\" }";
    let gateway = Deployment::new()
        .file("ca.pem", &Authority::new("origin CA").pem)
        .with(&format!("[timeouts]\norigin_connect = \"{LIMIT}\""))
        .run(&over(silent.local_addr().unwrap(), tls));
    let response = takes_the_limit("the origin's handshake", || gateway.once(get("/", "")));
    assert_eq!(response.status, 504);
}

#[test]
fn an_idle_connection_to_an_origin_is_closed() {
    let scene = limited("origin_idle", Answer::text("ok"));
    assert_eq!(scene.gateway.once(get("/", "")).status, 200);
    assert_eq!(scene.origin.open_connections(), 1);
    // Looked at once a second.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(scene.origin.open_connections(), 1, "not before its time");
    assert!(eventually(LATEST, || scene.origin.open_connections() == 0));
}

#[test]
fn a_whole_exchange_is_over_in_time_whoever_is_slow() {
    let scene = limited("exchange", Answer::broken(Fault::Silence));
    let mut client = scene.gateway.client();
    client.send(get("/", ""));
    takes_the_limit("an origin that is silent", || drop(client.try_response_to("GET")));
    let started = Instant::now();
    assert_eq!(reason_of(&scene.gateway), "exchange-timeout", "after {:?}", started.elapsed());
    assert_eq!(scene.gateway.metric("exchanges_in_flight"), 0.0);
    assert!(eventually(LATEST, || scene.origin.open_connections() == 0), "the origin's connection is given up too");
}

#[test]
fn a_whole_exchange_is_over_in_time_although_each_piece_is() {
    let chunks = vec![b"piece".to_vec(); 20];
    let content = Content::Chunked { chunks, trailers: Vec::new(), pause: Duration::from_millis(200) };
    let scene = limited("exchange", Answer::new(200).with_content(content));
    let mut client = scene.gateway.client();
    client.send(get("/", ""));
    let broken = takes_the_limit("a response in many pieces", || client.try_response_to("GET"));
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(reason_of(&scene.gateway), "exchange-timeout");

    let scene = limited("exchange", Answer::text("ok"));
    let mut client = scene.gateway.client();
    for _ in 0..5 {
        assert_eq!(client.exchange(get("/", "")).status, 200);
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(client.exchange(get("/", "")).status, 200, "waiting between exchanges does not count");
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let origin = RecordingOrigin::scripted(|_, _| Answer::broken(Fault::Silence));
    let mut gateway = Deployment::new().with("[timeouts]\ndrain = \"60s\"").run(&open_to_all(origin.address()).text());
    let mut client = gateway.client();
    client.send(get("/", ""));
    origin.wait_for_head(1);
    gateway.signal("TERM");
    thread::sleep(Duration::from_millis(700));
    assert!(gateway.is_running(), "an exchange still runs");
    gateway.signal("TERM");
    assert!(gateway.wait(Duration::from_secs(5)).is_some(), "cut at the second signal");
}
