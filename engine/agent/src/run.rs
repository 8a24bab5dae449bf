//! `agent run`: renews what a profile holds before it ends, tells each refresh as one JSON line, runs the hooks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::bounds::{HOOKS_MAX, LOOK_MS_MAX, STOP_S_MAX};
use crate::fault::Fault;
use crate::hooks::{self, Hook};
use crate::metrics::{self, Metrics};
use crate::profile::{self, Enrolment, Profile};
use crate::schedule::{self, Nearness};
use crate::source::{self, Obtained, Waiting};
use crate::x509::Facts;
use crate::{clock, files, generation};

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

/// One refresh, or a word about one that is missing: a line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    kind: &'static str,
    what: &'static str,
    why: &'static str,
    from: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    again_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hooks_failed: Vec<String>,
}

impl<'a> Line<'a> {
    fn new(kind: &'static str, why: &'static str, from: &'a str, outcome: &'static str) -> Self {
        Self {
            time: clock::shown(clock::now_s()).to_string(),
            kind,
            what: "certificate",
            why,
            from,
            outcome,
            old_sha256: None,
            new_sha256: None,
            key_sha256: None,
            until: None,
            error: None,
            todo: None,
            again_in_ms: None,
            hooks_failed: Vec::new(),
        }
    }
}

/// Where lines go.
pub type Log<'l> = &'l mut dyn FnMut(&str) -> Result<(), Fault>;

/// Renews until SIGTERM; SIGHUP renews at once. Holds the profile's lock meanwhile.
pub fn run(settings: &Settings, log: Log<'_>) -> Result<(), Fault> {
    if settings.hooks.len() > HOOKS_MAX {
        return Err(Fault::new(format_args!("expected at most {HOOKS_MAX} hooks, found {}", settings.hooks.len())));
    }
    Profile::read(&settings.directory)?;
    let _held = profile::lock(&settings.directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(format_args!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let metrics = Arc::new(Metrics::default());
        if let Some(address) = settings.metrics {
            let bound = metrics::serve(address, Arc::clone(&metrics)).await?;
            let line = serde_json::json!({"time": clock::shown(clock::now_s()).to_string(), "kind": "listening",
                "metrics": format!("http://{bound}/metrics")});
            log(&line.to_string())?;
        }
        let stop = Stop { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? };
        let mut keeper = Keeper { settings, metrics, failures: 0, planned: None, told: Nearness::Far, waiting: false };
        keeper.keep(stop, on(SignalKind::hangup())?, log).await
    });
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
    /// In a row.
    failures: u32,
    /// Of which generation, and when it is renewed.
    planned: Option<(PathBuf, u64)>,
    /// What was said of the end of this certificate.
    told: Nearness,
    /// A request is out and unanswered.
    waiting: bool,
}

impl Keeper<'_> {
    async fn keep(&mut self, mut stop: Stop, mut order: Signal, log: Log<'_>) -> Result<(), Fault> {
        let mut why = if self.settings.once { Some("order") } else { self.reason()? };
        loop {
            let mut again_ms = None;
            if let Some(why) = why {
                let renewing = self.refresh(why, log);
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
                match outcome {
                    Outcome::Done if self.settings.once => return Ok(()),
                    Outcome::Failed(fault, _) if self.settings.once => return Err(fault),
                    Outcome::Waiting if self.settings.once => return Err(waiting_is_no_end()),
                    Outcome::Done => {}
                    Outcome::Waiting => again_ms = Some(WAITING_MS),
                    Outcome::Failed(_, pause_ms) => again_ms = Some(pause_ms),
                }
            }
            self.warn(log)?;
            let pause = Duration::from_millis(again_ms.unwrap_or_else(|| self.until_due_ms()));
            // What was begun is gone on with, also when nothing else asks for it.
            let unfinished = why.filter(|_| again_ms.is_some());
            why = tokio::select! {
                () = stop.asked() => return Ok(()),
                _ = order.recv() => Some("order"),
                () = tokio::time::sleep(pause) => self.reason()?.or(unfinished),
            };
        }
    }

    /// Why to renew now; none while there is no reason to.
    fn reason(&mut self) -> Result<Option<&'static str>, Fault> {
        let now_s = clock::now_s();
        let Ok(identity) = generation::current(&self.settings.directory) else { return Ok(Some("missing")) };
        let counts = self.metrics.of("certificate");
        counts.obtained_s.store(identity.origin.obtained_s, Ordering::Relaxed);
        counts.ends_s.store(identity.facts.not_after_s, Ordering::Relaxed);
        let due_s = match &self.planned {
            Some((directory, due_s)) if *directory == identity.directory => *due_s,
            _ => {
                let random = u32::from_le_bytes(files::random()?);
                let due_s = schedule::due_s(identity.origin.obtained_s, identity.facts.not_after_s, random);
                self.planned = Some((identity.directory.clone(), due_s));
                self.told = Nearness::Far;
                due_s
            }
        };
        if profile::is_waiting(&self.settings.directory) {
            return Ok(Some("enrolment"));
        }
        Ok(match now_s {
            now if now < identity.facts.not_before_s => Some("not-yet-valid"),
            now if now >= identity.facts.not_after_s => Some("expired"),
            now if now >= due_s => Some("two-thirds"),
            _ => None,
        })
    }

    /// Until the next renewal, or until the clock is looked at again.
    fn until_due_ms(&self) -> u64 {
        let due_s = self.planned.as_ref().map_or(0, |(_, due_s)| *due_s);
        due_s.saturating_sub(clock::now_s()).saturating_mul(1_000).clamp(250, LOOK_MS_MAX)
    }

    async fn refresh(&mut self, why: &'static str, log: Log<'_>) -> Result<Outcome, Fault> {
        let directory = self.settings.directory.clone();
        let (from, renewed) = tokio::task::spawn_blocking(move || renew(&directory))
            .await
            .map_err(|error| Fault::new(format_args!("the renewal broke: {error}")))?;
        let counts = self.metrics.of("certificate");
        match renewed {
            Ok(Renewal::Done { old, new }) => {
                self.failures = 0;
                self.waiting = false;
                counts.renewed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(0, Ordering::Relaxed);
                // Plans the next one.
                self.reason()?;
                let mut line = Line::new("refresh", why, &from, "renewed");
                line.old_sha256 = old;
                line.new_sha256 = Some(new.sha256);
                line.until = Some(clock::shown(new.not_after_s).to_string());
                line.hooks_failed =
                    hooks::run(&self.settings.hooks, &self.settings.directory, "certificate", clock::now_s()).await;
                tell(&line, log)?;
                Ok(Outcome::Done)
            }
            Ok(Renewal::Waiting(waiting)) => {
                if !self.waiting {
                    self.waiting = true;
                    let mut line = Line::new("refresh", why, &from, "waiting");
                    line.todo = Some(format!("sign {}", waiting.request.display()));
                    line.key_sha256 = Some(waiting.key_sha256);
                    tell(&line, log)?;
                }
                Ok(Outcome::Waiting)
            }
            Err(fault) => {
                self.failures = self.failures.saturating_add(1);
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(1, Ordering::Relaxed);
                let left_s = counts.ends_s.load(Ordering::Relaxed).saturating_sub(clock::now_s());
                let again_ms = schedule::retry_ms(self.failures, left_s, u32::from_le_bytes(files::random()?));
                let mut line = Line::new("refresh", why, &from, "failed");
                line.error = Some(fault.to_string());
                line.todo = fault.hint().map(str::to_owned);
                line.again_in_ms = (!self.settings.once).then_some(again_ms);
                tell(&line, log)?;
                Ok(Outcome::Failed(fault, again_ms))
            }
        }
    }

    /// Says once at each distance that the end comes near and no renewal has worked.
    fn warn(&mut self, log: Log<'_>) -> Result<(), Fault> {
        let Ok(identity) = generation::current(&self.settings.directory) else { return Ok(()) };
        let (obtained_s, ends_s) = (identity.origin.obtained_s, identity.facts.not_after_s);
        let near = schedule::nearness(obtained_s, ends_s, clock::now_s());
        if near <= self.told {
            return Ok(());
        }
        self.told = near;
        let outcome = if near == Nearness::Over { "expired" } else { "expiring" };
        let mut line = Line::new("warning", "not-renewed", &identity.origin.from, outcome);
        line.old_sha256 = Some(identity.facts.sha256);
        line.until = Some(clock::shown(ends_s).to_string());
        tell(&line, log)
    }
}

/// What became of a renewal.
enum Renewal {
    Done { old: Option<String>, new: Facts },
    Waiting(Waiting),
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

/// A new certificate: of an enrolment that waits for one, which was asked for last; else of the profile in use.
fn renew(directory: &Path) -> (String, Result<Renewal, Fault>) {
    let waiting = Enrolment::waiting(directory);
    let is_enrolment = !matches!(waiting, Ok(None));
    let enrolment = waiting.and_then(|waiting| waiting.map_or_else(|| Enrolment::read(directory), Ok));
    let enrolment = match enrolment {
        Ok(enrolment) => enrolment,
        Err(fault) => return (String::new(), Err(fault)),
    };
    let before = generation::current(directory).ok();
    let of_same = before.as_ref().filter(|_| !is_enrolment);
    let renewed = source::obtain(directory, &enrolment, of_same).and_then(|obtained| match obtained {
        Obtained::Ready(ready) => {
            let new = ready.put()?;
            profile::end_waiting(directory)?;
            Ok(Renewal::Done { old: before.map(|identity| identity.facts.sha256), new })
        }
        Obtained::Waiting(waiting) => Ok(Renewal::Waiting(waiting)),
    });
    (enrolment.profile.certificate.shown(), renewed)
}

fn tell(line: &Line<'_>, log: Log<'_>) -> Result<(), Fault> {
    log(&serde_json::to_string(line).map_err(Fault::new)?)
}
