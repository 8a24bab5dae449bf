//! Stage 5: room for the record is reserved and the limits are charged, all or nothing. Then, and only then, there is a
//! permit.

use std::net::IpAddr;
use std::sync::Arc;

use activation::Activation;
use activation::activation::Origin;
use activation::counters::LimitStates;
use activation::record::STATE_FULL;
use policy::account::subject;
use policy::decide::Grant;
use policy::model::Audit;
use policy::rate::Verdict;
use policy::reason::Reason;
use policy::table::{LimitIndex, OriginIndex};

use crate::identify::Identified;
use crate::journal::Journal;
use crate::worker::Worker;

/// How far the clock readings of two workers may lie apart.
const CLOCK_SKEW_NS_MAX: u64 = 1_000_000;

/// The right to forward one request once: made here alone, consumed by `forward`.
pub struct Permit {
    origin: Arc<Origin>,
    /// The limit with the least left.
    pub tightest: Option<(LimitIndex, Verdict)>,
}

impl Permit {
    /// Where the request may go.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the origin gets something of the gateway's own: a credential, an assertion.
    pub fn gives_own(&self) -> bool {
        self.origin.injected.is_some() || self.origin.assertion.is_some()
    }

    /// Takes that as `newest` has it: it moves under a release, and the request may have waited since it was permitted under
    /// `begun`. Where another release says something else of the origin, its requests follow it, and this one what it was
    /// permitted under.
    pub fn renew_own(&mut self, begun: &Activation, newest: &Activation) {
        if newest.id == begun.id {
            return;
        }
        let is_same = |origin: &&Arc<Origin>| origin.name == self.origin.name && origin.section == self.origin.section;
        if let Some(origin) = newest.origins.iter().find(is_same) {
            self.origin = Arc::clone(origin);
        }
    }
}

/// Why a request is not forwarded, with what the client may be told.
pub struct Refusal {
    pub reason: Reason,
    /// The limit that refused.
    pub limit: Option<(LimitIndex, Verdict)>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, limit: None }
    }
}

/// Turns a grant into a permit.
pub fn account(
    worker: &Worker,
    activation: &Activation,
    identified: &Identified,
    (grant, origin): (Grant, OriginIndex),
    client: IpAddr,
    journal: &mut Journal<'_>,
) -> Result<Permit, Refusal> {
    journal.record.granted_by = Some(grant.agent.0);
    journal.record.route = Some(grant.route.0);
    journal.record.scope = Some(grant.scope.0);
    if worker.turn.exchanges() > worker.settings.bounds.exchanges_in_flight_max {
        return Err(Reason::Overloaded.into());
    }
    let origin = activation.origins.get(origin.index()).cloned().ok_or(Reason::OriginUnreachable)?;
    if !journal.reserve() && activation.audit != Audit::BestEffort {
        return Err(Reason::RecordUnavailable.into());
    }
    let mut states = LimitStates::default();
    let mut octets = [0; 16];
    let token = identified.token.as_ref().map(|token| &*token.counted_as);
    let subject = subject(&grant, &identified.caller, token, client, &mut octets);
    let charge = |now_unix_ns, states: &mut LimitStates| {
        activation.limits.charge(&activation.table, grant.agent, subject, now_unix_ns, states)
    };
    let mut charged = charge(journal.record.time_unix_ns, &mut states);
    if charged.as_ref().is_err_and(|refused| refused.verdict.wait_ns <= CLOCK_SKEW_NS_MAX) {
        // Another worker's clock was a moment ahead, in the next window: look again.
        journal.record.time_unix_ns = worker.now_unix_ns();
        charged = charge(journal.record.time_unix_ns, &mut states);
    }
    journal.limits(&states);
    match charged {
        Ok(charge) => {
            journal.record.permitted = true;
            Ok(Permit { origin, tightest: charge.tightest })
        }
        Err(refused) => {
            journal.release();
            if refused.subjects_full {
                journal.record.limits.push(refused.limit.0, STATE_FULL);
            }
            let reason = if refused.subjects_full { Reason::SubjectsFull } else { Reason::LimitExceeded };
            Err(Refusal { reason, limit: Some((refused.limit, refused.verdict)) })
        }
    }
}
