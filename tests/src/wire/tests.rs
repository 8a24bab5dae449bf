use super::{Framing, Mode, Parsed, request_head, response_head};

fn verdict(bytes: &[u8], mode: Mode) -> char {
    match request_head(bytes, mode) {
        Parsed::Complete(_) => 'c',
        Parsed::Partial => 'p',
        Parsed::Invalid(_) => 'i',
    }
}

#[test]
fn one_spelling_is_canonical_and_the_grammar_allows_some_more() {
    for (bytes, canonical, grammar) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], 'c', 'c'),
        (b"GET /a?b=%2f HTTP/1.1\r\nHost: [::1]:80\r\nX:\t v \r\n\r\n", 'c', 'c'),
        (b"GET / HTTP/1.0\r\n\r\n", 'i', 'c'),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 'i', 'c'),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 'i', 'c'),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\n", 'i', 'c'),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 'i', 'c'),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 'c', 'c'),
    ] {
        assert_eq!(verdict(bytes, Mode::Canonical), canonical, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(verdict(bytes, Mode::Grammar), grammar, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn what_is_ambiguous_is_invalid_in_both_modes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0b\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        for mode in [Mode::Canonical, Mode::Grammar] {
            assert_eq!(verdict(bytes, mode), 'i', "{}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn every_prefix_of_a_request_is_partial() {
    let whole = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(verdict(&whole[..end], Mode::Canonical), 'p', "{end}");
    }
}

#[test]
fn responses_are_framed_by_status_and_method() {
    let framing = |bytes: &[u8], method| match response_head(bytes, method) {
        Parsed::Complete(head) => Some(head.framing),
        _ => None,
    };
    assert_eq!(framing(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET"), Some(Framing::Length(3)));
    assert_eq!(framing(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD"), Some(Framing::None));
    assert_eq!(framing(b"HTTP/1.1 200\r\n\r\n", "GET"), Some(Framing::UntilClose));
    assert_eq!(framing(b"HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\n", "GET"), Some(Framing::None));
    assert_eq!(framing(b"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", "GET"), None);
    assert_eq!(framing(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "GET"), None);
}
