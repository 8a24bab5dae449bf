//! Response heads: framing by status and method, and the gate.

use proptest::prelude::*;

use super::*;

fn parse(text: &str, to_head_request: bool) -> Result<ResponseHead, Fault> {
    let mut head = ResponseHead::new();
    match parse_response(text.as_bytes(), &Bounds::default(), to_head_request, &mut head)? {
        Progress::Complete => Ok(head),
        Progress::Partial => panic!("{text:?} is partial"),
    }
}

fn complete(start: &str, lines: &str) -> ResponseHead {
    parse(&format!("{start}\r\n{lines}\r\n"), false).unwrap()
}

#[test]
fn framing_by_status_method_and_fields() {
    let framing = |status: u16, lines: &str, head| {
        let parsed = parse(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), head).unwrap();
        (parsed.framing, parsed.keep_alive)
    };
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(framing(200, length, false), (ResponseFraming::Length(5), true));
    assert_eq!(framing(200, chunked, false), (ResponseFraming::Chunked, true));
    assert_eq!(framing(200, "", false), (ResponseFraming::UntilClose, false));
    assert_eq!(framing(200, "Connection: close\r\nContent-Length: 5\r\n", false), (ResponseFraming::Length(5), false));
    for (status, head) in [(200, true), (304, false), (404, true)] {
        assert_eq!(framing(status, length, head), (ResponseFraming::None, true));
        assert_eq!(framing(status, chunked, head), (ResponseFraming::None, true));
        assert_eq!(framing(status, "", head), (ResponseFraming::None, true));
    }
    for status in [100, 103, 204] {
        assert_eq!(framing(status, "", false), (ResponseFraming::None, true));
        assert_eq!(framing(status, "Content-Length: 0\r\n", false), (ResponseFraming::None, true));
        // What follows may be content that should not be there: not to be taken for the next response.
        assert_eq!(framing(status, length, false), (ResponseFraming::None, false));
        assert_eq!(framing(status, chunked, false), (ResponseFraming::None, false));
    }
    assert_eq!(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).unwrap().content_length, Some(5));
    assert_eq!(complete("HTTP/1.1 204 X", length).content_length, None);
}

#[test]
fn versions_and_persistence() {
    assert!(!complete("HTTP/1.0 200 OK", "Content-Length: 0\r\n").keep_alive);
    assert!(complete("HTTP/1.0 200 OK", "Content-Length: 0\r\nConnection: keep-alive\r\n").keep_alive);
    assert!(complete("HTTP/1.1 100 Continue", "").interim);
    assert!(!complete("HTTP/1.1 200", "").interim);
    assert!(complete("HTTP/1.1 200 ", "Date: x\r\n").has_date);
}

#[test]
fn the_gate() {
    for (text, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::LengthAndCoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Fault::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Fault::ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Fault::TransferCoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::TransferCodingNotServed),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferCodingInHttp10),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Fault::SwitchingProtocols),
        ("HTTP/1.0 100 Continue\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 099 X\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 600 X\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 20 X\r\n\r\n", Fault::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StatusLine),
        ("<html>", Fault::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::Version),
        ("HTTP/1.1 200 OK\n\r\n", Fault::LineEnding),
        ("HTTP/1.1 200 OK\r\nA: b\n\r\n", Fault::LineEnding),
        ("HTTP/1.1 200 OK\r\nA: b\r\n\n", Fault::LineEnding),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Fault::FieldName),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Fault::FieldName),
        ("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Fault::FieldValue),
    ] {
        assert_eq!(parse(text, false).map(|_| ()), Err(expected), "{text:?}");
    }
    assert_eq!(complete("HTTP/1.1 200 OK", "Content-Length: 5\r\nContent-Length: 5\r\n").content_length, Some(5));
}

#[test]
fn bounds_hold() {
    let bounds = Bounds { head_bytes_max: 64, target_bytes_max: 0, fields_max: 2 };
    let parse = |text: &str| parse_response(text.as_bytes(), &bounds, false, &mut ResponseHead::new());
    assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\n\r\n"), Ok(Progress::Complete));
    assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\n\r\n"), Err(Fault::TooManyFields));
    assert_eq!(parse(&format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(64))), Err(Fault::HeadTooLarge));
    assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b\n"), Err(Fault::LineEnding));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let _ = parse_response(&bytes, &Bounds::default(), head, &mut ResponseHead::new());
        let mut response = b"HTTP/1.1 200 OK\r\n".to_vec();
        response.extend(&bytes);
        let _ = parse_response(&response, &Bounds::default(), head, &mut ResponseHead::new());
    }
}
