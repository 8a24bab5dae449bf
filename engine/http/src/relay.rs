//! The response head that a client receives from an origin (RFC 9110 §7.6, RFC 9112 §6.1, §9.3).

use crate::Version;
use crate::fault::Fault;
use crate::forward::is_listed;
use crate::name::Name;
use crate::rate_limit::{LimitState, put_rate_limits};
use crate::response::{ResponseFraming, ResponseHead};
use crate::status::reason_phrase;
use crate::text::{put_decimal, put_line, put_visible};

/// The interim response that lets a client go on (RFC 9110 §15.2.1), for a gateway that takes the content itself.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the gateway adds to a response that it relays.
#[derive(Clone, Copy, Debug)]
pub struct Relay<'r> {
    /// Version of the client's request.
    pub client_version: Version,
    /// Whether the client connection stays open. Must be false where [`ResponseHead::framing_to`] says `UntilClose`.
    pub keep_alive: bool,
    pub request_id: &'r [u8],
    /// `Date` in IMF-fixdate, for an origin that sent none.
    pub date: &'r [u8],
    /// Limits that the request was charged to. Where there are any, the origin's own `RateLimit*` fields are left out.
    pub limits: &'r [LimitState<'r>],
    /// Pseudonym of this gateway in `Via`.
    pub via: &'r [u8],
}

impl ResponseHead {
    /// Framing of this response's content towards a client: content of unknown length is chunked for HTTP/1.1 and
    /// ends with the connection for HTTP/1.0.
    pub fn framing_to(&self, client: Version) -> ResponseFraming {
        match (self.framing, client) {
            (ResponseFraming::Chunked | ResponseFraming::UntilClose, Version::Http10) => ResponseFraming::UntilClose,
            (ResponseFraming::Chunked | ResponseFraming::UntilClose, Version::Http11) => ResponseFraming::Chunked,
            (framing, _) => framing,
        }
    }
}

/// Appends the head of a final response for the client: end-to-end fields as received, framing and connection fields
/// written anew, `X-Request-Id`, `RateLimit*`, `Via`, and `Date` where the origin sent none. `head` must have been
/// parsed from `bytes`.
///
/// Left out are: hop-by-hop fields and those that `Connection` lists, `Server` (what stands behind a gateway is
/// nobody's business), `Alt-Svc` (it would send clients past the gateway, RFC 7838), and fields that only the gateway
/// sets.
///
/// A value in `relay` that could end its line gives [`Fault::UnsafeValue`] and leaves `out` as it was.
pub fn write_response_head(
    bytes: &[u8],
    head: &ResponseHead,
    relay: &Relay<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let written = write_final(bytes, head, relay, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends an interim head (1xx but 101) for an HTTP/1.1 client; HTTP/1.0 clients must not be sent any, and are not.
pub fn write_interim_head(bytes: &[u8], head: &ResponseHead, client: Version, out: &mut Vec<u8>) {
    if client == Version::Http10 || !head.interim {
        return;
    }
    write_status_line(bytes, head, out);
    write_fields(bytes, head, false, false, out);
    out.extend_from_slice(b"\r\n");
}

fn write_final(bytes: &[u8], head: &ResponseHead, relay: &Relay<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.reserve(head.length + 256);
    let framing = head.framing_to(relay.client_version);
    write_status_line(bytes, head, out);
    write_fields(bytes, head, framing == ResponseFraming::Chunked, !relay.limits.is_empty(), out);
    match framing {
        ResponseFraming::Length(length) => write_length(length, out),
        ResponseFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        ResponseFraming::None => {
            if let Some(length) = head.content_length {
                write_length(length, out);
            }
        }
        ResponseFraming::UntilClose => {}
    }
    let stays_open = relay.keep_alive && framing != ResponseFraming::UntilClose;
    write_connection(relay.client_version, stays_open, out);
    if !head.has_date {
        out.extend_from_slice(b"Date: ");
        put_date(out, relay.date)?;
        out.extend_from_slice(b"\r\n");
    }
    put_rate_limits(out, relay.limits);
    out.extend_from_slice(if head.version == Version::Http10 { b"Via: 1.0 " } else { b"Via: 1.1 " });
    put_visible(out, relay.via)?;
    out.extend_from_slice(b"\r\nX-Request-Id: ");
    put_visible(out, relay.request_id)?;
    out.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

fn write_status_line(bytes: &[u8], head: &ResponseHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    put_decimal(out, u64::from(head.status));
    out.push(b' ');
    let reason = head.reason.of(bytes);
    out.extend_from_slice(if reason.is_empty() { reason_phrase(head.status).as_bytes() } else { reason });
    out.extend_from_slice(b"\r\n");
}

fn write_fields(bytes: &[u8], head: &ResponseHead, trailers: bool, own_limits: bool, out: &mut Vec<u8>) {
    for field in &head.fields {
        let name = field.name.of(bytes);
        match field.known {
            Name::Other | Name::Via | Name::Date | Name::Traceparent | Name::MaxForwards => {}
            // Most of these say nothing in a response; `Adamant-*` would be taken for the gateway's word.
            Name::GatewayOnly if !name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"adamant")) => {}
            Name::RateLimit if !own_limits => {}
            Name::Trailer if trailers => {}
            _ => continue,
        }
        if !head.options.listed || !is_listed(bytes, &head.fields, name) {
            put_line(out, name, field.value.of(bytes));
        }
    }
}

fn write_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    put_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// `Connection` where it differs from the version's default.
pub(crate) fn write_connection(client: Version, stays_open: bool, out: &mut Vec<u8>) {
    match (client, stays_open) {
        (Version::Http11, true) => {}
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

/// Appends a date: visible ASCII and spaces.
pub(crate) fn put_date(out: &mut Vec<u8>, date: &[u8]) -> Result<(), Fault> {
    if !date.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return Err(Fault::UnsafeValue);
    }
    out.extend_from_slice(date);
    Ok(())
}

#[cfg(test)]
mod tests;
