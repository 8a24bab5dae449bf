//! `adamant test`: runs the cases beside a policy, or those in a release.

mod watch;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use policy_release::envelope::Kind;
use policy_release::manifest::Manifest;

use super::release::engine_version;
use super::signing::plural;
use crate::cases::{Outcome, Suite, json, junit, text};
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::source::{self, Warnings};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Policy sources and releases.
    #[arg(default_value = "policy.toml")]
    files: Vec<PathBuf>,
    /// Run only the cases whose name has this in it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// For people; or one document for CI, with coverage in it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it to a file (replacing it), and on standard output say the outcome as text.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Run again whenever a file of a policy changes; Ctrl-C ends it.
    #[arg(long, conflicts_with = "out")]
    watch: bool,
    /// Fail where a policy has no cases.
    #[arg(long)]
    require_cases: bool,
    /// Fail where the cases touch less of a policy than this.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with = "filter")]
    require_coverage: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Junit,
    Json,
}

pub fn run(args: &TestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.watch { watch::run(args, out) } else { once(args, out) }
}

/// Runs all suites once.
fn once(args: &TestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for path in &args.files {
        let suite = suite(path)?;
        outcomes.push(suite.run(&args.filter).map_err(|fault| Failure::at(path, fault))?);
    }
    let document = match args.format {
        Format::Text => None,
        Format::Junit => Some(junit::document(&outcomes).into_bytes()),
        Format::Json => {
            let mut bytes = serde_json::to_vec_pretty(&json::document(&outcomes)).map_err(Failure::new)?;
            bytes.push(b'\n');
            Some(bytes)
        }
    };
    let mut words = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        if index > 0 {
            writeln!(words)?;
        }
        text::write(outcome, &mut words)?;
    }
    match (&args.out, document) {
        (None, None) => out.write_all(&words)?,
        (None, Some(document)) => out.write_all(&document)?,
        (Some(path), document) => {
            files::write(path, document.as_deref().unwrap_or(&words), Access::Everyone, Existing::Replace)?;
            out.write_all(&words)?;
            writeln!(out, "wrote {}", path.display())?;
        }
    }
    out.flush()?;
    verdict(args, &outcomes)
}

/// The cases of a policy source or of a release.
fn suite(path: &Path) -> Result<Suite, Failure> {
    let bytes = files::read(path, Kind::Release.envelope_bytes_max())?;
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        let envelope = files::envelope(path, &bytes, Kind::Release)?;
        let manifest = Manifest::parse(envelope.payload(), engine_version()?);
        let manifest = manifest.map_err(|fault| Failure::at(path, fault))?;
        return Suite::of_release(&path.display().to_string(), envelope.digest(), &manifest);
    }
    Suite::of_source(&source::read(path)?, Warnings::Shown)
}

fn verdict(args: &TestArgs, outcomes: &[Outcome]) -> Result<(), Failure> {
    let (cases, failed) = outcomes
        .iter()
        .fold((0, 0), |(cases, failed), outcome| (cases + outcome.cases.len(), failed + outcome.failed()));
    if failed > 0 {
        return Err(Failure::new(format_args!("{failed} of {} failed", plural(cases, "case"))));
    }
    if cases == 0 && outcomes.iter().any(|outcome| outcome.left_out > 0) {
        let message = format!("expected a case with {:?} in its name (--filter), found none", args.filter);
        return Err(Failure::new(message).help("adamant test without --filter lists their names"));
    }
    for outcome in outcomes {
        if args.require_cases && outcome.cases.is_empty() {
            return Err(Failure::new(format_args!(
                "{}: expected test cases (--require-cases), found none",
                outcome.file
            )));
        }
        let percent = outcome.coverage.percent();
        if let Some(required) = args.require_coverage.map(usize::from).filter(|required| percent < *required) {
            let message = format!("{}: expected a coverage of {required} % or more, found {percent} %", outcome.file);
            return Err(Failure::new(message).help("the table above names what no case touches"));
        }
    }
    Ok(())
}
