//! What a client's bytes mean by the letter of RFC 9112: how many requests, and where they stop being requests.

use crate::content::ContentDecoder;
use crate::wire::{Mode, Parsed, RequestHead, request_head};

/// A request with its decoded content.
#[derive(Clone, Debug)]
pub struct Message {
    pub head: RequestHead,
    pub content: Vec<u8>,
    /// Whether the content came whole.
    pub complete: bool,
}

/// What follows the last whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, or bytes after a request that ends the connection.
    Nothing,
    /// The start of a valid request.
    Partial,
    /// Not a valid request, and why.
    Invalid(String),
}

/// Bytes taken apart.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Whole requests in their order.
    pub requests: Vec<Message>,
    /// A last request whose head came and whose content did not come whole.
    pub unfinished: Option<Message>,
    pub rest: Rest,
    /// First word of the rest.
    pub rest_method: String,
}

impl Sent {
    /// At most so many requests may reach an origin, and so many final responses the client.
    pub fn allowed(&self) -> usize {
        self.requests.len() + usize::from(self.rest != Rest::Nothing)
    }

    /// All that a client sent on one connection.
    pub fn by_client(bytes: &[u8]) -> Self {
        Self::parse(bytes, Mode::Grammar)
    }

    /// All that reached an origin on one connection: nothing but canonical requests.
    pub fn at_origin(bytes: &[u8]) -> Self {
        Self::parse(bytes, Mode::Canonical)
    }

    fn parse(bytes: &[u8], mode: Mode) -> Self {
        let mut sent = Self { requests: Vec::new(), unfinished: None, rest: Rest::Nothing, rest_method: String::new() };
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let start = rest.trim_ascii_start();
            let method = start.split(|byte| b" \t\r\n".contains(byte)).next().unwrap_or_default();
            sent.rest_method = String::from_utf8_lossy(method).into();
            let head = match request_head(rest, mode) {
                Parsed::Complete(head) => head,
                Parsed::Partial => {
                    sent.rest = Rest::Partial;
                    return sent;
                }
                Parsed::Invalid(why) => {
                    sent.rest = Rest::Invalid(why);
                    return sent;
                }
            };
            let mut decoder = ContentDecoder::new(head.framing, mode);
            let mut content = Vec::new();
            let used = decoder.push(&rest[head.length..], |piece| content.extend_from_slice(piece));
            let message = Message { head, content, complete: decoder.is_done() };
            match used {
                Ok(used) if message.complete => {
                    at += message.head.length + used;
                    let goes_on = message.head.keep_alive();
                    sent.requests.push(message);
                    if !goes_on {
                        return sent;
                    }
                }
                Ok(_) => {
                    sent.rest = Rest::Partial;
                    sent.unfinished = Some(message);
                    return sent;
                }
                Err(why) => {
                    sent.rest = Rest::Invalid(why);
                    sent.unfinished = Some(message);
                    return sent;
                }
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::{Rest, Sent};

    #[test]
    fn pipelined_requests_are_counted_up_to_the_first_doubt() {
        let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let sent = Sent::by_client(&[&get[..], get, b"GET / HTTP/1.1\r\n\r\n", get].concat());
        assert_eq!((sent.requests.len(), sent.allowed()), (2, 3));
        assert!(matches!(sent.rest, Rest::Invalid(_)));
    }

    #[test]
    fn nothing_counts_after_a_close() {
        let close = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let sent = Sent::by_client(&[&close[..], close].concat());
        assert_eq!((sent.requests.len(), sent.allowed(), sent.rest), (1, 1, Rest::Nothing));
    }

    #[test]
    fn a_request_with_missing_content_is_unfinished() {
        let sent = Sent::by_client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
        assert_eq!((sent.requests.len(), sent.rest), (0, Rest::Partial));
        assert_eq!(sent.unfinished.unwrap().content, b"abc");
    }
}
