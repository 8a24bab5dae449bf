//! What origins receive.

use proptest::prelude::*;

use super::*;
use crate::request::tests::tricky_head;
use crate::{Bounds, Progress, parse_request};

fn plain<'f>() -> Forward<'f> {
    Forward {
        path: b"/p",
        query: None,
        host: b"origin:8080",
        forwarded_host: b"api.example",
        framing: Framing::None,
        client_ip: b"192.0.2.1",
        scheme: Scheme::Https,
        request_id: b"id1",
        agent: Some("bot"),
        pass_credentials: false,
        injected: None,
        assertion: None,
        expect_continue: false,
        close: false,
        via: b"adamant",
    }
}

fn written(request: &str, forward: &Forward<'_>) -> Result<String, Fault> {
    let mut head = RequestHead::new();
    assert_eq!(parse_request(request.as_bytes(), &Bounds::default(), &mut head), Ok(Progress::Complete));
    let mut out = Vec::new();
    write_request_head(request.as_bytes(), &head, forward, &mut out).map(|()| String::from_utf8(out).unwrap())
}

const SET: &str = "Via: 1.1 adamant\r\nForwarded: for=192.0.2.1;host=\"api.example\";proto=https\r\n\
                   X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example\r\n\
                   X-Request-Id: id1\r\nAdamant-Agent: bot\r\n\r\n";

#[test]
fn only_end_to_end_fields_of_the_client_remain() {
    let request = "POST /x?y HTTP/1.1\r\nHost: api.example\r\nAccept:\t*/* \r\nConnection: X-Hop, keep-alive\r\n\
                   X-Hop: 1\r\nx-hop: 2\r\nKeep-Alive: 1\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: x\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nProxy: x\r\nContent-Length: 5\r\n\
                   Forwarded: for=evil\r\nX-Forwarded-For: evil\r\nX_Forwarded_For: evil\r\nX-Real-IP: evil\r\n\
                   Adamant-Agent: root\r\nAdamant_Agent: root\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\n\
                   X-Rewrite-URL: /admin\r\nContent_Length: 9\r\nAuthorization: Bearer s\r\nX-API-Key: s\r\nX-Request-Id: mine\r\n\
                   Expect: 100-continue\r\nCookie: a=b\r\nTraceparent: 00-1\r\nVia: 1.0 before\r\nX-Obs: \u{fc}\r\n\r\n";
    let forward = Forward { framing: Framing::Length(5), query: Some(b"y"), ..plain() };
    let expected = "POST /p?y HTTP/1.1\r\nHost: origin:8080\r\nAccept: */*\r\nCookie: a=b\r\nTraceparent: 00-1\r\n\
                    Via: 1.0 before\r\nX-Obs: \u{fc}\r\nContent-Length: 5\r\n";
    assert_eq!(written(request, &forward), Ok(format!("{expected}{SET}")));
}

#[test]
fn what_the_proxy_asks_for_is_written() {
    let request =
        "GET / HTTP/1.0\r\nAuthorization: Bearer s\r\nX-API-Key: s\r\nTE: deflate, Trailers\r\nConnection: te\r\n\r\n";
    let forward = Forward {
        framing: Framing::Chunked,
        client_ip: b"2001:db8::1",
        forwarded_host: b"",
        scheme: Scheme::Http,
        agent: None,
        pass_credentials: true,
        expect_continue: true,
        close: true,
        ..plain()
    };
    let expected = "GET /p HTTP/1.1\r\nHost: origin:8080\r\nAuthorization: Bearer s\r\nX-API-Key: s\r\nConnection: close, TE\r\n\
                    TE: trailers\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nVia: 1.0 adamant\r\n\
                    Forwarded: for=\"[2001:db8::1]\";proto=http\r\nX-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n\
                    X-Request-Id: id1\r\n\r\n";
    assert_eq!(written(request, &forward).as_deref(), Ok(expected));
    let hops = "OPTIONS /p HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n";
    assert!(written(hops, &plain()).unwrap().contains("\r\nMax-Forwards: 2\r\n"));
    let trailer = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    let chunked = Forward { framing: Framing::Chunked, ..plain() };
    assert!(written(trailer, &chunked).unwrap().contains("\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n"));
}

#[test]
fn no_inserted_value_can_split_the_head() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for bad in [&b"a\r\nX: y"[..], b"a b", b"\0", b"\xff", b"a\n"] {
        for forward in [
            Forward { path: &[b"/", bad].concat(), ..plain() },
            Forward { query: Some(bad), ..plain() },
            Forward { host: bad, ..plain() },
            Forward { forwarded_host: bad, ..plain() },
            Forward { client_ip: bad, ..plain() },
            Forward { request_id: bad, ..plain() },
            Forward { via: bad, ..plain() },
            Forward { assertion: Some(bad), ..plain() },
        ] {
            assert_eq!(written(request, &forward), Err(Fault::UnsafeValue), "{forward:?}");
        }
    }
    for forward in [
        Forward { path: b"", ..plain() },
        Forward { path: b"a", ..plain() },
        Forward { path: b"/a?b", ..plain() },
        Forward { client_ip: b"1;for=2", ..plain() },
        Forward { forwarded_host: b"a\";for=\"b", ..plain() },
    ] {
        assert_eq!(written(request, &forward), Err(Fault::UnsafeValue), "{forward:?}");
    }
    let asserted = written(request, &Forward { assertion: Some(b"a.b-_.c"), ..plain() }).unwrap();
    assert!(asserted.ends_with("Adamant-Agent: bot\r\nAdamant-Assertion: a.b-_.c\r\n\r\n"));
    let named = written(request, &Forward { agent: Some("a\r\nX: y"), ..plain() }).unwrap();
    assert!(named.contains("Adamant-Agent: a%0D%0AX:%20y\r\n\r\n"));

    let (mut head, mut out) = (RequestHead::new(), b"before".to_vec());
    parse_request(request.as_bytes(), &Bounds::default(), &mut head).unwrap();
    let _ = write_request_head(request.as_bytes(), &head, &Forward { via: b"\n", ..plain() }, &mut out);
    assert_eq!(out, b"before");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_is_written_passes_the_gate_again(bytes in tricky_head(), pass in any::<bool>()) {
        let (mut head, mut out) = (RequestHead::new(), Vec::new());
        if parse_request(&bytes, &Bounds::default(), &mut head) == Ok(Progress::Complete) {
            let forward = Forward {
                framing: head.framing, pass_credentials: pass, expect_continue: head.expect_continue, ..plain()
            };
            prop_assert_eq!(write_request_head(&bytes, &head, &forward, &mut out), Ok(()));
            let mut again = RequestHead::new();
            prop_assert_eq!(parse_request(&out, &Bounds::default(), &mut again), Ok(Progress::Complete));
            prop_assert_eq!(again.length, out.len());
            prop_assert_eq!((again.framing, again.keep_alive), (head.framing, true));
            prop_assert_eq!(again.method.of(&out), head.method.of(&bytes));
            prop_assert_eq!(again.authorization.is_some(), pass && head.authorization.is_some());
            let count = |name: &str| again.fields.values(&out, name).count();
            for name in ["keep-alive", "proxy-connection", "upgrade", "x-original-url", "adamant_agent", "content_length"] {
                prop_assert_eq!(count(name), 0, "{}", name);
            }
            for name in ["adamant-agent", "forwarded", "x-forwarded-for", "x-request-id", "host"] {
                prop_assert_eq!(count(name), 1, "{}", name);
            }
            if head.options.listed {
                prop_assert_eq!(count("x-hop"), 0);
            }
        }
    }
}

#[test]
fn an_injected_field_takes_the_place_of_the_clients() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nX-Origin-Key: mine\r\nx_origin.KEY: mine too\r\nA: b\r\nConnection: \
                   x-origin-key\r\nAuthorization: Bearer agent\r\n\r\n";
    let injected = Some(Injected { folded: b"x-origin-key", line: b"x-origin-key: theirs\r\n" });
    let text = written(request, &Forward { injected, ..plain() }).unwrap();
    assert!(text.contains("\r\nA: b\r\nx-origin-key: theirs\r\n"), "{text}");
    assert!(!text.contains("mine") && !text.contains("agent"), "{text}");
    assert_eq!(text.to_lowercase().matches("origin-key").count(), 1, "{text}");
    for (listed, kept) in [("a, X_Origin-Key", false), ("x-origin-keys", true)] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: {listed}\r\n\r\n");
        let text = written(&request, &Forward { injected, framing: Framing::Chunked, ..plain() }).unwrap();
        assert_eq!(text.contains("\r\nTrailer: "), kept, "{text}");
    }
}
