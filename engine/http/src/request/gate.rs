//! What httparse lets through and a gateway must not.

use super::{Framing, RequestHead, Scheme, TargetForm, Upgrade};
use crate::Version;
use crate::authority::Authority;
use crate::bounds::{Bounds, METHOD_BYTES_MAX};
use crate::fault::Fault;
use crate::framing::{Coded, Gathered, decimal};
use crate::name::{Name, recognise};
use crate::span::{Field, Span};
use crate::text::list;

/// The request line: length, method, target bytes. The target's form is known here, its authority later.
pub(super) fn check_line(bytes: &[u8], bounds: &Bounds, head: &RequestHead) -> Result<(), Fault> {
    let (method, target) = (head.method.of(bytes), head.target.of(bytes));
    if target.len() > bounds.target_bytes_max {
        return Err(Fault::TargetTooLong);
    }
    if method.len() > METHOD_BYTES_MAX {
        return Err(Fault::Method);
    }
    if method == b"CONNECT" || method == b"TRACE" {
        return Err(Fault::MethodNotServed);
    }
    if !target.is_ascii() {
        return Err(Fault::TargetBytes);
    }
    Ok(())
}

/// Takes over the field lines, with what they mean. Each must be preceded by CRLF, and the head must end in two.
pub(super) fn check_fields(
    bytes: &[u8],
    headers: &[httparse::Header<'_>],
    head: &mut RequestHead,
) -> Result<(), Fault> {
    let mut gathered = Gathered::default();
    let (mut upgrade, mut expect, mut max_forwards) = (None, None, None);
    for header in headers {
        let name = Span::within(bytes, header.name.as_bytes());
        let value = Span::within(bytes, header.value);
        if !crlf_ends_at(bytes, name.start as usize) {
            return Err(Fault::LineEnding);
        }
        let known = recognise(header.name.as_bytes());
        match known {
            Name::Other => {}
            Name::Host => once(&mut head.host, value, Fault::HostRepeated)?,
            Name::ContentLength => gathered.request_length(header.value)?,
            Name::TransferEncoding => gathered.transfer_encoding(header.value),
            Name::Connection => gathered.connection(header.value)?,
            Name::Authorization => once(&mut head.authorization, value, Fault::AuthorizationRepeated)?,
            Name::ApiKey => once(&mut head.api_key, value, Fault::ApiKeyRepeated)?,
            Name::Dpop => once(&mut head.dpop, value, Fault::DpopRepeated)?,
            Name::Expect => once(&mut expect, value, Fault::Expectation)?,
            Name::MaxForwards => once(&mut max_forwards, value, Fault::MaxForwards)?,
            Name::Upgrade => upgrade = Some(h2c_alone(header.value) && upgrade.unwrap_or(true)),
            Name::Traceparent => head.traceparent = Some(value),
            Name::RequestId => head.request_id = Some(value),
            _ => {}
        }
        if !head.fields.push(Field { name, value, known }) {
            return Err(Fault::TooManyFields);
        }
    }
    if !crlf_ends_at(bytes, head.length) || !crlf_ends_at(bytes, head.length.wrapping_sub(2)) {
        return Err(Fault::LineEnding);
    }
    settle(head, &gathered)?;
    if let (Some(h2c), true) = (upgrade, head.version == Version::Http11 && gathered.options.upgrade) {
        head.upgrade = if h2c { Upgrade::H2c } else { Upgrade::Other };
    }
    if let (Some(expect), Version::Http11) = (expect, head.version) {
        if !expect.of(bytes).eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::Expectation);
        }
        head.expect_continue = !matches!(head.framing, Framing::None | Framing::Length(0));
    }
    if let (Some(value), b"OPTIONS") = (max_forwards, head.method.of(bytes)) {
        head.max_forwards = Some(decimal(value.of(bytes)).ok_or(Fault::MaxForwards)?);
    }
    Ok(())
}

/// Framing and persistence from what was gathered.
fn settle(head: &mut RequestHead, gathered: &Gathered) -> Result<(), Fault> {
    let http10 = head.version == Version::Http10;
    head.framing = match gathered.coded(http10)? {
        None => Framing::None,
        Some(Coded::Length(length)) => Framing::Length(length),
        Some(Coded::Chunked) => Framing::Chunked,
    };
    if gathered.options.hides {
        return Err(Fault::Connection);
    }
    head.options = gathered.options;
    head.keep_alive = gathered.keep_alive(http10);
    Ok(())
}

/// Host and target together (RFC 9112 §3.2, §3.3).
pub(super) fn check_whole(bytes: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
    let host = match head.host {
        Some(span) => Some(Authority::parse(span.of(bytes)).ok_or(Fault::HostInvalid)?),
        None if head.version == Version::Http10 => None,
        None => return Err(Fault::HostMissing),
    };
    let target = head.target.of(bytes);
    let options = head.method.of(bytes) == b"OPTIONS";
    match target {
        [b'/', ..] => Ok(()),
        b"*" if options => {
            head.form = TargetForm::Asterisk;
            Ok(())
        }
        _ => absolute_form(bytes, host, options, head),
    }
}

/// `http://authority/path?query`: the authority must fit the Host field (RFC 9112 §3.2: a client must send them
/// equal), and what follows it becomes the target.
fn absolute_form(
    bytes: &[u8],
    host: Option<Authority<'_>>,
    options: bool,
    head: &mut RequestHead,
) -> Result<(), Fault> {
    let target = head.target.of(bytes);
    let (scheme, skip, port) = if starts_with_ignoring_case(target, b"http://") {
        (Scheme::Http, 7, 80)
    } else if starts_with_ignoring_case(target, b"https://") {
        (Scheme::Https, 8, 443)
    } else {
        return Err(Fault::TargetForm);
    };
    let rest = target.get(skip..).unwrap_or(&[]);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = Authority::parse(rest.get(..end).unwrap_or(&[])).ok_or(Fault::HostInvalid)?;
    if host.is_some_and(|host| !host.same(authority, port)) {
        return Err(Fault::HostMismatch);
    }
    let whole = head.target;
    head.host = Some(whole.part(skip, end));
    head.target = whole.part(skip + end, rest.len() - end);
    head.form = if options && end == rest.len() { TargetForm::Asterisk } else { TargetForm::Absolute(scheme) };
    Ok(())
}

fn starts_with_ignoring_case(bytes: &[u8], lower: &[u8]) -> bool {
    bytes.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}

fn once(slot: &mut Option<Span>, value: Span, repeated: Fault) -> Result<(), Fault> {
    if slot.replace(value).is_some() { Err(repeated) } else { Ok(()) }
}

/// Whether an `Upgrade` value asks for `h2c` and nothing else.
fn h2c_alone(value: &[u8]) -> bool {
    list(value).all(|protocol| protocol.eq_ignore_ascii_case(b"h2c"))
}

/// Whether the two bytes before `position` are CRLF.
#[inline]
fn crlf_ends_at(bytes: &[u8], position: usize) -> bool {
    position >= 2 && bytes.get(position - 2..position) == Some(b"\r\n")
}
