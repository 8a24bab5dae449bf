//! Content of a message, decoded as it arrives (RFC 9112 §6, §7). A chunk line holds nothing but hex digits unless
//! the grammar's extensions are allowed.

use crate::wire::{Field, Framing, Mode, Parsed, field_section, is_token_byte};

/// Longest chunk line that is accepted, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 65_536 + 64;

/// Decodes one content; feed it with [`ContentDecoder::push`] until [`ContentDecoder::is_done`].
#[derive(Clone, Debug)]
pub struct ContentDecoder {
    state: State,
    mode: Mode,
    /// Bytes of an unfinished chunk line or trailer section.
    held: Vec<u8>,
    trailers: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl ContentDecoder {
    pub fn new(framing: Framing, mode: Mode) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, mode, held: Vec::new(), trailers: Vec::new() }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection is the end of the content.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    pub fn trailers(&self) -> &[Field] {
        &self.trailers
    }

    /// Takes what belongs to this content from `input`, gives each piece of data to `sink`, and returns how many
    /// bytes were used: fewer than all only when the content is done.
    pub fn push(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, String> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            let rest = &input[at..];
            at += match self.state {
                State::Length(left) | State::ChunkData(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    sink(&rest[..take]);
                    self.after_data(left - take as u64);
                    take
                }
                State::UntilClose => {
                    sink(rest);
                    rest.len()
                }
                State::ChunkLine | State::ChunkEnd | State::Trailers => {
                    self.held.push(rest[0]);
                    self.step()?;
                    1
                }
                State::Done => 0,
            };
        }
        Ok(at)
    }

    fn after_data(&mut self, left: u64) {
        self.state = match (&self.state, left) {
            (State::Length(_), 0) => State::Done,
            (State::Length(_), left) => State::Length(left),
            (_, 0) => State::ChunkEnd,
            (_, left) => State::ChunkData(left),
        };
    }

    /// Looks at the held bytes after one more of them.
    fn step(&mut self) -> Result<(), String> {
        match self.state {
            State::ChunkEnd => match self.held.as_slice() {
                b"\r" => return Ok(()),
                b"\r\n" => self.state = State::ChunkLine,
                _ => return Err("chunk data that no CRLF follows".into()),
            },
            State::ChunkLine => {
                let Some(size) = chunk_line(&self.held, self.mode)? else { return Ok(()) };
                self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
            }
            _ => match field_section(&self.held) {
                Parsed::Complete((trailers, _)) => {
                    self.trailers = trailers;
                    self.state = State::Done;
                }
                Parsed::Partial => return Ok(()),
                Parsed::Invalid(why) => return Err(format!("in the trailer section: {why}")),
            },
        }
        self.held.clear();
        Ok(())
    }
}

/// The size of a chunk line once it is complete (RFC 9112 §7.1).
fn chunk_line(held: &[u8], mode: Mode) -> Result<Option<u64>, String> {
    let digits = held.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = &held[digits..];
    if rest.is_empty() {
        return if digits > 16 { Err("a chunk size of more than 16 digits".into()) } else { Ok(None) };
    }
    if digits == 0 {
        return Err(format!("a chunk line that starts with byte {:#04x}", rest[0]));
    }
    let extension = match rest {
        [b'\r'] => return Ok(None),
        [extension @ .., b'\r', b'\n'] => extension,
        _ if held.len() > CHUNK_LINE_BYTES_MAX => return Err("a chunk line without end".into()),
        [first, ..] if *first != b';' => return Err(format!("byte {first:#04x} after a chunk size")),
        [.., b'\n'] | [.., b'\r', _] => return Err("a lone CR or LF in a chunk line".into()),
        _ => return Ok(None),
    };
    if !extension.is_empty() && (mode == Mode::Canonical || !extensions_are_valid(extension)) {
        return Err(format!("the chunk extension {:?}", String::from_utf8_lossy(extension)));
    }
    let text = std::str::from_utf8(&held[..digits]).map_err(|error| error.to_string())?;
    u64::from_str_radix(text, 16).map(Some).map_err(|error| error.to_string())
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`; the grammar's bad white space is not allowed.
fn extensions_are_valid(extension: &[u8]) -> bool {
    let mut rest = extension;
    while let Some(after) = rest.strip_prefix(b";") {
        let name = after.iter().take_while(|byte| is_token_byte(**byte)).count();
        if name == 0 {
            return false;
        }
        rest = &after[name..];
        if let Some(value) = rest.strip_prefix(b"=") {
            let Some(length) = extension_value(value) else { return false };
            rest = &value[length..];
        }
    }
    rest.is_empty()
}

fn extension_value(value: &[u8]) -> Option<usize> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let length = value.iter().take_while(|byte| is_token_byte(**byte)).count();
        return (length > 0).then_some(length);
    };
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        match byte {
            b'"' => return Some(at + 2),
            b'\\' => at += 2,
            b'\t' | 0x20..=0x7e | 0x80.. => at += 1,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::ContentDecoder;
    use crate::wire::{Framing, Mode};

    fn decode(bytes: &[u8], mode: Mode) -> Result<(Vec<u8>, bool, usize), String> {
        let mut decoder = ContentDecoder::new(Framing::Chunked, mode);
        let mut data = Vec::new();
        let used = decoder.push(bytes, |piece| data.extend_from_slice(piece))?;
        Ok((data, decoder.is_done(), used))
    }

    #[test]
    fn chunks_and_trailers_are_decoded_and_the_rest_is_left() {
        let bytes = b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET";
        let (data, done, used) = decode(bytes, Mode::Canonical).unwrap();
        assert_eq!((data.as_slice(), done, used), (&b"hello0123456789"[..], true, bytes.len() - 3));
    }

    #[test]
    fn byte_by_byte_gives_the_same() {
        let mut decoder = ContentDecoder::new(Framing::Chunked, Mode::Canonical);
        let mut data = Vec::new();
        for byte in b"3\r\nabc\r\n0\r\n\r\n" {
            decoder.push(&[*byte], |piece| data.extend_from_slice(piece)).unwrap();
        }
        assert!(decoder.is_done());
        assert_eq!(data, b"abc");
    }

    #[test]
    fn anything_else_in_a_chunk_line_is_an_error() {
        for line in ["0x5", "+5", "-5", " 5", "5 ", "5_0", "", "5\n", "5\r;", "5;a\n", "5;\r", "1ffffffffffffffff", "g"]
        {
            let bytes = format!("{line}\r\nhello\r\n0\r\n\r\n");
            for mode in [Mode::Canonical, Mode::Grammar] {
                assert!(decode(bytes.as_bytes(), mode).is_err(), "{line:?}");
            }
        }
        assert!(decode(b"5\r\nhelloXX0\r\n\r\n", Mode::Grammar).is_err());
        assert!(decode(b"5\r\nhello\n0\r\n\r\n", Mode::Grammar).is_err());
    }

    #[test]
    fn extensions_belong_to_the_grammar_and_are_not_canonical() {
        for line in ["5;a", "5;a=b;c=\"d\\\"e;\""] {
            let bytes = format!("{line}\r\nhello\r\n0\r\n\r\n");
            assert!(decode(bytes.as_bytes(), Mode::Grammar).unwrap().1, "{line}");
            assert!(decode(bytes.as_bytes(), Mode::Canonical).is_err(), "{line}");
        }
        for line in ["5;", "5;a=", "5;a=\"b", "5;a b", "5;\0"] {
            let bytes = format!("{line}\r\nhello\r\n0\r\n\r\n");
            assert!(decode(bytes.as_bytes(), Mode::Grammar).is_err(), "{line}");
        }
    }
}
