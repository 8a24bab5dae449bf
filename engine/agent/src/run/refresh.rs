//! One renewal after the other, of each kind: when it is begun, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::line::Line;
use super::renewal::{self, Renewal};
use super::track::{Found, InUse, Kind, RELEASE};
use super::{Keeper, WAITING_MS};
use crate::fault::Fault;
use crate::generation::Exposure;
use crate::profile::{self, Profile, TokenSource};
use crate::schedule::{self, Nearness};
use crate::{clock, files, generation};

/// Why what nobody may use any more is renewed at once.
const EXPOSED: &str = "exposed";

/// A renewal that has ended.
pub struct Renewed {
    kind: Kind,
    why: &'static str,
    /// When what was in use as it began ends.
    old_ends_s: Option<u64>,
    from: String,
    outcome: Result<Renewal, Fault>,
}

/// What it came to.
pub enum Outcome {
    Done,
    Waiting,
    Failed(Fault),
}

impl Keeper<'_> {
    /// Why to renew now; none while there is no reason to, or while it is renewed.
    pub(super) fn why(&mut self, kind: Kind) -> Result<Option<&'static str>, Fault> {
        let reason = self.reason(kind)?;
        let is_coming = kind == Kind::Token && self.certificate.running.is_some();
        let track = self.track(kind);
        if track.running.is_some() {
            return Ok(None);
        }
        let why = track.take_order(kind, is_coming).or_else(|| track.why(reason));
        if let Some(pause) = track.pace_to_tell() {
            let mut line = Line::new(("warning", kind.word()), "order", "", "paced");
            line.todo = Some("find out who orders so many renewals (SIGHUP): hooks may lead back".to_owned());
            line.again_in_ms = u64::try_from(pause.as_millis()).ok();
            self.teller.tell(line);
        }
        Ok(why)
    }

    /// The same, of what is in use alone.
    pub(super) fn reason(&mut self, kind: Kind) -> Result<Option<&'static str>, Fault> {
        let now_s = clock::now_s();
        let in_use = match self.in_use(kind) {
            Found::InUse(in_use) => in_use,
            found @ (Found::Nothing | Found::Exposed(_)) => {
                self.track(kind).planned = None;
                return Ok(Some(if matches!(found, Found::Nothing) { "missing" } else { EXPOSED }));
            }
            Found::NotWanted => {
                self.track(kind).forget();
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
        Ok(in_use.reason(now_s, due_s))
    }

    fn in_use(&self, kind: Kind) -> Found {
        let directory = &self.settings.directory;
        let identity = generation::current(directory);
        if kind == Kind::Certificate {
            let Ok(identity) = identity else {
                return generation::exposed(directory).map_or(Found::Nothing, Found::Exposed);
            };
            let (facts, origin) = (identity.facts, identity.origin);
            return Found::InUse(InUse {
                thumbprint: Some(facts.sha256),
                from: origin.from,
                obtained_s: origin.obtained_s,
                begins_s: facts.not_before_s,
                ends_s: facts.not_after_s,
                is_outdated: origin.is_outdated,
                is_bound: false,
            });
        }
        let profile = Profile::read(directory);
        if profile.is_err() && self.token.planned.is_some() {
            // It was wanted a moment ago: the renewal tells what is wrong with the profile.
            return Found::Nothing;
        }
        let (Ok(identity), Ok(Profile { token: Some(TokenSource::Oauth(of)), .. })) = (identity, profile) else {
            return Found::NotWanted;
        };
        identity.origin.token.map_or(Found::Nothing, |life| {
            let is_outdated = of.dpop && !identity.directory.join(generation::DPOP_KEY).exists();
            let is_bound = of.binds();
            Found::InUse(InUse::token(&life, of.url, is_outdated, is_bound))
        })
    }

    /// Begins a renewal: a thread of its own does it.
    pub(super) fn begin(&mut self, kind: Kind, why: &'static str) -> Result<(), Fault> {
        let in_use = self.in_use(kind);
        let old_ends_s = in_use.ends_s();
        if let Found::Exposed(exposure) = in_use {
            self.tell_exposed(kind, exposure);
        }
        let random = u32::from_le_bytes(files::random()?);
        let track = self.track(kind);
        track.running = Some(Instant::now());
        if why == RELEASE {
            track.rests_until = Some(Instant::now() + Duration::from_millis(schedule::release_ms(random)));
        }
        let (directory, writer) = (self.settings.directory.clone(), Arc::clone(&self.writer));
        self.renewals.spawn_blocking(move || {
            let (from, outcome) = match kind {
                Kind::Certificate => renewal::certificate(&directory, &writer),
                Kind::Token => renewal::token(&directory, &writer),
            };
            Renewed { kind, why, old_ends_s, from, outcome }
        });
        Ok(())
    }

    /// Tells what came of one that has ended, and plans what comes next.
    pub(super) fn ended(&mut self, renewed: Result<Renewed, JoinError>) -> Result<Outcome, Fault> {
        let renewed = renewed.map_err(|error| Fault::new(format_args!("the renewal broke: {error}")))?;
        let Renewed { kind, why, old_ends_s, from, outcome } = renewed;
        let counts = self.metrics.of(kind.word());
        let begun = self.track(kind).running.take();
        match outcome {
            Ok(Renewal::Done { old, new, ends_s }) => {
                self.track(kind).done(begun);
                self.waiting &= kind != Kind::Certificate;
                counts.renewed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(0, Ordering::Relaxed);
                // Plans the next one.
                self.reason(kind)?;
                let mut line = Line::new(("refresh", kind.word()), why, &from, "renewed");
                (line.old_sha256, line.new_sha256) = (old, Some(new));
                line.until = Some(clock::shown(ends_s).to_string());
                line.overlap_s = old_ends_s.map(|ends_s| ends_s.saturating_sub(clock::now_s()));
                self.teller.tell_hooked(line, kind.word());
                Ok(Outcome::Done)
            }
            Ok(Renewal::Waiting(waiting)) => {
                self.track(kind).waits(why, WAITING_MS);
                if !self.waiting {
                    self.waiting = true;
                    let mut line = Line::new(("refresh", kind.word()), why, &from, "waiting");
                    line.todo = Some(format!("sign {}", waiting.request.display()));
                    line.key_sha256 = Some(waiting.key_sha256);
                    self.teller.tell(line);
                }
                Ok(Outcome::Waiting)
            }
            Err(fault) => {
                let random = u32::from_le_bytes(files::random()?);
                // Of what is not in use any more nothing is left.
                let ends_s = if let Found::InUse(of) = self.in_use(kind) { of.ends_s } else { 0 };
                let left_s = ends_s.saturating_sub(clock::now_s());
                let again_ms = self.track(kind).failed(why, &fault, left_s, random);
                counts.failed.fetch_add(1, Ordering::Relaxed);
                counts.failing.store(1, Ordering::Relaxed);
                let mut line = Line::new(("refresh", kind.word()), why, &from, "failed");
                line.error = Some(fault.to_string());
                line.todo = fault.hint().map(str::to_owned);
                line.again_in_ms = (!self.settings.once).then_some(again_ms);
                self.teller.tell(line);
                Ok(Outcome::Failed(fault))
            }
        }
    }

    /// Says once that whoever has read the key can be the agent until the certificate ends, whatever takes its place.
    fn tell_exposed(&mut self, kind: Kind, exposure: Exposure) {
        let mut line = Line::new(("warning", kind.word()), EXPOSED, "", "renewing");
        line.todo = Some(exposure.todo());
        let Exposure { fault, facts } = exposure;
        if self.track(kind).told_exposed.replace(facts.sha256.clone()).as_ref() == Some(&facts.sha256) {
            return;
        }
        (line.error, line.old_sha256) = (Some(fault.to_string()), Some(facts.sha256));
        line.until = Some(clock::shown(facts.not_after_s).to_string());
        self.teller.tell(line);
    }

    /// Says once at each distance that the end comes near and no renewal has worked.
    pub(super) fn warn(&mut self, kind: Kind) {
        let Found::InUse(in_use) = self.in_use(kind) else { return };
        let near = schedule::nearness(in_use.obtained_s, in_use.ends_s, clock::now_s());
        let track = self.track(kind);
        if near <= track.told || track.is_just_begun() {
            return;
        }
        track.told = near;
        let outcome = if near == Nearness::Over { "expired" } else { "expiring" };
        let mut line = Line::new(("warning", kind.word()), "not-renewed", &in_use.from, outcome);
        line.old_sha256 = in_use.thumbprint;
        line.until = Some(clock::shown(in_use.ends_s).to_string());
        self.teller.tell(line);
    }
}
