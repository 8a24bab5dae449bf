//! The channel's revocation list, beside everything else: it is in force at once, whatever becomes of releases.

use std::sync::Arc;
use std::time::Instant;

use control::accept::Refusal;

use super::{Follower, INTERVAL, PATIENCE};
use crate::gateway::revoking;

/// What was told of revocation lists.
#[derive(Default)]
pub struct Told {
    /// Told, and not gone since.
    refusal: Option<Refusal>,
    /// Since when the file has been missing or changing.
    missing_since: Option<Instant>,
    pub expired: bool,
}

impl Follower {
    /// Takes a new list. First it is in force, then it is written down: to deny does not wait for a medium.
    pub(super) fn look_at_revocations(&mut self) {
        let looked = self.standing.look_at_revocations(&*self.store, &self.channel, self.now);
        if let (Ok(true), Some(in_force)) = (&looked, &self.standing.revocations) {
            self.hands.revocations.put(Arc::new(in_force.verified.list.clone()), self.now);
            revoking::show(&mut self.hands.status.moving(), &self.standing, &self.last.policy, self.now);
            revoking::tell_accepted(&self.hands.records, &in_force.verified, &self.last.policy);
            self.revocations_told.expired = false;
        }
        let outcome = looked.and_then(|_| self.standing.keep_revocations(&self.channel));
        self.report_revocations(outcome);
    }

    /// Tells each refusal once, until it is gone.
    fn report_revocations(&mut self, outcome: Result<(), Refusal>) {
        let told = &mut self.revocations_told;
        let Err(refusal) = outcome else {
            if told.refusal.take().is_some() {
                control::info!("{}: the revocation list is not refused any more", self.place);
            }
            told.missing_since = None;
            if let Some(shown) = &mut self.hands.status.moving().revocations {
                shown.refusal = None;
            }
            return;
        };
        if refusal.is_passing() && told.missing_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            self.read_at = self.read_at.min(Instant::now() + INTERVAL);
            return;
        }
        if !refusal.is_passing() {
            told.missing_since = None;
        }
        if told.refusal.as_ref() == Some(&refusal) {
            return;
        }
        told.refusal = Some(refusal.clone());
        if self.may_tell() {
            revoking::tell_refused(&self.hands.records, &refusal, &self.place, &self.standing);
        }
        revoking::refused(&mut self.hands.status.moving(), &refusal, self.now);
    }

    /// The alarm that the list has expired, which stays in force; and what lapses by itself.
    pub(super) fn watch_revocations(&mut self) {
        self.hands.revocations.tidy(self.now);
        let Some(in_force) = &self.standing.revocations else { return };
        let expired = in_force.verified.list.expires <= self.now;
        if let Some(shown) = &mut self.hands.status.moving().revocations {
            shown.expired = expired;
        }
        if expired && !self.revocations_told.expired {
            revoking::tell_expired(&self.hands.records, &in_force.verified);
        }
        self.revocations_told.expired = expired;
    }
}
