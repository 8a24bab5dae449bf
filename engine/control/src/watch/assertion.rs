//! The keys of assertions by the clock: what is new is kept and published before anything is signed with it.

use std::sync::Arc;

use policy::model::Policy;
use tokio::time::{Duration, Instant};

use super::Watcher;
use crate::assertion::{Keyring, KeyringFault};
use crate::bounds::{FETCH_RETRY_S_MAX, FETCH_RETRY_S_MIN};
use crate::clock;
use crate::moving::{Outcome, Rotation, Why};
use crate::status::AssertionKeysStatus;

/// When it is looked at them again.
pub struct Pace {
    at: Instant,
    /// Pause after the next failure, seconds.
    pause_s: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { at: Instant::now(), pause_s: FETCH_RETRY_S_MIN }
    }
}

impl Watcher {
    /// Keys for a release that asks for the first assertions.
    pub(super) fn have_assertion_keys(&mut self, policy: &Policy) {
        let start = &mut self.start;
        if start.assertion_keys.is_some() || policy.origins.iter().all(|origin| origin.assertion.is_none()) {
            return;
        }
        match Keyring::open(start.node.state.as_deref(), &start.node.at_rest, clock::unix_s()) {
            Ok(ring) => {
                start.material.assertion_key = Some(Arc::clone(ring.current()));
                start.status.moving().assertion_keys = Some(ring.status(start.node.assertion_rotation_s));
                start.assertion_keys = Some(ring);
            }
            Err(error) => crate::error!("{error}"),
        }
    }

    pub(super) fn look_at_assertion_keys(&mut self) {
        // Workers sign with what was published last: no further step before they have it.
        if self.changed || Instant::now() < self.assertion_pace.at {
            return;
        }
        let (start, now_s) = (&self.start, clock::unix_s());
        let Some(ring) = &start.assertion_keys else { return };
        let (next, why) = match ring.turn(start.node.assertion_rotation_s, now_s) {
            Ok(Some(next)) => (Ok(next), Why::Interval),
            Ok(None) if ring.unsaved => (Ok(ring.clone()), Why::Start),
            Ok(None) => return,
            Err(error) => (Err(error.into()), Why::Interval),
        };
        match next.and_then(|next| self.keep(next)) {
            Ok(next) => self.take_assertion_keys(next, why),
            Err(error) => self.refuse_assertion_keys(&error.to_string(), why),
        }
    }

    fn keep(&self, mut ring: Keyring) -> Result<Keyring, KeyringFault> {
        if let Some(state) = &self.start.node.state {
            ring.save(state, &self.start.node.at_rest)?;
        }
        ring.unsaved = false;
        Ok(ring)
    }

    fn take_assertion_keys(&mut self, next: Keyring, why: Why) {
        let before = self.start.assertion_keys.as_ref();
        let (old, new) = (before.map(Keyring::kids).unwrap_or_default(), next.kids());
        let signs = next.current().kid().to_owned();
        let signed = before.map(|ring| ring.current().kid().to_owned());
        // Those that were made for the start are there, and only now kept.
        let old = if why == Why::Start { Vec::new() } else { old };
        self.tell_assertion_keys(why, Outcome::Taken, &old, &new);
        let mut moving = self.start.status.moving();
        let shown = moving.assertion_keys.get_or_insert_default();
        let (rotations, failures) = (shown.rotations + u64::from(signed.as_ref() != Some(&signs)), shown.failures);
        *shown = AssertionKeysStatus { rotations, failures, ..next.status(self.start.node.assertion_rotation_s) };
        drop(moving);
        self.start.material.assertion_key = Some(Arc::clone(next.current()));
        self.start.assertion_keys = Some(next);
        self.assertion_pace = Pace::default();
        if signed.as_ref() != Some(&signs) {
            crate::info!("assertions to origins are signed with the key {signs} from now on");
            self.plan_again();
        }
    }

    fn refuse_assertion_keys(&mut self, error: &str, why: Why) {
        self.tell_assertion_keys(why, Outcome::Failed(error), &[], &[]);
        crate::error!("{error}: the present key goes on signing assertions to origins");
        let mut moving = self.start.status.moving();
        let shown = moving.assertion_keys.get_or_insert_default();
        shown.failures += 1;
        shown.last_failure = Some(error.to_owned());
        drop(moving);
        let pause_s = self.assertion_pace.pause_s;
        let at = Instant::now() + Duration::from_secs(pause_s);
        self.assertion_pace = Pace { at, pause_s: (pause_s * 2).min(FETCH_RETRY_S_MAX) };
    }

    fn tell_assertion_keys(&self, why: Why, outcome: Outcome<'_>, old: &[String], new: &[String]) {
        let (name, source) =
            (&*self.start.activator.frozen().facts.policy_name, &*Keyring::place(self.start.node.state.as_deref()));
        Rotation { of: "assertion-key", name, source, why, outcome, old, new }.tell(&self.start.records);
    }
}
