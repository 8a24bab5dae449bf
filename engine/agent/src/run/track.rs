//! What `agent run` knows of each kind of credential.

use std::time::Duration;

use tokio::time::Instant;

use crate::bounds::{LOOK_MS_MAX, ORDERED_AT_ONCE_MAX, ORDERED_PAUSE_S, RENEWED_PAUSE_MS, RUNNING_LOOK_MS};
use crate::clock;
use crate::fault::Fault;
use crate::generation::{Exposure, TokenLife};
use crate::schedule::{self, Nearness};

/// Why something is renewed that would not be due yet: the release has other terms.
pub const RELEASE: &str = "release";

/// What is kept in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Certificate,
    /// Of an authorization server: it has a life of its own.
    Token,
}

impl Kind {
    /// In the order in which they are begun.
    pub const ALL: [Self; 2] = [Self::Certificate, Self::Token];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
        }
    }
}

/// The life of what is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// Tells it from another one.
    pub thumbprint: Option<String>,
    pub from: String,
    pub obtained_s: u64,
    pub begins_s: u64,
    pub ends_s: u64,
    /// It is of terms that the release has no more.
    pub is_outdated: bool,
    /// It comes with each new certificate.
    pub is_bound: bool,
}

impl InUse {
    /// A token that an authorization server gave.
    pub const fn token(life: &TokenLife, from: String, is_outdated: bool, is_bound: bool) -> Self {
        // One of a time that is yet to come is of a clock that was put back since: what this one says of its end is wrong.
        let (obtained_s, begins_s, ends_s) = (life.obtained_s, life.obtained_s, life.ends_s);
        Self { thumbprint: None, from, obtained_s, begins_s, ends_s, is_outdated, is_bound }
    }

    /// Why to renew it now, if it is due then.
    pub const fn reason(&self, now_s: u64, due_s: u64) -> Option<&'static str> {
        match now_s {
            now if now < self.begins_s => Some("not-yet-valid"),
            now if now >= self.ends_s => Some("expired"),
            // Before the release, for which alone it would have to rest.
            now if now >= due_s => Some("two-thirds"),
            _ if self.is_outdated => Some(RELEASE),
            _ => None,
        }
    }
}

/// Somebody asked for a renewal that need not be due.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub why: &'static str,
    at: Instant,
    at_s: u64,
}

impl Order {
    pub fn now(why: &'static str) -> Self {
        Self { why, at: Instant::now(), at_s: clock::now_s() }
    }
}

/// Why something was begun and did not end well, and when it is gone on with.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    pub why: &'static str,
    pub at: Instant,
    /// The other side counts the attempts.
    is_counted: bool,
    /// The other side is to be left alone until then: it counts, or has said when.
    is_held: bool,
}

/// One kind, over time.
#[derive(Default)]
pub struct Track {
    /// Since when a renewal runs.
    pub running: Option<Instant>,
    /// In a row.
    pub failures: u32,
    /// What is in use, and when it is renewed.
    pub planned: Option<(InUse, u64)>,
    /// What was said of its end.
    pub told: Nearness,
    /// SHA-256 of the certificate whose key was said to be exposed.
    pub told_exposed: Option<String>,
    pub again: Option<Again>,
    pub ordered: Option<Order>,
    /// By when those that were followed would have been over, at one a pause (GCRA's theoretical arrival time).
    paced_until: Option<Instant>,
    /// It was said that one waits for that.
    told_paced: bool,
    /// When the last renewal that worked was begun.
    pub renewed: Option<Instant>,
    /// One has just worked: nothing but an order renews before.
    pub idles_until: Option<Instant>,
    /// A release alone is no reason to renew before.
    pub rests_until: Option<Instant>,
}

impl Track {
    /// There is none to renew.
    pub fn forget(&mut self) {
        *self = Self { running: self.running, ..Self::default() };
    }

    /// Takes the order, where it is to be followed now: why. One that a release gave waits until others may be had, and is
    /// no way round those who count; one for a token that comes with the certificate (`is_coming`) waits for that.
    pub fn take_order(&mut self, kind: Kind, is_coming: bool) -> Option<&'static str> {
        let Order { why, at, at_s } = self.ordered?;
        let now = Instant::now();
        let waits = self.again.is_some_and(|again| again.is_held && now < again.at);
        let in_use = self.planned.as_ref().map(|(in_use, _)| in_use);
        let rests = why == RELEASE && (self.rests(now) || waits);
        let is_too_soon = why != RELEASE && self.pace(now).is_some();
        if rests || is_too_soon || (is_coming && in_use.is_some_and(|in_use| in_use.is_bound)) {
            return None;
        }
        self.ordered = None;
        let is_wanted = match (kind, why) {
            // One that was on its way may be of the new terms.
            (Kind::Certificate, RELEASE) => in_use.is_some_and(|in_use| in_use.is_outdated),
            (Kind::Certificate, _) => self.renewed.is_none_or(|renewed| renewed < at),
            // A token that came with the certificate that was ordered is as new as can be.
            (Kind::Token, _) => in_use.is_some_and(|in_use| in_use.obtained_s < at_s),
        };
        if is_wanted && why != RELEASE {
            self.paced_until = Some(self.paced_from(now));
            self.told_paced = false;
        }
        is_wanted.then_some(why)
    }

    fn paced_from(&self, now: Instant) -> Instant {
        self.paced_until.map_or(now, |until| until.max(now)) + Duration::from_secs(ORDERED_PAUSE_S)
    }

    /// For how long an order would have to wait.
    fn pace(&self, now: Instant) -> Option<Duration> {
        let at_once = Duration::from_secs(ORDERED_PAUSE_S) * ORDERED_AT_ONCE_MAX;
        self.paced_from(now).checked_duration_since(now + at_once).filter(|pause| !pause.is_zero())
    }

    /// For how long the order that there is has to wait.
    fn order_pause(&self, now: Instant) -> Option<Duration> {
        self.ordered.filter(|order| order.why != RELEASE)?;
        self.pace(now)
    }

    /// The same, once of each.
    pub fn pace_to_tell(&mut self) -> Option<Duration> {
        let pause = self.order_pause(Instant::now()).filter(|_| !self.told_paced)?;
        self.told_paced = true;
        Some(pause)
    }

    /// Of what is in use (`reason`), and of what was begun: why to renew now.
    pub fn why(&self, reason: Option<&'static str>) -> Option<&'static str> {
        let now = Instant::now();
        let reason = reason.filter(|why| *why != RELEASE || !self.rests(now));
        match self.again {
            Some(again) if now < again.at => None,
            Some(again) => reason.or(Some(again.why)),
            None if self.idles_until.is_some_and(|until| now < until) => None,
            None => reason,
        }
    }

    /// One that was begun then has worked.
    pub fn done(&mut self, begun: Option<Instant>) {
        (self.failures, self.again, self.renewed) = (0, None, begun);
        self.idles_until = Some(Instant::now() + Duration::from_millis(RENEWED_PAUSE_MS));
    }

    /// One waits for its answer: what was begun is gone on with, also when nothing else asks for it.
    pub fn waits(&mut self, why: &'static str, pause_ms: u64) {
        let at = Instant::now() + Duration::from_millis(pause_ms);
        self.again = Some(Again { why, at, is_counted: false, is_held: false });
    }

    /// One has failed, with so much of the life left: the pause until it is gone on with, milliseconds.
    pub fn failed(&mut self, why: &'static str, fault: &Fault, left_s: u64, random: u32) -> u64 {
        let (now, is_counted) = (Instant::now(), fault.is_counted());
        // Those that are counted and those that are not are two rows of failures.
        let is_same = self.again.is_none_or(|before| before.is_counted == is_counted);
        let failures = if is_same { self.failures.saturating_add(1) } else { 1 };
        let pause_ms = schedule::retry_ms(failures, left_s, is_counted, random);
        let pause_ms = pause_ms.max(fault.waits_s().saturating_mul(1_000));
        let at = now + Duration::from_millis(pause_ms);
        // It was ordered, and what came of that is no reason to leave somebody alone for less time than before.
        let held = self.again.filter(|before| before.is_held && before.at > at);
        if held.is_none() {
            self.failures = failures;
        }
        let again = held.unwrap_or(Again { why, at, is_counted, is_held: is_counted || fault.waits_s() > 0 });
        self.again = Some(Again { why, ..again });
        u64::try_from((again.at - now).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a renewal may be over before anybody needs to be warned.
    pub fn is_just_begun(&self) -> bool {
        self.running.is_some_and(|since| since.elapsed() < Duration::from_millis(RUNNING_LOOK_MS))
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// Until the next renewal, or until the clock is looked at again.
    pub fn pause(&self) -> Duration {
        let now = Instant::now();
        if self.running.is_some() {
            return Duration::from_millis(RUNNING_LOOK_MS);
        }
        let pause = self.pause_without_order(now);
        self.order_pause(now).map_or(pause, |paced| paced.min(pause))
    }

    fn pause_without_order(&self, now: Instant) -> Duration {
        if let Some(again) = self.again {
            return again.at.saturating_duration_since(now);
        }
        let due_s = self.planned.as_ref().map(|(_, due_s)| *due_s);
        let left_ms = due_s.map_or(LOOK_MS_MAX, |due_s| due_s.saturating_sub(clock::now_s()).saturating_mul(1_000));
        let pause = Duration::from_millis(left_ms.clamp(250, LOOK_MS_MAX));
        let rest = self.rests_until.filter(|until| now < *until).map(|until| until - now);
        let pause = rest.map_or(pause, |rest| rest.min(pause));
        self.idles_until.map_or(pause, |until| pause.max(until.saturating_duration_since(now)))
    }
}

/// What is there of a kind.
pub enum Found {
    InUse(InUse),
    /// A certificate whose key others may have.
    Exposed(Exposure),
    Nothing,
    /// The profile has none of it to renew.
    NotWanted,
}

impl Found {
    /// When what is in use ends, seconds since the Unix epoch.
    pub const fn ends_s(&self) -> Option<u64> {
        match self {
            Self::InUse(in_use) => Some(in_use.ends_s),
            Self::Exposed(exposure) => Some(exposure.facts.not_after_s),
            Self::Nothing | Self::NotWanted => None,
        }
    }
}

#[cfg(test)]
mod tests;
