//! `agent run`: renews what a profile holds before it ends, tells each refresh as one JSON line, runs the hooks.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::bounds::{HOOKS_MAX, LOOK_MS_MAX, STOP_S_MAX};
use crate::fault::Fault;
use crate::hooks::{self, Hook};
use crate::log::Chain;
use crate::metrics::{self, Metrics};
use crate::profile::{self, Profile, TokenSource};
use crate::schedule::{self, Nearness};
use crate::{clock, files, generation};

mod channel;
mod follow;
mod line;
mod renewal;
mod track;

use follow::{What, Writer};
use line::{Line, Started, tell};
use renewal::Renewal;
use track::{Found, InUse, Kind, Track};

/// How often a request that waits for its answer is looked at, milliseconds.
const WAITING_MS: u64 = 1_000;

/// What is run.
pub struct Settings {
    pub directory: PathBuf,
    /// Renew now and end.
    pub once: bool,
    pub hooks: Vec<Hook>,
    pub metrics: Option<SocketAddr>,
}

/// Where lines go. Nothing ends for want of a log: a line that cannot be written is lost.
pub type Sink<'s> = &'s mut dyn FnMut(&str) -> io::Result<()>;

/// The same, with those that are lost counted.
type Log<'l> = &'l mut dyn FnMut(&str);

/// Renews until SIGTERM; SIGHUP renews at once. Holds the profile's lock meanwhile.
pub fn run(settings: &Settings, sink: Sink<'_>) -> Result<(), Fault> {
    if settings.hooks.len() > HOOKS_MAX {
        return Err(Fault::new(format_args!("expected at most {HOOKS_MAX} hooks, found {}", settings.hooks.len())));
    }
    Profile::read(&settings.directory)?;
    let _held = profile::lock(&settings.directory)?;
    let writer = Writer::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(format_args!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let metrics = Arc::new(Metrics::default());
        let served = match settings.metrics {
            Some(address) => Some(metrics::serve(address, Arc::clone(&metrics)).await?),
            None => None,
        };
        let of_log = Arc::clone(&metrics);
        let (mut chain, broken) = Chain::open(&settings.directory);
        let mut log = |line: &str| {
            if sink(&chain.link(line)).is_err() {
                of_log.lines_lost.fetch_add(1, Ordering::Relaxed);
            }
        };
        let stop = Stop { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? };
        let (certificate, token) = (Track::default(), Track::default());
        let of_keeper = Arc::clone(&writer);
        let mut keeper = Keeper { settings, metrics, writer: of_keeper, certificate, token, waiting: false };
        let order = on(SignalKind::hangup())?;
        if let Some(fault) = broken {
            let mut line = Line::new(("warning", "log"), "unreadable", "", "begun-again");
            (line.error, line.todo) = (Some(fault.to_string()), fault.hint().map(str::to_owned));
            tell(&line, &mut log);
        }
        if !settings.once {
            keeper.started(served, &mut log)?;
        }
        keeper.keep(stop, order, &mut log).await
    });
    // From here on nothing is put in use any more, though the thread that follows a channel may still be at work. One that
    // is held is held by a renewal that hangs, which is as good.
    std::mem::forget(writer.try_lock());
    // Not waited for: a renewal that hangs has had its time, and what it writes is whole or not there.
    runtime.shutdown_background();
    ended
}

fn on(kind: SignalKind) -> Result<Signal, Fault> {
    signal(kind).map_err(|error| Fault::new(format_args!("signals cannot be awaited: {error}")))
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

struct Keeper<'s> {
    settings: &'s Settings,
    metrics: Arc<Metrics>,
    writer: Writer,
    certificate: Track,
    token: Track,
    /// A request is out and unanswered.
    waiting: bool,
}

impl Keeper<'_> {
    async fn keep(&mut self, mut stop: Stop, mut order: Signal, log: Log<'_>) -> Result<(), Fault> {
        let (mut following, unfollowed) = self.follow(log).await?;
        let mut ordered = self.settings.once.then(|| (clock::now_s(), "order"));
        loop {
            for kind in [Kind::Certificate, Kind::Token] {
                let Some(why) = self.why(kind, ordered)? else { continue };
                let renewing = self.refresh(kind, why, log);
                let deadline = async {
                    stop.asked().await;
                    tokio::time::sleep(Duration::from_secs(STOP_S_MAX)).await;
                };
                // A renewal that runs when the end is asked for is finished: half of one helps nobody.
                let outcome = tokio::select! {
                    biased;
                    outcome = renewing => outcome?,
                    () = deadline => return Ok(()),
                };
                let pause_ms = match outcome {
                    Outcome::Failed(fault, _) if self.settings.once => return Err(fault),
                    Outcome::Waiting if self.settings.once => return Err(waiting_is_no_end()),
                    Outcome::Done => None,
                    Outcome::Waiting => Some(WAITING_MS),
                    Outcome::Failed(_, pause_ms) => Some(pause_ms),
                };
                // What was begun is gone on with, also when nothing else asks for it.
                let at = pause_ms.map(|pause_ms| Instant::now() + Duration::from_millis(pause_ms));
                self.track(kind).again = at.map(|at| (why, at));
            }
            if self.settings.once {
                return unfollowed.map_or(Ok(()), Err);
            }
            self.warn(Kind::Certificate, log);
            self.warn(Kind::Token, log);
            let pause = self.pause(Kind::Certificate).min(self.pause(Kind::Token));
            ordered = tokio::select! {
                () = stop.asked() => return Ok(()),
                _ = order.recv() => Some((clock::now_s(), "order")),
                event = following.next() => match event {
                    Some(event) => {
                        let renews = matches!(&event.what, What::Changed(change, ..) if change.renews);
                        self.followed(event, log).await;
                        renews.then(|| (clock::now_s(), "release"))
                    }
                    None => {
                        self.follow_again(&mut following, log)?;
                        None
                    }
                },
                () = tokio::time::sleep(pause) => None,
            };
        }
    }

    /// Says what is done from now on.
    fn started(&mut self, metrics: Option<SocketAddr>, log: Log<'_>) -> Result<(), Fault> {
        let profile = Profile::read(&self.settings.directory)?;
        let mut line = Started::new(&self.settings.directory, &profile, metrics);
        for kind in [Kind::Certificate, Kind::Token] {
            let now_s = self.reason(kind)?.map(|_| clock::now_s());
            let planned = self.track(kind).planned.as_ref().map(|(in_use, due_s)| (in_use.ends_s, *due_s));
            line.plan(kind, planned.map(|(ends_s, _)| ends_s), now_s.or(planned.map(|(_, due_s)| due_s)));
        }
        tell(&line, log);
        Ok(())
    }

    const fn track(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Certificate => &mut self.certificate,
            Kind::Token => &mut self.token,
        }
    }

    /// Why to renew now; none while there is no reason to.
    fn why(&mut self, kind: Kind, ordered: Option<(u64, &'static str)>) -> Result<Option<&'static str>, Fault> {
        let reason = self.reason(kind)?;
        if let Some((ordered_s, why)) = ordered {
            // A token that came with the certificate that was ordered is as new as can be.
            let planned = self.track(kind).planned.as_ref();
            let wanted = kind == Kind::Certificate || planned.is_some_and(|(of, _)| of.obtained_s < ordered_s);
            return Ok(if wanted { Some(why) } else { reason });
        }
        Ok(match self.track(kind).again {
            Some((_, at)) if Instant::now() < at => None,
            Some((unfinished, _)) => reason.or(Some(unfinished)),
            None => reason,
        })
    }

    /// The same, of what is in use alone.
    fn reason(&mut self, kind: Kind) -> Result<Option<&'static str>, Fault> {
        let now_s = clock::now_s();
        let in_use = match self.in_use(kind) {
            Found::InUse(in_use) => in_use,
            Found::Nothing => {
                self.track(kind).planned = None;
                return Ok(Some("missing"));
            }
            Found::NotWanted => {
                *self.track(kind) = Track::default();
                return Ok(None);
            }
        };
        let counts = self.metrics.of(kind.word());
        counts.obtained_s.store(in_use.obtained_s, Ordering::Relaxed);
        counts.ends_s.store(in_use.ends_s, Ordering::Relaxed);
        let random = u32::from_le_bytes(files::random()?);
        let track = self.track(kind);
        let due_s = match &track.planned {
            Some((planned, due_s)) if *planned == in_use => *due_s,
            _ => {
                let due_s = schedule::due_s(in_use.obtained_s, in_use.ends_s, random);
                track.planned = Some((in_use.clone(), due_s));
                track.told = Nearness::Far;
                due_s
            }
        };
        if kind == Kind::Certificate && profile::is_waiting(&self.settings.directory) {
            return Ok(Some("enrolment"));
        }
        Ok(match now_s {
            now if now < in_use.begins_s => Some("not-yet-valid"),
            now if now >= in_use.ends_s => Some("expired"),
            _ if in_use.is_outdated => Some("release"),
            now if now >= due_s => Some("two-thirds"),
            _ => None,
        })
    }

    fn in_use(&self, kind: Kind) -> Found {
        let directory = &self.settings.directory;
        let identity = generation::current(directory);
        if kind == Kind::Certificate {
            return identity.map_or(Found::Nothing, |identity| {
                let (facts, origin) = (identity.facts, identity.origin);
                Found::InUse(InUse {
                    thumbprint: Some(facts.sha256),
                    from: origin.from,
                    obtained_s: origin.obtained_s,
                    begins_s: facts.not_before_s,
                    ends_s: facts.not_after_s,
                    is_outdated: origin.is_outdated,
                })
            });
        }
        let (Ok(identity), Ok(Profile { token: Some(TokenSource::Oauth(of)), .. })) =
            (identity, Profile::read(directory))
        else {
            return Found::NotWanted;
        };
        identity.origin.token.map_or(Found::Nothing, |life| {
            let (thumbprint, from) = (None, of.url);
            let is_outdated = of.dpop && !identity.directory.join(generation::DPOP_KEY).exists();
            let (obtained_s, ends_s) = (life.obtained_s, life.ends_s);
            Found::InUse(InUse { thumbprint, from, obtained_s, begins_s: 0, ends_s, is_outdated })
        })
    }

    /// Until the next renewal, or until the clock is looked at again.
    fn pause(&mut self, kind: Kind) -> Duration {
        let track = self.track(kind);
        if let Some((_, at)) = track.again {
            return at.saturating_duration_since(Instant::now());
        }
        let due_s = track.planned.as_ref().map(|(_, due_s)| *due_s);
        let left_ms = due_s.map_or(LOOK_MS_MAX, |due_s| due_s.saturating_sub(clock::now_s()).saturating_mul(1_000));
        Duration::from_millis(left_ms.clamp(250, LOOK_MS_MAX))
    }

    async fn refresh(&mut self, kind: Kind, why: &'static str, log: Log<'_>) -> Result<Outcome, Fault> {
        let (directory, writer) = (self.settings.directory.clone(), Arc::clone(&self.writer));
        let old_ends_s = self.in_use(kind).ends_s();
        let renewing = move || {
            let mut held = writer.lock().unwrap_or_else(PoisonError::into_inner);
            match kind {
                Kind::Certificate => renewal::certificate(&directory, &mut held),
                Kind::Token => renewal::token(&directory),
            }
        };
        let (from, renewed) = tokio::task::spawn_blocking(renewing)
            .await
            .map_err(|error| Fault::new(format_args!("the renewal broke: {error}")))?;
        let counts = self.metrics.of(kind.word());
        match renewed {
            Ok(Renewal::Done { old, new, ends_s }) => {
                self.track(kind).failures = 0;
                self.waiting &= kind != Kind::Certificate;
                counts.renewed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(0, Ordering::Relaxed);
                // Plans the next one.
                self.reason(kind)?;
                let mut line = Line::new(("refresh", kind.word()), why, &from, "renewed");
                (line.old_sha256, line.new_sha256) = (old, Some(new));
                line.until = Some(clock::shown(ends_s).to_string());
                line.overlap_s = old_ends_s.map(|ends_s| ends_s.saturating_sub(clock::now_s()));
                line.hooks_failed =
                    hooks::run(&self.settings.hooks, &self.settings.directory, kind.word(), clock::now_s()).await;
                tell(&line, log);
                Ok(Outcome::Done)
            }
            Ok(Renewal::Waiting(waiting)) => {
                if !self.waiting {
                    self.waiting = true;
                    let mut line = Line::new(("refresh", kind.word()), why, &from, "waiting");
                    line.todo = Some(format!("sign {}", waiting.request.display()));
                    line.key_sha256 = Some(waiting.key_sha256);
                    tell(&line, log);
                }
                Ok(Outcome::Waiting)
            }
            Err(fault) => {
                let track = self.track(kind);
                track.failures = track.failures.saturating_add(1);
                let failures = track.failures;
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(1, Ordering::Relaxed);
                let left_s = counts.ends_s.load(Ordering::Relaxed).saturating_sub(clock::now_s());
                let random = u32::from_le_bytes(files::random()?);
                let again_ms = schedule::retry_ms(failures, left_s, fault.is_counted(), random);
                let again_ms = again_ms.max(fault.waits_s().saturating_mul(1_000));
                let mut line = Line::new(("refresh", kind.word()), why, &from, "failed");
                line.error = Some(fault.to_string());
                line.todo = fault.hint().map(str::to_owned);
                line.again_in_ms = (!self.settings.once).then_some(again_ms);
                tell(&line, log);
                Ok(Outcome::Failed(fault, again_ms))
            }
        }
    }

    /// Says once at each distance that the end comes near and no renewal has worked.
    fn warn(&mut self, kind: Kind, log: Log<'_>) {
        let Found::InUse(in_use) = self.in_use(kind) else { return };
        let near = schedule::nearness(in_use.obtained_s, in_use.ends_s, clock::now_s());
        let track = self.track(kind);
        if near <= track.told {
            return;
        }
        track.told = near;
        let outcome = if near == Nearness::Over { "expired" } else { "expiring" };
        let mut line = Line::new(("warning", kind.word()), "not-renewed", &in_use.from, outcome);
        line.old_sha256 = in_use.thumbprint;
        line.until = Some(clock::shown(in_use.ends_s).to_string());
        tell(&line, log);
    }
}

enum Outcome {
    Done,
    Waiting,
    /// And the pause until the next attempt, milliseconds.
    Failed(Fault, u64),
}

fn waiting_is_no_end() -> Fault {
    Fault::new("the request waits for its answer").help("have it signed, then run this again; or run without --once")
}
