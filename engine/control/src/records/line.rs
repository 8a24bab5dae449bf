//! One record as one JSON line. Names are those of the OpenTelemetry semantic conventions where they have one
//! (`http.*`, `url.*`, `server.*`, `client.*`, `tls.*`); everything else is under `adamant.`.

use std::net::IpAddr;

use activation::record::{CertificateFacts, Kind, Record, STATE_FULL, TokenFacts, Transport};

use super::json;
use super::naming::Naming;

mod phrases;

use phrases::Phrases;

/// The name of a member as it stands behind another one.
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// Which line it is: counted by the audit writer per worker, over permits and denials.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub worker: usize,
    pub sequence: u64,
}

/// Formats records, and remembers what comes again and again.
#[derive(Default)]
pub struct Lines {
    times: TimeText,
    decisions: Phrases,
}

impl Lines {
    /// Appends the line of `record`, its newline included. `facts` are those of the same record ([`Record::facts`]).
    /// Without names (an activation that nobody announced) the line holds indices.
    pub fn put(
        &mut self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        facts: &[u8],
        place: Place,
        names: Option<&dyn Naming>,
    ) {
        out.extend_from_slice(br#"{"time":"#);
        self.times.put(out, record.time_unix_ns);
        put_member(out, member!("adamant.kind"), kind_name(record.kind));
        put_count(out, member!("adamant.worker"), place.worker as u64);
        put_count(out, member!("adamant.sequence"), place.sequence);
        put_count(out, member!("adamant.activation"), record.activation);
        if let Some(names) = names {
            put_member(out, member!("adamant.release"), names.release().as_bytes());
        }
        if record.kind == Kind::DenialsAggregated {
            put_count(out, member!("adamant.count"), record.count);
        } else {
            put_request(out, record);
            // The names of an activation do not change; those of one that is not known may come to be.
            let facts = if names.is_some() { facts } else { &[] };
            self.decisions.put(out, facts, |out| {
                put_decision(out, record, names);
                put_credentials(out, record, names);
            });
            if record.revocations != 0 {
                put_count(out, member!("adamant.revocations.serial"), record.revocations);
            }
            put_limits(out, record, names);
            if record.kind == Kind::Exchange {
                put_outcome(out, record);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

// A line is mostly names of members: inlined, each is a constant of known length and a few moves.

#[inline(always)]
fn put_member(out: &mut Vec<u8>, member: &'static [u8], value: &[u8]) {
    out.extend_from_slice(member);
    json::put_text(out, value);
}

#[inline(always)]
fn put_count(out: &mut Vec<u8>, member: &'static [u8], value: u64) {
    out.extend_from_slice(member);
    json::put_number(out, value);
}

fn put_request(out: &mut Vec<u8>, record: &Record<'_>) {
    out.extend_from_slice(member!("adamant.request_id"));
    json::put_hex_text(out, &record.request_id.to_be_bytes());
    out.extend_from_slice(member!("client.address"));
    put_client(out, record.client);
    put_count(out, member!("adamant.listener"), u64::from(record.listener));
    out.extend_from_slice(br#","network.protocol.name":"http","url.scheme":"http"#);
    out.extend_from_slice(if record.transport == Transport::Plain { b"\"" } else { b"s\"" });
    if let Some(version) = tls_version(record.transport) {
        put_member(out, member!("tls.protocol.version"), version);
    }
    put_member(out, member!("http.request.method"), record.method);
    put_member(out, member!("server.address"), record.host);
    put_member(out, member!("url.path"), record.path);
    if let Some(query) = record.query {
        out.extend_from_slice(member!("url.query"));
        json::put_redacted_query(out, query);
    }
}

fn put_decision(out: &mut Vec<u8>, record: &Record<'_>, names: Option<&dyn Naming>) {
    put_member(out, member!("adamant.decision"), if record.permitted { b"permit" } else { b"deny" });
    if let Some(reason) = record.reason {
        put_member(out, member!("adamant.reason"), reason.name().as_bytes());
    }
    put_name(out, member!("adamant.agent"), record.agent, |index| names?.agent(index));
    put_name(out, member!("adamant.granted_by"), record.granted_by, |index| names?.agent(index));
    put_name(out, member!("adamant.route"), record.route, |index| names?.route(index));
    put_name(out, member!("adamant.scope"), record.scope.map(u32::from), |index| names?.scope(index));
}

fn put_credentials(out: &mut Vec<u8>, record: &Record<'_>, names: Option<&dyn Naming>) {
    if let Some(certificate) = &record.certificate {
        put_certificate(out, certificate, names);
    }
    put_name(out, member!("adamant.api_key"), record.api_key, |index| names?.api_key(index));
    if let Some(token) = &record.token {
        put_token(out, token, names);
    }
}

fn put_certificate(out: &mut Vec<u8>, certificate: &CertificateFacts<'_>, names: Option<&dyn Naming>) {
    out.extend_from_slice(member!("tls.client.hash.sha256"));
    json::put_hex_text_upper(out, &certificate.sha256);
    out.extend_from_slice(member!("adamant.certificate.names"));
    json::put_list(out, certificate.names(), json::put_text);
    out.extend_from_slice(member!("adamant.certificate.cas"));
    let cas = (0..u64::BITS).filter(|ca| certificate.cas & (1 << ca) != 0);
    json::put_list(out, cas, |out, ca| match names.and_then(|names| names.client_ca(ca)) {
        Some(name) => json::put_text(out, name.as_bytes()),
        None => json::put_number(out, u64::from(ca)),
    });
}

fn put_token(out: &mut Vec<u8>, token: &TokenFacts<'_>, names: Option<&dyn Naming>) {
    put_name(out, member!("adamant.token.issuer"), Some(u32::from(token.issuer)), |index| names?.issuer(index));
    put_member(out, member!("adamant.token.subject"), token.subject);
    if let Some(kid) = token.kid {
        put_member(out, member!("adamant.token.kid"), kid);
    }
    put_count(out, member!("adamant.token.expires_s"), token.expires_s);
    if let Some(scopes) = token.scopes {
        put_member(out, member!("adamant.token.scopes"), scopes);
    }
    if token.introspected {
        put_member(out, member!("adamant.token.by"), b"introspection");
    }
    if let Some(bound) = token.bound.text() {
        put_member(out, member!("adamant.token.bound"), bound.as_bytes());
    }
}

/// States stand as strings: they use all 64 bits, and most JSON readers keep only 53.
fn put_limits(out: &mut Vec<u8>, record: &Record<'_>, names: Option<&dyn Naming>) {
    let limits = record.limits.as_slice();
    if limits.is_empty() {
        return;
    }
    out.extend_from_slice(member!("adamant.limits_before"));
    json::put_list(out, limits.iter(), |out, (limit, state)| {
        out.extend_from_slice(br#"{"limit":"#);
        put_name(out, b"", Some(*limit), |limit| names?.limit(limit));
        out.extend_from_slice(br#","state":""#);
        if *state == STATE_FULL {
            out.extend_from_slice(b"full");
        } else {
            json::put_number(out, *state);
        }
        out.extend_from_slice(br#""}"#);
    });
}

fn put_outcome(out: &mut Vec<u8>, record: &Record<'_>) {
    if record.status != 0 {
        put_count(out, member!("http.response.status_code"), u64::from(record.status));
    }
    if let Some(origin) = record.origin {
        out.extend_from_slice(br#","adamant.origin.address":""#);
        json::put_socket_address(out, origin);
        out.push(b'"');
    }
    if record.retried {
        out.extend_from_slice(br#","adamant.retried":true"#);
    }
    put_count(out, member!("http.request.body.size"), record.bytes_in);
    put_count(out, member!("http.response.body.size"), record.bytes_out);
    put_count(out, br#","adamant.durations_us":{"decided":"#, u64::from(record.decided_us));
    if record.origin.is_some() {
        put_count(out, member!("first_byte"), u64::from(record.first_byte_us));
    }
    put_count(out, member!("total"), u64::from(record.total_us));
    out.push(b'}');
}

/// The name behind an index, or the index itself when its name is not known.
#[inline(always)]
fn put_name<'n>(
    out: &mut Vec<u8>,
    member: &'static [u8],
    index: Option<u32>,
    name: impl FnOnce(u32) -> Option<&'n str>,
) {
    let Some(index) = index else { return };
    match name(index) {
        Some(name) => put_member(out, member, name.as_bytes()),
        None => put_count(out, member, u64::from(index)),
    }
}

fn put_client(out: &mut Vec<u8>, client: IpAddr) {
    out.push(b'"');
    json::put_address(out, client);
    if client.is_ipv6() {
        out.extend_from_slice(b"/64");
    }
    out.push(b'"');
}

const fn kind_name(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Exchange => b"exchange",
        Kind::Intent => b"intent",
        Kind::DenialsAggregated => b"denials-aggregated",
    }
}

const fn tls_version(transport: Transport) -> Option<&'static [u8]> {
    match transport {
        Transport::Plain => None,
        Transport::Tls12 => Some(b"1.2"),
        Transport::Tls13 => Some(b"1.3"),
    }
}

/// RFC 3339 times with nanoseconds (a decision is replayed at exactly its time); the date is formatted once a second.
#[derive(Debug, Default)]
pub struct TimeText {
    second: Option<u64>,
    /// `2026-11-21T18:07:34`
    text: String,
}

impl TimeText {
    pub fn put(&mut self, out: &mut Vec<u8>, unix_ns: u64) {
        let (second, ns) = (unix_ns / crate::clock::NS_PER_S, unix_ns % crate::clock::NS_PER_S);
        if self.second != Some(second) {
            let time = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            self.text = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string();
            self.text.truncate(self.text.len().saturating_sub(1));
            self.second = Some(second);
        }
        out.push(b'"');
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'.');
        // With the leading zeros that a number of its own lacks: one more digit, and that one left out.
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(crate::clock::NS_PER_S + ns).as_bytes().get(1..).unwrap_or_default());
        out.extend_from_slice(b"Z\"");
    }
}

#[cfg(test)]
pub(crate) mod tests;
