//! Trailer sections (RFC 9112 §7.1.2): the same gate as for heads, and fewer fields.

use crate::bounds::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};
use crate::fault::Fault;
use crate::injected::Injected;
use crate::name::{Name, forbidden_in_trailers};
use crate::request::lines_end_in_crlf;
use crate::span::{Field, Span};
use crate::text::put_line;

/// The trailer fields that may be passed on. Spans point into the section they were parsed from.
#[derive(Clone, Debug, Default)]
pub struct Trailers {
    entries: [Field; TRAILER_FIELDS_MAX],
    count: usize,
    /// Fields left out because they frame, route, identify or describe content (RFC 9110 §6.5.1).
    pub dropped: usize,
}

impl Trailers {
    pub fn as_slice(&self) -> &[Field] {
        self.entries.get(..self.count).unwrap_or(&[])
    }

    /// Drops what an origin that merges trailers into heads could take for the injected field. `section` is what they
    /// were parsed from.
    pub fn withhold(&mut self, section: &[u8], injected: &Injected<'_>) {
        let mut kept = 0;
        for at in 0..self.count {
            let Some(field) = self.entries.get(at).copied() else { break };
            if injected.is_named(field.name.of(section)) {
                self.dropped += 1;
            } else if let Some(slot) = self.entries.get_mut(kept) {
                *slot = field;
                kept += 1;
            }
        }
        self.count = kept;
    }
}

/// Parses a whole trailer section, final empty line included: the range that [`crate::Chunk::End`] gives.
pub fn parse_trailers(section: &[u8], trailers: &mut Trailers) -> Result<(), Fault> {
    trailers.count = 0;
    trailers.dropped = 0;
    if section.len() > TRAILER_BYTES_MAX {
        return Err(Fault::TrailersTooLarge);
    }
    let mut slots = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    let headers = match httparse::parse_headers(section, &mut slots) {
        Ok(httparse::Status::Complete((length, headers))) if length == section.len() => headers,
        Ok(_) => return Err(Fault::Trailers),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TrailersTooLarge),
        Err(_) => return Err(Fault::Trailers),
    };
    if !lines_end_in_crlf(section) {
        return Err(Fault::Trailers);
    }
    for header in headers {
        if forbidden_in_trailers(header.name.as_bytes()) {
            trailers.dropped += 1;
            continue;
        }
        let (name, value) = (Span::within(section, header.name.as_bytes()), Span::within(section, header.value));
        if let Some(slot) = trailers.entries.get_mut(trailers.count) {
            *slot = Field { name, value, known: Name::Other };
            trailers.count += 1;
        }
    }
    Ok(())
}

/// Appends the last chunk, the trailer fields parsed from `section`, and the final empty line.
pub fn write_last_chunk(section: &[u8], trailers: &Trailers, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.as_slice() {
        put_line(out, field.name.of(section), field.value.of(section));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(section: &[u8]) -> Result<(String, usize), Fault> {
        let (mut trailers, mut out) = (Trailers::default(), Vec::new());
        parse_trailers(section, &mut trailers)?;
        write_last_chunk(section, &trailers, &mut out);
        Ok((String::from_utf8(out).unwrap(), trailers.dropped))
    }

    #[test]
    fn fields_that_matter_elsewhere_are_dropped() {
        let section =
            b"X-Checksum:  abc\t\r\nContent-Length: 5\r\nHost: evil\r\nAdamant_Agent: root\r\nETag: x\r\n\r\n";
        assert_eq!(rewritten(section), Ok(("0\r\nX-Checksum: abc\r\nETag: x\r\n\r\n".to_owned(), 3)));
        assert_eq!(rewritten(b"\r\n"), Ok(("0\r\n\r\n".to_owned(), 0)));
    }

    #[test]
    fn what_is_named_as_the_injected_field_is_dropped() {
        let section = b"X-Key: a\r\nX-Checksum: b\r\nx_KEY: c\r\nETag: d\r\n\r\n";
        let (mut trailers, mut out) = (Trailers::default(), Vec::new());
        parse_trailers(section, &mut trailers).unwrap();
        trailers.withhold(section, &Injected { folded: b"x-key", line: b"" });
        write_last_chunk(section, &trailers, &mut out);
        assert_eq!((out.as_slice(), trailers.dropped), (&b"0\r\nX-Checksum: b\r\nETag: d\r\n\r\n"[..], 2));
    }

    #[test]
    fn the_gate_holds_here_too() {
        for section in [
            &b"A: b\n\r\n"[..],
            b"A : b\r\n\r\n",
            b"A: b\r\n c\r\n\r\n",
            b": b\r\n\r\n",
            b"A: \0\r\n\r\n",
            b"A: b\rc\r\n\r\n",
            b"A: b\r\n",
            b"A: b\r\n\n",
            b"A: b\r\n\r\nX",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(rewritten(section), Err(Fault::Trailers), "{section:?}");
        }
        let many = |count: usize| "A: b\r\n".repeat(count) + "\r\n";
        assert!(rewritten(many(TRAILER_FIELDS_MAX).as_bytes()).is_ok());
        assert_eq!(rewritten(many(TRAILER_FIELDS_MAX + 1).as_bytes()), Err(Fault::TrailersTooLarge));
        let long = format!("A: {}\r\n\r\n", "x".repeat(TRAILER_BYTES_MAX));
        assert_eq!(rewritten(long.as_bytes()), Err(Fault::TrailersTooLarge));
    }
}
