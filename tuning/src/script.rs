//! The settings as a shell script for people to read and run.

use std::fmt::Write as _;

use crate::settings::{How, Setting};

/// A POSIX shell script that makes the settings that are not as wanted. Where one cannot be made it goes on, and ends
/// with 1: some interrupts are the kernel's own.
pub fn script(settings: &[Setting]) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# What `adamant tune plan` wants outside of the gateway. Run it as root, after each start of the \
         machine.\nset -u\nfailed=0\n",
    );
    for setting in settings.iter().filter(|setting| setting.drifts()) {
        let Setting { what, found, wanted, why, how, .. } = setting;
        let _ = writeln!(text, "\n# {what}: {found} -> {wanted}\n# {why}");
        let _ = match how {
            How::File(path) => writeln!(text, "echo {} > /{path} || failed=1", quoted(wanted)),
            How::Command(command) => writeln!(text, "{command} || failed=1"),
            How::Elsewhere(place) => writeln!(text, "# by hand: {place}"),
        };
    }
    text.push_str("\nexit \"$failed\"\n");
    text
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Topic;

    #[test]
    fn the_script_says_why_and_quotes() {
        let setting = |file: &str, found: &str, wanted: &str| Setting {
            topic: Topic::Kernel,
            what: file.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            why: "because".to_owned(),
            how: How::File(file.to_owned()),
        };
        let text = script(&[setting("proc/x", "a", "it's"), setting("proc/same", "1", "1")]);
        assert!(text.contains("# proc/x: a -> it's\n# because\necho 'it'\\''s' > /proc/x || failed=1\n"), "{text}");
        assert!(!text.contains("proc/same"));
    }
}
