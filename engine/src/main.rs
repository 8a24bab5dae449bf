//! Adamant: an immutable API access proxy. One binary; each subcommand stands in `commands`.

mod cases;
mod cli;
mod commands;
mod config;
mod demo;
mod failure;
mod files;
mod fleet;
mod gateway;
mod passphrase;
mod pointing;
mod replay;
mod signer;
mod source;
mod span;
mod store;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let mut out = io::stdout().lock();
    let result = cli::run(cli, &mut out).and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
