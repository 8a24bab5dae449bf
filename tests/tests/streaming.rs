//! Content on its way: framings, trailers, back-pressure, bounded memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use tests::answer::{Answer, Content};
use tests::client::{Client, get};
use tests::process::{resident_kib, resident_peak_kib};
use tests::scene::Scene;

/// Bytes of the large content: 256 MiB, or 10 GiB with `FULL=1`.
fn large() -> u64 {
    if std::env::var_os("FULL").is_some() { 10 << 30 } else { 256 << 20 }
}

/// Resident memory may grow by this much while a large content passes, in KiB.
const GROWTH_KIB_MAX: u64 = 16 << 10;

#[test]
fn content_of_all_sizes_comes_back_the_same() {
    let scene = Scene::scripted(|_, _| Answer::echo());
    let mut client = scene.gateway.client();
    for size in [0, 1, 1_000, 4_096, 65_535, 65_536, 65_537, 1_000_000] {
        let content: String = (0..size).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
        let plain = format!("POST /e HTTP/1.1\r\nHost: api.test\r\nContent-Length: {size}\r\n\r\n{content}");
        assert!(client.exchange(plain).text() == content, "{size} bytes with Content-Length");
        let mut chunked = "POST /e HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for piece in content.as_bytes().chunks(10_007) {
            chunked.push_str(&format!("{:X};ext=1\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)));
        }
        chunked.push_str("0\r\n\r\n");
        assert!(client.exchange(chunked).text() == content, "{size} bytes in chunks");
    }
    let requests = scene.origin.requests();
    assert!(requests.iter().all(|request| request.complete), "every content came whole");
}

#[test]
fn chunked_responses_arrive_as_they_are_sent() {
    let chunks = vec![b"first".to_vec(), b"second".to_vec()];
    let pause = Duration::from_millis(400);
    let scene = Scene::scripted(move |_, _| {
        Answer::new(200).with_content(Content::Chunked { chunks: chunks.clone(), trailers: Vec::new(), pause })
    });
    let mut client = scene.gateway.client();
    let mut is_apart = || {
        client.send(get("/", ""));
        let mut arrivals = Vec::new();
        client.try_stream_response("GET", |piece| arrivals.push((piece.to_vec(), Instant::now()))).unwrap();
        assert!(arrivals[0].0.starts_with(b"first"));
        arrivals.last().unwrap().1.duration_since(arrivals[0].1) > pause / 2
    };
    // A client that stood still meanwhile finds both at once.
    assert!((0..10).any(|_| is_apart()), "the first chunk waits for the second");
}

#[test]
fn trailers_pass_both_ways_without_what_must_not_stand_there() {
    let scene = Scene::scripted(|_, _| {
        let trailers = vec![("X-Sum".to_owned(), "42".to_owned()), ("Content-Length".to_owned(), "7".to_owned())];
        let chunks = vec![b"abc".to_vec()];
        Answer::new(200).with_content(Content::Chunked { chunks, trailers, pause: Duration::ZERO })
    });
    let request = "POST /t HTTP/1.1\r\nHost: api.test\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Check: 1\r\nAuthorization: Bearer x\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = scene.gateway.once(request);
    assert_eq!(tests::first_value(&response.trailers, "X-Sum"), Some("42"));
    assert_eq!(tests::first_value(&response.trailers, "Content-Length"), None);
    let seen = scene.origin.last_of(1);
    assert_eq!(tests::first_value(&seen.trailers, "X-Check"), Some("1"));
    assert_eq!(seen.trailers.len(), 1, "{:?}", seen.trailers);
}

#[test]
fn what_connection_lists_stays_behind_in_the_trailer_section_too() {
    let scene = Scene::scripted(|_, _| {
        let trailers = vec![("X-Sum".to_owned(), "42".to_owned())];
        let chunked = Content::Chunked { chunks: vec![b"abc".to_vec()], trailers, pause: Duration::ZERO };
        Answer::new(200).with_field("Connection", "x-sum").with_content(chunked)
    });
    let request = "POST /t HTTP/1.1\r\nHost: api.test\r\nTE: trailers\r\nConnection: TE, X-Check\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Check: 1\r\n\r\n";
    let response = scene.gateway.once(request);
    assert_eq!((response.status, response.trailers.len()), (200, 0), "{:?}", response.trailers);
    assert_eq!(scene.origin.last_of(1).trailers.len(), 0);
}

#[test]
fn a_large_response_to_a_slow_reader_is_held_back_not_held() {
    let size = large();
    let scene = Scene::scripted(move |_, _| Answer::new(200).with_content(Content::Filler(size)));
    let pid = scene.gateway.pid();
    scene.gateway.once(get("/warm", "").replace("GET", "HEAD"));
    let before = resident_kib(pid);
    let mut client = Client::connect(scene.address()).with_timeout(Duration::from_secs(60));
    client.send(get("/", ""));
    thread::sleep(Duration::from_secs(1));
    let stalled = resident_kib(pid);
    assert!(stalled < before + GROWTH_KIB_MAX, "{before} → {stalled} KiB while nobody reads");
    let mut received = 0_u64;
    client.try_stream_response("GET", |piece| received += piece.len() as u64).unwrap();
    assert_eq!(received, size);
    let peak = resident_peak_kib(pid);
    assert!(peak < before + GROWTH_KIB_MAX, "{before} → {peak} KiB at the highest");
}

#[test]
fn a_large_request_to_a_slow_origin_is_held_back_not_held() {
    let size = large();
    let scene = Scene::open();
    let pid = scene.gateway.pid();
    scene.gateway.once(get("/warm", ""));
    let before = resident_kib(pid);
    scene.origin.read_slowly(Duration::from_micros(if size > 1 << 30 { 1 } else { 100 }));
    let mut client = Client::connect(scene.address()).with_timeout(Duration::from_secs(120));
    client.send(format!("PUT /large HTTP/1.1\r\nHost: api.test\r\nContent-Length: {size}\r\n\r\n"));
    let block = vec![b'x'; 1 << 20];
    for _ in 0..size >> 20 {
        client.send(&block);
    }
    assert_eq!(client.response().status, 200);
    let request = scene.origin.requests().pop().unwrap();
    assert_eq!(request.content_bytes, size);
    let peak = resident_peak_kib(pid);
    assert!(peak < before + GROWTH_KIB_MAX, "{before} → {peak} KiB at the highest");
}

#[test]
fn many_stalled_readers_stay_in_bounded_memory() {
    let scene = Scene::scripted(|_, _| Answer::new(200).with_content(Content::Filler(64 << 20)));
    let pid = scene.gateway.pid();
    scene.gateway.once(get("/warm", "").replace("GET", "HEAD"));
    let before = resident_kib(pid);
    let mut clients: Vec<Client> = (0..64).map(|_| scene.gateway.client()).collect();
    for client in &mut clients {
        client.send(get("/", ""));
    }
    thread::sleep(Duration::from_secs(2));
    let after = resident_kib(pid);
    assert!(after < before + 64 * 256, "{before} → {after} KiB for 64 stalled readers");
}

#[test]
fn content_that_breaks_off_is_no_success() {
    let scene = Scene::scripted(|_, _| Answer::broken(tests::answer::Fault::InContent));
    let mut client = scene.gateway.client();
    client.send(get("/", ""));
    let outcome = client.try_response_to("GET");
    assert!(outcome.is_err(), "half a content must not look whole: {outcome:?}");
}

#[test]
fn a_request_whose_chunks_turn_invalid_never_becomes_whole_at_the_origin() {
    let scene = Scene::scripted(|_, _| Answer::echo());
    let mut client = scene.gateway.client();
    client.send("POST /e HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXYZ\r\n");
    if let Ok(response) = client.try_response_to("POST") {
        assert_eq!(response.status, 400);
    }
    thread::sleep(Duration::from_millis(200));
    assert!(scene.origin.requests().iter().all(|request| !request.complete));
}

/// Much is on its way when an upload is refused. Were the connection closed with that unread, a reset would destroy the answer.
#[test]
fn who_is_refused_in_the_middle_of_an_upload_can_read_why() {
    const BYTES: usize = 8 << 20;
    let scene = Scene::scripted(|_, _| Answer::echo());
    let upload = || {
        let mut client = TcpStream::connect(scene.gateway.address()).unwrap();
        let head = format!("PUT /%zz HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n");
        client.write_all(head.as_bytes())?;
        client.write_all(&vec![b'x'; BYTES])?;
        let mut said = String::new();
        client.read_to_string(&mut said).map(|_| said)
    };
    // A client that stands still for seconds is not waited for.
    let mut said: Vec<std::io::Result<String>> = Vec::new();
    let could_read = (0..10).any(|_| {
        said.push(upload());
        said.iter().flatten().any(|said| said.starts_with("HTTP/1.1 400") && said.trim_end().ends_with('}'))
    });
    assert!(could_read, "{said:?}");
    assert_eq!(scene.origin.count(), 0);
}
