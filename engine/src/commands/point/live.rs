//! `adamant point live`: what a channel runs, believed for signatures alone. For scripts that go by it.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::commands::Format;
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

pub fn run(args: &LiveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = Desk::open(&args.at)?;
    if let Some(why) = desk.current.doubt() {
        let message = format!("the pointer of channel {} is not believed: {why}", desk.channel);
        return Err(
            Failure::new(message).help("who put it there? adamant point with --release and --serial replaces it")
        );
    }
    desk.expect_meant(args.new_channel)?;
    let pointer = desk.current.pointer();
    let base = match pointer {
        // Not refused: before its first pointer, a channel is not there.
        None => Err(match desk.store.expect_channel(&desk.channel).map_err(Failure::from) {
            Ok(()) => format!("channel {} has no pointer", desk.channel),
            Err(fault) => format!("{fault}; {}", fault.hint().unwrap_or_default()),
        }),
        Some(pointer) => Base::find(&desk, &pointer.release).and_then(Base::expect_firm),
    };
    let next = pointing::next_version(&desk, base.as_ref().ok())?;
    let (expired, outdated) = (pointer.is_some_and(|pointer| pointer.expires <= desk.now), desk.is_outdated());
    doubts(&desk, base.as_ref(), (expired, outdated));
    match args.format {
        Format::Json => {
            let document = json!({
                "channel": desk.channel.as_str(),
                "release": base.as_ref().ok().map(|base| base.digest.to_string()),
                "version": base.as_ref().ok().map(|base| base.version),
                "serial": pointer.map(|pointer| pointer.serial),
                "expires": pointer.map(|pointer| pointer.expires.to_string()),
                "expired": expired,
                "outdated": outdated,
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

/// Warns of what is not as it should be.
fn doubts(desk: &Desk, base: Result<&Base, &String>, (expired, outdated): (bool, bool)) {
    let channel = &desk.channel;
    if let Some(pointer) = desk.current.pointer().filter(|_| expired) {
        warn(format_args!(
            "the pointer of channel {channel} expired at {}: gateways go on with what they serve, and take nothing new by it",
            pointer.expires
        ));
    }
    if outdated {
        warn(format_args!(
            "the pointer of channel {channel} holds by older keys alone: gateways that have trust root {} refuse it and go \
             on with what they serve, and a new gateway does not start by it. Renew it with the new keys: adamant point \
             --release current",
            desk.root.version()
        ));
    }
    match base {
        Err(why) => warn(format_args!("there is no release that gateways of the channel can be taken to run: {why}")),
        Ok(base) if base.behind => warn(format_args!(
            "what the channel points at lacks signatures: the newest before it that gateways took is version {}",
            base.version
        )),
        Ok(_) => {}
    }
}
