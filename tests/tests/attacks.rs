//! What an attacker once found on the real binary, and must not find again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tests::certificates::Authority;
use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::policy::open_to_all;
use tests::process::eventually;

/// An origin that does with each connection what `act` says.
fn raw_origin(act: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let act = Arc::new(act);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = Arc::clone(&act);
            thread::spawn(move || act(stream));
        }
    });
    address
}

/// Reads one request head.
fn take_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A gateway with one worker.
fn single(origin: SocketAddr, timeouts: &str) -> Gateway {
    Deployment::new().cores("[0]").with(timeouts).run(&open_to_all(origin).text())
}

#[test]
fn a_client_that_pipelines_without_end_leaves_the_others_their_turn() {
    let origin = raw_origin(|mut stream| {
        while take_head(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = single(origin, "");
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..2)
        .map(|_| {
            let (mut to, stop) = (TcpStream::connect(gateway.address()).unwrap(), Arc::clone(&stop));
            let mut from = to.try_clone().unwrap();
            thread::spawn(move || {
                let mut sink = [0; 1 << 16];
                while from.read(&mut sink).is_ok_and(|read| read > 0) {}
            });
            thread::spawn(move || {
                let many = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
                while !stop.load(Ordering::Relaxed) && to.write_all(many.as_bytes()).is_ok() {}
                let _ = to.shutdown(std::net::Shutdown::Both);
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    for _ in 0..20 {
        assert_eq!(gateway.once(get("/", "")).status, 200);
    }
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
}

#[test]
fn an_origin_that_falls_silent_after_an_interim_response_is_too_slow() {
    let origin = raw_origin(|mut stream| {
        take_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        let mut sink = [0; 1024];
        while stream.read(&mut sink).is_ok_and(|read| read > 0) {}
    });
    let gateway = single(origin, "[timeouts]\norigin_first_byte = \"500ms\"");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    client.send("body");
    assert_eq!(client.response().status, 504);
}

#[test]
fn a_client_that_takes_nothing_of_an_early_response_is_cut() {
    let origin = raw_origin(|mut stream| {
        // Made first: it takes its time.
        let content = vec![b'x'; 64 << 20];
        take_head(&mut stream);
        let mut reader = stream.try_clone().unwrap();
        thread::spawn(move || {
            let mut sink = [0; 1 << 16];
            while reader.read(&mut sink).is_ok_and(|read| read > 0) {}
        });
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
        let _ = stream.write_all(&content);
    });
    let gateway = single(origin, "[timeouts]\ncontent_idle = \"2s\"\norigin_first_byte = \"60s\"");
    // Of several, one sends all of its own content in time whatever else the machine does.
    let record = (0..10).find_map(|number| {
        let mut client = TcpStream::connect(gateway.address()).unwrap();
        let begun = Instant::now();
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nbo").unwrap();
        thread::sleep(Duration::from_millis(200));
        let is_sent = client.write_all(b"dybody").is_ok() && begun.elapsed() < Duration::from_millis(1_900);
        // Its record comes when it is over.
        let record = gateway.wait_for_records(number + 1).remove(number);
        is_sent.then_some(record)
    });
    let record = record.expect("content in time");
    assert_eq!(record["adamant.reason"], "client-timeout", "cut after content_idle: {record}");
    assert_eq!(gateway.metric("exchanges_in_flight"), 0.0);
}

#[test]
fn bytes_behind_an_origins_response_are_never_the_next_response() {
    const BLOCK: usize = 64 << 10;
    let origin = raw_origin(|mut stream| {
        while let Some(head) = take_head(&mut stream) {
            if !head.starts_with("GET /exact ") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
                continue;
            }
            let empty = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BLOCK - 100);
            let content = BLOCK - empty.len();
            let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {content}\r\n\r\n").into_bytes();
            bytes.resize(BLOCK, b'x');
            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            let _ = stream.write_all(&bytes);
        }
    });
    let gateway = single(origin, "");
    for _ in 0..5 {
        assert_eq!(gateway.once(get("/exact", "")).status, 200);
        assert_eq!(gateway.once(get("/", "")).text(), "good");
    }
}

#[test]
fn a_response_that_broke_does_not_end_like_a_whole_one() {
    let origin = raw_origin(|mut stream| {
        take_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
    });
    let gateway = single(origin, "");
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let end = client.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_flood_of_nonsense_keys_from_one_address_leaves_other_addresses_alone() {
    let key = tests::apikey::ApiKey::new("ci-1");
    let origin = raw_origin(|mut stream| {
        while take_head(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let policy = tests::policy::PolicyText::new()
        .origin("origin", &[origin])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .agent("ci", "{ api_key = [\"ci-1\"] }", &["all"], &[])
        .api_key(&key, "");
    let gateway = Deployment::new()
        .cores("[0]")
        .with("[bounds]\nidentification_failures_per_s_max = 60\nidentification_failures_per_prefix_per_s_max = 50")
        .run(&policy.text());
    let nonsense = "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: nonsense\r\n\r\n".repeat(2_000);
    let mut flood = TcpStream::connect(gateway.address()).unwrap();
    let mut answers = flood.try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut sink = [0; 1 << 16];
        while answers.read(&mut sink).is_ok_and(|read| read > 0) {}
    });
    flood.write_all(nonsense.as_bytes()).unwrap();
    let stream = socket_from("127.0.0.9", gateway.address());
    let status = status_over(stream, &format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", key.text));
    assert_eq!(status, "HTTP/1.1 200");
    let _ = flood.shutdown(std::net::Shutdown::Both);
    reading.join().unwrap();
}

/// A connection from another loopback address.
fn socket_from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn status_over(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

#[test]
fn a_tls_origin_that_is_cut_off_has_not_ended_its_response() {
    let ca = Authority::new("origin CA");
    let config = ca.server(&["origin.test"]).server_config();
    let origin = raw_origin(move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::StreamOwned::new(session, stream);
        let mut head = [0; 4096];
        let _ = tls.read(&mut head);
        // No framing: only an end that TLS vouches for is one. The socket closes without close_notify.
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\n\r\npart");
        let _ = tls.flush();
    });
    let policy = tests::policy::PolicyText::new()
        .origin_with("origin", &[origin], "tls = { ca = { file = \"ca.pem\" }, server_name = \"origin.test\" }")
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let gateway = Deployment::new().file("ca.pem", &ca.pem).run(&policy.text());
    let mut client = gateway.client();
    client.send(get("/", ""));
    let outcome = client.try_response_to("GET").map(|response| response.text());
    assert!(outcome.is_err(), "taken for whole: {outcome:?}");
}

/// A listener whose queue is full: further connections hang.
fn full_listener() -> (Socket, SocketAddr, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok()).take(64);
    let waiting = waiting.collect::<Vec<_>>();
    assert!(waiting.len() < 64, "the queue does not fill");
    (socket, address, waiting)
}

#[test]
fn an_exchange_that_still_connects_when_the_drain_ends_is_recorded() {
    let (_socket, origin, _waiting) = full_listener();
    let mut gateway = single(origin, "[timeouts]\ndrain = \"500ms\"\norigin_connect = \"2s\"");
    let mut clients = Vec::new();
    let connects = || {
        // One that has given up before it was looked at is followed by another.
        if gateway.records().len() == clients.len() {
            let mut client = gateway.client();
            client.send(get("/still-connecting", ""));
            clients.push(client);
        }
        gateway.metric("exchanges_in_flight") > 0.0
    };
    assert!(eventually(Duration::from_secs(60), connects));
    gateway.signal("TERM");
    let status = gateway.wait(Duration::from_secs(60)).expect("it ends");
    assert!(status.success());
    let records = gateway.records();
    let paths: Vec<_> = records.iter().filter_map(|record| record["url.path"].as_str()).collect();
    assert_eq!(paths, vec!["/still-connecting"; clients.len()]);
}
