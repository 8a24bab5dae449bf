//! Lines on stderr for the person or service manager that runs the gateway: `adamant: level: text`. Never a secret.

use std::fmt;
use std::io::Write;

/// Writes one line; what stderr does not take is dropped.
pub fn line(level: &str, text: fmt::Arguments<'_>) {
    let mut whole = format!("adamant: {level}: {text}");
    // One message is one line, whatever a file name or a peer put into it.
    whole.retain(|character| character == '\t' || !character.is_control());
    whole.push('\n');
    let _ = std::io::stderr().lock().write_all(whole.as_bytes());
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
    ($($text:tt)*) => { $crate::log::line("error", format_args!($($text)*)) };
}
