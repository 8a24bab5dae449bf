//! `adamant completions`: what a shell needs to complete this program's command line.

use std::io::Write;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Written whole afterwards: the generator itself panics when nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adamant", &mut script);
    Ok(out.write_all(&script)?)
}
