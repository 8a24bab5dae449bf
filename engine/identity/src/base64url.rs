//! Strict base64url (RFC 7515 §2): no padding, no white space, no stray bits, so that one value has one spelling.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Decodes all of `text` into the front of `into` and gives that part; `None` if it is not strict base64url or does
/// not fit.
pub(crate) fn decode_into<'o>(text: &[u8], into: &'o mut [u8]) -> Option<&'o [u8]> {
    let length = URL_SAFE_NO_PAD.decode_slice(text, into).ok()?;
    into.get(..length)
}

/// Decodes all of `text`; `None` if it is not strict base64url.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_into};

    #[test]
    fn one_value_has_one_spelling() {
        assert_eq!(decode(b"Zm9v").unwrap(), b"foo");
        assert_eq!(decode(b"Zg").unwrap(), b"f");
        for bad in ["Zg==", "Zh", "Zm9", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v", "Z", "Zm9v=", "Zm9vé"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_output_that_just_fits_is_filled() {
        let mut exact = [0; 3];
        assert_eq!(decode_into(b"Zm9v", &mut exact).unwrap(), b"foo");
        let mut short = [0; 2];
        assert_eq!(decode_into(b"Zm9v", &mut short), None);
    }
}
