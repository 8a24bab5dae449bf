//! `adamant tune`: what this machine is, where workers should stand on it, and what should be set around them.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tuning::choice::{self, Choice, Wish};
use tuning::machine::Machine;
use tuning::profile::{BUILT_IN, Profile};
use tuning::read::{Root, write_list};
use tuning::script::{self, Written};
use tuning::settings::{How, Setting, Topic, settings};

use crate::config::Config;
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};

/// Bytes of a record of what was set.
const RECORD_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Subcommand)]
pub enum TuneCommand {
    /// Show what this machine is: processors, NUMA nodes, interfaces with queues and interrupts, kernel settings.
    Probe(ProbeArgs),
    /// Say which cores should have workers and what else should be set, each with its reason. Changes nothing.
    #[command(after_help = "Examples:\n  \
        adamant tune plan                                # for people\n  \
        adamant tune plan --format toml                  # the [workers] section of gateway.toml\n  \
        adamant tune plan --format script > tune.sh      # what should be set outside, to read and to run as root")]
    Plan(PlanArgs),
    /// Set what was asked for: shows what would be written, and writes it with --yes.
    #[command(after_help = "Examples:\n  \
        adamant tune apply interrupts governor           # shows what would be written\n  \
        adamant tune apply interrupts governor --yes --record tuned.json\n  \
        adamant tune undo tuned.json")]
    Apply(ApplyArgs),
    /// Put back what `tune apply` wrote.
    Undo(UndoArgs),
    /// Compare this machine with what the workers of a gateway.toml need; ends with 1 when something differs.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct ProbeArgs {
    #[arg(long, value_enum, default_value = "text")]
    format: ProbeFormat,
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
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["workers", "every_node"])]
    config: Option<PathBuf>,
    /// Write; without it, show what would be written.
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
        TuneCommand::Probe(args) => probe(&args, out),
        TuneCommand::Plan(args) => plan(&args, out),
        TuneCommand::Apply(args) => apply(&args, out),
        TuneCommand::Undo(args) => undo(&args, out),
        TuneCommand::Check(args) => check(&args, out),
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
    let bytes = files::read(path, RECORD_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected UTF-8 text, found other bytes"))?;
    Profile::parse(&text).map_err(|error| Failure::at(path, error))
}

/// What should be set on `machine` for these workers.
fn settings_for(machine: &Machine, workers: &[usize], wish: &Wish, profile: &Profile) -> Result<Vec<Setting>, Failure> {
    let nics = choice::nics(machine, wish).map_err(Failure::new)?;
    Ok(settings(machine, workers, &nics, profile))
}

fn probe(args: &ProbeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let machine = machine()?;
    let uring = proxy::probe::check_kernel(64);
    if args.format == ProbeFormat::Json {
        let io_uring = uring.map_or_else(
            |error| json!({ "usable": false, "why": error.to_string() }),
            |report| json!({ "usable": true, "kernel": report.kernel, "ring_entries": report.ring_entries }),
        );
        let document = json!({ "machine": machine, "io_uring": io_uring });
        writeln!(out, "{document:#}")?;
        return Ok(());
    }
    let kernel = &machine.kernel;
    writeln!(
        out,
        "processors  {} online, {} physical cores, {} socket(s), {} NUMA node(s)",
        machine.processors.len(),
        machine.processors.iter().filter(|processor| processor.core == processor.number).count(),
        machine.packages().len(),
        machine.nodes().len(),
    )?;
    for node in machine.nodes() {
        let of = machine.processors.iter().filter(|processor| processor.node == node);
        let numbers: Vec<usize> = of.map(|processor| processor.number).collect();
        writeln!(out, "  node {node}    {}", write_list(&numbers))?;
    }
    writeln!(out, "may use     {}{}", write_list(&machine.allowed), quota(&machine))?;
    for (name, list) in [("isolated", &machine.isolated), ("nohz_full", &machine.nohz_full)] {
        let shown = if list.is_empty() { "none".to_owned() } else { write_list(list) };
        writeln!(out, "{name:<12}{shown}")?;
    }
    for nic in &machine.nics {
        let state = if nic.up { "up" } else { "down" };
        let speed = nic.speed_mbps.map_or(String::new(), |speed| format!(", {speed} Mbit/s"));
        let node = nic.node.map_or(String::new(), |node| format!(", node {node}"));
        let driver = nic.driver.as_deref().map_or(String::new(), |driver| format!(", {driver}"));
        let (receive, transmit) = (nic.receive.len(), nic.transmit.len());
        writeln!(
            out,
            "{:<12}{state}{driver}{speed}{node}, {receive} receive and {transmit} transmit queues",
            nic.name
        )?;
        for interrupt in &nic.interrupts {
            let list = write_list(&interrupt.affinity);
            writeln!(out, "  interrupt {} ({}) on {list}", interrupt.number, interrupt.name)?;
        }
    }
    writeln!(out, "kernel      {}", kernel.release.as_deref().unwrap_or("not told"))?;
    writeln!(out, "memory      {} MiB, {} huge pages reserved", kernel.memory >> 20, kernel.hugepages)?;
    for (name, value) in &kernel.sysctls {
        writeln!(out, "  {name} = {value}")?;
    }
    match uring {
        Ok(report) => writeln!(out, "io_uring    usable, kernel {}", report.kernel)?,
        Err(error) => writeln!(out, "io_uring    not usable: {error}")?,
    }
    Ok(())
}

fn quota(machine: &Machine) -> String {
    machine
        .quota_percent
        .map_or(String::new(), |percent| format!(", {}.{:02} processors' time (cgroup)", percent / 100, percent % 100))
}

fn plan(args: &PlanArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let machine = machine()?;
    let profile = profile(&args.wishes.profile)?;
    let wish = args.wishes.wish(&profile);
    let choice = choice::choose(&machine, &wish).map_err(Failure::new)?;
    let settings = settings_for(&machine, &choice.workers, &wish, &profile)?;
    match args.format {
        PlanFormat::Json => writeln!(out, "{:#}", json!({ "choice": choice, "settings": settings }))?,
        PlanFormat::Toml => write_toml(out, &choice)?,
        PlanFormat::Script => out.write_all(script::script(&settings).as_bytes())?,
        PlanFormat::Text => {
            writeln!(out, "In gateway.toml:\n")?;
            write_toml(out, &choice)?;
            writeln!(out)?;
            write_settings(out, &settings)?;
        }
    }
    Ok(())
}

fn write_toml(out: &mut dyn Write, choice: &Choice) -> Result<(), Failure> {
    writeln!(out, "[workers]")?;
    for reason in &choice.reasons {
        writeln!(out, "# {reason}")?;
    }
    writeln!(out, "# everything else: processors {}", write_list(&choice.control))?;
    writeln!(out, "cores = \"{}\"", write_list(&choice.workers))?;
    Ok(())
}

/// Those that are not as wanted.
fn write_settings(out: &mut dyn Write, settings: &[Setting]) -> Result<usize, Failure> {
    let drifting: Vec<&Setting> = settings.iter().filter(|setting| setting.drifts()).collect();
    if drifting.is_empty() {
        writeln!(out, "Outside of it everything that was looked at is as it should be ({} settings).", settings.len())?;
        return Ok(0);
    }
    writeln!(out, "Outside of it, {} of {} settings should be others:\n", drifting.len(), settings.len())?;
    for setting in &drifting {
        writeln!(out, "  {}: {} -> {}", setting.what, setting.found, setting.wanted)?;
        writeln!(out, "      {}", setting.why)?;
        match &setting.how {
            How::File(_) => {}
            How::Command(command) => writeln!(out, "      run: {command}")?,
            How::Elsewhere(place) => writeln!(out, "      set it in: {place}")?,
        }
    }
    Ok(drifting.len())
}

fn apply(args: &ApplyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let machine = machine()?;
    let profile = profile(&args.wishes.profile)?;
    let wish = args.wishes.wish(&profile);
    let workers = match &args.config {
        Some(path) => Config::load(path).map_err(Failure::new)?.cores,
        None => choice::choose(&machine, &wish).map_err(Failure::new)?.workers,
    };
    let asked = |topic: Topic| {
        args.topics.iter().any(|arg| match arg {
            TopicArg::Interrupts => topic == Topic::Interrupts,
            TopicArg::Governor => topic == Topic::Governor,
            TopicArg::Kernel => topic == Topic::Kernel,
        })
    };
    let mut settings = settings_for(&machine, &workers, &wish, &profile)?;
    settings.retain(|setting| asked(setting.topic));
    let Some(record) = args.record.as_deref().filter(|_| args.yes) else {
        write_settings(out, &settings)?;
        writeln!(out, "\nNothing was written; --yes --record FILE does it.")?;
        return Ok(());
    };
    files::expect_free(record, Existing::Refuse)?;
    let (written, failed) = script::apply(&Root::machine(), &settings);
    keep(record, &written)?;
    for of in &written {
        writeln!(out, "/{}: {} -> {}", of.file, of.before, of.after)?;
    }
    for setting in settings.iter().filter(|setting| setting.drifts() && !matches!(setting.how, How::File(_))) {
        writeln!(out, "left to you: {}: {} -> {}", setting.what, setting.found, setting.wanted)?;
    }
    writeln!(out, "{} written; adamant tune undo {} puts it back", written.len(), record.display())?;
    report(&failed)
}

fn keep(record: &Path, written: &[Written]) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(written).map_err(Failure::new)?;
    Ok(files::write(record, &bytes, Access::Everyone, Existing::Refuse)?)
}

fn report(failed: &[script::ApplyError]) -> Result<(), Failure> {
    for error in failed {
        warn(error);
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(Failure::new(format_args!("{count} could not be written"))
            .help("run it as root; some interrupts are the kernel's own")),
    }
}

fn undo(args: &UndoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let bytes = files::read(&args.record, RECORD_BYTES_MAX)?;
    let written: Vec<Written> = serde_json::from_slice(&bytes).map_err(|error| Failure::at(&args.record, error))?;
    let root = Root::machine();
    if let Some(foreign) = written.iter().find(|of| !is_ours(&root, &of.file)) {
        let message = format!("expected files that tune apply writes, below /proc and /sys, found {:?}", foreign.file);
        return Err(Failure::at(&args.record, message).help("give the file that tune apply --record wrote"));
    }
    let failed = script::undo(&root, &written);
    writeln!(out, "{} put back", written.len() - failed.len())?;
    report(&failed)
}

/// Where the files are that settings are made by.
const PLACES: &[&str] = &["proc/irq/", "proc/sys/", "sys/class/net/", "sys/devices/system/cpu/", "sys/kernel/mm/"];

/// In one of the places, and the kernel's own whatever links lead there.
fn is_ours(root: &Root, file: &str) -> bool {
    let named = PLACES.iter().any(|place| file.starts_with(place)) && !file.split('/').any(|part| part == "..");
    // One that is not there cannot be written either, which is told by its name.
    let is_kernels = |path: PathBuf| ["proc", "sys"].iter().any(|top| path.starts_with(root.path(top)));
    named && root.path(file).canonicalize().map_or(true, is_kernels)
}

fn check(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(Failure::new)?;
    let machine = machine()?;
    let wish = Wish { nic: args.nic.clone(), ..Wish::default() };
    let mut problems = 0;
    for core in config.cores.iter().filter(|core| !machine.allowed.contains(core)) {
        writeln!(out, "  worker on processor {core}: this process may not use it, or it is not online")?;
        problems += 1;
    }
    let topology = tuning::Topology::read(Path::new(tuning::topology::SYSFS)).map_err(Failure::new)?;
    for finding in topology.findings(&config.cores) {
        writeln!(out, "  {finding}")?;
        problems += 1;
    }
    problems += write_settings(out, &settings_for(&machine, &config.cores, &wish, &profile(&args.profile)?)?)?;
    match problems {
        0 => Ok(()),
        count => Err(Failure::new(format_args!("{count} differ from what these workers need"))
            .help("adamant tune plan says more; adamant tune apply sets what it can")),
    }
}
