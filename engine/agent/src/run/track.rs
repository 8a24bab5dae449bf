//! What `agent run` knows of each kind of credential.

use std::time::Duration;

use tokio::time::Instant;

use crate::bounds::{LOOK_MS_MAX, RUNNING_LOOK_MS};
use crate::clock;
use crate::schedule::Nearness;

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
    pub is_counted: bool,
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
    pub again: Option<Again>,
    pub ordered: Option<Order>,
    /// When it was renewed last.
    pub renewed: Option<Instant>,
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
        let waits = self.again.is_some_and(|again| again.is_counted && now < again.at);
        let in_use = self.planned.as_ref().map(|(in_use, _)| in_use);
        let rests = why == RELEASE && (self.rests(now) || waits);
        if rests || (is_coming && in_use.is_some_and(|in_use| in_use.is_bound)) {
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
        is_wanted.then_some(why)
    }

    /// Of what is in use (`reason`), and of what was begun: why to renew now.
    pub fn why(&self, reason: Option<&'static str>) -> Option<&'static str> {
        let now = Instant::now();
        let reason = reason.filter(|why| *why != RELEASE || !self.rests(now));
        match self.again {
            Some(again) if now < again.at => None,
            Some(again) => reason.or(Some(again.why)),
            None => reason,
        }
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
        if let Some(again) = self.again {
            return again.at.saturating_duration_since(now);
        }
        let due_s = self.planned.as_ref().map(|(_, due_s)| *due_s);
        let left_ms = due_s.map_or(LOOK_MS_MAX, |due_s| due_s.saturating_sub(clock::now_s()).saturating_mul(1_000));
        let pause = Duration::from_millis(left_ms.clamp(250, LOOK_MS_MAX));
        let rest = self.rests_until.filter(|until| now < *until).map(|until| until - now);
        rest.map_or(pause, |rest| rest.min(pause))
    }
}

/// What is there of a kind.
pub enum Found {
    InUse(InUse),
    Nothing,
    /// The profile has none of it to renew.
    NotWanted,
}

impl Found {
    /// When what is in use ends, seconds since the Unix epoch.
    pub const fn ends_s(&self) -> Option<u64> {
        match self {
            Self::InUse(in_use) => Some(in_use.ends_s),
            Self::Nothing | Self::NotWanted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_use(is_outdated: bool, is_bound: bool) -> InUse {
        let (thumbprint, from) = (None, String::new());
        let obtained_s = clock::now_s().saturating_sub(10);
        InUse { thumbprint, from, obtained_s, begins_s: 0, ends_s: u64::MAX, is_outdated, is_bound }
    }

    fn track(in_use: InUse) -> Track {
        Track { planned: Some((in_use, u64::MAX)), ..Track::default() }
    }

    #[test]
    fn what_a_release_asks_for_rests_in_between_and_what_is_due_does_not() {
        let mut track = track(in_use(true, false));
        assert_eq!(track.why(Some(RELEASE)), Some(RELEASE));
        track.rests_until = Some(Instant::now() + Duration::from_secs(60));
        track.ordered = Some(Order::now(RELEASE));
        assert_eq!((track.why(Some(RELEASE)), track.take_order(Kind::Certificate, false)), (None, None));
        assert_eq!(track.why(Some("two-thirds")), Some("two-thirds"));
        assert!(track.pause() <= Duration::from_millis(LOOK_MS_MAX));
        track.ordered = Some(Order::now("order"));
        assert_eq!(track.take_order(Kind::Certificate, false), Some("order"), "whoever runs it may");
        // Then it is followed, where it still stands.
        for is_outdated in [true, false] {
            track.rests_until = Some(Instant::now());
            track.ordered = Some(Order::now(RELEASE));
            track.planned = Some((in_use(is_outdated, false), u64::MAX));
            assert_eq!(track.take_order(Kind::Certificate, false).is_some(), is_outdated);
            assert!(track.ordered.is_none());
        }
    }

    #[test]
    fn an_order_is_tried_at_once_and_a_release_is_no_way_round_those_who_count() {
        let mut track = track(in_use(true, false));
        let at = Instant::now() + Duration::from_secs(3_600);
        for (why, is_counted, follows) in
            [(RELEASE, true, false), (RELEASE, false, true), ("order", true, true), ("order", false, true)]
        {
            track.again = Some(Again { why: "two-thirds", at, is_counted });
            track.ordered = Some(Order::now(why));
            assert_eq!(track.why(Some("two-thirds")), None);
            assert_eq!(track.take_order(Kind::Certificate, false).is_some(), follows, "{why} {is_counted}");
        }
        // One that came to its end meanwhile is as new as can be.
        track.ordered = Some(Order::now("order"));
        track.renewed = Some(Instant::now());
        assert_eq!(track.take_order(Kind::Certificate, false), None);
    }

    #[test]
    fn a_token_that_comes_with_the_certificate_is_not_ordered_beside_it() {
        for (is_bound, is_coming, follows) in [(true, true, false), (true, false, true), (false, true, true)] {
            let mut track = track(in_use(false, is_bound));
            track.ordered = Some(Order::now("order"));
            assert_eq!(track.take_order(Kind::Token, is_coming).is_some(), follows);
            assert_ne!(track.ordered.is_some(), follows, "it waits");
        }
        let mut track = track(InUse { obtained_s: clock::now_s() + 1, ..in_use(false, true) });
        track.ordered = Some(Order::now("order"));
        assert!(track.take_order(Kind::Token, false).is_none() && track.ordered.is_none(), "it came");
    }
}
