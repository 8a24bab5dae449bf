//! What the gateway itself answers.

use super::*;
use crate::{Bounds, Progress, ResponseFraming, ResponseHead, parse_response};

fn plain<'l>() -> Local<'l> {
    Local {
        status: 403,
        client_version: Version::Http11,
        keep_alive: true,
        to_head_request: false,
        code: "denied",
        request_id: "id1",
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        fields: &[],
        limits: &[],
    }
}

fn written(local: &Local<'_>) -> String {
    let mut out = Vec::new();
    write_local_response(local, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_problem_document() {
    let fields = [("WWW-Authenticate", "Bearer realm=\"a\""), ("Retry-After", "1")];
    let limits = [LimitState { name: "a", quota: 1, window_s: 2, remaining: 0, reset_s: 2 }];
    let response = written(&Local { status: 429, keep_alive: false, fields: &fields, limits: &limits, ..plain() });
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nWWW-Authenticate: Bearer realm=\"a\"\r\n\
             Retry-After: 1\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\
             Connection: close\r\nRateLimit-Policy: \"a\";q=1;w=2\r\nRateLimit: \"a\";r=0;t=2\r\nX-Request-Id: id1",
            body.len()
        )
    );
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!(
        { "title": "Too Many Requests", "status": 429, "code": "denied", "request_id": "id1" }
    );
    assert_eq!(problem, expected);
}

#[test]
fn no_content_where_there_may_be_none() {
    let full = written(&plain());
    let (head, body) = full.split_at(full.find("\r\n\r\n").unwrap() + 4);
    assert!(!body.is_empty());
    assert_eq!(written(&Local { to_head_request: true, ..plain() }), head);
    let options = written(&Local { status: 204, fields: &[("Allow", "GET")], ..plain() });
    assert!(options.ends_with("\r\n\r\n") && !options.contains("Content-"), "{options}");
}

#[test]
fn every_answer_passes_the_gate() {
    for status in [204, 400, 401, 403, 413, 414, 417, 421, 426, 429, 431, 500, 501, 502, 503, 504] {
        for to_head_request in [false, true] {
            let response = written(&Local { status, to_head_request, ..plain() });
            let mut head = ResponseHead::new();
            let parsed = parse_response(response.as_bytes(), &Bounds::default(), to_head_request, &mut head);
            assert_eq!(parsed, Ok(Progress::Complete));
            assert!(head.keep_alive && !head.reason.of(response.as_bytes()).is_empty(), "{status}");
            let body = response.len() - head.length;
            match head.framing {
                ResponseFraming::None => assert_eq!(body, 0),
                framing => assert_eq!(framing, ResponseFraming::Length(body as u64)),
            }
        }
    }
}

#[test]
fn no_inserted_value_can_split_the_response() {
    for local in [
        Local { request_id: "a\r\nX: y", ..plain() },
        Local { date: b"a\r\nX: y", ..plain() },
        Local { fields: &[("A", "b\r\nX: y")], ..plain() },
        Local { fields: &[("A: b\r\nX", "y")], ..plain() },
        Local { fields: &[("", "y")], ..plain() },
        Local { fields: &[("A", "\u{e9}")], ..plain() },
        Local { status: 100, ..plain() },
        Local { status: 1_000, ..plain() },
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(write_local_response(&local, &mut out), Err(Fault::UnsafeValue), "{local:?}");
        assert_eq!(out, b"before");
    }
    let mut after = b"before".to_vec();
    write_local_response(&plain(), &mut after).unwrap();
    assert!(after.starts_with(b"beforeHTTP/1.1 403 Forbidden\r\n"));
    let code = written(&Local { code: "a\"b", ..plain() });
    assert!(code.contains("\"code\":\"a\\\"b\""));
}
