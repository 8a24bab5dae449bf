//! What clients receive from origins.

use proptest::prelude::*;

use super::*;
use crate::{Bounds, Progress, parse_response};

const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn plain<'r>() -> Relay<'r> {
    Relay {
        client_version: Version::Http11,
        keep_alive: true,
        request_id: b"id1",
        date: DATE,
        limits: &[],
        via: b"adamant",
    }
}

fn parsed(response: &str, to_head: bool) -> ResponseHead {
    let mut head = ResponseHead::new();
    let progress = parse_response(response.as_bytes(), &Bounds::default(), to_head, &mut head);
    assert_eq!(progress, Ok(Progress::Complete), "{response:?}");
    head
}

fn written(response: &str, to_head: bool, relay: &Relay<'_>) -> String {
    let mut out = Vec::new();
    write_response_head(response.as_bytes(), &parsed(response, to_head), relay, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const SET: &str = "Via: 1.1 adamant\r\nX-Request-Id: id1\r\n\r\n";

#[test]
fn only_end_to_end_fields_of_the_origin_remain() {
    let response = "HTTP/1.1 200 Fine\r\nDate: then\r\nContent-Type:  a/b\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\n\
                    Keep-Alive: x\r\nProxy-Authenticate: x\r\nUpgrade: x\r\nServer: secret/1.0\r\nAlt-Svc: h3\r\nAdamant-Agent: x\r\n\
                    X-Request-Id: theirs\r\nRateLimit: \"o\";r=1\r\nProxy-Status: o\r\nContent-Length: 5\r\nSet-Cookie: a\r\n\
                    Set-Cookie: b\r\nX-Forwarded-Proto: x\r\nTrailer: X\r\nVia: 1.1 o\r\n\r\n";
    let expected = "HTTP/1.1 200 Fine\r\nDate: then\r\nContent-Type: a/b\r\nRateLimit: \"o\";r=1\r\nProxy-Status: o\r\n\
                    Set-Cookie: a\r\nSet-Cookie: b\r\nX-Forwarded-Proto: x\r\nVia: 1.1 o\r\nContent-Length: 5\r\n";
    assert_eq!(written(response, false, &plain()), format!("{expected}{SET}"));
}

#[test]
fn framing_and_connection_by_client() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let lines = |response: &str, to_head, relay: Relay<'_>| {
        let text = written(response, to_head, &relay);
        text.strip_prefix("HTTP/1.1 200 OK\r\n").unwrap().strip_suffix(&format!("{date}{SET}")).unwrap().to_owned()
    };
    let old = |keep_alive| Relay { client_version: Version::Http10, keep_alive, ..plain() };
    let close = || Relay { keep_alive: false, ..plain() };
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n";
    let chunked = "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(lines(length, false, plain()), "Content-Length: 5\r\n");
    assert_eq!(lines(length, false, close()), "Content-Length: 5\r\nConnection: close\r\n");
    assert_eq!(lines(length, false, old(true)), "Content-Length: 5\r\nConnection: keep-alive\r\n");
    assert_eq!(lines(length, true, plain()), "Content-Length: 5\r\n");
    for response in [chunked, until_close] {
        assert_eq!(lines(response, false, plain()), "Transfer-Encoding: chunked\r\n");
        assert_eq!(lines(response, false, old(true)), "Connection: close\r\n");
        assert_eq!(lines(response, true, plain()), "");
    }
}

#[test]
fn limits_of_the_gateway_replace_those_of_the_origin() {
    let limits = [LimitState { name: "60/minute", quota: 60, window_s: 60, remaining: 59, reset_s: 1 }];
    let response = "HTTP/1.1 204 No Content\r\nDate: then\r\nRateLimit: \"o\";r=1\r\nRateLimit-Policy: \"o\";q=1\r\n\
                    Content-Length: 7\r\n\r\n";
    let expected = "HTTP/1.1 204 No Content\r\nDate: then\r\nRateLimit-Policy: \"60/minute\";q=60;w=60\r\n\
                    RateLimit: \"60/minute\";r=59;t=1\r\n";
    assert_eq!(written(response, false, &Relay { limits: &limits, ..plain() }), format!("{expected}{SET}"));
}

#[test]
fn interim_heads_go_to_http11_clients_alone() {
    let response = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\nContent-Length: 0\r\n\r\n";
    let head = parsed(response, false);
    let mut out = Vec::new();
    write_interim_head(response.as_bytes(), &head, Version::Http10, &mut out);
    assert!(out.is_empty());
    write_interim_head(response.as_bytes(), &head, Version::Http11, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

#[test]
fn no_inserted_value_can_split_the_head() {
    let response = "HTTP/1.1 200 OK\r\n\r\n";
    let head = parsed(response, false);
    for bad in [&b"a\r\nX: y"[..], b"\n", b"\0", b"\xff"] {
        for relay in
            [Relay { request_id: bad, ..plain() }, Relay { date: bad, ..plain() }, Relay { via: bad, ..plain() }]
        {
            let mut out = b"before".to_vec();
            let written = write_response_head(response.as_bytes(), &head, &relay, &mut out);
            assert_eq!((written, out.as_slice()), (Err(Fault::UnsafeValue), &b"before"[..]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_passes_the_gate_again(
        status in prop::sample::select(vec![200_u16, 204, 304, 404, 503]),
        lines in prop::collection::vec(prop::sample::select(vec![
            "Content-Length: 5", "Content-Length: 5, 5", "Transfer-Encoding: chunked", "Connection: close", "Connection: X", "X: y", "Server: s",
            "Trailer: X", "Upgrade: x", "Keep-Alive: 1", "Date: d", "Set-Cookie: \u{fc}", "RateLimit: a",
        ]), 0..6),
        (to_head, old, keep_alive) in any::<(bool, bool, bool)>(),
    ) {
        let response = format!("HTTP/1.1 {status} R\r\n{}\r\n", lines.iter().map(|line| format!("{line}\r\n")).collect::<String>());
        let (mut head, mut out) = (ResponseHead::new(), Vec::new());
        if parse_response(response.as_bytes(), &Bounds::default(), to_head, &mut head) == Ok(Progress::Complete) {
            let client_version = if old { Version::Http10 } else { Version::Http11 };
            let relay = Relay { client_version, keep_alive, ..plain() };
            prop_assert_eq!(write_response_head(response.as_bytes(), &head, &relay, &mut out), Ok(()));
            let mut again = ResponseHead::new();
            prop_assert_eq!(parse_response(&out, &Bounds::default(), to_head, &mut again), Ok(Progress::Complete));
            prop_assert_eq!(again.length, out.len());
            prop_assert_eq!(again.framing, head.framing_to(client_version));
            prop_assert!(again.has_date);
            let closes = !keep_alive || again.framing == ResponseFraming::UntilClose;
            prop_assert_eq!(again.options.close, closes);
            for name in ["keep-alive", "upgrade", "server"] {
                prop_assert_eq!(again.fields.values(&out, name).count(), 0);
            }
        }
    }
}
