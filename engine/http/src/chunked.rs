//! The chunked transfer coding (RFC 9112 §7.1): a decoder that gives ranges of its input, and the encoder's pieces.
//!
//! Strict where parsers are known to differ: CRLF alone ends a line, no white space around sizes or extensions, no
//! sign or prefix. Extensions are checked, counted and dropped.

use std::ops::Range;

use crate::bounds::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX};
use crate::fault::Fault;
use crate::framing::is_token_byte;
use crate::request::lines_end_in_crlf;

/// What ends the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// One step of decoding. Positions are offsets into the input of that step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Content, never empty. The next step starts at the range's end.
    Data(Range<usize>),
    /// More input is needed. What follows `consumed` (part of a trailer section, fewer than `TRAILER_BYTES_MAX`
    /// bytes) must be presented again, with more after it.
    Partial { consumed: usize },
    /// The message is over. `trailers` is the trailer section with its final empty line, for
    /// [`crate::parse_trailers`]; the next message starts at `consumed`.
    End { trailers: Range<usize>, consumed: usize },
}

/// Decodes one chunked message. 24 bytes.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    /// Size of the chunk being announced, then what is left of its data, bytes.
    left: u64,
    extension_bytes: u32,
    digits: u8,
    state: State,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Right after `;`.
    ExtensionName,
    ExtensionNameRest,
    /// Right after `=`.
    ExtensionValue,
    ExtensionToken,
    Quoted,
    QuotedPair,
    AfterQuoted,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailers,
    Over,
}

impl ChunkedDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the last chunk and the trailer section have been read.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Decodes up to the next piece of content. However the input is cut, the content and the outcome are the same.
    /// After a fault the decoder must not be used again.
    pub fn step(&mut self, input: &[u8]) -> Result<Chunk, Fault> {
        let mut position = 0;
        loop {
            match self.state {
                State::Data => {
                    let rest = input.len().saturating_sub(position);
                    let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                    if length == 0 {
                        return Ok(Chunk::Partial { consumed: position });
                    }
                    self.left -= length as u64;
                    if self.left == 0 {
                        self.state = State::DataReturn;
                    }
                    return Ok(Chunk::Data(position..position + length));
                }
                State::Trailers => return self.trailers(input, position),
                State::Over => return Ok(Chunk::End { trailers: position..position, consumed: position }),
                _ => {
                    let Some(byte) = input.get(position) else { return Ok(Chunk::Partial { consumed: position }) };
                    self.line_byte(*byte)?;
                    position += 1;
                }
            }
        }
    }

    /// One byte of a chunk's size line, or of the CRLF after its data.
    fn line_byte(&mut self, byte: u8) -> Result<(), Fault> {
        self.state = match (self.state, byte) {
            (State::Size, _) => return self.size_byte(byte),
            (State::SizeLineFeed, b'\n') => {
                self.digits = 0;
                if self.left == 0 { State::Trailers } else { State::Data }
            }
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::Size,
            (State::DataReturn | State::DataLineFeed, _) => return Err(Fault::ChunkEnd),
            (State::SizeLineFeed, _) => return Err(Fault::ChunkSize),
            (state, _) => {
                self.extension_bytes += 1;
                if self.extension_bytes as usize > CHUNK_EXTENSION_BYTES_MAX {
                    return Err(Fault::ChunkExtensionsTooLarge);
                }
                extension_byte(state, byte).ok_or(Fault::ChunkExtension)?
            }
        };
        Ok(())
    }

    fn size_byte(&mut self, byte: u8) -> Result<(), Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.digits > 0 => {
                self.state = State::ExtensionName;
                return Ok(());
            }
            b'\r' if self.digits > 0 => {
                self.state = State::SizeLineFeed;
                return Ok(());
            }
            _ => return Err(Fault::ChunkSize),
        };
        if usize::from(self.digits) == CHUNK_SIZE_DIGITS_MAX {
            return Err(Fault::ChunkSize);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(())
    }

    /// The trailer section has to be whole in the input, so that its fields can be spans.
    fn trailers(&mut self, input: &[u8], start: usize) -> Result<Chunk, Fault> {
        let section = input.get(start..).unwrap_or(&[]);
        let end = match section {
            [b'\r', b'\n', ..] => Some(2),
            _ => section.windows(4).take(TRAILER_BYTES_MAX).position(|four| four == b"\r\n\r\n").map(|at| at + 4),
        };
        if !lines_end_in_crlf(end.and_then(|end| section.get(..end)).unwrap_or(section)) {
            return Err(Fault::Trailers);
        }
        match end {
            Some(length) if length <= TRAILER_BYTES_MAX => {
                self.state = State::Over;
                Ok(Chunk::End { trailers: start..start + length, consumed: start + length })
            }
            None if section.len() < TRAILER_BYTES_MAX => Ok(Chunk::Partial { consumed: start }),
            _ => Err(Fault::TrailersTooLarge),
        }
    }
}

/// Next state within extensions: `*( ";" name [ "=" ( token / quoted-string ) ] )`, no white space outside quotes.
fn extension_byte(state: State, byte: u8) -> Option<State> {
    Some(match (state, byte) {
        (State::ExtensionName, _) if is_token_byte(byte) => State::ExtensionNameRest,
        (State::ExtensionNameRest, b'=') => State::ExtensionValue,
        (State::ExtensionNameRest, _) if is_token_byte(byte) => State::ExtensionNameRest,
        (State::ExtensionValue, b'"') => State::Quoted,
        (State::ExtensionValue | State::ExtensionToken, _) if is_token_byte(byte) => State::ExtensionToken,
        (State::ExtensionNameRest | State::ExtensionToken | State::AfterQuoted, b';') => State::ExtensionName,
        (State::ExtensionNameRest | State::ExtensionToken | State::AfterQuoted, b'\r') => State::SizeLineFeed,
        (State::Quoted, b'"') => State::AfterQuoted,
        (State::Quoted, b'\\') => State::QuotedPair,
        (State::Quoted | State::QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => State::Quoted,
        _ => return None,
    })
}

/// Appends the size line of a chunk of `length` bytes; its data and [`CHUNK_END`] follow. `length` 0 writes nothing,
/// because that would be the last chunk.
pub fn write_chunk_head(length: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if length == 0 {
        return;
    }
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(HEX.get(length >> (place * 4) & 15).copied().unwrap_or(b'0'));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
