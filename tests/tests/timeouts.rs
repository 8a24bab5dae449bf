//! Every limit of `[timeouts]`, reached with small values: not before its time, and not long after it; and what is only slow, with
//! a limit that is longer than a busy machine stands still.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::io::Write;
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

/// The limit under test, where it is reached; the others are far away.
const LIMIT: &str = "600ms";
const EARLIEST: Duration = Duration::from_millis(550);
/// Two ticks of the sweep, and a slow machine.
const LATEST: Duration = Duration::from_millis(2_500);
/// Of many, one comes in time whatever else the machine does.
const ATTEMPTS: usize = 10;
/// The limit where it must not be reached, and what together takes longer.
const FAR: &str = "6s";
const STEPS: usize = 24;
const STEP: Duration = Duration::from_millis(275);

fn limited(which: &str, limit: &str, answer: Answer) -> Scene {
    let origin = RecordingOrigin::scripted(move |_, _| answer.clone());
    let gateway = Deployment::new()
        .with(&format!("[timeouts]\n{which} = \"{limit}\""))
        .run(&open_to_all(origin.address()).text());
    Scene { gateway, origin }
}

/// Runs what must take about as long as the limit, from its first word on.
fn takes_the_limit<T>(what: &str, mut run: impl FnMut() -> T) -> T {
    let mut took = Duration::ZERO;
    for _ in 0..ATTEMPTS {
        let started = Instant::now();
        let result = run();
        took = started.elapsed();
        assert!(took >= EARLIEST, "{what} took {took:?}, the limit is {LIMIT}");
        if took < LATEST {
            return result;
        }
    }
    panic!("{what} took {took:?}, the limit is {LIMIT}");
}

/// Waits until the peer closes; false where it does not.
fn closes(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut buffer = [0; 1_024];
    loop {
        match tests::stream::read(socket, &mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !tests::stream::timed_out(&error),
        }
    }
}

fn reason_of(gateway: &Gateway) -> String {
    gateway.wait_for_records(1)[0]["adamant.reason"].as_str().unwrap_or("none").to_owned()
}

/// Sends these bytes one by one.
fn drips(socket: &TcpStream, bytes: Vec<u8>) {
    let mut writer = socket.try_clone().unwrap();
    thread::spawn(move || {
        for byte in bytes {
            if writer.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_idle() {
    let scene = limited("idle", LIMIT, Answer::text("ok"));
    takes_the_limit("a connection without a request", || {
        assert!(closes(&mut TcpStream::connect(scene.address()).unwrap()));
    });
    // A machine that stands still may be too late with its request.
    let mut idles = || {
        let mut client = scene.gateway.client();
        let is_sent = client.try_send(get("/", "").as_bytes()).is_ok();
        let is_answered = is_sent && client.try_response_to("GET").is_ok_and(|response| response.status == 200);
        assert!(client.is_closed_within(Duration::from_secs(60)));
        is_answered
    };
    assert!((0..ATTEMPTS).any(|_| takes_the_limit("idling after a request", &mut idles)));
    let scene = limited("idle", FAR, Answer::text("ok"));
    let mut client = scene.gateway.client();
    for _ in 0..STEPS {
        assert_eq!(client.exchange(get("/", "")).status, 200);
        thread::sleep(STEP);
    }
    assert_eq!(client.exchange(get("/", "")).status, 200, "each request starts the time anew");
}

#[test]
fn a_head_must_be_whole_in_time_however_slowly_it_comes() {
    let scene = limited("head", LIMIT, Answer::text("ok"));
    let mut stalled = TcpStream::connect(scene.address()).unwrap();
    thread::sleep(Duration::from_millis(900));
    takes_the_limit("a head that stalls", || {
        stalled.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
        assert!(closes(&mut stalled));
        stalled = TcpStream::connect(scene.address()).unwrap();
    });
    takes_the_limit("a head that drips", || {
        let mut dripping = TcpStream::connect(scene.address()).unwrap();
        drips(&dripping, get("/", &"X: y\r\n".repeat(2_000)).into_bytes());
        assert!(closes(&mut dripping));
    });
    assert_eq!(scene.origin.count(), 0);
}

#[test]
fn a_handshake_must_be_over_in_time() {
    let (authority, origin) = (Authority::new("server CA"), RecordingOrigin::start());
    let with = |limit: &str| {
        let deployment = Deployment::new().tls_listener(&authority.server(&["api.test"]), "off");
        deployment.with(&format!("[timeouts]\nhandshake = \"{limit}\"")).run(&open_to_all(origin.address()).text())
    };
    let gateway = with(LIMIT);
    takes_the_limit("a handshake that never begins", || {
        assert!(closes(&mut TcpStream::connect(gateway.tls_address()).unwrap()));
    });
    takes_the_limit("a handshake that drips", || {
        let mut dripping = TcpStream::connect(gateway.tls_address()).unwrap();
        drips(&dripping, [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 500]].concat());
        assert!(closes(&mut dripping));
    });
    let gateway = with(FAR);
    let mut client = Client::connect_tls(gateway.tls_address(), "api.test", &authority.client_config(None)).unwrap();
    thread::sleep(Duration::from_millis(6_600));
    assert_eq!(client.exchange(get("/", "")).status, 200, "one that is over has no limit of it left");
}

#[test]
fn a_client_that_stalls_in_its_content_is_cut() {
    let scene = limited("content_idle", LIMIT, Answer::text("ok"));
    takes_the_limit("content that stalls", || {
        let mut client = TcpStream::connect(scene.address()).unwrap();
        client.write_all(&post("/", "", "0123456789").as_bytes()[..60]).unwrap();
        assert!(closes(&mut client));
    });
    assert_eq!(reason_of(&scene.gateway), "client-timeout");
    assert!(scene.origin.requests().iter().all(|request| !request.complete));
    let gone = eventually(Duration::from_secs(60), || scene.origin.open_connections() == 0);
    assert!(gone, "a request cut short leaves no connection to the origin");

    let scene = limited("content_idle", FAR, Answer::text("ok"));
    let mut slow = scene.gateway.client();
    slow.send(format!("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: {STEPS}\r\n\r\n"));
    for _ in 0..STEPS {
        slow.send("x");
        thread::sleep(STEP);
    }
    assert_eq!(slow.response().status, 200, "slow is not idle");
}

#[test]
fn an_origin_that_stalls_in_its_content_is_cut() {
    let pieces = |pause| Content::Chunked { chunks: vec![b"piece".to_vec(); STEPS], trailers: Vec::new(), pause };
    let scene = limited("content_idle", LIMIT, Answer::new(200).with_content(pieces(Duration::from_secs(20))));
    let broken = takes_the_limit("content that stalls", || {
        let mut client = scene.gateway.client();
        client.send(get("/", ""));
        client.try_response_to("GET")
    });
    assert!(broken.is_err(), "a response cut short is no whole one: {broken:?}");
    assert_eq!(reason_of(&scene.gateway), "origin-timeout");
    let scene = limited("content_idle", FAR, Answer::new(200).with_content(pieces(STEP)));
    assert_eq!(scene.gateway.once(get("/", "")).text(), "piece".repeat(STEPS), "slow is not idle");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let scene = limited("content_idle", LIMIT, Answer::new(200).with_content(Content::Filler(64 << 20)));
    let mut count = 0;
    takes_the_limit("content that nobody takes", || {
        let mut client = scene.gateway.client();
        client.send(get("/", ""));
        count += 1;
        scene.gateway.wait_for_records(count);
    });
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
    let scene = limited("origin_idle", LIMIT, Answer::text("ok"));
    takes_the_limit("idling after a response", || {
        assert_eq!(scene.gateway.once(get("/", "")).status, 200);
        assert!(eventually(Duration::from_secs(60), || scene.origin.open_connections() == 0));
    });
}

#[test]
fn a_whole_exchange_is_over_in_time_whoever_is_slow() {
    let scene = limited("exchange", LIMIT, Answer::broken(Fault::Silence));
    takes_the_limit("an origin that is silent", || {
        let mut client = scene.gateway.client();
        client.send(get("/", ""));
        drop(client.try_response_to("GET"));
    });
    assert_eq!(reason_of(&scene.gateway), "exchange-timeout");
    assert_eq!(scene.gateway.metric("exchanges_in_flight"), 0.0);
    assert!(
        eventually(Duration::from_secs(60), || scene.origin.open_connections() == 0),
        "the origin's connection is given up too"
    );
}

#[test]
fn a_whole_exchange_is_over_in_time_although_each_piece_is() {
    let chunks = vec![b"piece".to_vec(); 60];
    let content = Content::Chunked { chunks, trailers: Vec::new(), pause: Duration::from_millis(200) };
    let scene = limited("exchange", LIMIT, Answer::new(200).with_content(content));
    let broken = takes_the_limit("a response in many pieces", || {
        let mut client = scene.gateway.client();
        client.send(get("/", ""));
        client.try_response_to("GET")
    });
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(reason_of(&scene.gateway), "exchange-timeout");

    let scene = limited("exchange", FAR, Answer::text("ok"));
    let mut client = scene.gateway.client();
    for _ in 0..STEPS {
        assert_eq!(client.exchange(get("/", "")).status, 200);
        thread::sleep(STEP);
    }
    assert_eq!(client.exchange(get("/", "")).status, 200, "waiting between exchanges does not count");
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let origin = RecordingOrigin::scripted(|_, _| Answer::broken(Fault::Silence));
    let mut gateway = Deployment::new().with("[timeouts]\ndrain = \"300s\"").run(&open_to_all(origin.address()).text());
    let mut client = gateway.client();
    client.send(get("/", ""));
    origin.wait_for_head(1);
    gateway.signal("TERM");
    // Two that come at once are one.
    gateway.tells("draining for at most");
    thread::sleep(Duration::from_millis(700));
    assert!(gateway.is_running(), "an exchange still runs");
    gateway.signal("TERM");
    assert!(gateway.wait(Duration::from_secs(60)).is_some(), "cut at the second signal");
}
