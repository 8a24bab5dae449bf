//! One record as one JSON line. Names are those of the OpenTelemetry semantic conventions where they have one
//! (`http.*`, `url.*`, `server.*`, `client.*`, `tls.*`); everything else is under `adamant.`.

use std::net::IpAddr;

use activation::record::{CertificateFacts, Kind, Record, STATE_FULL, TokenFacts, Transport};

use super::json::{self, Object};
use super::naming::Naming;

/// Which line it is: counted by the audit writer per worker, over permits and denials.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub worker: usize,
    pub sequence: u64,
}

/// Appends the line of `record`, its newline included. Without names (an activation that nobody announced) the line
/// holds indices.
pub fn put_record(
    out: &mut Vec<u8>,
    record: &Record<'_>,
    place: Place,
    names: Option<&dyn Naming>,
    times: &mut TimeText,
) {
    let mut line = Object::begin(out);
    times.put(line.member("time"), record.time_unix_ns);
    line.text("adamant.kind", kind_name(record.kind).as_bytes());
    line.number("adamant.worker", place.worker as u64);
    line.number("adamant.sequence", place.sequence);
    line.number("adamant.activation", record.activation);
    if let Some(names) = names {
        line.text("adamant.release", names.release().as_bytes());
    }
    if record.kind == Kind::DenialsAggregated {
        line.number("adamant.count", record.count);
    } else {
        put_request(&mut line, record);
        put_decision(&mut line, record, names);
        put_credentials(&mut line, record, names);
        put_limits(&mut line, record, names);
        if record.kind == Kind::Exchange {
            put_outcome(&mut line, record);
        }
    }
    line.end();
    out.push(b'\n');
}

fn put_request(line: &mut Object<'_>, record: &Record<'_>) {
    json::put_hex_text(line.member("adamant.request_id"), &record.request_id.to_be_bytes());
    put_client(line.member("client.address"), record.client);
    line.number("adamant.listener", u64::from(record.listener));
    line.text("network.protocol.name", b"http");
    line.text("url.scheme", if record.transport == Transport::Plain { b"http" } else { b"https" });
    if let Some(version) = tls_version(record.transport) {
        line.text("tls.protocol.version", version);
    }
    line.text("http.request.method", record.method);
    line.text("server.address", record.host);
    line.text("url.path", record.path);
    if let Some(query) = record.query {
        json::put_redacted_query(line.member("url.query"), query);
    }
}

fn put_decision(line: &mut Object<'_>, record: &Record<'_>, names: Option<&dyn Naming>) {
    line.text("adamant.decision", if record.permitted { b"permit" } else { b"deny" });
    if let Some(reason) = record.reason {
        line.text("adamant.reason", reason.name().as_bytes());
    }
    put_name(line, "adamant.agent", record.agent, |index| names?.agent(index));
    put_name(line, "adamant.granted_by", record.granted_by, |index| names?.agent(index));
    put_name(line, "adamant.route", record.route, |index| names?.route(index));
    put_name(line, "adamant.scope", record.scope.map(u32::from), |index| names?.scope(index));
}

fn put_credentials(line: &mut Object<'_>, record: &Record<'_>, names: Option<&dyn Naming>) {
    if let Some(certificate) = &record.certificate {
        put_certificate(line, certificate, names);
    }
    put_name(line, "adamant.api_key", record.api_key, |index| names?.api_key(index));
    if let Some(token) = &record.token {
        put_token(line, token, names);
    }
}

fn put_certificate(line: &mut Object<'_>, certificate: &CertificateFacts<'_>, names: Option<&dyn Naming>) {
    json::put_hex_text_upper(line.member("tls.client.hash.sha256"), &certificate.sha256);
    let out = line.member("adamant.certificate.names");
    json::put_list(out, certificate.names(), json::put_text);
    let cas = (0..u64::BITS).filter(|ca| certificate.cas & (1 << ca) != 0);
    json::put_list(line.member("adamant.certificate.cas"), cas, |out, ca| {
        match names.and_then(|names| names.client_ca(ca)) {
            Some(name) => json::put_text(out, name.as_bytes()),
            None => json::put_number(out, u64::from(ca)),
        }
    });
}

fn put_token(line: &mut Object<'_>, token: &TokenFacts<'_>, names: Option<&dyn Naming>) {
    put_name(line, "adamant.token.issuer", Some(u32::from(token.issuer)), |index| names?.issuer(index));
    line.text("adamant.token.subject", token.subject);
    if let Some(kid) = token.kid {
        line.text("adamant.token.kid", kid);
    }
    line.number("adamant.token.expires_s", token.expires_s);
    if let Some(scopes) = token.scopes {
        line.text("adamant.token.scopes", scopes);
    }
}

/// States stand as strings: they use all 64 bits, and most JSON readers keep only 53.
fn put_limits(line: &mut Object<'_>, record: &Record<'_>, names: Option<&dyn Naming>) {
    if record.limits.as_slice().is_empty() {
        return;
    }
    let out = line.member("adamant.limits_before");
    for (index, (limit, state)) in record.limits.as_slice().iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        let mut entry = Object::begin(out);
        put_name(&mut entry, "limit", Some(*limit), |limit| names?.limit(limit));
        if *state == STATE_FULL {
            entry.text("state", b"full");
        } else {
            let state_text = entry.member("state");
            state_text.push(b'"');
            json::put_number(state_text, *state);
            state_text.push(b'"');
        }
        entry.end();
    }
    out.push(b']');
}

fn put_outcome(line: &mut Object<'_>, record: &Record<'_>) {
    if record.status != 0 {
        line.number("http.response.status_code", u64::from(record.status));
    }
    if let Some(origin) = record.origin {
        let out = line.member("adamant.origin.address");
        out.push(b'"');
        json::put_socket_address(out, origin);
        out.push(b'"');
    }
    if record.retried {
        line.raw("adamant.retried", b"true");
    }
    line.number("http.request.body.size", record.bytes_in);
    line.number("http.response.body.size", record.bytes_out);
    let mut durations = Object::begin(line.member("adamant.durations_us"));
    durations.number("decided", u64::from(record.decided_us));
    if record.origin.is_some() {
        durations.number("first_byte", u64::from(record.first_byte_us));
    }
    durations.number("total", u64::from(record.total_us));
    durations.end();
}

/// The name behind an index, or the index itself when its name is not known.
fn put_name<'n>(line: &mut Object<'_>, member: &str, index: Option<u32>, name: impl FnOnce(u32) -> Option<&'n str>) {
    let Some(index) = index else { return };
    match name(index) {
        Some(name) => line.text(member, name.as_bytes()),
        None => line.number(member, u64::from(index)),
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

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Exchange => "exchange",
        Kind::Intent => "intent",
        Kind::DenialsAggregated => "denials-aggregated",
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
