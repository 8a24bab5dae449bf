//! Lines on stderr for the person or service manager that runs the gateway: `adamant: level: text`. Never a secret.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process is to serve nothing.
static CHECKS: AtomicBool = AtomicBool::new(false);

/// From here on what it goes on after is a warning, whatever it would be to a gateway that serves.
pub fn check() {
    CHECKS.store(true, Ordering::Relaxed);
}

pub fn error(text: fmt::Arguments<'_>) {
    line(if CHECKS.load(Ordering::Relaxed) { "warning" } else { "error" }, text);
}

/// Writes one line; what stderr does not take is dropped.
pub fn line(level: &str, text: fmt::Arguments<'_>) {
    let mut whole = whole(level, text);
    whole.push('\n');
    let _ = std::io::stderr().lock().write_all(whole.as_bytes());
}

/// One message is one line, and does nothing to a terminal, whatever a file name or a peer put into it.
fn whole(level: &str, text: fmt::Arguments<'_>) -> String {
    policy::text::escaped(&format!("adamant: {level}: {text}"), &['\t']).into_owned()
}

#[macro_export]
macro_rules! info {
    ($($text:tt)*) => { $crate::log::line("info", format_args!($($text)*)) };
}

#[macro_export]
macro_rules! warning {
    ($($text:tt)*) => { $crate::log::line("warning", format_args!($($text)*)) };
}

#[macro_export]
macro_rules! error {
    ($($text:tt)*) => { $crate::log::error(format_args!($($text)*)) };
}

/// `1 key`, `2 keys`.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_told_from_several() {
        let told = [0, 1, 2].map(|count| super::counted(count, "identity", "identities"));
        assert_eq!(told, ["0 identities", "1 identity", "2 identities"]);
    }

    #[test]
    fn one_message_is_one_line_and_does_nothing() {
        let name = "a\nadamant: info: all is well\x1b[2J\u{9b}\u{202e}\té";
        let line = super::whole("error", format_args!("{name}"));
        assert_eq!(line, "adamant: error: a\\u000aadamant: info: all is well\\u001b[2J\\u009b\\u202e\té");
    }
}
