//! Stage 8: the record of an exchange. Filled in as the stages run, written when it is dropped: on every exit, whatever
//! happened.

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use activation::Activation;
use activation::counters::LimitStates;
use activation::record::{CertificateFacts, Kind, LimitsBefore, Record, TokenFacts, Transport as TransportKind};
use activation::ring::Reservation;
use policy::binding::Bindings;
use policy::reason::Reason;

use crate::identify::{Identified, PeerCertificate, TokenUse};
use crate::worker::Worker;

/// One exchange's record in the making.
pub struct Journal<'a> {
    worker: &'a Worker,
    pub record: Record<'a>,
    token: Option<Rc<TokenUse>>,
    /// What the token was shown to be bound to.
    bound: Bindings,
    reservation: Option<Reservation>,
    /// A credential came with the request.
    pub presented: bool,
}

impl<'a> Journal<'a> {
    /// Begins a record at `now_unix_ns`.
    pub fn begin(worker: &'a Worker, activation: u64, now_unix_ns: u64) -> Self {
        worker.stats.exchanges.add(1);
        worker.turn.exchange_begun();
        worker.stats.exchanges_in_flight.set(worker.turn.exchanges() as u64);
        let record = Record::begin(now_unix_ns, worker.request_id(), activation);
        Self { worker, record, token: None, bound: Bindings::NONE, reservation: None, presented: false }
    }

    /// Where the request came from.
    pub fn arrived(&mut self, listener: u16, transport: TransportKind, client: IpAddr) {
        self.record.listener = listener;
        self.record.transport = transport;
        self.record.client = prefix(client);
    }

    /// The client certificate of the connection it came on.
    pub fn certified(&mut self, certificate: &'a PeerCertificate) {
        let (sha256, names) = (certificate.facts.sha256, certificate.names.as_ref());
        self.record.certificate = Some(CertificateFacts { sha256, names, cas: 0 });
    }

    /// What is known of who calls.
    pub fn identified(&mut self, identified: &Identified) {
        if let Some(certificate) = &mut self.record.certificate {
            certificate.cas = identified.certificate_cas;
        }
        self.record.agent = identified.caller.agent.map(|agent| agent.0);
        self.record.api_key = identified.api_key.map(|key| key.0);
        self.token.clone_from(&identified.token);
        self.bound = identified.presented.bound;
    }

    /// Reserves room for the record; false when it cannot be promised.
    pub fn reserve(&mut self) -> bool {
        let record = with_token(&self.record, self.token.as_deref(), self.bound);
        self.reservation = self.worker.records.borrow_mut().reserve(&record);
        self.reservation.is_some()
    }

    /// Issuer and subject of the token that came with the request.
    pub fn subject(&self) -> Option<(u16, &str)> {
        self.token.as_deref().map(|token| (token.issuer, &*token.subject))
    }

    /// Gives the room back: the request is denied after all.
    pub fn release(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            self.worker.records.borrow_mut().release(reservation);
        }
    }

    /// Writes the intent to forward; the number of records that must be durable before it is.
    pub fn intent(&self) -> Option<u64> {
        let mut record = with_token(&self.record, self.token.as_deref(), self.bound);
        record.kind = Kind::Intent;
        self.worker.records.borrow_mut().intent(&record)
    }

    /// The states of the charged limits before the charge.
    pub fn limits(&mut self, states: &LimitStates) {
        self.record.limits = LimitsBefore::default();
        for (index, state) in states.as_slice() {
            self.record.limits.push(index.0, *state);
        }
    }

    /// Microseconds since the record began.
    pub fn elapsed_us(&self) -> u32 {
        let ns = self.worker.now_unix_ns().saturating_sub(self.record.time_unix_ns);
        u32::try_from(ns / 1_000).unwrap_or(u32::MAX)
    }

    /// Names the list by which something is revoked.
    pub fn listed(&mut self, activation: &Activation) {
        self.record.revocations = activation.revoked.now().map_or(0, |revoked| revoked.serial);
    }

    pub fn refused(&mut self, reason: Reason, status: u16) {
        self.record.reason = Some(reason);
        self.record.status = status;
    }
}

impl Drop for Journal<'_> {
    fn drop(&mut self) {
        self.record.total_us = self.elapsed_us();
        let stats = &self.worker.stats;
        self.worker.turn.exchange_ended();
        stats.exchanges_in_flight.set(self.worker.turn.exchanges() as u64);
        if let Some(reason) = self.record.reason {
            stats.reason(reason);
        }
        if let Some(count) = stats.responses_by_class.get(usize::from(self.record.status / 100)) {
            count.add(1);
        }
        stats.bytes_from_clients.add(self.record.bytes_in);
        stats.bytes_to_clients.add(self.record.bytes_out);
        stats.observe_latency_us(u64::from(self.record.total_us));
        let record = with_token(&self.record, self.token.as_deref(), self.bound);
        let mut records = self.worker.records.borrow_mut();
        if record.permitted {
            stats.permitted.add(1);
            records.permitted(&record, self.reservation.take());
        } else {
            if let Some(reservation) = self.reservation.take() {
                records.release(reservation);
            }
            records.denied(&record);
        }
    }
}

/// The record with the facts of its token, which live elsewhere.
fn with_token<'r>(record: &Record<'r>, token: Option<&'r TokenUse>, bound: Bindings) -> Record<'r> {
    let facts = token.map(|token| TokenFacts {
        issuer: token.issuer,
        subject: token.subject.as_bytes(),
        kid: token.kid.as_deref().map(str::as_bytes),
        expires_s: token.expires_s,
        scopes: token.scopes_text.as_deref().map(str::as_bytes),
        bound,
        introspected: token.introspected,
    });
    Record { token: facts, ..record.clone() }
}

/// Writes how many denials found no room, once there is room again.
pub fn aggregate(worker: &Worker, now_unix_ns: u64) {
    let record = Record::begin(now_unix_ns, worker.request_id(), worker.activation().id);
    worker.records.borrow_mut().tell_aggregated(&record);
}

/// The client as limits and records know it: IPv4 /32, IPv6 /64.
pub fn prefix(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let of = |text: &str| prefix(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.9"), "192.0.2.9");
        assert_eq!(of("::ffff:192.0.2.9"), "192.0.2.9");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
