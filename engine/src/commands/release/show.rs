//! `adamant release show`: what a release holds.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy::compile::compile;
use policy::table::Table;
use policy_release::envelope::Kind;
use policy_release::manifest::Manifest;

use super::{cost, engine_version};
use crate::cases::text::harmless;
use crate::commands::signing::{self, plural};
use crate::failure::Failure;

/// Names of test cases that are listed.
const CASES_LISTED_MAX: usize = 50;

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A release.
    file: PathBuf,
    /// Also measure decisions on this machine, for a few seconds at most.
    #[arg(long)]
    measure: bool,
}

pub fn run(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let envelope = signing::read_envelope(&args.file, Kind::Release)?;
    let manifest = Manifest::parse(envelope.payload(), engine_version()?);
    let manifest = manifest.map_err(|fault| Failure::at(&args.file, fault))?;
    let policy = &manifest.policy;
    let parent = manifest.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string());
    writeln!(out, "release     {}", envelope.digest())?;
    writeln!(out, "policy      {}", manifest.policy_name)?;
    writeln!(out, "version     {}", manifest.version)?;
    writeln!(out, "parent      {parent}")?;
    writeln!(out, "expires     {}", manifest.expires)?;
    writeln!(out, "engine      {} or newer", manifest.engine_min)?;
    writeln!(out, "size        {}", plural(envelope.payload().len(), "byte"))?;
    let limits = policy.agents.iter().map(|agent| agent.limits.len()).sum();
    for (noun, count) in [
        ("agent", policy.agents.len()),
        ("limit", limits),
        ("scope", policy.scopes.len()),
        ("route", policy.routes.len()),
        ("origin", policy.origins.len()),
        ("issuer", policy.issuers.len()),
        ("client CA", policy.client_cas.len()),
        ("API key", policy.api_keys.len()),
    ] {
        writeln!(out, "  {}", plural(count, noun))?;
    }
    cases(&manifest, out)?;
    let compiled = compile(policy, *envelope.digest().as_bytes()).map_err(|fault| Failure::at(&args.file, fault))?;
    let table = Table::load(compiled).map_err(|fault| Failure::at(&args.file, fault))?;
    writeln!(out, "table       {}", plural(table.image().len(), "byte"))?;
    stated_cost(&manifest, &table, args, out)?;
    writeln!(
        out,
        "{}, not verified here (adamant release verify does)",
        plural(envelope.signatures().len(), "signature")
    )?;
    for signature in envelope.signatures() {
        writeln!(out, "  key {}", signature.key_id)?;
    }
    Ok(())
}

/// The bound that the release states is shown only when it is its policy's own.
fn stated_cost(
    manifest: &Manifest,
    table: &Table<Vec<u8>>,
    args: &ShowArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let certificate = table.certificate();
    match &manifest.cost {
        Some(cost) => cost.check(&certificate).map_err(|fault| Failure::at(&args.file, fault))?,
        None => writeln!(out, "            the release states no cost certificate; this engine's own follows")?,
    }
    if manifest.cost.as_ref().is_some_and(|cost| !cost.is_of_this_engine()) {
        writeln!(out, "            its certificate is of another form of table; this engine's own follows")?;
    }
    cost::write_certificate(out, &certificate)?;
    if args.measure { cost::write_measured(out, &manifest.policy, table) } else { Ok(()) }
}

fn cases(manifest: &Manifest, out: &mut dyn Write) -> Result<(), Failure> {
    let count = manifest.case_count();
    match manifest.cases() {
        _ if count == 0 => writeln!(out, "no test cases")?,
        Err(fault) => writeln!(out, "{}; {fault}", plural(count, "test case"))?,
        Ok(cases) => {
            writeln!(out, "{} (adamant test runs them):", plural(count, "test case"))?;
            for case in cases.iter().take(CASES_LISTED_MAX) {
                writeln!(out, "  {}", harmless(&case.name))?;
            }
            if count > CASES_LISTED_MAX {
                writeln!(out, "  and {} more", count - CASES_LISTED_MAX)?;
            }
        }
    }
    Ok(())
}
