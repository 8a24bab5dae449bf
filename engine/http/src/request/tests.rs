//! Request heads: what the gate lets through, what it refuses and as what.

use proptest::prelude::*;

use super::*;
use crate::bounds::HEAD_BYTES_LIMIT;

fn parse(bytes: &[u8]) -> Result<(Progress, RequestHead), Fault> {
    let mut head = RequestHead::new();
    parse_request(bytes, &Bounds::default(), &mut head).map(|progress| (progress, head))
}

fn complete(text: &str) -> RequestHead {
    match parse(text.as_bytes()) {
        Ok((Progress::Complete, head)) => head,
        other => panic!("{text:?}: {:?}", other.map(|(progress, _)| progress)),
    }
}

fn fault(text: &str) -> Fault {
    match parse(text.as_bytes()) {
        Err(fault) => fault,
        Ok((progress, _)) => panic!("{text:?}: {progress:?}"),
    }
}

/// A GET with these field lines after Host.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_whole_head_is_taken_apart() {
    let text = "\r\nPOST /a?b=c HTTP/1.1\r\nhost:\t api.example:80 \r\nAuthorization: Bearer x\r\nX-API-Key: adm_1\r\n\
                Content-Length: 5\r\nExpect: 100-Continue\r\nTraceparent: 00-ab\r\nX-Request-Id: r\r\nEmpty:\r\n\r\nhello";
    let head = complete(text);
    let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap().to_owned();
    assert_eq!((of(head.method), of(head.target), head.version), ("POST".into(), "/a?b=c".into(), Version::Http11));
    assert_eq!(of(head.host.unwrap()), "api.example:80");
    assert_eq!(of(head.authorization.unwrap()), "Bearer x");
    assert_eq!(of(head.api_key.unwrap()), "adm_1");
    assert_eq!(of(head.traceparent.unwrap()), "00-ab");
    assert_eq!(of(head.request_id.unwrap()), "r");
    assert_eq!((head.framing, head.keep_alive, head.expect_continue), (Framing::Length(5), true, true));
    assert_eq!(head.length, text.len() - 5);
    assert_eq!(head.fields.len(), 8);
    assert_eq!(head.fields.values(text.as_bytes(), "empty").collect::<Vec<_>>(), [b""]);
}

#[test]
fn a_head_can_be_used_again() {
    let mut head = RequestHead::new();
    let first = "POST http://a/ HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nX-Api-Key: y\r\nTransfer-Encoding: chunked\r\n\
                 Expect: 100-continue\r\nConnection: upgrade, close\r\nUpgrade: ws\r\n\r\n";
    assert_eq!(parse_request(first.as_bytes(), &Bounds::default(), &mut head), Ok(Progress::Complete));
    let second = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(parse_request(second.as_bytes(), &Bounds::default(), &mut head), Ok(Progress::Complete));
    let fresh = complete(second);
    assert_eq!(format!("{:?}", head.fields.as_slice()), "[]");
    assert_eq!((head.host, head.authorization, head.api_key), (None, None, None));
    assert_eq!((head.framing, head.form, head.upgrade), (Framing::None, TargetForm::Origin, Upgrade::None));
    assert_eq!((head.keep_alive, head.expect_continue, head.options), (false, false, fresh.options));
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    for text in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n",
    ] {
        assert_eq!(fault(text), Fault::LineEnding, "{text:?}");
    }
    assert_eq!(fault(&with("X: a\rb\r\n")), Fault::FieldValue);
    assert_eq!(fault("GET / HTTP/1.1\r\nHost: a\nX"), Fault::LineEnding);
    assert_eq!(fault("\r\n\r\n"), Fault::LineEnding);
}

#[test]
fn field_lines() {
    for line in [" X: y", "\tX: y", "X : y", "X\t: y", ": y", "X", "X[]: y", "X\u{e9}: y", "X\0: y", "X: y\r\n z"] {
        assert_eq!(fault(&with(&format!("{line}\r\n"))), Fault::FieldName, "{line:?}");
    }
    for value in ["\0", "a\x0bb", "a\x7f", "\x01"] {
        assert_eq!(fault(&with(&format!("X: {value}\r\n"))), Fault::FieldValue, "{value:?}");
    }
    assert_eq!(fault("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), Fault::FieldName);
    // Bytes above ASCII are opaque in values (RFC 9110 §5.5) and passed on as they are.
    complete(&with("X: D\u{fc}sseldorf\r\nY: a\tb\r\n"));
}

#[test]
fn request_lines() {
    for (line, expected) in [
        ("GET  / HTTP/1.1", Fault::RequestLine),
        ("GET\t/ HTTP/1.1", Fault::RequestLine),
        ("GET /\tHTTP/1.1", Fault::RequestLine),
        (" GET / HTTP/1.1", Fault::RequestLine),
        ("GET / a HTTP/1.1", Fault::Version),
        ("GET /  HTTP/1.1", Fault::Version),
        ("GET / HTTP/1.1 ", Fault::LineEnding),
        ("GET /", Fault::RequestLine),
        ("GET HTTP/1.1", Fault::RequestLine),
        ("G(T / HTTP/1.1", Fault::RequestLine),
        ("GET /\0 HTTP/1.1", Fault::RequestLine),
        ("GET / HTTP/1.2", Fault::Version),
        ("GET / HTTP/2.0", Fault::Version),
        ("GET / HTTP/1.10", Fault::LineEnding),
        ("GET / HTTP/1", Fault::Version),
        ("GET / HTTP/01.1", Fault::Version),
        ("GET / http/1.1", Fault::Version),
        ("GET / HTTP/ 1.1", Fault::Version),
        ("GET / ICE/1.0", Fault::Version),
        ("GET /\u{e9} HTTP/1.1", Fault::TargetBytes),
        ("CONNECT a:443 HTTP/1.1", Fault::MethodNotServed),
        ("TRACE / HTTP/1.1", Fault::MethodNotServed),
        ("GET * HTTP/1.1", Fault::TargetForm),
        ("OPTIONS */a HTTP/1.1", Fault::TargetForm),
        ("GET a HTTP/1.1", Fault::TargetForm),
        ("GET a:80 HTTP/1.1", Fault::TargetForm),
        ("GET ftp://a/ HTTP/1.1", Fault::TargetForm),
        ("GET http:/a HTTP/1.1", Fault::TargetForm),
        ("PRI * HTTP/2.0", Fault::Http2Preface),
    ] {
        assert_eq!(fault(&format!("{line}\r\nHost: a\r\n\r\n")), expected, "{line}");
    }
    assert_eq!(fault("\x16"), Fault::TlsOnPlainPort);
    assert_eq!(fault("\x16\x03\x01\x02\0\x01"), Fault::TlsOnPlainPort);
    complete("get / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn one_valid_host() {
    assert_eq!(fault("GET / HTTP/1.1\r\n\r\n"), Fault::HostMissing);
    assert_eq!(fault(&with("Host: a\r\n")), Fault::HostRepeated);
    assert_eq!(fault("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"), Fault::HostRepeated);
    for host in ["", "a b", "a, b", "u@a", "a/b", "a:b", "a:65536", "h\u{f6}st", "."] {
        assert_eq!(fault(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), Fault::HostInvalid, "{host}");
    }
    assert_eq!(complete("GET / HTTP/1.0\r\n\r\n").host, None);
    // A look-alike is no Host.
    assert_eq!(fault("GET / HTTP/1.1\r\nHos_t: a\r\n\r\n"), Fault::HostMissing);
}

#[test]
fn absolute_targets() {
    let parts = |text: &str| {
        let head = complete(text);
        let of = |span: Span| String::from_utf8_lossy(span.of(text.as_bytes())).into_owned();
        (of(head.target), of(head.host.unwrap()), head.form)
    };
    let absolute = TargetForm::Absolute;
    for (line, host, target, form) in [
        ("GET http://A.example/b?c", "a.example", "/b?c", absolute(Scheme::Http)),
        ("GET HTTPS://a:443/", "a", "/", absolute(Scheme::Https)),
        ("GET http://a", "a:80", "", absolute(Scheme::Http)),
        ("GET http://a?b", "a", "?b", absolute(Scheme::Http)),
        ("OPTIONS http://a", "a", "", TargetForm::Asterisk),
        ("OPTIONS http://a/", "a", "/", absolute(Scheme::Http)),
    ] {
        let (found, authority, found_form) = parts(&format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((found.as_str(), found_form), (target, form), "{line}");
        assert!(line.contains(&authority), "{line}: {authority}");
    }
    assert_eq!(parts("GET http://a/ HTTP/1.0\r\n\r\n").1, "a");
    assert_eq!(parts("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").2, TargetForm::Asterisk);
    for (target, expected) in [
        ("http://b/", Fault::HostMismatch),
        ("http://a:81/", Fault::HostMismatch),
        ("https://a:80/", Fault::HostMismatch),
        ("http://u@a/", Fault::HostInvalid),
        ("http:///", Fault::HostInvalid),
        ("http://", Fault::HostInvalid),
        ("http://a#b", Fault::HostInvalid),
        ("http://a\\b/", Fault::HostInvalid),
    ] {
        assert_eq!(fault(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), expected, "{target}");
    }
    assert_eq!(fault("GET http://a/ HTTP/1.1\r\n\r\n"), Fault::HostMissing);
}

#[test]
fn framing_is_one_length_or_chunked() {
    assert_eq!(complete(&with("")).framing, Framing::None);
    assert_eq!(complete(&with("Content-Length:\t0 \r\n")).framing, Framing::Length(0));
    assert_eq!(complete(&with("transfer-encoding: Chunked\r\n")).framing, Framing::Chunked);
    for (lines, expected) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Fault::ContentLength),
        ("Content-Length: 5, 5\r\n", Fault::ContentLength),
        ("Content-Length: +5\r\n", Fault::ContentLength),
        ("Content-Length: 05\r\n", Fault::ContentLength),
        ("Content-Length:\r\n", Fault::ContentLength),
        ("Content-Length: 99999999999999999999\r\n", Fault::ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::LengthAndCoding),
        ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Fault::LengthAndCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Fault::TransferCodingNotServed),
        ("Transfer-Encoding: chunked, chunked\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: chunked, gzip\r\n", Fault::TransferCoding),
        ("Transfer-Encoding:\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: \u{a0}chunked\r\n", Fault::TransferCoding),
    ] {
        assert_eq!(fault(&with(lines)), expected, "{lines:?}");
    }
    assert_eq!(fault("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Fault::TransferCodingInHttp10);
    // Look-alikes frame nothing.
    assert_eq!(complete(&with("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n")).framing, Framing::None);
}

#[test]
fn credentials_stand_once() {
    assert_eq!(fault(&with("Authorization: a\r\nauthorization: a\r\n")), Fault::AuthorizationRepeated);
    assert_eq!(fault(&with("X-API-Key: a\r\nX-Api-Key: b\r\n")), Fault::ApiKeyRepeated);
    assert_eq!(fault(&with("DPoP: a\r\ndpop: a\r\n")), Fault::DpopRepeated);
    assert_eq!(complete(&with("X_API_Key: a\r\n")).api_key, None);
}

#[test]
fn persistence_by_version_and_options() {
    let keep_alive = |version: &str, option: &str| {
        complete(&format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {option}\r\n\r\n")).keep_alive
    };
    assert!(keep_alive("1.1", "") && keep_alive("1.1", "Keep-Alive") && keep_alive("1.0", "keep-alive"));
    assert!(!keep_alive("1.1", "x, CLOSE") && !keep_alive("1.0", "") && !keep_alive("1.0", "keep-alive, close"));
    for option in
        ["content-length", "Transfer-Encoding", "Host", "authorization", "x-api-key", "dpop", "a b", "\"close\""]
    {
        assert_eq!(fault(&with(&format!("Connection: {option}\r\n"))), Fault::Connection, "{option}");
    }
}

#[test]
fn upgrades_expectations_and_hops() {
    let upgrade =
        |version: &str, lines: &str| complete(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n\r\n")).upgrade;
    assert_eq!(upgrade("1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"), Upgrade::H2c);
    assert_eq!(upgrade("1.1", "Connection: upgrade\r\nUpgrade: websocket"), Upgrade::Other);
    assert_eq!(upgrade("1.1", "Connection: upgrade\r\nUpgrade: h2c, websocket"), Upgrade::Other);
    assert_eq!(upgrade("1.1", "Upgrade: websocket"), Upgrade::None);
    assert_eq!(upgrade("1.0", "Connection: upgrade\r\nUpgrade: websocket"), Upgrade::None);

    assert_eq!(fault(&with("Expect: 200-ok\r\n")), Fault::Expectation);
    assert_eq!(fault(&with("Expect: 100-continue\r\nExpect: 100-continue\r\n")), Fault::Expectation);
    assert!(!complete(&with("Expect: 100-continue\r\n")).expect_continue);
    assert!(!complete("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 5\r\n\r\n").expect_continue);

    let hops = |method: &str, value: &str| {
        parse(format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n").as_bytes())
            .map(|(_, head)| head.max_forwards)
    };
    assert_eq!(hops("OPTIONS", "0"), Ok(Some(0)));
    assert_eq!(hops("GET", "x"), Ok(None));
    assert_eq!(hops("OPTIONS", "x"), Err(Fault::MaxForwards));
}

#[test]
fn every_bound_is_reached() {
    let bounds = Bounds { head_bytes_max: 200, target_bytes_max: 50, fields_max: 4 };
    let parse = |text: &str| parse_request(text.as_bytes(), &bounds, &mut RequestHead::new());
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(parse(&target(50)), Ok(Progress::Complete));
    assert_eq!(parse(&target(51)), Err(Fault::TargetTooLong));
    assert_eq!(parse(&target(500)), Err(Fault::TargetTooLong));
    assert_eq!(parse(target(60).get(..56).unwrap()), Err(Fault::TargetTooLong));

    let sized = |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - 32));
    assert_eq!(sized(200).len(), 200);
    assert_eq!(parse(&sized(200)), Ok(Progress::Complete));
    assert_eq!(parse(&sized(201)), Err(Fault::HeadTooLarge));
    assert_eq!(parse(sized(400).get(..199).unwrap()), Ok(Progress::Partial));
    assert_eq!(parse(sized(400).get(..200).unwrap()), Err(Fault::HeadTooLarge));
    assert_eq!(parse(&(sized(200) + &"x".repeat(5_000))), Ok(Progress::Complete));

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(parse(&fields(4)), Ok(Progress::Complete));
    assert_eq!(parse(&fields(5)), Err(Fault::TooManyFields));

    let method = |length: usize| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
    assert_eq!(parse(&method(METHOD_BYTES_MAX)), Ok(Progress::Complete));
    assert_eq!(parse(&method(METHOD_BYTES_MAX + 1)), Err(Fault::Method));
    assert_eq!(parse(&"M".repeat(METHOD_BYTES_MAX + 1)), Err(Fault::Method));

    let huge = Bounds { head_bytes_max: usize::MAX, target_bytes_max: 50, fields_max: usize::MAX };
    let endless = "GET / HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(HEAD_BYTES_LIMIT);
    assert_eq!(parse_request(endless.as_bytes(), &huge, &mut RequestHead::new()), Err(Fault::HeadTooLarge));
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    let count = |count: usize| parse_request(many(count).as_bytes(), &huge, &mut RequestHead::new());
    assert_eq!(count(FIELDS_MAX), Ok(Progress::Complete));
    assert_eq!(count(FIELDS_MAX + 1), Err(Fault::TooManyFields));
}

/// Heads that are often valid and often just not.
pub(crate) fn tricky_head() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.0\r\n",
        "GET http://a/x HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
        "GET  / HTTP/1.1\r\n",
        "HEAD /%2e HTTP/1.1\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
    ]);
    let line = prop::sample::select(vec![
        "Host: a",
        "host: A:80",
        "Host:",
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length: 05",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Connection: close, X-Hop",
        "Connection: TE",
        "X-Hop: 1",
        "TE: trailers",
        "X: y",
        "X : y",
        " folded",
        "Authorization: Bearer t",
        "X-API-Key: k",
        "X_Api_Key: k",
        "Adamant-Agent: root",
        "Adamant_Agent: root",
        "X-Forwarded-For: 1.1.1.1",
        "Forwarded: for=1",
        "Upgrade: h2c",
        "Keep-Alive: 1",
        "Proxy-Connection: x",
        "Expect: 100-continue",
        "Trailer: X",
        "Via: 1.1 b",
        "Cookie: \u{fc}",
        "Empty:",
        "Accept: */*",
        "X: a\0b",
        "Connection: Host",
        "Content_Length: 9",
        "X-Original-URL: /admin",
    ]);
    let ending = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", " \r\n", "\r"]);
    let lines = prop::collection::vec((line, ending), 0..7);
    (start, any::<bool>(), lines, prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r\nbody", ""])).prop_map(
        |(start, host, lines, end)| {
            let mut head = start.to_owned();
            if host {
                head.push_str("Host: a\r\n");
            }
            lines.iter().for_each(|(line, ending)| head.extend([*line, *ending]));
            head.push_str(end);
            head.into_bytes()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn arrival_in_parts_changes_nothing(bytes in tricky_head()) {
        let whole = parse(&bytes);
        for end in 0..bytes.len() {
            let part = parse(&bytes[..end]);
            match (&whole, part) {
                (Ok((Progress::Complete, head)), Ok((Progress::Complete, early))) => {
                    prop_assert!(end >= head.length && early.length == head.length);
                }
                (Ok((Progress::Complete, head)), Ok((Progress::Partial, _))) => prop_assert!(end < head.length),
                (Ok((Progress::Partial, _)) | Err(_), Ok((Progress::Complete, _))) => {
                    prop_assert!(false, "a prefix of {} bytes is whole", end);
                }
                (Ok(_), Err(fault)) => prop_assert!(false, "{} at {}", fault, end),
                _ => {}
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        head.extend(&bytes);
        let _ = parse(&head);
    }
}
