//! `adamant point live`: what a channel runs, believed for signatures alone. For scripts that go by it.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::failure::{Failure, NOTHING_LIVE, warn};
use crate::pointing::{self, Base, Desk, Where};

#[derive(Debug, Args)]
pub struct LiveArgs {
    #[command(flatten)]
    at: Where,
    /// The channel is new, though its name is near that of another one of the store.
    #[arg(long)]
    new_channel: bool,
    /// One fact a line, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: &LiveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = Desk::open(&args.at)?;
    if let Some(why) = desk.current.doubt() {
        let message = format!("the pointer of channel {} is not believed: {why}", desk.channel);
        return Err(
            Failure::new(message).help("who put it there? adamant point with --release and --serial replaces it")
        );
    }
    let pointer = desk.current.pointer();
    let base = match pointer {
        // Not refused: before its first pointer, a channel is not there.
        None => Err(match desk.store.expect_channel(&desk.channel) {
            Ok(()) => format!("channel {} has no pointer", desk.channel),
            Err(fault) => {
                let is_slip = !args.new_channel && fault.nearest().is_some();
                let fault = Failure::from(fault);
                if is_slip {
                    let help = fault.hint().unwrap_or_default();
                    let help = format!("{help}. If {} is meant, and new: --new-channel", desk.channel);
                    return Err(fault.help(help));
                }
                format!("{fault}; {}", fault.hint().unwrap_or_default())
            }
        }),
        Some(pointer) => Base::find(&desk, &pointer.release).and_then(Base::expect_firm),
    };
    let next = pointing::next_version(&desk, base.as_ref().ok())?;
    let expired = pointer.is_some_and(|pointer| pointer.expires <= desk.now);
    if let Some(pointer) = pointer.filter(|_| expired) {
        warn(format_args!(
            "the pointer of channel {} expired at {}: gateways go on with what they serve, and take nothing new by it",
            desk.channel, pointer.expires
        ));
    }
    match &base {
        Err(why) => warn(format_args!("there is no release that gateways of the channel can be taken to run: {why}")),
        Ok(base) if base.behind => warn(format_args!(
            "what the channel points at lacks signatures: the newest before it that gateways took is version {}",
            base.version
        )),
        Ok(_) => {}
    }
    match args.format {
        Format::Json => {
            let document = json!({
                "channel": desk.channel.as_str(),
                "release": base.as_ref().ok().map(|base| base.digest.to_string()),
                "version": base.as_ref().ok().map(|base| base.version),
                "serial": pointer.map(|pointer| pointer.serial),
                "expires": pointer.map(|pointer| pointer.expires.to_string()),
                "expired": expired,
                "points_at": pointer.map(|pointer| pointer.release.to_string()),
                "next_version": next,
            });
            serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Format::Text => {
            if let Ok(base) = &base {
                writeln!(out, "release  {}\nversion  {}", base.digest, base.version)?;
            }
            if let Some(pointer) = pointer {
                writeln!(
                    out,
                    "serial   {}\nexpires  {}\npoints   {}",
                    pointer.serial, pointer.expires, pointer.release
                )?;
            }
            writeln!(out, "next     {next}")?;
        }
    }
    out.flush()?;
    base.map(drop).map_err(|_| Failure::outcome(NOTHING_LIVE))
}
