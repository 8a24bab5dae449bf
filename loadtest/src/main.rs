//! `loadtest`: load, a fast origin, and what a gateway costs.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run(&mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "loadtest: {failure}");
            ExitCode::FAILURE
        }
    }
}
