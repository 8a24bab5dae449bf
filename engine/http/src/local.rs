//! Responses of the gateway itself: `application/problem+json` (RFC 9457).

use crate::Version;
use crate::fault::Fault;
use crate::framing::is_token_byte;
use crate::rate_limit::{LimitState, put_rate_limits};
use crate::relay::{put_date, write_connection};
use crate::status::reason_phrase;
use crate::text::{is_field_value, put_decimal, put_json_string, put_line, put_visible};

/// A response that no origin gave.
#[derive(Clone, Copy, Debug)]
pub struct Local<'l> {
    /// 200 to 599.
    pub status: u16,
    /// Version of the client's request; HTTP/1.1 where none was understood.
    pub client_version: Version,
    /// Whether the client connection stays open; false after any [`Fault`].
    pub keep_alive: bool,
    /// Answers HEAD: the body is announced, not sent.
    pub to_head_request: bool,
    /// Coarse code for machines. The precise reason stands only in the record.
    pub code: &'l str,
    pub request_id: &'l str,
    /// `Date` in IMF-fixdate.
    pub date: &'l [u8],
    /// Further fields: `WWW-Authenticate`, `Retry-After`, `Allow`, `Proxy-Status`.
    pub fields: &'l [(&'l str, &'l str)],
    pub limits: &'l [LimitState<'l>],
}

/// Appends a whole response: head and, where there may be one, the problem document. A 204 or 304 has none.
///
/// A field or value that could end its line gives [`Fault::UnsafeValue`] and leaves `out` as it was.
pub fn write_local_response(local: &Local<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    let written = write_whole(local, start, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// The body is written first, because the head announces its length, and then turned behind the head.
fn write_whole(local: &Local<'_>, start: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let has_content = !matches!(local.status, 100..=199 | 204 | 304);
    if has_content {
        write_problem(local, out);
    }
    let content_length = out.len() - start;
    write_head(local, has_content.then_some(content_length), out)?;
    if let Some(written) = out.get_mut(start..) {
        written.rotate_left(content_length);
    }
    if local.to_head_request {
        out.truncate(out.len() - content_length);
    }
    Ok(())
}

fn write_problem(local: &Local<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"title\":");
    put_json_string(out, reason_phrase(local.status));
    out.extend_from_slice(b",\"status\":");
    put_decimal(out, u64::from(local.status));
    out.extend_from_slice(b",\"code\":");
    put_json_string(out, local.code);
    out.extend_from_slice(b",\"request_id\":");
    put_json_string(out, local.request_id);
    out.extend_from_slice(b"}\n");
}

fn write_head(local: &Local<'_>, content_length: Option<usize>, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !matches!(local.status, 200..=599) {
        return Err(Fault::UnsafeValue);
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    put_decimal(out, u64::from(local.status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(local.status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    put_date(out, local.date)?;
    out.extend_from_slice(b"\r\n");
    for (name, value) in local.fields {
        if name.is_empty() || !name.bytes().all(is_token_byte) || !is_field_value(value.as_bytes()) {
            return Err(Fault::UnsafeValue);
        }
        put_line(out, name.as_bytes(), value.as_bytes());
    }
    if let Some(length) = content_length {
        out.extend_from_slice(b"Content-Type: application/problem+json\r\nCache-Control: no-store\r\nContent-Length: ");
        put_decimal(out, length as u64);
        out.extend_from_slice(b"\r\n");
    }
    write_connection(local.client_version, local.keep_alive, out);
    put_rate_limits(out, local.limits);
    out.extend_from_slice(b"X-Request-Id: ");
    put_visible(out, local.request_id.as_bytes())?;
    out.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

#[cfg(test)]
mod tests;
