//! The request head: parsed in place, then the strict gate (RFC 9112 §3, §5, §6, §11.2).

mod gate;

use std::mem::MaybeUninit;

use crate::bounds::{Bounds, FIELDS_MAX, METHOD_BYTES_MAX};
use crate::fault::Fault;
use crate::framing::Options;
use crate::span::{Fields, Span};
use crate::{Progress, Version};

/// Where a request's content ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No content.
    #[default]
    None,
    /// This many bytes.
    Length(u64),
    Chunked,
}

/// Form of the request-target (RFC 9112 §3.2). The authority form is refused with its method, CONNECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    #[default]
    Origin,
    Absolute(Scheme),
    /// `OPTIONS *`, or OPTIONS with an absolute target without path: about the gateway itself, never forwarded.
    Asterisk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// What the client wants to upgrade to (RFC 9110 §7.8). Counts only in HTTP/1.1 with `Connection: upgrade`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    #[default]
    None,
    /// HTTP/2 over cleartext TCP and nothing else: optional for the server, so the request can be served as it is.
    H2c,
    /// WebSocket or another protocol: the exchange makes no sense without it.
    Other,
}

/// A request head. Spans point into the block it was parsed from.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub method: Span,
    /// Path and query of the target, as received. Empty, or starting with `?`, where an absolute target has no path;
    /// `*` in asterisk form.
    pub target: Span,
    pub form: TargetForm,
    pub version: Version,
    pub fields: Fields,
    /// Bytes of the head, from the start of the block up to and including its final empty line.
    pub length: usize,
    pub framing: Framing,
    /// Whether the client expects the connection to stay open after this exchange.
    pub keep_alive: bool,
    /// `Expect: 100-continue` in HTTP/1.1 with content still to come.
    pub expect_continue: bool,
    pub upgrade: Upgrade,
    /// `host` or `host:port`, valid: of the Host field, which equals the target's authority where it has one. `None`
    /// only in HTTP/1.0.
    pub host: Option<Span>,
    /// Value of `Authorization`.
    pub authorization: Option<Span>,
    /// Value of `X-API-Key`.
    pub api_key: Option<Span>,
    /// Value of `DPoP` (RFC 9449 §4.1).
    pub dpop: Option<Span>,
    /// Value of `traceparent`, unchecked.
    pub traceparent: Option<Span>,
    /// Value of `X-Request-Id`, unchecked.
    pub request_id: Option<Span>,
    /// `Max-Forwards` of an OPTIONS request: at 0 the gateway answers itself (RFC 9110 §7.6.2).
    pub max_forwards: Option<u64>,
    pub(crate) options: Options,
}

impl RequestHead {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `Connection` lists fields, which then go no further, in the trailer section too (RFC 9110 §7.6.1).
    pub fn lists_fields(&self) -> bool {
        self.options.listed
    }

    /// Everything but the field slots, which are overwritten before they are read.
    fn clear(&mut self) {
        self.fields.clear();
        self.form = TargetForm::Origin;
        self.upgrade = Upgrade::None;
        self.expect_continue = false;
        self.host = None;
        self.authorization = None;
        self.api_key = None;
        self.dpop = None;
        self.traceparent = None;
        self.request_id = None;
        self.max_forwards = None;
    }
}

/// Parses the request head at the start of `bytes` into `head` and applies the gate. Bytes after the head are not
/// looked at. `head` is meaningful only after [`Progress::Complete`].
///
/// One empty line before the request line is skipped (RFC 9112 §2.2). A partial head is refused as soon as no
/// continuation could make it valid, as far as that can be told in one look; [`crate::Scan`] tells when a look is
/// worth it. For the same bytes, how they arrive in parts never changes whether they are accepted.
pub fn parse_request(bytes: &[u8], bounds: &Bounds, head: &mut RequestHead) -> Result<Progress, Fault> {
    let window = bounds.window(bytes);
    let Some(start) = message_start(window)? else { return partial(&[], bytes, bounds) };
    let message = window.get(start..).unwrap_or(&[]);
    let mut slots = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
    let slots = slots.get_mut(..bounds.fields()).unwrap_or(&mut []);
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(message, slots) {
        Ok(httparse::Status::Complete(length)) => {
            head.clear();
            head.length = start + length;
            let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
                return Err(Fault::RequestLine);
            };
            head.method = Span::within(bytes, method.as_bytes());
            head.target = Span::within(bytes, target.as_bytes());
            head.version = if version == 0 { Version::Http10 } else { Version::Http11 };
            gate::check_line(bytes, bounds, head)?;
            gate::check_fields(bytes, request.headers, head)?;
            gate::check_whole(bytes, head)?;
            Ok(Progress::Complete)
        }
        Ok(httparse::Status::Partial) => partial(message, bytes, bounds),
        Err(error) => Err(fault_of(error, message, bounds)),
    }
}

/// Where the request line starts: after at most one empty line. `None` while that is not known.
fn message_start(window: &[u8]) -> Result<Option<usize>, Fault> {
    match window {
        [0x16, ..] => Err(Fault::TlsOnPlainPort),
        [b'\n', ..] | [b'\r', b'\n', b'\r' | b'\n', ..] => Err(Fault::LineEnding),
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r', _, ..] => Err(Fault::LineEnding),
        _ => Ok(Some(0)),
    }
}

/// Refuses what is already known to be wrong with an incomplete head.
fn partial(message: &[u8], bytes: &[u8], bounds: &Bounds) -> Result<Progress, Fault> {
    line_too_long(message, bounds)?;
    if !lines_end_in_crlf(message) {
        return Err(Fault::LineEnding);
    }
    if bounds.exhausted(bytes) {
        return Err(Fault::HeadTooLarge);
    }
    Ok(Progress::Partial)
}

/// Refuses a method or target that is too long, whether or not the line is whole.
fn line_too_long(message: &[u8], bounds: &Bounds) -> Result<(), Fault> {
    let method = message.iter().take(METHOD_BYTES_MAX + 1).position(|byte| *byte == b' ');
    let Some(method) = method else {
        return if message.len() > METHOD_BYTES_MAX { Err(Fault::Method) } else { Ok(()) };
    };
    let target = message.get(method + 1..).unwrap_or(&[]);
    let end = target.iter().take(bounds.target_bytes_max + 1).position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    if end.is_none() && target.len() > bounds.target_bytes_max { Err(Fault::TargetTooLong) } else { Ok(()) }
}

/// Whether no LF in an incomplete head stands without a CR before it. (httparse takes bare LF for a line ending; a
/// CR before anything else it refuses itself.)
pub(crate) fn lines_end_in_crlf(message: &[u8]) -> bool {
    let mut previous = 0;
    message.iter().all(|byte| {
        let fine = *byte != b'\n' || previous == b'\r';
        previous = *byte;
        fine
    })
}

/// Names the cause of what httparse refused.
fn fault_of(error: httparse::Error, message: &[u8], bounds: &Bounds) -> Fault {
    if message.starts_with(b"PRI * HTTP/2") {
        return Fault::Http2Preface;
    }
    if let Err(fault) = line_too_long(message, bounds) {
        return fault;
    }
    match error {
        httparse::Error::HeaderName => Fault::FieldName,
        httparse::Error::HeaderValue => Fault::FieldValue,
        httparse::Error::NewLine => Fault::LineEnding,
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::Version => Fault::Version,
        httparse::Error::Token | httparse::Error::Status => Fault::RequestLine,
    }
}

#[cfg(test)]
pub(crate) mod tests;
