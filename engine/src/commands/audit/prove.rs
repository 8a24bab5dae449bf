//! `adamant audit prove` and `check-proof`: one record against a checkpoint, without the rest of the log.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use chain::checkpoint::{Checkpoint, split_notes};
use chain::line::{self, Chain};
use chain::log::Told;
use chain::merkle::{inclusion_proof, leaf_hash, root_of};
use chain::note::Note;
use chain::proof::Proof;
use chain::{Hash, report};
use clap::Args;
use serde_json::Value;

use super::{IdentityArgs, Records, lines, node_keys, show};
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::terminal;

/// Bytes of a proof.
const PROOF_BYTES_MAX: usize = 1 << 20;
const CHECKPOINTS_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Record files from the start of the run on, oldest first.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Which record.
    #[arg(long, value_name = "ID")]
    request_id: String,
    /// A file with one or more checkpoints; the first that covers the record is taken.
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Where the proof goes.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct CheckProofArgs {
    /// The proof.
    proof: PathBuf,
    /// The gateway's public key: node.pub, or its text.
    #[arg(long, value_name = "PUB", required = true)]
    node_key: Vec<String>,
}

/// A record in a log.
struct Found {
    origin: String,
    leaf: u64,
    line: String,
    previous: Hash,
}

pub fn prove(args: &ProveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.records.iter().any(|path| path == Path::new("-")) {
        return Err(Failure::new("records are read twice, which standard input cannot be").help("name files"));
    }
    files::expect_free(&args.out, Existing::replace_if(args.force))?;
    let identities = args.identity.load()?;
    let records = Records { files: &args.records, identities: &identities };
    let found = find(args, records)?;
    let (note, checkpoint) = choose(&args.checkpoint, &found)?;
    let leaves = leaves(records, &found.origin, checkpoint.size)?;
    let incomplete = "the records do not lead to the checkpoint";
    let help = "give the files from the start of the run on, and look at them with adamant audit verify";
    if root_of(&leaves) != checkpoint.root {
        return Err(Failure::new(incomplete).help(help));
    }
    let path = usize::try_from(found.leaf).ok().and_then(|leaf| inclusion_proof(&leaves, leaf));
    let path = path.ok_or_else(|| Failure::new(incomplete).help(help))?;
    let proof = Proof::new(&found.line, &found.previous, &path, &note);
    let text = serde_json::to_string_pretty(&proof).map_err(Failure::new)? + "\n";
    files::write(&args.out, text.as_bytes(), Access::Everyone, Existing::replace_if(args.force))?;
    let told = format!(
        "{}: line {} of the {} that the checkpoint covers ({})\n",
        args.out.display(),
        found.leaf.saturating_add(1),
        checkpoint.size,
        terminal::line(&checkpoint.origin)
    );
    write!(out, "{told}")?;
    Ok(())
}

/// Follows runs and chains through the lines; `take` gets each with its run and the hash before it.
fn walk(
    records: Records<'_>,
    mut take: impl FnMut(&str, &line::Chained<'_>, &Hash, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut origin: Option<String> = None;
    let mut heads: BTreeMap<Chain, Hash> = BTreeMap::new();
    lines::each(records, |bytes| {
        let Some(chained) = line::read(bytes) else { return Ok(()) };
        if chained.link.chain == Chain::Control {
            match Told::read(bytes) {
                Some(Told::Start { origin: begun, .. }) if chained.link.leaf == 0 => {
                    (origin, heads) = (Some(begun), BTreeMap::new());
                }
                Some(Told::Continued { origin: begun, heads: told, .. }) if origin.as_ref() != Some(&begun) => {
                    heads = told.into_iter().map(|(chain, head)| (chain, head.hash)).collect();
                    origin = Some(begun);
                }
                _ => {}
            }
        }
        let Some(origin) = &origin else { return Ok(()) };
        let previous = heads.get(&chained.link.chain).copied();
        let previous = previous.unwrap_or_else(|| line::genesis(origin, chained.link.chain));
        // Lines that were written again after a failed sync stand twice.
        if chained.follows(&previous) {
            heads.insert(chained.link.chain, chained.link.hash);
            take(origin, &chained, &previous, bytes)?;
        }
        Ok(())
    })
}

/// The exchange with that id; its intent, where there is no more of it.
fn find(args: &ProveArgs, records: Records<'_>) -> Result<Found, Failure> {
    let mut found: Option<Found> = None;
    let id = format!("\"adamant.request_id\":\"{}\"", args.request_id);
    walk(records, |origin, chained, previous, bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
        let is_it = text.contains(&id) && {
            let record: Value = serde_json::from_str(text).unwrap_or_default();
            record.get("adamant.request_id").and_then(Value::as_str) == Some(&args.request_id)
        };
        if is_it {
            let (origin, line) = (origin.to_owned(), text.to_owned());
            found = Some(Found { origin, leaf: chained.link.leaf, line, previous: *previous });
        }
        Ok(())
    })?;
    let missing = || {
        Failure::new(format_args!(
            "no record with the request id {} in a chain that is whole",
            terminal::line(&args.request_id)
        ))
        .help("give the files from the start of the run on; adamant audit filter --request-id finds the line")
    };
    found.ok_or_else(missing)
}

/// The smallest checkpoint of the run that covers the record: its signature is checked by whoever checks the proof.
fn choose(path: &Path, found: &Found) -> Result<(String, Checkpoint), Failure> {
    let bytes = files::read(path, CHECKPOINTS_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected checkpoints, found no text"))?;
    let notes = split_notes(&text).into_iter().filter_map(|note| {
        let checkpoint = Checkpoint::parse(Note::parse(note).ok()?.text).ok()?;
        Some((note.to_owned(), checkpoint))
    });
    let (own, others): (Vec<_>, Vec<_>) = notes.partition(|(_, of)| of.origin == found.origin);
    if let (true, Some((_, other))) = (own.is_empty(), others.first()) {
        let message = format!(
            "expected checkpoints of {}, which the record is of, found those of {}",
            found.origin, other.origin
        );
        return Err(Failure::at(path, terminal::line(&message))
            .help("give checkpoints of the gateway and the run that wrote the record"));
    }
    if own.is_empty() {
        return Err(Failure::at(path, "expected checkpoints, found none in it")
            .help("the gateway writes them beside its records, in FILE.checkpoints"));
    }
    let covering = own.into_iter().filter(|(_, of)| of.size > found.leaf);
    covering.min_by_key(|(_, of)| of.size).ok_or_else(|| {
        let message = format!("no checkpoint of {} covers line {} of it", found.origin, found.leaf.saturating_add(1));
        Failure::at(path, terminal::line(&message))
            .help("a record is in the checkpoint after it: wait for the next one")
    })
}

fn leaves(records: Records<'_>, origin: &str, size: u64) -> Result<Vec<Hash>, Failure> {
    let mut leaves = Vec::new();
    walk(records, |of, chained, _, _| {
        if of == origin && chained.link.leaf == leaves.len() as u64 && chained.link.leaf < size {
            leaves.push(leaf_hash(&chained.link.hash));
        }
        Ok(())
    })?;
    Ok(leaves)
}

pub fn check_proof(args: &CheckProofArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let keys = node_keys(&args.node_key)?;
    let bytes = files::read(&args.proof, PROOF_BYTES_MAX)?;
    let proof: Proof = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::at(&args.proof, format_args!("expected a proof of adamant audit prove: {error}")))?;
    let checked = proof.check(&keys);
    let (checkpoint, signer, leaf) = checked.map_err(|fault| {
        Failure::at(&args.proof, format_args!("NOT PROVED: {}", terminal::line(&fault.to_string())))
    })?;
    let record: Value = serde_json::from_str(&proof.line).unwrap_or_default();
    let told = format!(
        "proved: this is line {} of the first {} of {}, whose root {} signed\n{}\n{}\n",
        leaf.saturating_add(1),
        report::lines(checkpoint.size),
        terminal::line(&checkpoint.origin),
        signer.name(),
        terminal::line(&show::text_of(&record)),
        terminal::line(&proof.line)
    );
    write!(out, "{told}")?;
    Ok(())
}
