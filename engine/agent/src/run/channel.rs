//! What `agent run` says of the channel that its profile follows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::Receiver;

use super::follow::{Event, Follower, SCOPE_GONE, What};
use super::line::{Line, tell};
use super::{Keeper, Log};
use crate::fault::Fault;
use crate::profile::{Enrolment, Profile};
use crate::{clock, hooks};

/// None: nothing is followed.
pub type Events = Option<Receiver<Event>>;

impl Keeper<'_> {
    /// Begins to follow the channel of the profile, or of the one that waits for its certificate; with `once`, looks at it
    /// alone. With the fault of that, which ends the run once all else is done.
    pub(super) async fn follow(&mut self, log: Log<'_>) -> Result<(Events, Option<Fault>), Fault> {
        let directory = &self.settings.directory;
        let waiting = Enrolment::waiting(directory)?.and_then(|enrolment| enrolment.profile.follows);
        if waiting.or(Profile::read(directory)?.follows).is_none() {
            return Ok((None, None));
        }
        let mut follower = Follower::new(directory.clone(), Arc::clone(&self.writer));
        if !self.settings.once {
            return Ok((Some(follower.start()?), None));
        }
        let looked = tokio::task::spawn_blocking(move || follower.look()).await;
        let looked = looked.map_err(|error| Fault::new(format_args!("the look at the channel broke: {error}")))?;
        let mut fault = None;
        for event in looked.events {
            fault = self.followed(event, log).await?.or(fault);
        }
        Ok((None, fault))
    }

    /// Tells what came of the channel; the fault, where it could not be read.
    pub(super) async fn followed(&mut self, Event { from, what }: Event, log: Log<'_>) -> Result<Option<Fault>, Fault> {
        const WHAT: &str = "profile";
        let counts = self.metrics.of(WHAT);
        let good = |until_s: u64| {
            counts.failing.store(0, Ordering::Relaxed);
            counts.obtained_s.store(clock::now_s(), Ordering::Relaxed);
            counts.ends_s.store(until_s, Ordering::Relaxed);
        };
        let of_warning = |kind, why, outcome, fault: &Fault| {
            let mut line = Line::new((kind, WHAT), why, &from, outcome);
            line.error = Some(fault.to_string());
            line.todo = fault.hint().map(str::to_owned);
            line
        };
        match what {
            What::Changed(change, release, until_s) => {
                counts.renewed.fetch_add(1, Ordering::Relaxed);
                good(until_s);
                let mut line = Line::new(("refresh", WHAT), change.why, &from, "renewed");
                (line.old_sha256, line.new_sha256) = (Some(change.old_sha256), Some(change.new_sha256));
                (line.release, line.changes) = (Some(release), change.words);
                line.until = Some(clock::shown(until_s).to_string());
                line.hooks_failed =
                    hooks::run(&self.settings.hooks, &self.settings.directory, WHAT, clock::now_s()).await;
                tell(&line, log)?;
            }
            What::Same(until_s, false) => good(until_s),
            What::Same(until_s, true) => {
                good(until_s);
                tell(&Line::new(("refresh", WHAT), "channel", &from, "unchanged"), log)?;
            }
            What::Warning(why, fault) => {
                let outcome = if why == SCOPE_GONE { "renewed" } else { "kept" };
                tell(&of_warning("warning", why, outcome, &fault), log)?;
            }
            What::Failed(fault, again_ms) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(1, Ordering::Relaxed);
                let mut line = of_warning("refresh", "channel", "failed", &fault);
                line.again_in_ms = (!self.settings.once).then_some(again_ms);
                tell(&line, log)?;
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }
}

/// The next event; never, where nothing is followed.
pub async fn next_of(events: &mut Events) -> Option<Event> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}
