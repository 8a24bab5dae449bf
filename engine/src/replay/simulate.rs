//! Past requests put to a candidate policy.
//!
//! What a record holds of a limit is its state under the old numbers. A limit that the candidate does not change is
//! decided from exactly that. Any other is simulated along the log with the candidate's numbers: it starts from the
//! first state that is recorded of it (clamped, as a gateway does when it activates a release), or unused.

use std::collections::{BTreeSet, HashSet};

use policy::model::{Keys, Policy};
use policy::rate::clamped;
use policy::reason::Reason;
use policy_evaluate::{Claim, Counter, Counters, Evaluation, Evaluator, Memory};

use super::line::Exchange;

/// How far the clocks of two workers may lie apart, as in a gateway.
const CLOCK_SKEW_NS: u64 = 1_000_000;

/// The candidate, with its counters.
pub struct Candidate<'s> {
    evaluator: Evaluator<'s>,
    memory: Memory,
    /// Counters that have a state, by stable id and subject.
    begun: HashSet<(u64, Box<[u8]>)>,
    /// By the address of the policy: what stays as it was.
    unchanged: Vec<(&'s Policy, HashSet<u64>)>,
    notes: BTreeSet<String>,
}

impl<'s> Candidate<'s> {
    pub fn new(evaluator: Evaluator<'s>) -> Self {
        let (memory, begun, unchanged) = (Memory::default(), HashSet::new(), Vec::new());
        Self { evaluator, memory, begun, unchanged, notes: BTreeSet::new() }
    }

    /// What a replay takes for granted although the candidate changes it.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.notes.iter().cloned()
    }

    /// Decides an exchange as the candidate would have.
    ///
    /// # Errors
    /// Why that cannot be told from the record.
    pub fn decide(&mut self, exchange: &Exchange, own: Option<&Evaluator<'s>>) -> Result<Evaluation, &'static str> {
        let at = own.map(|own| self.learn(own.policy()));
        let none = HashSet::new();
        let unchanged = at.and_then(|at| self.unchanged.get(at)).map_or(&none, |(_, unchanged)| unchanged);
        if exchange.decided.reason == Some(Reason::TransportTooWeak) && !exchange.decided.permitted {
            let transport = self.evaluator.policy().transport;
            let (tls, certificate) = (exchange.presented.tls, exchange.presented.certificate.is_some());
            if policy::decide::admit_transport(transport, tls, certificate).is_ok() {
                return Err("refused for its transport, so nobody looked at its credentials");
            }
        }
        if let Some(token) = &exchange.presented.token
            && token.scopes.is_none()
            && self
                .evaluator
                .policy()
                .issuers
                .iter()
                .any(|issuer| issuer.name == token.issuer && issuer.scope_claim.is_some())
        {
            return Err("the candidate asks for scopes in tokens, which the record does not hold");
        }
        let mut counters = Simulated { memory: &mut self.memory, begun: &mut self.begun, unchanged, exchange };
        Ok(self.evaluator.decide(&exchange.presented, &exchange.request, exchange.time_unix_ns, &mut counters))
    }

    /// Compares the policy of a record with the candidate, once.
    fn learn(&mut self, own: &'s Policy) -> usize {
        if let Some(at) = self.unchanged.iter().position(|(known, _)| std::ptr::eq(*known, own)) {
            return at;
        }
        let candidate = self.evaluator.policy();
        let mut unchanged = HashSet::new();
        for agent in &candidate.agents {
            let Ok(before) = own.agents.binary_search_by(|other| other.name.cmp(&agent.name)) else { continue };
            let before = own.agents.get(before).map_or(&[][..], |before| &before.limits);
            for limit in agent.limits.iter().filter(|limit| before.contains(limit)) {
                unchanged.insert(policy::hash::limit_stable_id(&agent.name, &limit.name));
            }
        }
        self.notes.extend(taken_for_granted(own, candidate));
        self.unchanged.push((own, unchanged));
        self.unchanged.len() - 1
    }
}

/// Where the candidate believes other credentials than the policy of the record.
fn taken_for_granted(own: &Policy, candidate: &Policy) -> Vec<String> {
    let mut notes = Vec::new();
    for issuer in &own.issuers {
        let after = candidate.issuers.iter().find(|after| after.name == issuer.name);
        let pinned = |keys: &Keys| matches!(keys, Keys::Pinned { .. });
        let differs = after.is_some_and(|after| {
            (after.keys != issuer.keys && (pinned(&after.keys) || pinned(&issuer.keys)))
                || (&after.issuer, &after.audience, &after.algorithms)
                    != (&issuer.issuer, &issuer.audience, &issuer.algorithms)
        });
        if differs {
            notes.push(format!("issuer \"{}\" differs: tokens that held count as if they held still", issuer.name));
        }
    }
    for ca in &own.client_cas {
        if candidate.client_cas.iter().any(|after| after.name == ca.name && after.certificates != ca.certificates) {
            notes
                .push(format!("client CA \"{}\" differs: certificates that held count as if they held still", ca.name));
        }
    }
    for key in &own.api_keys {
        if candidate.api_keys.iter().any(|after| after.id == key.id && after.sha256 != key.sha256) {
            notes.push(format!("API key \"{}\" has another hash: it counts as if the old key held still", key.id));
        }
    }
    notes
}

/// The counters of a candidate while it decides one exchange.
struct Simulated<'a> {
    memory: &'a mut Memory,
    begun: &'a mut HashSet<(u64, Box<[u8]>)>,
    unchanged: &'a HashSet<u64>,
    exchange: &'a Exchange,
}

/// What is known of a counter before this exchange.
enum Known {
    /// Memory has it.
    Kept,
    /// The record says that there was no place.
    Full,
}

impl Simulated<'_> {
    fn learn(&mut self, counter: &Counter<'_>) -> Known {
        let id = policy::hash::limit_stable_id(counter.agent, counter.limit);
        let exchange = self.exchange;
        let recorded = exchange
            .limits
            .iter()
            .find(|(limit, _)| limit == counter.limit && exchange.decided.granted_by.as_deref() == Some(counter.agent));
        let unchanged = self.unchanged.contains(&id);
        match recorded {
            Some((_, None)) if unchanged => return Known::Full,
            Some((_, Some(state))) if unchanged => self.memory.set(counter, *state),
            Some((_, Some(state))) if self.begun.insert((id, counter.subject.into())) => {
                self.memory.set(counter, clamped(*state, exchange.time_unix_ns, CLOCK_SKEW_NS, counter.kind));
            }
            _ => {}
        }
        Known::Kept
    }
}

impl Counters for Simulated<'_> {
    fn peek(&mut self, counter: &Counter<'_>) -> Option<u64> {
        match self.learn(counter) {
            Known::Full => None,
            Known::Kept => self.memory.peek(counter),
        }
    }

    fn claim(&mut self, counter: &Counter<'_>, now_ns: u64) -> Claim {
        match self.learn(counter) {
            Known::Full => Claim::Full,
            Known::Kept => self.memory.claim(counter, now_ns),
        }
    }

    fn keep(&mut self, counter: &Counter<'_>, claim: Claim) {
        self.memory.keep(counter, claim);
    }
}
