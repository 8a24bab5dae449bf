//! `adamant audit decrypt`: the lines of encrypted record files, as they were written.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use control::records::encrypted::Damage;

use super::identity::{IdentityArgs, what_of};
use super::lines::name_of;
use crate::failure::{Failure, warn};

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
    let changed = Rc::new(Cell::new(0_usize));
    for path in &args.records {
        let (name, count) = (name_of(path), Rc::clone(&changed));
        let tell = move |damage: Damage| {
            count.set(count.get() + usize::from(!damage.cut_off));
            warn(format_args!("{name}: {}", what_of(&damage)));
        };
        let mut from = identities.open_telling(path, Box::new(tell))?;
        io::copy(&mut from, out).map_err(|error| Failure::new(format_args!("{}: {error}", name_of(path))))?;
        if from.is_unfinished() {
            warn(format_args!("{}: its last batch of records is not whole", name_of(path)));
        }
    }
    match changed.get() {
        0 => Ok(()),
        // Whoever the lines go on to does not see what was said.
        count => {
            let message = format!(
                "{} changed: what they held is not all there",
                if count == 1 { "a batch was".to_owned() } else { format!("{count} batches were") }
            );
            Err(Failure::new(message).help("adamant audit verify tells what is lost"))
        }
    }
}
