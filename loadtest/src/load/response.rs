//! Where a response ends (RFC 9112 §6.3), taken in pieces and never kept.

use crate::wire::Malformed;

/// Longest response head that is taken.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 128;
/// Longest chunk-size line or trailer line that is taken.
const LINE_BYTES_MAX: u32 = 16 << 10;

/// Follows the responses on one connection.
#[derive(Default)]
pub(super) struct Reader {
    state: State,
    /// A head that came in pieces.
    partial: Vec<u8>,
    head: Head,
}

/// What matters of a response head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub status: u16,
    pub keep_alive: bool,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Content(u64),
    Chunked(Chunked),
    UntilClose,
}

/// Inside chunked content (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunked {
    Size { size: u64, digits: u32 },
    Extension { size: u64, length: u32 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd { line_feed: bool },
    Trailer { length: u32 },
}

/// The last head that was seen on this thread: targets repeat themselves, and comparing is cheaper than parsing.
#[derive(Default)]
pub(super) struct LastHead {
    bytes: Vec<u8>,
    head: Head,
    head_only: bool,
}

impl Reader {
    /// Takes the next bytes; gives the head once the response is whole. `head_only`: it has no content whatever its
    /// fields say.
    pub fn take(&mut self, bytes: &[u8], head_only: bool, last: &mut LastHead) -> Result<Option<Head>, Malformed> {
        let mut rest = bytes;
        loop {
            match self.state {
                State::Head => match self.take_head(rest, head_only, last)? {
                    Some(used) => rest = rest.get(used..).unwrap_or_default(),
                    None => return Ok(None),
                },
                State::Content(left) => {
                    let length = rest.len() as u64;
                    if length < left {
                        self.state = State::Content(left - length);
                        return Ok(None);
                    }
                    return if length == left { Ok(Some(self.finish())) } else { Err(Malformed::TooMuch) };
                }
                State::Chunked(at) => match at.advance(&mut rest)? {
                    Some(at) => {
                        self.state = State::Chunked(at);
                        return Ok(None);
                    }
                    None => return if rest.is_empty() { Ok(Some(self.finish())) } else { Err(Malformed::TooMuch) },
                },
                State::UntilClose => return Ok(None),
            }
        }
    }

    /// The peer closed: a response that ends so is whole.
    pub fn close(&mut self) -> Option<Head> {
        matches!(self.state, State::UntilClose).then(|| self.finish())
    }

    /// Bytes of content of known length that are still to come.
    pub fn content_left(&self) -> u64 {
        match self.state {
            State::Content(left) => left,
            _ => 0,
        }
    }

    /// So many of [`Reader::content_left`] came and were thrown away.
    pub fn skip(&mut self, count: u64) -> Option<Head> {
        match self.state {
            State::Content(left) if count < left => {
                self.state = State::Content(left - count);
                None
            }
            _ => Some(self.finish()),
        }
    }

    fn finish(&mut self) -> Head {
        self.state = State::Head;
        self.head
    }

    /// Bytes of the head that ends in `bytes`, if it does.
    fn take_head(&mut self, bytes: &[u8], head_only: bool, last: &mut LastHead) -> Result<Option<usize>, Malformed> {
        let repeated = self.partial.is_empty() && last.head_only == head_only && !last.bytes.is_empty();
        let (head, length) = if repeated && bytes.starts_with(&last.bytes) {
            (last.head, last.bytes.len())
        } else {
            let before = self.partial.len();
            let whole = if before == 0 {
                bytes
            } else {
                self.partial.extend_from_slice(bytes);
                &self.partial
            };
            let Some((head, length)) = Head::parse(whole, head_only)? else {
                if whole.len() > HEAD_BYTES_MAX {
                    return Err(Malformed::Head);
                }
                if before == 0 {
                    self.partial.extend_from_slice(bytes);
                }
                return Ok(None);
            };
            last.bytes.clear();
            last.bytes.extend_from_slice(whole.get(..length).unwrap_or_default());
            (last.head, last.head_only) = (head, head_only);
            self.partial.clear();
            (head, length - before.min(length))
        };
        if (100..200).contains(&head.status) && head.status != 101 {
            return Ok(Some(length)); // interim: the real one follows
        }
        self.head = head;
        self.state = match head.framing {
            Framing::None | Framing::Length(0) => State::Content(0),
            Framing::Length(length) => State::Content(length),
            Framing::Chunked => State::Chunked(Chunked::Size { size: 0, digits: 0 }),
            Framing::UntilClose => State::UntilClose,
        };
        Ok(Some(length))
    }
}

impl Head {
    /// The head at the start of `bytes` and its length, once it is whole.
    fn parse(bytes: &[u8], head_only: bool) -> Result<Option<(Self, usize)>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes).map_err(|_| Malformed::Head)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let status = response.code.ok_or(Malformed::Head)?;
        let mut keep_alive = response.version == Some(1);
        let (mut content_length, mut coding) = (None, None);
        for field in response.headers.iter() {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(value).map_err(|_| Malformed::Framing)?;
                let found: u64 = text.parse().map_err(|_| Malformed::Framing)?;
                if content_length.replace(found).is_some_and(|before| before != found) {
                    return Err(Malformed::Framing);
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                coding = Some(value);
            } else if field.name.eq_ignore_ascii_case("connection") {
                if value.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if value.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                }
            }
        }
        let framing = match (coding, content_length) {
            _ if head_only || status == 204 || status == 304 || (100..200).contains(&status) => Framing::None,
            (Some(_), Some(_)) => return Err(Malformed::Framing),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (Some(_), None) => return Err(Malformed::Framing),
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::UntilClose,
        };
        let keep_alive = keep_alive && framing != Framing::UntilClose;
        Ok(Some((Self { status, keep_alive, framing }, length)))
    }
}

impl Chunked {
    /// Takes what is there; none once the last chunk and the trailers are through.
    fn advance(mut self, bytes: &mut &[u8]) -> Result<Option<Self>, Malformed> {
        while let Some((byte, after)) = bytes.split_first() {
            if let Self::Data { left } = self {
                let taken = left.min(bytes.len() as u64);
                *bytes = bytes.get(usize::try_from(taken).unwrap_or(usize::MAX)..).unwrap_or_default();
                self =
                    if taken < left { Self::Data { left: left - taken } } else { Self::DataEnd { line_feed: false } };
                continue;
            }
            *bytes = after;
            self = match (self, *byte) {
                (Self::Size { size, digits }, digit) if digit.is_ascii_hexdigit() && digits < 15 => {
                    let value = char::from(digit).to_digit(16).unwrap_or_default();
                    Self::Size { size: size << 4 | u64::from(value), digits: digits + 1 }
                }
                (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeEnd { size },
                (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Self::Extension { size, length: 0 },
                (Self::Extension { size, .. }, b'\r') => Self::SizeEnd { size },
                (Self::Extension { size, length }, _) if length < LINE_BYTES_MAX => {
                    Self::Extension { size, length: length + 1 }
                }
                (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailer { length: 0 },
                (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
                (Self::DataEnd { line_feed: false }, b'\r') => Self::DataEnd { line_feed: true },
                (Self::DataEnd { line_feed: true }, b'\n') => Self::Size { size: 0, digits: 0 },
                (Self::Trailer { length }, b'\r') => Self::Trailer { length },
                (Self::Trailer { length: 0 }, b'\n') => return Ok(None),
                (Self::Trailer { .. }, b'\n') => Self::Trailer { length: 0 },
                (Self::Trailer { length }, _) if length < LINE_BYTES_MAX => Self::Trailer { length: length + 1 },
                _ => return Err(Malformed::Framing),
            };
        }
        Ok(Some(self))
    }
}

#[cfg(test)]
#[path = "response/tests.rs"]
mod tests;
