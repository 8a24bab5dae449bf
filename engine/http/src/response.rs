//! The response head of an origin: parsed in place, then the strict gate (RFC 9112 §4, §6).

use std::mem::MaybeUninit;

use crate::bounds::{Bounds, FIELDS_MAX};
use crate::fault::Fault;
use crate::framing::{Coded, Gathered, Options};
use crate::name::{Name, recognise};
use crate::request::lines_end_in_crlf;
use crate::span::{Field, Fields, Span};
use crate::{Progress, Version};

/// Where a response's content ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No content, whatever the fields say: interim, 204, 304, or an answer to HEAD.
    #[default]
    None,
    /// This many bytes.
    Length(u64),
    Chunked,
    /// Everything until the origin closes the connection.
    UntilClose,
}

/// A response head. Spans point into the block it was parsed from.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    pub version: Version,
    /// Reason phrase: visible ASCII, SP and HTAB; empty where the origin sent none or other bytes.
    pub reason: Span,
    pub fields: Fields,
    /// Bytes of the head, from the start of the block up to and including its final empty line.
    pub length: usize,
    pub framing: ResponseFraming,
    /// `Content-Length` as sent: also set where there is no content (HEAD, 304), where it describes another response.
    pub content_length: Option<u64>,
    /// Whether the origin connection may be used again once the content has been read.
    pub keep_alive: bool,
    /// 1xx: another head follows.
    pub interim: bool,
    pub has_date: bool,
    pub(crate) options: Options,
}

impl ResponseHead {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `Connection` lists fields, which then go no further, in the trailer section too (RFC 9110 §7.6.1).
    pub fn lists_fields(&self) -> bool {
        self.options.listed
    }
}

/// Parses the response head at the start of `bytes` into `head` and applies the gate; `to_head_request` says that
/// it answers HEAD. Bytes after the head are not looked at. `head` is meaningful only after [`Progress::Complete`].
pub fn parse_response(
    bytes: &[u8],
    bounds: &Bounds,
    to_head_request: bool,
    head: &mut ResponseHead,
) -> Result<Progress, Fault> {
    let window = bounds.window(bytes);
    if window.first().is_some_and(|byte| *byte != b'H') {
        return Err(Fault::StatusLine);
    }
    let mut slots = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
    let slots = slots.get_mut(..bounds.fields()).unwrap_or(&mut []);
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, window, slots);
    match parsed {
        Ok(httparse::Status::Complete(length)) => {
            let (Some(version), Some(status)) = (response.version, response.code) else {
                return Err(Fault::StatusLine);
            };
            head.length = length;
            head.version = if version == 0 { Version::Http10 } else { Version::Http11 };
            head.status = status;
            head.interim = matches!(status, 100..=199);
            let reason = response.reason.unwrap_or_default();
            head.reason = if reason.is_empty() { Span::default() } else { Span::within(bytes, reason.as_bytes()) };
            let gathered = check_fields(bytes, response.headers, head)?;
            settle(head, &gathered, to_head_request)?;
            Ok(Progress::Complete)
        }
        Ok(httparse::Status::Partial) if !lines_end_in_crlf(window) => Err(Fault::LineEnding),
        Ok(httparse::Status::Partial) if bounds.exhausted(bytes) => Err(Fault::HeadTooLarge),
        Ok(httparse::Status::Partial) => Ok(Progress::Partial),
        Err(error) => Err(fault_of(error)),
    }
}

fn check_fields(bytes: &[u8], headers: &[httparse::Header<'_>], head: &mut ResponseHead) -> Result<Gathered, Fault> {
    let mut gathered = Gathered::default();
    head.fields.clear();
    head.has_date = false;
    for header in headers {
        let name = Span::within(bytes, header.name.as_bytes());
        let value = Span::within(bytes, header.value);
        if !ends_in_crlf(bytes, name.start as usize) {
            return Err(Fault::LineEnding);
        }
        let known = recognise(header.name.as_bytes());
        match known {
            Name::ContentLength => gathered.response_length(header.value)?,
            Name::TransferEncoding => gathered.transfer_encoding(header.value),
            Name::Connection => gathered.connection(header.value)?,
            Name::Date => head.has_date = true,
            _ => {}
        }
        if !head.fields.push(Field { name, value, known }) {
            return Err(Fault::TooManyFields);
        }
    }
    if ends_in_crlf(bytes, head.length) && ends_in_crlf(bytes, head.length.wrapping_sub(2)) {
        Ok(gathered)
    } else {
        Err(Fault::LineEnding)
    }
}

/// Framing and persistence (RFC 9112 §6.3, §9.3).
fn settle(head: &mut ResponseHead, gathered: &Gathered, to_head_request: bool) -> Result<(), Fault> {
    match head.status {
        101 => return Err(Fault::SwitchingProtocols),
        100..=599 => {}
        _ => return Err(Fault::StatusLine),
    }
    let http10 = head.version == Version::Http10;
    if head.interim && http10 {
        return Err(Fault::StatusLine);
    }
    let coded = gathered.coded(http10)?;
    head.options = gathered.options;
    head.content_length = gathered.length;
    head.keep_alive = gathered.keep_alive(http10);
    head.framing = match coded {
        _ if head.interim || head.status == 204 => {
            // Neither may announce content (RFC 9110 §8.6, RFC 9112 §6.1). An origin that does so may send it too.
            if coded.is_some_and(|coded| coded != Coded::Length(0)) {
                head.keep_alive = false;
            }
            head.content_length = None;
            ResponseFraming::None
        }
        _ if to_head_request || head.status == 304 => ResponseFraming::None,
        Some(Coded::Length(length)) => ResponseFraming::Length(length),
        Some(Coded::Chunked) => ResponseFraming::Chunked,
        None => {
            head.keep_alive = false;
            ResponseFraming::UntilClose
        }
    };
    Ok(())
}

fn ends_in_crlf(bytes: &[u8], position: usize) -> bool {
    position >= 2 && bytes.get(position - 2..position) == Some(b"\r\n")
}

fn fault_of(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::HeaderName => Fault::FieldName,
        httparse::Error::HeaderValue => Fault::FieldValue,
        httparse::Error::NewLine => Fault::LineEnding,
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::Version => Fault::Version,
        httparse::Error::Token | httparse::Error::Status => Fault::StatusLine,
    }
}

#[cfg(test)]
mod tests;
