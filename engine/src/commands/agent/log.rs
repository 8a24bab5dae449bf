//! `adamant agent log`: whether what `agent run` wrote is whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use agent::log::{self, Head};
use clap::Args;

use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Directory of the profile.
    profile: PathBuf,
    /// Lines of `adamant agent run`, all or some that follow each other; - is standard input.
    #[arg(default_value = "-")]
    log: PathBuf,
}

pub fn run(args: &LogArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let newest = Head::read(&args.profile)?.ok_or_else(|| {
        let fault = format_args!("{} has no log: adamant agent run has told nothing yet", args.profile.display());
        Failure::new(fault).help("name the directory of the profile that agent run renews")
    })?;
    let lines: Box<dyn BufRead> = if args.log == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file =
            File::open(&args.log).map_err(|error| Failure::at(&args.log, format_args!("cannot be read: {error}")))?;
        Box::new(BufReader::new(file))
    };
    let unbroken = log::verify(lines, &newest).map_err(|fault| {
        Failure::at(&args.log, fault).help(
            "what cut it off, or who wrote there? A full disk does it too: where agent run cannot keep its place in the profile, \
             it warns (what: log), and numbers come again after the next start. The lines before it follow each other",
        )
    })?;
    write!(out, "unbroken: lines {} to {}", unbroken.first, unbroken.last)?;
    if unbroken.newer == 0 {
        writeln!(out, ", the newest that the profile knows of")?;
    } else {
        writeln!(out, "; {} newer of the profile not among them", unbroken.newer)?;
    }
    Ok(())
}
