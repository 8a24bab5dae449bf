//! What a command says when it cannot do what was asked: what happened, where, and what to do.

use std::fmt::{Arguments, Display};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use policy::credential;

use crate::terminal;

/// Characters of a line of a message.
const LINE_CHARS_MAX: usize = 1_000;

/// Of `adamant release verify`: the signatures that are there are not enough, and nothing else was found wrong.
pub const SIGNATURES_MISSING: u8 = 3;

/// Of `adamant point live`: there is no release that gateways of the channel can be taken to run.
pub const NOTHING_LIVE: u8 = 4;

/// Shown on standard error; the process ends with status 1 (2 is a wrong command line), or that of an outcome.
#[derive(Debug)]
pub struct Failure {
    message: String,
    help: Option<String>,
    /// Whoever read standard output went away: nothing to say.
    silent: bool,
    status: u8,
}

impl Failure {
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), help: None, silent: false, status: 1 }
    }

    /// No failure, but an outcome that the exit status tells: everything was said already.
    pub fn outcome(status: u8) -> Self {
        Self { silent: true, status, ..Self::new("") }
    }

    /// A failure about a file.
    pub fn at(path: &Path, message: impl Display) -> Self {
        Self::new(format_args!("{}: {message}", path.display()))
    }

    /// The same, about a file.
    pub fn in_file(mut self, path: &Path) -> Self {
        self.message = format!("{}: {}", path.display(), self.message);
        self
    }

    /// Ends with another status than 1, for scripts that must tell this failure from others.
    pub const fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
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

    /// Whoever read standard output went away.
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    pub fn report(&self) -> ExitCode {
        if !self.silent {
            said(format_args!("error: {}", safe(&self.message)));
            if let Some(help) = &self.help {
                said(format_args!(" hint: {}", safe(help)));
            }
        }
        ExitCode::from(self.status)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Shows a warning without stopping.
pub fn warn(message: impl Display) {
    said(format_args!("warning: {}", safe(&message.to_string())));
}

/// On standard error, if anybody reads it: nothing may end for want of a reader (`eprintln!` panics).
fn said(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A message as it goes to a terminal or a log: no line of kilobytes, and nothing with the form of a credential, wherever
/// it was quoted from.
fn safe(message: &str) -> String {
    let known = credential::known(message);
    let lines = known.lines().map(|line| match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    });
    terminal::text(&lines.collect::<Vec<_>>().join("\n")).into_owned()
}

/// Of writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::new(format_args!("cannot write to standard output: {error}")) }
    }
}

impl From<crate::files::FileFault> for Failure {
    fn from(fault: crate::files::FileFault) -> Self {
        let help = fault.help();
        Self { help, ..Self::new(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_and_without_credentials() {
        assert_eq!(safe("a: expected b\n 1 | x\n"), "a: expected b\n 1 | x");
        let said = safe(&format!("{}\nfound \"adm_partner_0123456789abcdefghij\"", "é".repeat(5_000)));
        assert!(said.chars().count() < LINE_CHARS_MAX + 40 && said.contains("é…\nfound \"**"), "{said}");
    }
}
