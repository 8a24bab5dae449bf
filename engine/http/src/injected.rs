//! A field that an origin gets from the gateway itself: a secret, or a statement that only the gateway can make.

use std::fmt;

use crate::fault::Fault;
use crate::name::{Name, fold, folds_to, recognise};
use crate::text::{is_field_value, put_line};

/// A whole field line, made once by [`write_injected`].
#[derive(Clone, Copy)]
pub struct Injected<'i> {
    /// The name as [`write_injected`] folds it.
    pub folded: &'i [u8],
    /// With its line end.
    pub line: &'i [u8],
}

impl Injected<'_> {
    /// Whether an origin could take `name` for the injected field: letter case and the kind of separator do not matter.
    pub fn is_named(&self, name: &[u8]) -> bool {
        folds_to(name, self.folded)
    }
}

/// The value may be a secret.
impl fmt::Debug for Injected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.folded))
    }
}

/// Whether the gateway may say something of its own under this name: neither framing, routing and what belongs to one
/// connection, nor what the gateway says already.
pub fn is_injectable(name: &[u8]) -> bool {
    let token =
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    token && matches!(recognise(name), Name::Other | Name::Authorization | Name::ApiKey)
}

/// Appends the folded name to `folded` and the whole field line to `line`.
///
/// # Errors
/// A name that is not injectable, an empty value, and one that could end its line.
pub fn write_injected(name: &[u8], value: &[u8], folded: &mut Vec<u8>, line: &mut Vec<u8>) -> Result<(), Fault> {
    if !is_injectable(name) || value.is_empty() || !is_field_value(value) {
        return Err(Fault::UnsafeValue);
    }
    folded.extend(name.iter().map(|byte| fold(*byte)));
    put_line(line, name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, value: &str) -> Result<(String, String), Fault> {
        let (mut folded, mut line) = (Vec::new(), Vec::new());
        write_injected(name.as_bytes(), value.as_bytes(), &mut folded, &mut line)?;
        Ok((String::from_utf8(folded).unwrap(), String::from_utf8(line).unwrap()))
    }

    #[test]
    fn a_line_is_whole_and_its_name_is_known_in_every_spelling() {
        let (folded, line) = made("X-Origin_Key", "Bearer a b").unwrap();
        assert_eq!((folded.as_str(), line.as_str()), ("x-origin-key", "X-Origin_Key: Bearer a b\r\n"));
        let injected = Injected { folded: folded.as_bytes(), line: line.as_bytes() };
        for same in ["x-origin-key", "X_ORIGIN_KEY", "x.origin-Key"] {
            assert!(injected.is_named(same.as_bytes()), "{same}");
        }
        assert!(!injected.is_named(b"x-origin-keys") && !injected.is_named(b"x-origin-kex"));
        assert_eq!(format!("{injected:?}"), "x-origin-key", "the value is shown to nobody");
    }

    #[test]
    fn names_and_values_that_would_change_the_request_are_refused() {
        for name in
            ["", "a b", "host", "Content-Length", "transfer_encoding", "Connection", "Proxy-Authorization", "Via"]
        {
            assert_eq!(made(name, "x"), Err(Fault::UnsafeValue), "{name}");
        }
        for name in ["Adamant-Agent", "x-forwarded-for", "X-Request-Id", "Date", "Te", "Expect", "Forwarded"] {
            assert!(!is_injectable(name.as_bytes()), "{name}");
        }
        for name in ["Authorization", "X-Api-Key", "Cookie", "X-Origin-Key"] {
            assert!(is_injectable(name.as_bytes()), "{name}");
        }
        for value in ["", "a\r\nb: c", "\u{e9}", "\0"] {
            assert_eq!(made("X-Key", value), Err(Fault::UnsafeValue), "{value:?}");
        }
    }
}
