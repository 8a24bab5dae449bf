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
    /// The older release in the store: its digest, at least 8 digits of it that no other begins with, or `previous`.
    #[arg(long, value_name = "DIGEST")]
    to: To,
    #[command(flatten)]
    making: Making,
}

/// Hex digits of a digest that are enough where no other release of the store begins with them.
const PREFIX_CHARS_MIN: usize = 8;
/// Hex digits of a whole digest.
const DIGEST_CHARS: usize = 64;

#[derive(Clone, Debug)]
enum To {
    Previous,
    Digest(Digest),
    /// Lower-case hex digits.
    Prefix(String),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "previous" => Ok(Self::Previous),
            text => {
                let digits = text.strip_prefix("sha256:").unwrap_or(text);
                let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if is_hex && (PREFIX_CHARS_MIN..DIGEST_CHARS).contains(&digits.len()) {
                    return Ok(Self::Prefix(digits.to_owned()));
                }
                let fault = |fault| format!("{fault}; or {PREFIX_CHARS_MIN} of them at least; or the word `previous`");
                text.parse().map(Self::Digest).map_err(fault)
            }
        }
    }
}

/// The one release of the store whose digest begins so.
fn begins_with(desk: &Desk, digits: &str) -> Result<Digest, Failure> {
    let all = desk.store.releases()?;
    let begins = |digest: &&Digest| digest.to_string().trim_start_matches("sha256:").starts_with(digits);
    let found: Vec<_> = all.iter().filter(begins).collect();
    match found.as_slice() {
        [only] => Ok(**only),
        several => Err(Failure::new(format_args!(
            "expected one release in the store whose digest begins with {digits}, found {}",
            several.len()
        ))
        .help(format_args!("adamant release list {} shows them", desk.store.path().display()))),
    }
}

pub fn run(args: &RollbackArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = Desk::open(&args.at)?;
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
        To::Digest(digest) => Some(*digest),
        To::Prefix(digits) => Some(begins_with(&desk, digits)?),
    };
    let target = match to {
        None => pointing::previous(&desk)?,
        Some(digest) if digest == current.release => {
            return Err(Failure::new(format_args!("channel {} runs {digest} already", desk.channel))
                .help("adamant point --release current renews its pointer"));
        }
        Some(digest) => Target::in_store(&desk, &digest)?,
    };
    pointing::make(&desk, &target, &args.making, out)
}
