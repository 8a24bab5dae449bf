//! `adamant replay`: the decisions of a record file, made again.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::commands::Format;
use crate::commands::audit::{Identities, IdentityArgs};
use crate::commands::signing::plural;
use crate::failure::Failure;
use crate::lookup::Lookup;
use crate::replay::policies::{self, Policies, Shelf};
use crate::replay::text::Subject;
use crate::replay::{Replay, json, text};
use crate::store::StoreAccess;

/// Bytes that are read from a log at once.
const BUFFER_BYTES: usize = 1 << 18;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Record files, in the order of their times; - is standard input.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Put the past requests to this candidate, a release or a policy source, and say which would change.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// A release that records name. May be given several times.
    #[arg(long = "release", value_name = "FILE")]
    releases: Vec<PathBuf>,
    /// A store, or a gateway's state directory, that has the releases that records name.
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    #[command(flatten)]
    store_access: StoreAccess,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.against.is_none() && args.releases.is_empty() && args.store.is_none() {
        let fault = Failure::new("expected the releases that the records name, or a candidate");
        return Err(
            fault.help("give --store DIR or --release FILE to check the log, --against FILE to rehearse a change")
        );
    }
    let shelf = Shelf::default();
    let known = Policies::new(&args.releases, args.store_access.of(args.store.as_ref())?.as_ref(), &shelf)?;
    let mut candidate = None;
    let mut name = None;
    if let Some(path) = &args.against {
        let found = Lookup::default().file(path)?;
        let digest = found.digest();
        name = Some(match digest {
            Some(digest) => format!("{} ({digest})", path.display()),
            None => path.display().to_string(),
        });
        candidate = Some(policies::evaluator(found.policy, digest, &shelf)?);
    }
    let identities = args.identity.load()?;
    let mut replay = Replay::new(known, candidate);
    for (number, log) in args.logs.iter().enumerate() {
        replay.read(number, &mut *open(log, &identities)?)?;
    }
    replay.finish()?;
    let logs: Vec<String> = args.logs.iter().map(|log| log.display().to_string()).collect();
    let tally = &replay.tally;
    match args.format {
        Format::Text => {
            let releases_given = !args.releases.is_empty() || args.store.is_some();
            text::write(out, tally, &Subject { logs: &logs, candidate: name.as_deref(), releases_given })?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &json::document(tally, &logs, name.as_deref()))
                .map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    if tally.exchanges == 0 && tally.differing == 0 && tally.other_kinds.is_empty() && tally.no_records > 0 {
        out.flush()?;
        return Err(Failure::new(format_args!("expected records, found none in {}", logs.join(", "))));
    }
    if name.is_none() && tally.differing == 0 && tally.not_made_again() > 0 {
        out.flush()?;
        let decisions = plural(usize::try_from(tally.not_made_again()).unwrap_or(usize::MAX), "decision");
        return Err(Failure::new(format_args!(
            "{decisions} could not be made again: without the release, or its name"
        ))
        .help("give the releases that the records name: --release FILE, or --store DIR that has them"));
    }
    match if name.is_some() { tally.status_candidate() } else { tally.status_own() } {
        0 => Ok(()),
        status => {
            out.flush()?;
            Err(Failure::outcome(status))
        }
    }
}

fn open(log: &Path, identities: &Identities) -> Result<Box<dyn BufRead>, Failure> {
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, identities.open(log)?)))
}
