//! The command line: one module a subcommand, each with its `Arguments` and their `run`.

mod capacity;
mod compare;
mod difference;
mod idle;
mod load_options;
mod origin;
mod overhead;
mod probe;
mod progress;
mod relay;
mod report;
mod run;

use std::io::Write;

use clap::{Parser, Subcommand};
use loadtest::failure::Failure;
use loadtest::measure;

#[derive(Parser)]
#[command(name = "loadtest", version, about = "Load generator, origin and measurements for any HTTP/1.1 proxy.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Capacity(capacity::Arguments),
    Origin(origin::Arguments),
    Relay(relay::Arguments),
    Idle(idle::Arguments),
    Overhead(overhead::Arguments),
    Report(report::Arguments),
    Difference(difference::Arguments),
    Compare(compare::Arguments),
    Probe(probe::Arguments),
}

impl Cli {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self.command {
            Command::Run(arguments) => arguments.run(out),
            Command::Capacity(arguments) => arguments.run(out),
            Command::Origin(arguments) => arguments.run(out),
            Command::Relay(arguments) => arguments.run(out),
            Command::Idle(arguments) => arguments.run(out),
            Command::Overhead(arguments) => arguments.run(out),
            Command::Report(arguments) => arguments.run(out),
            Command::Difference(arguments) => arguments.run(out),
            Command::Compare(arguments) => arguments.run(out),
            Command::Probe(arguments) => arguments.run(out),
        }
    }
}

fn on_core_if<T>(core: Option<usize>, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    match core {
        Some(core) => measure::on_core(core, body),
        None => body(),
    }
}

/// Writes a whole text to standard output.
fn print(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    out.write_all(text.as_bytes()).map_err(Failure::io("standard output"))
}
