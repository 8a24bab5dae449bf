//! What a byte may be in a path and in a host, looked up: every byte of every target is asked for it.

/// What a raw byte is: one of the first six in a path, or none of them, which is copied (`pchar`, RFC 3986 §3.3).
#[derive(Clone, Copy)]
pub struct Class(u8);

impl Class {
    /// Copied too.
    const DOT: u8 = 1;
    /// Copied too, unless behind another one.
    const SLASH: u8 = 1 << 1;
    const SEMICOLON: u8 = 1 << 2;
    const PERCENT: u8 = 1 << 3;
    /// Where a path ends.
    const QUERY: u8 = 1 << 4;
    const REFUSED: u8 = 1 << 5;
    /// In a host: what labels are made of, here letters, digits, `-` and `_`.
    const LABEL: u8 = 1 << 6;

    const NOT_COPIED: u8 = Self::SEMICOLON | Self::PERCENT | Self::QUERY | Self::REFUSED;

    #[inline]
    pub fn of(byte: u8) -> Self {
        Self(CLASSES.get(usize::from(byte)).copied().unwrap_or(Self::REFUSED))
    }

    pub fn is_slash(self) -> bool {
        self.0 & Self::SLASH != 0
    }

    pub fn is_semicolon(self) -> bool {
        self.0 & Self::SEMICOLON != 0
    }

    pub fn is_percent(self) -> bool {
        self.0 & Self::PERCENT != 0
    }

    pub fn is_query(self) -> bool {
        self.0 & Self::QUERY != 0
    }

    pub fn is_refused(self) -> bool {
        self.0 & Self::REFUSED != 0
    }

    pub fn is_label(self) -> bool {
        self.0 & Self::LABEL != 0
    }
}

/// How many bytes at the start of a path are copied as they stand, up to a slash behind another one, and whether there is
/// a dot among them.
#[inline]
pub fn copied(path: &[u8]) -> (usize, bool) {
    let (mut seen, mut stops) = (0, Class::NOT_COPIED);
    let length = path.iter().position(|byte| {
        let Class(class) = Class::of(*byte);
        let stop = class & stops != 0;
        seen |= class;
        stops = class & Class::SLASH | Class::NOT_COPIED;
        stop
    });
    // What stops is no dot.
    (length.unwrap_or(path.len()), seen & Class::DOT != 0)
}

/// `unreserved` (RFC 3986 §2.3).
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn class(byte: u8) -> u8 {
    match byte {
        b'.' => Class::DOT,
        b'/' => Class::SLASH,
        b';' => Class::SEMICOLON,
        b'%' => Class::PERCENT,
        b'?' => Class::QUERY,
        b'-' | b'_' => Class::LABEL,
        _ if byte.is_ascii_alphanumeric() => Class::LABEL,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => 0,
        _ if is_unreserved(byte) => 0,
        _ => Class::REFUSED,
    }
}

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = class(byte as u8);
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RFC 3986 §3.3 and §2.3 write it, for every byte.
    #[test]
    fn every_byte_is_what_the_rfc_says() {
        let sub_delims_and_more = "!$&'()*+,=:@";
        for byte in 0..=u8::MAX {
            let c = char::from(byte);
            let class = Class::of(byte);
            let is_unreserved = c.is_ascii_alphanumeric() || "-._~".contains(c);
            let is_plain = is_unreserved || sub_delims_and_more.contains(c);
            let told = [class.is_slash(), class.is_semicolon(), class.is_percent(), class.is_query()];
            assert_eq!(told, ['/', ';', '%', '?'].map(|special| c == special), "{byte}");
            assert_eq!(class.is_refused(), !is_plain && !told.contains(&true), "{byte}");
            assert_eq!(super::is_unreserved(byte), is_unreserved, "{byte}");
            assert_eq!(class.is_label(), c.is_ascii_alphanumeric() || c == '-' || c == '_', "{byte}");
            assert_eq!(copied(&[b'a', byte]), if is_plain || c == '/' { (2, c == '.') } else { (1, false) }, "{byte}");
        }
    }

    #[test]
    fn what_is_copied_ends_at_a_slash_behind_another() {
        for (path, expected) in [
            (&b""[..], (0, false)),
            (b"/a/b", (4, false)),
            (b"/a//b", (3, false)),
            (b"//", (1, false)),
            (b"/./;", (3, true)),
        ] {
            assert_eq!(copied(path), expected, "{path:?}");
        }
    }
}
