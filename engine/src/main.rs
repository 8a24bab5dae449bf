//! Adamant: an immutable API access proxy. One binary; each subcommand stands in `commands`.

mod cases;
mod cli;
mod commands;
mod config;
mod demo;
mod examples;
mod failure;
mod files;
mod fit;
mod fleet;
mod gateway;
mod lookup;
mod passphrase;
mod pointing;
mod replay;
mod review;
mod signer;
mod source;
mod span;
mod store;
mod terminal;

use std::io;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything is read: memory with secrets in it must land on no disk.
    if let Err(error) = sys::process::forbid_core_dumps() {
        failure::warn(format_args!("core dumps could not be forbidden, they would hold secrets: {error}"));
    }
    let cli = cli::Cli::read();
    let mut out = terminal::Safe::new(io::stdout().lock());
    let acts = cli.acts();
    let result = cli::run(cli, &mut out);
    // An outcome other than success has been said there too.
    let finished = out.finish().or_else(|error| match error.kind() {
        // What was to be done is done.
        io::ErrorKind::BrokenPipe if acts => Ok(()),
        _ => Err(error),
    });
    let result = result.and_then(|()| Ok(finished?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
