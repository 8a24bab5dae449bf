//! Revocation: of every request after it is identified, and of what runs already when a new list is in force. Where there
//! never was a list, a request pays for one compare.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use activation::Activation;
use activation::revoked::{Revoked, TokenFacts};
use identity::certificate::Listed;
use policy::decide::Grant;
use policy::reason::Reason;
use policy::table::{AgentId, ApiKeyIndex};
use rustls::pki_types::CertificateDer;

use crate::connection::Connection;
use crate::identify::{Identified, PeerCertificate, TokenUse};
use crate::transport::Transport;
use crate::worker::Held;

/// A verdict on one thing, as long as list and activation are the same.
#[derive(Default)]
pub struct Known(Cell<(u64, u64, bool)>);

impl Known {
    fn of(&self, activation: &Activation, revoked: &Revoked, look: impl FnOnce() -> bool) -> bool {
        let (generation, id, known) = self.0.get();
        if (generation, id) == (revoked.generation, activation.id) {
            return known;
        }
        let found = look();
        self.0.set((revoked.generation, activation.id, found));
        found
    }
}

/// A certificate and the chain that it is the first of.
type Shown<'c> = (&'c PeerCertificate, &'c [CertificateDer<'static>]);

/// Whether anything that was presented is revoked, or the agent who presented it.
pub fn check(activation: &Activation, identified: &Identified, certificate: Option<Shown<'_>>) -> Result<(), Reason> {
    let Some(revoked) = activation.revoked.now() else { return Ok(()) };
    let credential = certificate.is_some_and(|shown| is_certificate_revoked(activation, &revoked, shown))
        || identified.api_key.is_some_and(|key| revoked.api_key(key))
        || identified.token.as_ref().is_some_and(|token| is_token_revoked(activation, &revoked, token));
    match identified.caller.agent {
        _ if credential => Err(Reason::CredentialRevoked),
        Some(agent) if revoked.agent(agent) => Err(Reason::AgentRevoked),
        _ => Ok(()),
    }
}

/// Whether the agent is revoked whose scope grants it: another one than the caller where that is what everybody may do.
pub fn check_grant(activation: &Activation, grant: &Grant) -> Result<(), Reason> {
    match activation.revoked.now() {
        Some(revoked) if revoked.agent(grant.agent) => Err(Reason::AgentRevoked),
        _ => Ok(()),
    }
}

fn is_certificate_revoked(activation: &Activation, revoked: &Revoked, (certificate, chain): Shown<'_>) -> bool {
    revoked.names_certificates()
        && certificate
            .revoked
            .of(activation, revoked, || activation.client_cas.is_listed(chain, &Certificates(revoked)))
}

fn is_token_revoked(activation: &Activation, revoked: &Revoked, token: &TokenUse) -> bool {
    token.revoked.of(activation, revoked, || {
        let (jti, kid) = (token.id.as_deref(), token.kid.as_deref());
        let facts = TokenFacts { jti, kid, subject: &token.subject, issued_s: token.issued_s };
        let by_another_name = || token.other_kids.iter().any(|kid| revoked.key(token.issuer, kid));
        revoked.token(token.issuer, &facts) || by_another_name()
    })
}

/// The certificates of a list.
struct Certificates<'r>(&'r Revoked);

impl Listed for Certificates<'_> {
    fn has(&self, sha256: &[u8; 32]) -> bool {
        self.0.certificate(sha256)
    }

    fn has_numbered(&self, issuer_spki_sha256: &[u8; 32], serial: &[u8]) -> bool {
        self.0.numbered_certificate(issuer_spki_sha256, serial)
    }

    fn has_numbers(&self) -> bool {
        self.0.numbers_certificates()
    }
}

/// What the exchange of a connection, or the last one, stands on.
#[derive(Default)]
pub struct Stands {
    on: RefCell<Option<On>>,
    /// Generation of the list that it was last held against.
    looked: Cell<u64>,
}

struct On {
    /// None between exchanges: an old activation must not live on for them.
    activation: Option<Held>,
    activation_id: u64,
    agents: [Option<AgentId>; 2],
    api_key: Option<ApiKeyIndex>,
    token: Option<Rc<TokenUse>>,
}

impl Stands {
    /// The head of another request begins: who called last means nothing for it.
    pub fn forget(&self) {
        *self.on.borrow_mut() = None;
    }

    /// An exchange begins that `grant` permits; it was held against the list of that `generation`, or a later one.
    pub fn begin(&self, activation: &Held, generation: u64, identified: &Identified, grant: &Grant) {
        self.looked.set(generation);
        *self.on.borrow_mut() = Some(On {
            activation_id: activation.id,
            activation: Some(Rc::clone(activation)),
            agents: [identified.caller.agent, grant.by_anonymous.then_some(grant.agent)],
            api_key: identified.api_key,
            token: identified.token.clone(),
        });
    }

    /// The exchange is over.
    pub fn end(&self) {
        if let Some(on) = &mut *self.on.borrow_mut() {
            (on.activation, on.token) = (None, None);
        }
    }
}

/// Connections that wait whose certificates are looked up in a list between two turns of a worker at most: each is hashed, and
/// a new list must not make everybody wait. What runs is looked at at once, and so is every request.
const WAITING_LOOKED_AT_PER_TICK_MAX: usize = 256;

/// One sweep over a worker's connections, with the activation in force.
pub struct Sweep<'h> {
    current: &'h Held,
    waiting: Waiting,
}

/// How many more that wait are looked at.
struct Waiting(Cell<usize>);

impl Waiting {
    fn is_any_left(&self) -> bool {
        self.0.get() > 0
    }

    fn take(&self) -> bool {
        let is_any_left = self.is_any_left();
        self.0.set(self.0.get().saturating_sub(1));
        is_any_left
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self(Cell::new(WAITING_LOOKED_AT_PER_TICK_MAX))
    }
}

impl<'h> Sweep<'h> {
    pub fn new(current: &'h Held) -> Self {
        Self { current, waiting: Waiting::default() }
    }

    /// Whether connections that wait are looked at still, and not by a later sweep.
    pub fn may_look(&self) -> bool {
        self.waiting.is_any_left()
    }

    /// Why what runs on `connection`, or waits on it, must end. What waits may be looked at by a later sweep.
    pub fn ends<T: Transport>(&self, connection: &Connection<T>) -> Option<Reason> {
        let stands = &connection.stands;
        let runs = stands.on.borrow().as_ref().is_some_and(|on| on.activation.is_some());
        let is_new = stands.looked.get() != self.current.revoked.generation();
        if !runs && is_new && connection.certificate.is_some() && !self.waiting.take() {
            return None;
        }
        of_connection(connection, self.current)
    }
}

/// Why what runs on `connection`, or waits on it, must end: looked at once for each list. `current` is the activation in
/// force.
pub fn of_connection<T: Transport>(connection: &Connection<T>, current: &Held) -> Option<Reason> {
    let stands = &connection.stands;
    let on = stands.on.borrow();
    let running = on.as_ref().and_then(|on| on.activation.as_ref());
    let activation = running.unwrap_or(current);
    let generation = activation.revoked.generation();
    if stands.looked.replace(generation) == generation {
        return None;
    }
    why(connection, activation)
}

/// Whether the list names what the exchange of `connection` stands on: its certificate may as well be revoked by its CA.
pub fn is_listed<T: Transport>(connection: &Connection<T>, activation: &Activation) -> bool {
    why(connection, activation).is_some()
}

fn why<T: Transport>(connection: &Connection<T>, activation: &Activation) -> Option<Reason> {
    let revoked = activation.revoked.now()?;
    let on = connection.stands.on.borrow();
    let chain = connection.transport.peer_chain();
    let certificate = connection.certificate.as_deref().zip(chain.as_deref());
    if certificate.is_some_and(|shown| is_certificate_revoked(activation, &revoked, shown)) {
        return Some(Reason::CredentialRevoked);
    }
    // Numbers of a table that serves no more mean nothing: then the next request tells.
    let on = on.as_ref().filter(|on| on.activation_id == activation.id)?;
    let credential = on.api_key.is_some_and(|key| revoked.api_key(key))
        || on.token.as_ref().is_some_and(|token| is_token_revoked(activation, &revoked, token));
    if credential {
        return Some(Reason::CredentialRevoked);
    }
    on.agents.iter().flatten().any(|agent| revoked.agent(*agent)).then_some(Reason::AgentRevoked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sweep_looks_at_so_many_that_wait_and_the_next_at_as_many_more() {
        for _ in 0..2 {
            let waiting = Waiting::default();
            assert!((0..WAITING_LOOKED_AT_PER_TICK_MAX).all(|_| waiting.take()));
            assert!((0..3).all(|_| !waiting.take()));
        }
    }
}
