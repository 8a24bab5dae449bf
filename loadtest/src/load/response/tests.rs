use super::{Head, LastHead, Reader};
use crate::wire::Malformed;

/// Feeds `bytes` in pieces of `step`, each head fresh.
fn feed(bytes: &[u8], step: usize, head_only: bool) -> Result<Option<Head>, Malformed> {
    let (mut reader, mut last) = (Reader::default(), LastHead::default());
    let mut found = None;
    for piece in bytes.chunks(step) {
        found = reader.take(piece, head_only, &mut last)?;
    }
    Ok(found.or_else(|| reader.close()))
}

fn status(bytes: &str) -> Option<u16> {
    let mut found = None;
    for step in [1, 2, 3, 7, bytes.len()] {
        let status = feed(bytes.as_bytes(), step, false).unwrap().map(|head| head.status);
        assert!(step == 1 || status == found, "{bytes:?} in pieces of {step}");
        found = status;
    }
    found
}

#[test]
fn a_response_ends_where_its_framing_says() {
    assert_eq!(status("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), Some(200));
    assert_eq!(status("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), None);
    assert_eq!(status("HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
    let chunked = "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n";
    assert_eq!(status(&format!("{chunked}\r\n")), Some(201));
    assert_eq!(status(&format!("{chunked}Trailer: x\r\n\r\n")), Some(201));
    assert_eq!(status(chunked), None);
    assert_eq!(status("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"), Some(202));
    assert_eq!(status("HTTP/1.0 200 OK\r\n\r\nuntil the end"), Some(200));
    let head = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 5, true).unwrap().unwrap();
    assert!(head.keep_alive, "no content follows a HEAD");
}

#[test]
fn whether_a_connection_goes_on_is_seen() {
    let of = |text: &str| feed(text.as_bytes(), 4, false).unwrap().unwrap().keep_alive;
    assert!(of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n"));
    assert!(!of("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(of("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
    assert!(!of("HTTP/1.1 200 OK\r\n\r\nabc"));
}

#[test]
fn what_is_no_response_is_malformed() {
    for (bytes, fault) in [
        ("SSH-2.0-x\r\n\r\n", Malformed::Head),
        ("HTTP/1.1 abc OK\r\n\r\n", Malformed::Head),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Malformed::Framing),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Malformed::Framing),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Malformed::Framing),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Malformed::Framing),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Malformed::Framing),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Malformed::Framing),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", Malformed::TooMuch),
    ] {
        assert_eq!(feed(bytes.as_bytes(), bytes.len(), false), Err(fault), "{bytes:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(70_000));
    assert_eq!(feed(endless.as_bytes(), 8_000, false), Err(Malformed::Head));
}

#[test]
fn a_repeated_head_is_not_mistaken_for_another() {
    let (mut reader, mut last) = (Reader::default(), LastHead::default());
    for (text, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 200),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 200),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nbc", 200),
        ("HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nb", 404),
    ] {
        assert_eq!(reader.take(text.as_bytes(), false, &mut last).unwrap().map(|head| head.status), Some(status));
    }
    let text = "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n";
    assert!(reader.take(text.as_bytes(), true, &mut last).unwrap().is_some(), "the same head, to a HEAD");
}
