//! Passphrases: from a file that is named, or asked for on the terminal without showing what is typed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, warn};
use crate::files;

/// Shorter ones are not taken for a new key.
pub const PASSPHRASE_BYTES_MIN: usize = 8;
const PASSPHRASE_BYTES_MAX: usize = 1024;

/// The passphrase of an existing key.
pub fn read(file: Option<&Path>, of: &str) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(path) => from_file(path),
        None => ask(&format!("passphrase of {of}: ")),
    }
}

/// A passphrase for a new key; asked for twice.
pub fn choose(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let chosen = match file {
        Some(path) => from_file(path)?,
        None => {
            let first = ask("new passphrase: ")?;
            if *first != *ask("the same again: ")? {
                return Err(Failure::new("the two passphrases differ").help("try again; nothing was written"));
            }
            first
        }
    };
    if chosen.len() < PASSPHRASE_BYTES_MIN {
        let message = format!("expected a passphrase of at least {PASSPHRASE_BYTES_MIN} bytes, found {}", chosen.len());
        return Err(Failure::new(message).help("use four or more random words; nothing was written"));
    }
    Ok(chosen)
}

/// The first line of a file.
fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let secret = files::read_secret_of("--passphrase-file", path, PASSPHRASE_BYTES_MAX)?;
    if let Some(exposed) = secret.exposed {
        let path = path.display();
        warn(format_args!("{path}: others may read this passphrase ({exposed}); own it, and run chmod 600 on it"));
    }
    let line = secret.text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::at(path, "expected a passphrase in the first line, found none"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Switches the echo back on, whatever happens.
struct Silenced<'t> {
    terminal: &'t File,
    before: Termios,
}

impl Drop for Silenced<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let no_terminal = |error: std::io::Error| {
        Failure::new(format_args!("no terminal to ask for a passphrase on: {error}"))
            .help("put it into a file with mode 0600 and give --passphrase-file FILE")
    };
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let before = tcgetattr(&terminal).map_err(|error| no_terminal(error.into()))?;
    let mut quiet = before.clone();
    quiet.local_modes -= LocalModes::ECHO;
    quiet.local_modes |= LocalModes::ECHONL | LocalModes::ICANON;
    terminal.write_all(prompt.as_bytes()).map_err(no_terminal)?;
    let typed = {
        tcsetattr(&terminal, OptionalActions::Flush, &quiet).map_err(|error| no_terminal(error.into()))?;
        let _silenced = Silenced { terminal: &terminal, before };
        line(&terminal).map_err(no_terminal)?
    };
    match String::from_utf8(typed.to_vec()) {
        Ok(text) if !text.is_empty() => Ok(Zeroizing::new(text)),
        Ok(_) => Err(Failure::new("no passphrase was given")),
        Err(_) => Err(Failure::new("expected a passphrase in UTF-8, found other bytes")),
    }
}

/// One line without its end, read byte by byte so that no other buffer keeps it.
fn line(mut terminal: &File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX));
    let mut byte = [0];
    while line.len() < PASSPHRASE_BYTES_MAX && terminal.read(&mut byte)? == 1 {
        match byte {
            [b'\n'] => break,
            [other] => line.push(other),
        }
    }
    Ok(line)
}
