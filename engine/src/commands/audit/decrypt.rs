//! `adamant audit decrypt`: the lines of encrypted record files, as they were written.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::identity::IdentityArgs;
use super::lines::name_of;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct DecryptArgs {
    /// Record files, in the order in which their lines are to come out; `-` for standard input.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
}

pub fn run(args: &DecryptArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let identities = args.identity.load()?;
    for path in &args.records {
        let mut from = identities.open(path)?;
        io::copy(&mut from, out).map_err(|error| Failure::new(format_args!("{}: {error}", name_of(path))))?;
        if from.is_unfinished() {
            crate::failure::warn(format_args!("{}: its last batch of records is not whole", name_of(path)));
        }
    }
    Ok(())
}
