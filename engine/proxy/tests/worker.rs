//! A worker proxies real connections.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod world;

use std::io::Write;

use activation::record::Record;

fn hello(_: &str) -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
}

#[test]
fn a_request_is_forwarded_answered_and_recorded() {
    let (origin, requests) = world::origin(hello);
    let world = world::start(&world::public(), origin, vec![]);
    let mut client = world.connect();
    for _ in 0..3 {
        client.write_all(b"GET /a/%7Eb?q=1 HTTP/1.1\r\nHost: Api.Example\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n").unwrap();
        let response = world::read_until(&mut client, "hello");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.contains("\r\nX-Request-Id: "), "{response}");
        let request = requests.recv().unwrap();
        assert!(request.starts_with("GET /a/~b?q=1 HTTP/1.1\r\nHost: api.example\r\n"), "{request}");
        assert!(request.contains("X-Forwarded-For: 127.0.0.1\r\n") && !request.contains("1.2.3.4"), "{request}");
    }
    drop(client);
    assert_eq!(world.stats.origin_connects.get(), 1);
    let mut records = world.stop();
    let mut bytes = Vec::new();
    let mut count = 0;
    while records.next_permitted(&mut bytes) {
        let record = Record::decode(&bytes).unwrap();
        assert_eq!((record.status, record.path, record.bytes_out), (200, &b"/a/~b"[..], 5));
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn content_goes_both_ways_and_pipelined_requests_keep_their_order() {
    let (origin, requests) = world::origin(|request| {
        let content = request.split("\r\n\r\n").nth(1).unwrap_or("").to_owned();
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{content}\r\n0\r\nX-T: 1\r\n\r\n",
            content.len()
        )
        .into_bytes()
    });
    let world = world::start(&world::public(), origin, vec![]);
    let mut client = world.connect();
    client
        .write_all(
            b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneP\
              OST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\ntwo\r\n0\r\n\r\n\
              POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nth",
        )
        .unwrap();
    let first = world::read_until(&mut client, "X-T: 1\r\n\r\n");
    assert!(first.contains("3\r\none\r\n0\r\n"), "{first}");
    client.write_all(b"ree").unwrap();
    let rest = world::read_until(&mut client, "5\r\nthree\r\n0\r\nX-T: 1\r\n\r\n");
    assert!(rest.contains("three"), "{rest}");
    let two = requests.recv().map(|_| requests.recv().unwrap()).unwrap();
    assert!(two.contains("3\r\ntwo\r\n0\r\n\r\n") && !two.contains("x=y"), "{two}");
    assert!(requests.recv().unwrap().contains("Content-Length: 5\r\n"));
    drop(client);
    world.stop();
}

#[test]
fn what_is_malformed_is_refused_and_the_connection_closed() {
    let (origin, requests) = world::origin(hello);
    let world = world::start(&world::public(), origin, vec![]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501"),
    ] {
        let mut client = world.connect();
        client.write_all(request.as_bytes()).unwrap();
        let response = world::read_until(&mut client, "no such end");
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request} → {response}");
        assert!(
            response.contains("Connection: close\r\n") && response.contains("application/problem+json"),
            "{response}"
        );
    }
    assert!(requests.try_recv().is_err());
    world.stop();
}

#[test]
fn an_origin_that_is_not_there_is_a_502() {
    let world = world::start(&world::public(), "127.0.0.1:1".parse().unwrap(), vec![]);
    let mut client = world.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let response = world::read_until(&mut client, "no such end");
    assert!(response.starts_with("HTTP/1.1 502 ") && response.contains("Proxy-Status: adamant; error="), "{response}");
    world.stop();
}

/// An origin that sends content where there must be none has it dropped with its connection.
#[test]
fn what_an_origin_sends_unasked_is_never_a_response() {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = listener.local_addr().unwrap();
    let (told, sent) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told) = (stream.unwrap(), told.clone());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                    let is_head = bytes.starts_with(b"HEAD");
                    let reply: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
                    stream.write_all(reply).unwrap();
                    if !is_head {
                        stream.write_all(b"good").unwrap();
                        continue;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").unwrap();
                    told.send(()).unwrap();
                }
            });
        }
    });
    let world = world::start(&world::public(), origin, vec![]);
    let mut client = world.connect();
    for _ in 0..3 {
        client.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        world::read_until(&mut client, "\r\n\r\n");
        sent.recv().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let response = world::read_until(&mut client, "good");
        assert!(response.ends_with("good"), "{response}");
    }
    drop(client);
    world.stop();
}
