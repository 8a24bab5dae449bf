//! `adamant audit`: verify, show, filter and prove records.

use std::io::Write;

use chain::note::Verifier;

use super::Format;
use crate::failure::Failure;
use crate::fleet::pins;

mod checkpoints;
mod decrypt;
mod follow;
mod identity;
mod lines;
mod print;
mod prove;
mod rotations;
mod show;
mod verify;

pub use identity::{Identities, IdentityArgs, Records};
pub use lines::RECORD_FILES;

#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Verify that records are what the gateway wrote: nothing removed, changed, moved or put in.
    #[command(after_help = "Examples:\n  \
        adamant audit verify records.jsonl --node-key node.pub --checkpoints /mnt/audit/edge-1\n  \
        adamant audit verify records.jsonl.2 records.jsonl.1 records.jsonl --node-key node.pub --checkpoints DIR\n  \
        zcat records.jsonl.3.gz | adamant audit verify - --partial --node-key node.pub --checkpoints DIR\n\n\
        Files are given in their order, oldest first. node.pub stands in the gateway's state directory: keep a copy of it\n\
        elsewhere. Ends with 1 when anything is wrong, and when a run is not proved: by a checkpoint in one of the places of\n\
        --checkpoints, or without them by one beside the records. --unproved lets that pass. What is proved, and what cannot\n\
        be known, is said in words. Names of findings, what to do about each, and the JSON: docs/records.md.")]
    Verify(verify::VerifyArgs),
    /// Show records for people; with -f, as they come.
    #[command(after_help = "Examples:\n  \
        adamant audit show records.jsonl\n  \
        adamant audit show -f records.jsonl --decision deny\n  \
        adamant audit show records.jsonl --since 2026-11-21T10:00 --until 2026-11-21T11:00 --agent ci")]
    Show(show::ShowArgs),
    /// Print the records that match, as the JSON lines they are.
    #[command(after_help = "Examples:\n  \
        adamant audit filter records.jsonl --agent ci --status 5xx\n  \
        adamant audit filter records.jsonl --request-id 00c0ffee… --format text")]
    Filter(show::FilterArgs),
    /// Print encrypted records as the JSON lines that were encrypted.
    #[command(after_help = "Example:\n  \
        adamant audit decrypt records.jsonl --identity records.key | jq .\n\n\
        Needs no gateway, and no more than the files: each batch in them is an age file of its own (docs/records.md).")]
    Decrypt(decrypt::DecryptArgs),
    /// Make a proof that one record is in the log of a checkpoint; it can be checked without the log.
    #[command(after_help = "Example:\n  \
        adamant audit prove records.jsonl --request-id 00c0ffee… --checkpoint records.jsonl.checkpoints -o proof.json")]
    Prove(prove::ProveArgs),
    /// Check a proof of one record.
    #[command(after_help = "Example:\n  adamant audit check-proof proof.json --node-key node.pub")]
    CheckProof(prove::CheckProofArgs),
}

pub fn run(command: AuditCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(args) => verify::run(&args, out),
        AuditCommand::Show(args) => show::show(args, out),
        AuditCommand::Filter(args) => show::filter(args, out),
        AuditCommand::Decrypt(args) => decrypt::run(&args, out),
        AuditCommand::Prove(args) => prove::prove(&args, out),
        AuditCommand::CheckProof(args) => prove::check_proof(&args, out),
    }
}

fn node_key(text: &str) -> Result<Verifier, Failure> {
    let wrong = |error| Failure::new(format_args!("--node-key: {error}"));
    Verifier::of_node(pins::node_key(text)?).map_err(wrong)
}

fn node_keys(texts: &[String]) -> Result<Vec<Verifier>, Failure> {
    texts.iter().map(|text| node_key(text)).collect()
}
