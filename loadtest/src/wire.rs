//! As much of HTTP/1.1 as a load generator needs: where a response ends, where a request ends.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::failure::Failure;

/// Where to send requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: SocketAddr,
    /// `host[:port]` as in the URL.
    pub authority: String,
    pub path: String,
    pub tls: bool,
}

impl Target {
    /// Parses `http://HOST[:PORT]/PATH` or `https://…`; names are resolved once, here.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let bad = || Failure::Argument { expected: "a URL like http://127.0.0.1:8080/path", found: url.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(bad()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let with_port = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:{}", if tls { 443 } else { 80 })
        };
        if authority.is_empty() || url.contains(|c: char| c.is_control() || c == ' ') {
            return Err(bad());
        }
        let resolved = with_port.to_socket_addrs().map_err(Failure::io(format!("the address of {authority}")));
        let address = resolved?.next().ok_or_else(bad)?;
        Ok(Self { address, authority: authority.to_owned(), path: path.to_owned(), tls })
    }

    /// Bytes of one GET with these extra fields (`Name: value`).
    pub fn request(&self, fields: &[String]) -> Vec<u8> {
        let mut text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.authority);
        for field in fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// Why something is no HTTP/1.1 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("expected a response head of HTTP/1.1, found something else")]
    Head,
    #[error("expected one Content-Length or chunked content, found neither")]
    Framing,
    #[error("expected the end of the response, found more bytes")]
    TooMuch,
}

/// A whole response at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Bytes of head and content.
    pub length: usize,
    /// Whether the peer goes on on this connection.
    pub keep_alive: bool,
}

/// The response at the start of `bytes`, once it is whole; an error where it is none.
pub fn response(bytes: &[u8]) -> Result<Option<Response>, Failure> {
    let Some(head_length) = head_end(bytes) else { return Ok(None) };
    let head = bytes.get(..head_length).unwrap_or_default();
    let no_response = || Failure::Subject(format!("not a response: {:?}", String::from_utf8_lossy(head)));
    let status =
        head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or_else(no_response)?;
    let body = bytes.get(head_length..).unwrap_or_default();
    let chunked = field(head, b"transfer-encoding").is_some();
    let content = match field(head, b"content-length") {
        _ if chunked => match chunks_end(body) {
            Some(length) => length,
            None => return Ok(None),
        },
        Some(value) => std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(no_response)?,
        None => 0,
    };
    let keep_alive = !field(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    let length = head_length + content;
    Ok((bytes.len() >= length).then_some(Response { status, length, keep_alive }))
}

/// The length of the head at the start of `bytes`, with its empty line.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// Where a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// With its head.
    Head,
    /// So many bytes after its head.
    Length(u64),
    Chunked,
}

/// Where the request with this head ends (RFC 9112 §6.3). GET and HEAD are taken to have no content, so that the usual
/// request costs no look at its fields.
pub fn request_end(head: &[u8]) -> RequestEnd {
    if head.starts_with(b"GET ") || head.starts_with(b"HEAD ") {
        return RequestEnd::Head;
    }
    if field(head, b"transfer-encoding").is_some() {
        return RequestEnd::Chunked;
    }
    let length = field(head, b"content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    length.map_or(RequestEnd::Head, RequestEnd::Length)
}

/// Value of a field of a head; `name` in lower case.
fn field<'h>(head: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.get(name.len()..)?.strip_prefix(b":")?;
        line.get(..name.len())?.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// Bytes up to the end of a chunked content without trailers.
pub fn chunks_end(mut body: &[u8]) -> Option<usize> {
    let whole = body.len();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = body.get(..end).and_then(|line| usize::from_str_radix(std::str::from_utf8(line).ok()?, 16).ok())?;
        body = body.get(end + 2 + size + 2..)?;
        if size == 0 {
            return Some(whole - body.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Response, Target, response};

    #[test]
    fn responses_end_where_their_framing_says() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        let whole = format!("{head}abc");
        let expected = Response { status: 200, length: whole.len(), keep_alive: true };
        assert_eq!(response(format!("{whole}HTTP/1.1").as_bytes()).unwrap(), Some(expected));
        assert_eq!(response(format!("{head}ab").as_bytes()).unwrap(), None);
        let chunked = "HTTP/1.1 404 X\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let expected = Response { status: 404, length: chunked.len(), keep_alive: false };
        assert_eq!(response(chunked.as_bytes()).unwrap(), Some(expected));
        assert_eq!(response(&chunked.as_bytes()[..chunked.len() - 1]).unwrap(), None);
        assert!(response(b"SSH-2.0-x\r\n\r\n").is_err());
    }

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::parse("http://127.0.0.1:81/a?b").unwrap();
        assert_eq!((target.address.port(), target.path.as_str(), target.tls), (81, "/a?b", false));
        assert_eq!(Target::parse("https://127.0.0.1").unwrap().address.port(), 443);
        assert_eq!(Target::parse("http://[::1]/").unwrap().address.to_string(), "[::1]:80");
        assert_eq!(Target::parse("http://[::1]:8/").unwrap().address.port(), 8);
        for wrong in
            ["127.0.0.1:80", "ftp://127.0.0.1/", "http:///", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y"]
        {
            assert!(Target::parse(wrong).unwrap_err().to_string().contains("expected a URL"), "{wrong}");
        }
        assert!(Target::parse("http://127.0.0.1:x/").unwrap_err().to_string().contains("the address of 127.0.0.1:x"));
    }
}
