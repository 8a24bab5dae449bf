//! Runs the cases again whenever a file of the policy changes.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use super::TestArgs;
use crate::commands::signing::plural;
use crate::failure::Failure;
use crate::source;
use crate::terminal;

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(300);

/// Goes on until the process is ended.
pub fn run(args: &TestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    loop {
        // Before the run, so that what changes during it is not missed.
        let files = files(args);
        let before = look(&files);
        if std::io::stdout().is_terminal() {
            terminal::clear(out)?;
        }
        match super::once(args, out) {
            Ok(()) => {}
            Err(failure) if failure.is_silent() => return Err(failure),
            // What is wrong now may be right after the next change.
            Err(failure) => drop(failure.report()),
        }
        writeln!(out, "\nwatching {}; Ctrl-C ends it", plural(files.len(), "file"))?;
        out.flush()?;
        while look(&files) == before {
            thread::sleep(POLL);
        }
    }
}

/// Every file that has a part in the outcome.
fn files(args: &TestArgs) -> BTreeSet<PathBuf> {
    let sources = args.files.iter().filter_map(|path| source::read(path).ok());
    let named = sources.flat_map(|source| source.inputs().iter().map(|input| input.path.clone()).collect::<Vec<_>>());
    args.files.iter().cloned().chain(named).collect()
}

/// What changes with a file: when it was written, and its length; none for one that is not there.
fn look(files: &BTreeSet<PathBuf>) -> Vec<Option<(SystemTime, u64)>> {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    };
    files.iter().map(of).collect()
}
