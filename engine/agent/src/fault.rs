//! What went wrong, and what to do.

use std::fmt::Display;
use std::path::Path;

/// A failure for people: what was expected, what was found, where; and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    message: String,
    help: Option<String>,
}

impl Fault {
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), help: None }
    }

    /// A failure about a file.
    pub fn at(path: &Path, message: impl Display) -> Self {
        Self::new(format_args!("{}: {message}", path.display()))
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
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
