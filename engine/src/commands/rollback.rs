//! `adamant rollback`: a new pointer at an older release.

use std::io::Write;
use std::str::FromStr;

use crate::failure::Failure;
use crate::pointing::{self, Desk, Making, Target, Where};
use crate::store::Named;

#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    at: Where,
    /// The older release in the store: its digest, at least 8 digits of it that no other begins with, or `previous`.
    #[arg(long, value_name = "DIGEST")]
    to: To,
    #[command(flatten)]
    making: Making,
}

#[derive(Clone, Debug)]
enum To {
    Previous,
    Release(Named),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "previous" => Ok(Self::Previous),
            text => text.parse().map(Self::Release).map_err(|fault| format!("{fault}; or the word `previous`")),
        }
    }
}

pub fn run(args: &RollbackArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut desk = Desk::open(&args.at)?;
    desk.store.expect_channel(&desk.channel)?;
    let current = desk.current.pointer().ok_or_else(|| match desk.current.doubt() {
        Some(why) => Failure::new(format_args!("the pointer of channel {} is not believed: {why}", desk.channel))
            .help("who put it there? adamant point with --release and --serial replaces it"),
        None => {
            let message = format!("channel {} has no pointer: there is nothing to go back from", desk.channel);
            Failure::new(message).help("adamant point makes one")
        }
    })?;
    let to = match &args.to {
        To::Previous => None,
        To::Release(named) => Some(named.find(&desk.store)?),
    };
    let target = match to {
        None => pointing::previous(&desk)?,
        Some(digest) if digest == current.release => {
            return Err(Failure::new(format_args!("channel {} runs {digest} already", desk.channel))
                .help("adamant point --release current renews its pointer"));
        }
        Some(digest) => Target::in_store(&desk, &digest)?,
    };
    pointing::make(&mut desk, &target, &args.making, out)
}
