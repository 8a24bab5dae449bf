//! The settings as a shell script for people to read and run, and applied by this tool with a record to undo it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::read::Root;
use crate::settings::{How, Setting};

/// A POSIX shell script that makes the settings that are not as wanted.
pub fn script(settings: &[Setting]) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# What `adamant tune plan` wants outside of the gateway. Run it as root, after each start of the machine.\nset -eu\n",
    );
    for setting in settings.iter().filter(|setting| setting.drifts()) {
        let Setting { what, found, wanted, why, how, .. } = setting;
        let _ = writeln!(text, "\n# {what}: {found} -> {wanted}\n# {why}");
        let _ = match how {
            How::File(path) => writeln!(text, "echo {} > /{path}", quoted(wanted)),
            How::Command(command) => writeln!(text, "{command}"),
            How::Elsewhere(place) => writeln!(text, "# by hand: {place}"),
        };
    }
    text
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// One file that was written, with what it held before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Without a leading slash.
    pub file: String,
    pub before: String,
    pub after: String,
}

/// A setting that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {wanted:?} cannot be written: {source}", path.display())]
pub struct ApplyError {
    pub path: PathBuf,
    pub wanted: String,
    pub source: io::Error,
}

/// Writes the settings that are files and are not as wanted. What could be written is told with what was there before,
/// also where others failed: some interrupts belong to the kernel alone.
pub fn apply(root: &Root, settings: &[Setting]) -> (Vec<Written>, Vec<ApplyError>) {
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    for setting in settings.iter().filter(|setting| setting.drifts()) {
        let How::File(file) = &setting.how else { continue };
        match write(root, file, &setting.wanted) {
            Ok(()) => written.push(Written {
                file: file.clone(),
                before: setting.found.clone(),
                after: setting.wanted.clone(),
            }),
            Err(error) => failed.push(error),
        }
    }
    (written, failed)
}

/// Puts back what was there before, the last first.
pub fn undo(root: &Root, written: &[Written]) -> Vec<ApplyError> {
    written.iter().rev().filter_map(|of| write(root, &of.file, &of.before).err()).collect()
}

fn write(root: &Root, file: &str, value: &str) -> Result<(), ApplyError> {
    let path = root.path(file);
    // The file is the kernel's: it must be there, and nothing is made.
    let opened = fs::OpenOptions::new().write(true).truncate(true).open(&path);
    opened
        .and_then(|mut opened| io::Write::write_all(&mut opened, format!("{value}\n").as_bytes()))
        .map_err(|source| ApplyError { path, wanted: value.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Topic;

    fn setting(file: &str, found: &str, wanted: &str) -> Setting {
        let how = How::File(file.to_owned());
        Setting {
            topic: Topic::Kernel,
            what: file.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            why: "because".to_owned(),
            how,
        }
    }

    #[test]
    fn what_was_written_can_be_undone_and_the_rest_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for (file, value) in [("a", "powersave\n"), ("b", "1\n")] {
            fs::write(root.path(file), value).unwrap();
        }
        let settings = [setting("a", "powersave", "performance"), setting("b", "1", "1"), setting("missing", "0", "1")];
        let (written, failed) = apply(&root, &settings);
        assert_eq!((written.len(), failed.len()), (1, 1));
        assert!(failed[0].to_string().contains("missing"));
        assert_eq!(root.text("a").unwrap(), "performance");
        assert!(!root.path("missing").exists());
        assert!(undo(&root, &written).is_empty());
        assert_eq!(root.text("a").unwrap(), "powersave");
    }

    #[test]
    fn the_script_says_why_and_quotes() {
        let text = script(&[setting("proc/x", "a", "it's"), setting("proc/same", "1", "1")]);
        assert!(text.contains("# proc/x: a -> it's\n# because\necho 'it'\\''s' > /proc/x\n"), "{text}");
        assert!(!text.contains("proc/same"));
    }
}
