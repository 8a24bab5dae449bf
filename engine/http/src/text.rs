//! Bytes of field values: reading lists, and writing values that cannot end their line.

use crate::fault::Fault;

/// Without white space (SP, HTAB) at both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list; empty ones are skipped (RFC 9110 §5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Appends a value that must be visible ASCII without spaces: part of a request line, an address, an id.
pub(crate) fn put_visible(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(Fault::UnsafeValue);
    }
    out.extend_from_slice(value);
    Ok(())
}

/// Appends visible ASCII between double quotes; a quote or backslash inside is an error.
pub(crate) fn put_quoted(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fault> {
    if value.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Err(Fault::UnsafeValue);
    }
    out.push(b'"');
    put_visible(out, value)?;
    out.push(b'"');
    Ok(())
}

/// Whether `value` may stand in a field line: `field-vchar`, SP and HTAB (RFC 9110 §5.5), ASCII alone.
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'))
}

/// Appends a name from the policy: whatever is not visible ASCII, and `%` itself, is percent-encoded.
pub(crate) fn put_escaped(out: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value {
        if byte.is_ascii_graphic() && *byte != b'%' {
            out.push(*byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Appends a structured-fields string (RFC 9651 §3.3.3); what it cannot hold becomes `?`.
pub(crate) fn put_structured_string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

/// Appends a JSON string (RFC 8259 §7) with its quotes.
pub fn put_json_string(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends a number in decimal.
pub fn put_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends one field line as it was received, white space normalised.
#[inline]
pub(crate) fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lists_and_white_space() {
        assert_eq!(trim(b" \t a b \t"), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(list(b" ,a, b ,,").collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn inserted_values_cannot_end_a_line() {
        for bad in ["a\r\nb", "a b", "\0", "\u{e9}", "a\n"] {
            let mut out = Vec::new();
            assert_eq!(put_visible(&mut out, bad.as_bytes()), Err(Fault::UnsafeValue));
            assert!(out.is_empty());
        }
        assert_eq!(put_quoted(&mut Vec::new(), b"a\"b"), Err(Fault::UnsafeValue));
        assert_eq!(put_quoted(&mut Vec::new(), b"a\\b"), Err(Fault::UnsafeValue));
        assert_eq!(written(|out| put_escaped(out, "bot \u{e9}%\r\n".as_bytes())), "bot%20%C3%A9%25%0D%0A");
        assert_eq!(written(|out| put_structured_string(out, "a\"\\\n\u{e9}")), "\"a\\\"\\\\???\"");
        assert_eq!(written(|out| put_json_string(out, "a\"\\\n\u{e9}")), "\"a\\\"\\\\\\u000a\u{e9}\"");
        assert!(is_field_value(b"Bearer realm=\"x\"") && !is_field_value(b"a\r\nb: c") && !is_field_value(b"\x7f"));
    }
}
