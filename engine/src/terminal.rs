//! What reaches a terminal: whatever somebody wrote into a release, a record or an answer, it is shown and does nothing.
//!
//! `main` gives every command a [`Safe`] as its standard output, and failures and warnings go through [`text`]. The few
//! places with escape sequences of our own (colours, clearing the screen) send those alone past it, by [`raw`].

use std::borrow::Cow;
use std::io::{self, Write};

/// What a command's text is laid out with.
const LAYOUT: [char; 2] = ['\n', '\t'];
/// Longest form of a character in UTF-8 (RFC 3629 §3).
const CHARACTER_BYTES_MAX: usize = 4;
/// Clears a terminal with its scrollback, and goes to its top.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J\x1b[3J";

/// The text with control characters (but newline and tab) and those that turn its direction as `\u001b`.
pub fn text(text: &str) -> Cow<'_, str> {
    policy::text::escaped(text, &LAYOUT)
}

/// The same of what stands on one line: a newline in it begins none.
pub fn line(text: &str) -> Cow<'_, str> {
    policy::text::escaped(text, &[])
}

/// Passes on what a terminal only prints, and the rest as [`text`] has it: JSON stays JSON and means the same. What is
/// not UTF-8 becomes U+FFFD. A character may be split over two writes.
pub struct Safe<W> {
    inner: W,
    /// The beginning of a character whose rest is still to come.
    begun: Vec<u8>,
}

impl<W: Write> Safe<W> {
    pub const fn new(inner: W) -> Self {
        Self { inner, begun: Vec::new() }
    }

    /// Nothing more comes: a character that was only begun is none.
    pub fn finish(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.begun).is_empty() {
            self.replacement()?;
        }
        self.inner.flush()
    }

    fn replacement(&mut self) -> io::Result<()> {
        let mut form = [0; CHARACTER_BYTES_MAX];
        self.inner.write_all(char::REPLACEMENT_CHARACTER.encode_utf8(&mut form).as_bytes())
    }

    fn write_checked(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        loop {
            match std::str::from_utf8(rest) {
                Ok(good) => return self.inner.write_all(text(good).as_bytes()),
                Err(fault) => {
                    let (good, after) = rest.split_at_checked(fault.valid_up_to()).unwrap_or_default();
                    let good = std::str::from_utf8(good).unwrap_or_default();
                    self.inner.write_all(text(good).as_bytes())?;
                    let Some(wrong) = fault.error_len() else {
                        self.begun = after.to_vec();
                        return Ok(());
                    };
                    self.replacement()?;
                    rest = after.get(wrong..).unwrap_or_default();
                }
            }
        }
    }
}

impl<W: Write> Write for Safe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun.is_empty() {
            if is_plain(bytes) {
                return self.inner.write(bytes);
            }
            self.write_checked(bytes)?;
        } else {
            let mut whole = std::mem::take(&mut self.begun);
            whole.extend_from_slice(bytes);
            self.write_checked(&whole)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Nothing but printing ASCII, newlines and tabs: most output, looked at without a branch for each byte.
fn is_plain(bytes: &[u8]) -> bool {
    let harmful = |byte: u8| !matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    bytes.chunks(256).all(|chunk| !chunk.iter().fold(false, |found, byte| found | harmful(*byte)))
}

/// Sends an escape sequence of our own to standard output, after all that `out` has taken. Never with text in it that
/// came from elsewhere, and only where standard output is a terminal.
pub fn raw(out: &mut dyn Write, sequence: &[u8]) -> io::Result<()> {
    out.flush()?;
    // The lock that `main` holds is this thread's, which may take it again.
    let mut terminal = io::stdout().lock();
    terminal.write_all(sequence)?;
    terminal.flush()
}

/// Clears the terminal that standard output is.
pub fn clear(out: &mut dyn Write) -> io::Result<()> {
    raw(out, CLEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(writes: &[&[u8]]) -> String {
        let mut taken = Vec::new();
        let mut safe = Safe::new(&mut taken);
        writes.iter().for_each(|bytes| safe.write_all(bytes).unwrap());
        safe.finish().unwrap();
        String::from_utf8(taken).unwrap()
    }

    #[test]
    fn text_stays_and_the_rest_is_shown() {
        for text in ["", "plain\n\ttext ~", "é — ✓ 日本語 🦀\n"] {
            assert_eq!(shown(&[text.as_bytes()]), text);
        }
        assert_eq!(shown(&[b"a\x1b[2J\r\x00\x7f\n"]), "a\\u001b[2J\\u000d\\u0000\\u007f\n");
        assert_eq!(shown(&["é\u{9b}31m\u{202e}\u{2066}\u{200f}".as_bytes()]), "é\\u009b31m\\u202e\\u2066\\u200f");
        let long = "x".repeat(1_000);
        assert_eq!(shown(&[format!("{long}\x1b").as_bytes()]), format!("{long}\\u001b"));
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "a\u{9b}\u{202e}": "\x1b[2J\\\u{7f}\u{2069}\"é" });
        let text = shown(&[serde_json::to_string_pretty(&value).unwrap().as_bytes()]);
        assert!(!text.contains(|c| policy::text::is_harmful(c) && c != '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    /// However it is cut: a character is one, and half of one never hides what follows.
    #[test]
    fn writes_may_end_anywhere() {
        let whole = "é\u{9b}✓🦀\u{202e}\x1b[2J".as_bytes();
        let expected = "é\\u009b✓🦀\\u202e\\u001b[2J";
        for cut in 0..=whole.len() {
            let (first, second) = whole.split_at(cut);
            assert_eq!(shown(&[first, second]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(shown(&bytes), expected);
        assert_eq!(shown(&[b"\xe2\x9c", b"\x1b[2J"]), "\u{fffd}\\u001b[2J");
        assert_eq!(shown(&[b"\xc2", b"\x9b"]), "\\u009b");
    }

    #[test]
    fn what_is_not_utf_8_is_passed_to_nobody() {
        assert_eq!(shown(&[b"a\x9b31m\xffb\xe2\x9c"]), "a\u{fffd}31m\u{fffd}b\u{fffd}");
        assert_eq!(shown(&[b"\xe2\x9c"]), "\u{fffd}");
    }
}
