//! `adamant check`: what is wrong with a policy source, where, and what to do.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use clap::Args;
use policy_source::Severity;
use serde_json::json;

use super::Format;
use super::signing::plural;
use crate::failure::Failure;
use crate::source::{self, Source};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Policy sources.
    #[arg(required = true)]
    policies: Vec<PathBuf>,
    /// For people, or one JSON document with spans for editors and CI.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Treat warnings as errors.
    #[arg(long)]
    deny_warnings: bool,
}

pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut documents = Vec::new();
    let mut refused = 0;
    for path in &args.policies {
        let mut source = source::read(path)?;
        source.look_at_ends(control::clock::unix_s());
        source.compiles()?;
        let (errors, warnings) = (source.count(Severity::Error), source.count(Severity::Warning));
        refused += usize::from(errors > 0 || (args.deny_warnings && warnings > 0));
        match args.format {
            Format::Text => text(&source, out)?,
            Format::Json => documents.push(document(&source)),
        }
    }
    if args.format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, &documents).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    match (refused, args.policies.len()) {
        (0, _) => Ok(()),
        (1, 1) => Err(Failure::new("the policy was refused")),
        (refused, all) => Err(Failure::new(format_args!("{refused} of {all} policies were refused"))),
    }
}

/// Diagnostics go to standard error, what the policy amounts to goes to `out`.
fn text(source: &Source, out: &mut dyn Write) -> Result<(), Failure> {
    eprint!("{}", source.diagnostics(std::io::stderr().is_terminal()));
    if let Some(policy) = &source.loaded().policy {
        writeln!(out, "{}", policy_source::summary(policy).to_string().trim_end())?;
        if !source.loaded().cases.is_empty() {
            let cases = plural(source.loaded().cases.len(), "test case");
            writeln!(out, "  {cases}, not run here (adamant test does)")?;
        }
    }
    Ok(())
}

fn document(source: &Source) -> serde_json::Value {
    let mut document = policy_source::to_json(&source.loaded().diagnostics);
    if let Some(members) = document.as_object_mut() {
        members.insert("file".to_owned(), json!(source.name()));
        let summary = source.loaded().policy.as_ref().map(policy_source::summary);
        members.insert("summary".to_owned(), json!(summary));
        members.insert("cases".to_owned(), json!(source.loaded().cases.len()));
        members.insert("case_files".to_owned(), case_files(source));
    }
    document
}

/// `[{file, errors, warnings, diagnostics}]`.
fn case_files(source: &Source) -> serde_json::Value {
    let of = |(index, file): (usize, &policy_source::CaseFile)| {
        let mut document = policy_source::to_json(&file.diagnostics);
        if let Some(members) = document.as_object_mut() {
            members.insert("file".to_owned(), json!(source.case_file(index)));
        }
        document
    };
    source.loaded().case_files.iter().enumerate().map(of).collect()
}
