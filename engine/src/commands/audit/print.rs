//! Text of records and checkpoints on a terminal: whatever somebody wrote into them, it is shown and does nothing.

/// Control characters, and those that turn the direction of text, as `\u{…}`; newlines stay where `lines` says so.
pub fn safe(text: &str, lines: bool) -> String {
    let harmful = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && !(lines && c == '\n')) || turns
    };
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if harmful(character) {
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(safe("a\x1b[2J\u{9b}\u{202e}é\nb\x7f", true), "a\\u001b[2J\\u009b\\u202eé\nb\\u007f");
        assert_eq!(safe("a\nb", false), "a\\u000ab");
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [count(0), count(999), count(1_000), count(1_234_567)].each_ref().map(String::as_str)
        );
    }
}
