//! `adamant rollback`: a new pointer at an older release.

use std::io::Write;
use std::str::FromStr;

use policy_release::digest::Digest;

use crate::failure::Failure;
use crate::pointing::{self, Desk, Making, Target, Where};

#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    at: Where,
    /// The older release in the store: its digest, or `previous`.
    #[arg(long, value_name = "DIGEST")]
    to: To,
    #[command(flatten)]
    making: Making,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Previous,
    Digest(Digest),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "previous" => Ok(Self::Previous),
            digest => digest.parse().map(Self::Digest).map_err(|fault| format!("{fault}; or the word `previous`")),
        }
    }
}

pub fn run(args: &RollbackArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = Desk::open(&args.at)?;
    let current = desk.current.pointer().ok_or_else(|| match desk.current.doubt() {
        Some(why) => Failure::new(format_args!("the pointer of channel {} is not believed: {why}", desk.channel))
            .help("who put it there? adamant point with --release and --serial replaces it"),
        None => {
            let message =
                format!("channel {} has no pointer: there is nothing to go back from; {}", desk.channel, desk.others());
            Failure::new(message).help("adamant point makes one")
        }
    })?;
    let target = match args.to {
        To::Previous => pointing::previous(&desk)?,
        To::Digest(digest) if digest == current.release => {
            return Err(Failure::new(format_args!("channel {} runs {digest} already", desk.channel))
                .help("adamant point --release current renews its pointer"));
        }
        To::Digest(digest) => Target::in_store(&desk, &digest)?,
    };
    pointing::make(&desk, &target, &args.making, out)
}
