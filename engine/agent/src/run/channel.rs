//! What `agent run` says of the channel that its profile follows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::Keeper;
use super::follow::{Event, Follower, LEFT_S, SCOPE_GONE, What};
use super::line::Line;
use crate::fault::Fault;
use crate::profile::{Enrolment, Profile};
use crate::{clock, files, schedule};

const WHAT: &str = "profile";

/// What follows the channel.
#[derive(Default)]
pub struct Following {
    /// None: nothing is followed.
    events: Option<Receiver<Event>>,
    /// How often it has ended unasked.
    ends: u32,
}

impl Following {
    pub const fn is_on(&self) -> bool {
        self.events.is_some()
    }

    /// The next event; none where what followed has ended. Never, where nothing is followed.
    pub async fn next(&mut self) -> Option<Event> {
        match &mut self.events {
            Some(events) => events.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl Keeper<'_> {
    /// Begins to follow the channel of the profile, or of the one that waits for its certificate.
    pub(super) fn follow(&self) -> Result<Following, Fault> {
        let events = self.follower()?.map(|follower| follower.start(Duration::ZERO)).transpose()?;
        Ok(Following { events, ends: 0 })
    }

    /// Looks at it once; the fault of that, which ends the run once all else is done.
    pub(super) async fn look(&mut self) -> Result<Option<Fault>, Fault> {
        let Some(mut follower) = self.follower()? else { return Ok(None) };
        let looked = tokio::task::spawn_blocking(move || follower.look()).await;
        let looked = looked.map_err(|error| Fault::new(format_args!("the look at the channel broke: {error}")))?;
        let faults: Vec<Fault> = looked.events.into_iter().filter_map(|event| self.followed(event)).collect();
        Ok(faults.into_iter().next_back())
    }

    /// None where there is nothing to follow.
    fn follower(&self) -> Result<Option<Follower>, Fault> {
        let directory = &self.settings.directory;
        let waiting = Enrolment::waiting(directory)?.and_then(|enrolment| enrolment.profile.follows);
        let follows = waiting.or(Profile::read(directory)?.follows);
        Ok(follows.map(|_| Follower::new(directory.clone(), Arc::clone(&self.writer))))
    }

    /// What followed has ended, and nobody asked it to. It begins again after a pause that grows.
    pub(super) fn follow_again(&mut self) -> Result<(), Fault> {
        self.following.ends = self.following.ends.saturating_add(1);
        let random = u32::from_le_bytes(files::random()?);
        let pause_ms = schedule::retry_ms(self.following.ends, LEFT_S, false, random);
        let counts = self.metrics.of(WHAT);
        counts.failed.fetch_add(1, Ordering::Relaxed);
        counts.failing.store(1, Ordering::Relaxed);
        let follows = Profile::read(&self.settings.directory).ok().and_then(|profile| profile.follows);
        let from = follows.map_or_else(String::new, |follows| follows.to_string());
        let mut line = Line::new(("refresh", WHAT), "channel", &from, "failed");
        line.error = Some("the thread that follows the channel has ended by itself".to_owned());
        line.todo = Some("a defect of adamant: report it, with what stands on standard error".to_owned());
        line.again_in_ms = Some(pause_ms);
        self.teller.tell(line);
        let follower = Follower::new(self.settings.directory.clone(), Arc::clone(&self.writer));
        self.following.events = Some(follower.start(Duration::from_millis(pause_ms))?);
        Ok(())
    }

    /// Tells what came of the channel; the fault, where it could not be read.
    pub(super) fn followed(&mut self, Event { from, what }: Event) -> Option<Fault> {
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
                self.teller.tell_hooked(line, WHAT);
            }
            What::Same(until_s, false) => good(until_s),
            What::Same(until_s, true) => {
                good(until_s);
                self.teller.tell(Line::new(("refresh", WHAT), "channel", &from, "unchanged"));
            }
            What::Warning(why, fault) => {
                let outcome = if why == SCOPE_GONE { "renewed" } else { "kept" };
                self.teller.tell(of_warning("warning", why, outcome, &fault));
            }
            What::Failed(fault, again_ms) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(1, Ordering::Relaxed);
                let mut line = of_warning("refresh", "channel", "failed", &fault);
                line.again_in_ms = (!self.settings.once).then_some(again_ms);
                self.teller.tell(line);
                return Some(fault);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::Settings;
    use super::*;
    use crate::bounds::STOP_TOLD_MS;
    use crate::channel::next::Change;
    use crate::fresh::Writer;
    use crate::hooks::Hook;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn what_follows_and_ends_unasked_is_told_and_begins_again() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().to_owned();
        let settings = Settings { directory, once: false, hooks: Vec::new(), metrics: None };
        let metrics = Arc::new(Metrics::new(Arc::default(), Arc::default()));
        let mut keeper = Keeper::new(&settings, Arc::clone(&metrics), Arc::default());
        keeper.following = Following { events: Some(tokio::sync::mpsc::channel(1).1), ends: 0 };
        assert!(keeper.following.next().await.is_none(), "nobody sends any more");
        let mut lines = Vec::new();
        keeper.follow_again().unwrap();
        keeper.teller.go_on(&mut |line| lines.push(line.to_owned()));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&line["outcome"], &line["what"]), (&"failed".into(), &"profile".into()), "{line:#}");
        assert!(line["error"].as_str().unwrap().contains("has ended by itself"), "{line:#}");
        assert!(line["again_in_ms"].as_u64().unwrap() <= 1_000, "{line:#}");
        assert_eq!(metrics.of(WHAT).failing.load(Ordering::Relaxed), 1);
        // It is at work again: there is no profile, and it says so.
        let event = keeper.following.next().await.unwrap();
        assert!(matches!(event.what, What::Failed(fault, _) if fault.to_string().contains("no profile.json")));
    }

    #[tokio::test]
    async fn what_was_put_in_use_beside_the_end_is_told_and_its_hooks_run() {
        for _ in 0..5 {
            if is_told_beside_the_end().await {
                return;
            }
        }
        panic!("it was never said in time that it was put in use");
    }

    /// False where the thread that put it in use stood still before it said so: nobody waits long for that.
    async fn is_told_beside_the_end() -> bool {
        let directory = tempfile::tempdir().unwrap();
        let hooks = vec![Hook::Exec(format!("echo $ADAMANT_WHAT >> {}/ran", directory.path().display()))];
        let directory = directory.path().to_owned();
        let settings = Settings { directory: directory.clone(), once: false, hooks, metrics: None };
        let writer = Arc::new(Writer::default());
        let mut keeper =
            Keeper::new(&settings, Arc::new(Metrics::new(Arc::default(), Arc::default())), Arc::clone(&writer));
        let (tell, events) = tokio::sync::mpsc::channel(2);
        keeper.following = Following { events: Some(events), ends: 0 };
        let changed = |release: &str| {
            let (old_sha256, new_sha256) = (String::new(), String::new());
            let (words, scopes_gone) = (Vec::new(), Vec::new());
            let change = Change { why: "release", old_sha256, new_sha256, words, scopes_gone, renews: false };
            Event { from: "here".to_owned(), what: What::Changed(change, release.to_owned(), 0) }
        };
        // One is ready as the end is asked for, the other is being written.
        tell.try_send(changed("first")).unwrap();
        let (holds, held) = std::sync::mpsc::channel();
        let second = changed("second");
        let follower = std::thread::spawn(move || {
            let guard = writer.lock();
            holds.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            let since = Instant::now();
            drop(guard);
            tell.blocking_send(second).unwrap();
            let took = since.elapsed();
            // It goes on, and whatever it would put in use next is not.
            std::thread::sleep(Duration::from_millis(500));
            took
        });
        held.recv().unwrap();
        let mut lines = Vec::new();
        let log = &mut |line: &str| lines.push(line.to_owned());
        keeper.finish(log).await.unwrap();
        keeper.close(log).await.unwrap();
        let took = follower.join().unwrap();
        if lines.len() < 2 && took > Duration::from_millis(STOP_TOLD_MS / 2) {
            return false;
        }
        let is_told = |at: usize, release: &str| lines[at].contains(release) && !lines[at].contains("hooks_failed");
        assert!(lines.len() == 2 && is_told(0, "first") && is_told(1, "second"), "{lines:#?}");
        assert_eq!(std::fs::read_to_string(directory.join("ran")).unwrap(), "profile\nprofile\n");
        true
    }
}
