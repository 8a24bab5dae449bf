//! What others wrote, made harmless.

use std::borrow::Cow;

/// Longest text of somebody else's that is shown.
const CHARS_MAX: usize = 2_000;

/// The text without control characters and without what turns the direction of text or hides: those become `�`.
/// What is longer than 2,000 characters is cut.
pub fn printable(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(CHARS_MAX) {
        None => visible(text),
        Some((end, _)) => Cow::Owned(format!("{}…", visible(text.get(..end).unwrap_or_default()))),
    }
}

/// As [`printable`], never cut.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(hidden) {
        return Cow::Owned(text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect());
    }
    Cow::Borrowed(text)
}

/// Control characters, line and paragraph separators, zero-width and bidirectional formatting (UTS #55, UAX #9), tags,
/// and what XML 1.0 §2.2 cannot hold.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Cut to so many characters, with `…` where something is missing.
pub fn cut(text: &str, chars: usize) -> String {
    let shown = printable(text);
    match shown.char_indices().nth(chars) {
        None => shown.into_owned(),
        Some(_) => shown.chars().take(chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, printable};

    #[test]
    fn what_hides_or_moves_becomes_visible() {
        assert_eq!(printable("Envoy 1.40 µs ≤ ×"), "Envoy 1.40 µs ≤ ×");
        assert_eq!(printable("\u{1b}[31mred\r\n\u{202e}olleh\u{200b}"), "�[31mred���olleh�");
        assert_eq!(printable(&"x".repeat(5_000)).chars().count(), 2_001);
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
