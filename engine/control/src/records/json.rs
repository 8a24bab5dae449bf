//! JSON appended to a buffer, byte strings included (RFC 8259): no allocation once the buffer has grown.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::bounds::QUERY_NAME_BYTES_MAX;

const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// An object that is being written; `end` closes it.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes the name of the next member and gives the buffer for its value. Names are constants that need no escape.
    #[inline]
    pub fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub fn text(&mut self, name: &str, value: &[u8]) {
        put_text(self.member(name), value);
    }

    pub fn number(&mut self, name: &str, value: u64) {
        put_number(self.member(name), value);
    }

    /// `value` must be JSON already.
    pub fn raw(&mut self, name: &str, value: &[u8]) {
        self.member(name).extend_from_slice(value);
    }

    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// Most numbers have few digits.
#[inline]
pub fn put_number(out: &mut Vec<u8>, value: u64) {
    match value {
        0..10 => out.push(b'0' + value as u8),
        10..100 => out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]),
        100..1_000 => {
            let digit = |place: u64| b'0' + (value / place % 10) as u8;
            out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
        }
        _ => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// A string. Control characters (C0, DEL, C1) are escaped, so that a line stays one line and a terminal unharmed; a
/// byte that is not UTF-8 becomes `\xHH` in the string.
#[inline]
pub fn put_text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    put_escaped(out, bytes);
    out.push(b'"');
}

#[inline]
fn put_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escape(out, bytes);
    }
}

#[cold]
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        put_escaped_text(out, chunk.valid());
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            put_hex(out, &[*byte], HEX_LOWER);
        }
    }
}

/// Printable ASCII that needs no escape, as nearly everything is. Texts are short: eight bytes are looked at together,
/// the last eight may overlap those before them.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, _) = bytes.as_chunks();
    match (bytes.last_chunk(), bytes.first_chunk(), bytes.last_chunk()) {
        (Some(last), ..) => words.iter().all(is_plain_word) && is_plain_word(last),
        (None, Some([a, b, c, d]), Some([e, f, g, h])) => is_plain_word(&[*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => bytes.iter().all(|byte| is_plain_word(&[*byte; 8])),
    }
}

fn is_plain_word(word: &[u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let word = u64::from_ne_bytes(*word);
    // The high bit of a byte is set where a byte is less than `bound`; or in one above such a byte, which does no harm.
    let less = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let equal = |byte: u8| less(word ^ (EACH * u64::from(byte)), 1);
    let delete_or_more = word.wrapping_add(EACH) | word;
    (less(word, b' ') | delete_or_more | equal(b'"') | equal(b'\\')) & HIGH == 0
}

fn put_escaped_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(|character: char| character.is_control() || matches!(character, '"' | '\\')) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut characters = from.chars();
        match characters.next() {
            Some(quoted @ ('"' | '\\')) => out.extend_from_slice(&[b'\\', quoted as u8]),
            Some(control) => {
                out.extend_from_slice(b"\\u");
                put_hex(out, &u16::try_from(u32::from(control)).unwrap_or(0xfffd).to_be_bytes(), HEX_LOWER);
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

pub fn put_hex_text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    put_hex(out, bytes, HEX_LOWER);
    out.push(b'"');
}

/// Upper-case, as the OpenTelemetry conventions want certificate hashes.
pub fn put_hex_text_upper(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    put_hex(out, bytes, HEX_UPPER);
    out.push(b'"');
}

fn put_hex(out: &mut Vec<u8>, bytes: &[u8], digits: &[u8; 16]) {
    let digit = |nibble: u8| digits.get(usize::from(nibble)).copied().unwrap_or_default();
    let (pieces, rest) = bytes.as_chunks::<8>();
    for piece in pieces {
        let mut text = [[0; 2]; 8];
        for (pair, byte) in text.iter_mut().zip(piece) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        out.extend_from_slice(text.as_flattened());
    }
    for byte in rest {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// An address as its text (RFC 4291 §2.2 for IPv6), without quotes.
pub fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                put_number(out, u64::from(octet));
            }
        }
        // Writing into a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// `address:port`, an IPv6 address in brackets, without quotes.
pub fn put_socket_address(out: &mut Vec<u8>, address: SocketAddr) {
    if address.is_ipv4() {
        put_address(out, address.ip());
        out.push(b':');
        put_number(out, u64::from(address.port()));
    } else {
        let _ = write!(out, "{address}");
    }
}

/// A list whose elements `put` writes.
pub fn put_list<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, put: impl Fn(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}

/// A query as a string with its names kept and its values redacted.
pub fn put_redacted_query(out: &mut Vec<u8>, query: &[u8]) {
    out.push(b'"');
    for (index, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        if !is_plain_name(name) {
            out.extend_from_slice(b"REDACTED");
        } else {
            put_escaped(out, name);
        }
        if parts.next().is_some() {
            out.extend_from_slice(b"=REDACTED");
        }
    }
    out.push(b'"');
}

/// Whether this is a name and nothing more: what looks like anything else may be a value, or hold one.
fn is_plain_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(byte);
    name.len() <= QUERY_NAME_BYTES_MAX && !name.starts_with(b"adm_") && name.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        put_text(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_what_would_break_a_line_or_a_terminal() {
        assert_eq!(text(b"a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(text(b"\n\x1b[2J\x7f"), r#""\u000a\u001b[2J\u007f""#);
        assert_eq!(text("é\u{85}".as_bytes()), "\"é\\u0085\"");
        assert_eq!(text(b"a\xff\xfeb"), r#""a\\xff\\xfeb""#);
    }

    #[test]
    fn a_byte_that_needs_an_escape_is_found_wherever_it_stands() {
        let needs = |byte: u8| !(b' '..=b'~').contains(&byte) || matches!(byte, b'"' | b'\\');
        for (length, byte) in (0..20).flat_map(|length| (0..=255).map(move |byte| (length, byte))) {
            for (at, others) in (0..length).flat_map(|at| [(at, b' '), (at, b'~'), (at, b'a')]) {
                let mut bytes = vec![others; length];
                bytes[at] = byte;
                assert_eq!(is_plain(&bytes), !needs(byte), "{bytes:?}");
            }
        }
    }

    #[test]
    fn numbers_of_any_length() {
        for value in (0..2_000).chain([u64::MAX, u64::MAX / 10]) {
            let mut out = Vec::new();
            put_number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn a_query_keeps_its_names_alone() {
        let mut out = Vec::new();
        put_redacted_query(&mut out, b"token=s3cret&flag&x=&=y&a=b=c");
        assert_eq!(out, b"\"token=REDACTED&flag&x=REDACTED&=REDACTED&a=REDACTED\"");
        out.clear();
        put_redacted_query(&mut out, b"adm_ci-1_S3cret&a%3Ds3cret&eyJhbGciOiJub25lIn0.e30.&ids[]=1");
        assert_eq!(out, b"\"REDACTED&REDACTED&eyJhbGciOiJub25lIn0.e30.&ids[]=REDACTED\"");
        out.clear();
        put_redacted_query(&mut out, &[b'e'; QUERY_NAME_BYTES_MAX + 1]);
        assert_eq!(out, b"\"REDACTED\"");
    }

    #[test]
    fn addresses_are_written_as_others_write_them() {
        for address in ["0.0.0.0:0", "127.0.0.1:9000", "255.255.255.255:65535", "[::1]:80", "[2001:db8::7%3]:443"] {
            let address: SocketAddr = address.parse().unwrap();
            let (mut whole, mut alone) = (Vec::new(), Vec::new());
            put_socket_address(&mut whole, address);
            put_address(&mut alone, address.ip());
            assert_eq!(String::from_utf8(whole).unwrap(), address.to_string());
            assert_eq!(String::from_utf8(alone).unwrap(), address.ip().to_string());
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(value: String) {
            let parsed: String = serde_json::from_str(&text(value.as_bytes())).unwrap();
            prop_assert_eq!(parsed, value);
        }

        #[test]
        fn any_bytes_give_one_valid_string_on_one_line(bytes: Vec<u8>) {
            let written = text(&bytes);
            prop_assert!(!written.contains(|character: char| character.is_control()));
            prop_assert!(serde_json::from_str::<String>(&written).is_ok());
        }
    }
}
