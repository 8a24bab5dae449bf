//! `adamant demo`: everything at once on one machine, told as a story. Needs nothing but this binary.
//!
//! The gateway of the demo is this binary run with `adamant run`, on files made with the other commands: what is shown
//! is the real thing.

mod child;
mod client;
mod origin;
mod pki;
mod story;
mod telling;
mod world;

use std::io::Write;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;
use child::Gateway;
use telling::Telling;
use world::World;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    adamant demo          tell the story, then stay up to be tried until Ctrl-C\n  \
    adamant demo --once   tell it and end: with 1 if a step came out differently")]
pub struct DemoArgs {
    /// End after the story.
    #[arg(long)]
    once: bool,
}

pub fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("the demo's runtime did not start: {error}")))?;
    runtime.block_on(tell(args, out))
}

async fn tell(args: &DemoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // From the start, so that nothing that is made outlives a signal.
    let mut signals = Signals::new()?;
    let mut telling = Telling::new(out);
    let origin = origin::start().await?;
    telling.title("An immutable API access proxy, from nothing")?;
    let world = World::make(&mut telling, origin)?;
    let mut gateway = tokio::select! {
        started = Gateway::start(&world, &mut telling) => started?,
        () = signals.any() => return Err(Failure::new("interrupted")),
    };
    let told = tokio::select! {
        told = story::tell(&world, &gateway, &mut telling) => told,
        () = signals.any() => Err(Failure::new("interrupted")),
    };
    if told.is_ok() && !args.once {
        telling.invitation(&world, &gateway)?;
        tokio::select! {
            () = signals.any() => telling.line("")?,
            ended = gateway.ended() => return Err(ended),
        }
    }
    let stopped = tokio::time::timeout(Duration::from_secs(10), gateway.stop()).await;
    stopped.map_err(|_| Failure::new("the gateway did not end within 10 s"))??;
    ended(told?)
}

/// What ends the demo from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let make = |kind| signal(kind).map_err(|error| Failure::new(format_args!("no signals: {error}")));
        Ok(Self {
            interrupt: make(SignalKind::interrupt())?,
            terminate: make(SignalKind::terminate())?,
            hang_up: make(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

fn ended(differing: usize) -> Result<(), Failure> {
    if differing == 0 {
        return Ok(());
    }
    let steps = if differing == 1 { "step" } else { "steps" };
    Err(Failure::new(format_args!("{differing} {steps} came out differently from what is promised")))
}
