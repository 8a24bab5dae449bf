//! `adamant tune`: what this machine is, where workers should stand on it, and what should be set around them.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use policy::credential::{self, Covered};
use tuning::choice::{self, Wish};
use tuning::machine::Machine;
use tuning::profile::{BUILT_IN, Profile, ProfileError};
use tuning::read::Root;
use tuning::settings::{How, Setting, drifting, settings};

use super::signing::plural;
use crate::failure::Failure;
use crate::files;

mod apply;
mod plan;
mod probe;

/// Bytes of a profile, and of a record of what was set.
const FILE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Subcommand)]
pub enum TuneCommand {
    /// Show what this machine is: processors, NUMA nodes, caches, limits, interfaces with queues and interrupts, kernel
    /// settings, what io_uring can do.
    Probe(ProbeArgs),
    /// Say which cores should have workers and what else should be set, each with its reason. Changes nothing.
    #[command(after_help = "Examples:\n  \
        adamant tune plan                                # for people\n  \
        adamant tune plan --format toml                  # the [workers] section of gateway.toml\n  \
        adamant tune plan --format script > tune.sh      # what should be set outside, to read and to run as root")]
    Plan(PlanArgs),
    /// Set what was asked for: shows what would be written, and writes it with --yes.
    #[command(after_help = "Examples:\n  \
        adamant tune apply interrupts governor --dry-run # shows what would be written, as without --yes\n  \
        adamant tune apply interrupts governor --yes --record tuned.json\n  \
        adamant tune undo tuned.json")]
    Apply(ApplyArgs),
    /// Put back what `tune apply` wrote. What somebody else changed since is told and left.
    Undo(UndoArgs),
    /// Compare this machine with what the workers of a gateway.toml need; ends with 1 when something differs.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value = "text")]
    format: ProbeFormat,
    /// Measure on loopback, for under three seconds, which way of waiting for bytes costs this machine less: readiness, as
    /// the workers do it, or completion.
    #[arg(long)]
    measure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProbeFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct Wishes {
    /// Workers, at most.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The interface that requests come in by; every interface that is up without it.
    #[arg(long, value_name = "INTERFACE")]
    nic: Option<String>,
    /// Use the cores of every NUMA node, beside an interface or not.
    #[arg(long)]
    every_node: bool,
    /// What kind of machine it is to be: dedicated, latency, shared, container, or a file with a profile of your own.
    #[arg(long, value_name = "PROFILE", default_value = "dedicated")]
    profile: String,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    wishes: Wishes,
    /// For people, one JSON document, the [workers] section of gateway.toml, or a script.
    #[arg(long, value_enum, default_value = "text")]
    format: PlanFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    Text,
    Json,
    /// The section of gateway.toml.
    Toml,
    /// A shell script for what should be set outside of the gateway.
    Script,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// What to set.
    #[arg(required = true, value_enum)]
    topics: Vec<TopicArg>,
    #[command(flatten)]
    wishes: Wishes,
    /// For the workers of this gateway.toml, instead of a new plan.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workers", "every_node"])]
    config: Option<PathBuf>,
    /// Show what would be written, and write nothing. So it is without --yes, too.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Write.
    #[arg(long, requires = "record")]
    yes: bool,
    /// Where to keep what was there before, for `tune undo`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TopicArg {
    /// On which core packets arrive.
    Interrupts,
    /// Clock frequency of the workers' cores.
    Governor,
    /// Sysctls and huge pages.
    Kernel,
}

#[derive(Debug, Args)]
pub struct UndoArgs {
    /// What `tune apply --record` wrote.
    record: PathBuf,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The gateway's configuration.
    config: PathBuf,
    /// The interface that requests come in by; every interface that is up without it.
    #[arg(long, value_name = "INTERFACE")]
    nic: Option<String>,
    /// The profile that the machine was set for.
    #[arg(long, value_name = "PROFILE", default_value = "dedicated")]
    profile: String,
}

pub fn run(command: TuneCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        TuneCommand::Probe(args) => probe::run(&args, out),
        TuneCommand::Plan(args) => plan::run(&args, out),
        TuneCommand::Apply(args) => apply::run(&args, out),
        TuneCommand::Undo(args) => apply::undo(&args, out),
        TuneCommand::Check(args) => plan::check(&args, out),
    }
}

fn machine() -> Result<Machine, Failure> {
    Machine::read(&Root::machine()).map_err(Failure::new)
}

impl Wishes {
    fn wish(&self, profile: &Profile) -> Wish {
        let workers_percent = Some(profile.workers_percent);
        Wish { workers: self.workers, workers_percent, nic: self.nic.clone(), every_node: self.every_node }
    }
}

/// A profile by its name, or from a file.
fn profile(name: &str) -> Result<Profile, Failure> {
    if let Some(built_in) = Profile::built_in(name) {
        return built_in.map_err(Failure::new);
    }
    let path = Path::new(name);
    if !name.contains(['/', '.']) {
        let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
        return Err(Failure::new(format_args!("expected a profile ({}) or a file, found {name:?}", known.join(", "))));
    }
    let bytes = files::read(path, FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected UTF-8 text, found other bytes"))?;
    Profile::parse(&text).map_err(|error| match error {
        // The parser would show a line of the file, which may be a secret.
        ProfileError::Form(why) => Failure::at(path, not_a_profile(&text, &why)),
        error => Failure::at(path, error),
    })
}

/// As the parser has it, without the line.
fn not_a_profile(text: &str, why: &toml::de::Error) -> String {
    let expected = "a profile (summary, workers_percent, topics, [sysctls])";
    match why.span() {
        Some(span) if credential::kind_of(text.as_bytes()).is_none() => {
            let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
            format!(
                "line {line}: expected {expected}, found something else: {}",
                Covered::of(text).message(why.message())
            )
        }
        _ => files::found(text.as_bytes(), expected),
    }
}

/// What should be set on `machine` for these workers.
fn settings_for(machine: &Machine, workers: &[usize], wish: &Wish, profile: &Profile) -> Result<Vec<Setting>, Failure> {
    let nics = choice::nics(machine, wish).map_err(Failure::new)?;
    Ok(settings(machine, workers, &nics, profile))
}

/// Tells those that are not as wanted, together where the reason is the same; gives how many they are.
fn write_settings(out: &mut dyn Write, settings: &[Setting]) -> Result<usize, Failure> {
    let groups = drifting(settings);
    let count = groups.iter().map(Vec::len).sum();
    match (settings.len(), count) {
        (0, _) => writeln!(out, "Outside of gateway.toml nothing was looked at: the profile sets nothing there.")?,
        (all, 0) => {
            writeln!(out, "Outside of gateway.toml, all is as it should be: {} looked at.", plural(all, "setting"))?
        }
        (all, _) => writeln!(out, "Outside of gateway.toml, {count} of {all} settings should be others:")?,
    }
    for group in groups {
        writeln!(out)?;
        for Setting { what, found, wanted, how, .. } in &group {
            writeln!(out, "  {what}: {} -> {}", shown(found), shown(wanted))?;
            match how {
                How::File(_) => {}
                How::Command(command) => writeln!(out, "      run: {command}")?,
                How::Elsewhere(place) => writeln!(out, "      set it in: {place}")?,
            }
        }
        if let Some(first) = group.first() {
            writeln!(out, "      {}", first.why)?;
        }
    }
    Ok(count)
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "nothing" } else { value }
}
