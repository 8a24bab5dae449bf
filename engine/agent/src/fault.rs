//! What went wrong, and what to do.

use std::fmt::Display;
use std::path::Path;

/// A failure for people: what was expected, what was found, where; and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    message: String,
    help: Option<String>,
    again_after_s: u64,
    is_counted: bool,
}

impl Fault {
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), help: None, again_after_s: 0, is_counted: false }
    }

    /// A failure about a file.
    pub fn at(path: &Path, message: impl Display) -> Self {
        Self::new(format_args!("{}: {message}", path.display()))
    }

    /// Says more.
    pub fn and(self, more: impl Display) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// Says that another attempt can help so much later at the earliest.
    pub fn again_after_s(self, again_after_s: u64) -> Self {
        Self { again_after_s, ..self }
    }

    /// How long another attempt shall wait at least, seconds.
    pub const fn waits_s(&self) -> u64 {
        self.again_after_s
    }

    /// Says that the other side counts such attempts: it may let only so many be made.
    pub fn counted(self) -> Self {
        Self { is_counted: true, ..self }
    }

    pub const fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// What to do.
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl From<::files::FileFault> for Fault {
    fn from(fault: ::files::FileFault) -> Self {
        Self { help: fault.help(), ..Self::new(&fault) }
    }
}
