//! The request head that an origin receives (RFC 9110 §7.6, RFC 7239).

use crate::Version;
use crate::fault::Fault;
use crate::injected::Injected;
use crate::name::Name;
use crate::request::{Framing, RequestHead, Scheme};
use crate::span::{Field, Fields};
use crate::text::{list, put_decimal, put_escaped, put_line, put_quoted, put_visible};

/// What the gateway says about a request that it forwards. Nothing in it comes from the client unchecked.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'f> {
    /// Normalised path, starting with `/`: what the decision was made on.
    pub path: &'f [u8],
    /// Query without `?`.
    pub query: Option<&'f [u8]>,
    /// `Host` for the origin: `host` or `host:port`.
    pub host: &'f [u8],
    /// `host` or `host:port` that the client named, for `Forwarded` and `X-Forwarded-Host`; empty when it named none.
    pub forwarded_host: &'f [u8],
    /// Framing towards the origin, usually the request's own.
    pub framing: Framing,
    /// Client address as text; empty when there is none to tell.
    pub client_ip: &'f [u8],
    /// Scheme of the connection that the request came on.
    pub scheme: Scheme,
    pub request_id: &'f [u8],
    /// Name of the agent; `None` for an anonymous caller.
    pub agent: Option<&'f str>,
    /// Pass `Authorization` and `X-API-Key` on.
    pub pass_credentials: bool,
    /// What the origin gets in place of whatever the client sends under that name.
    pub injected: Option<Injected<'f>>,
    /// What the gateway states of the request, signed: the value of `Adamant-Assertion`.
    pub assertion: Option<&'f [u8]>,
    /// Ask the origin for 100 Continue.
    pub expect_continue: bool,
    /// Ask the origin to close the connection afterwards.
    pub close: bool,
    /// Pseudonym of this gateway in `Via` (RFC 9110 §7.6.3).
    pub via: &'f [u8],
}

/// Appends the request head for the origin: `HTTP/1.1`, the normalised target, end-to-end fields as received (white
/// space around values normalised), then what the gateway sets. `head` must have been parsed from `bytes`.
///
/// Left out are: hop-by-hop fields and those that `Connection` lists, framing fields (written anew), credentials
/// unless passed, what is named as the injected field, everything in [`Name::GatewayOnly`], and look-alikes of all of
/// these. `TE: trailers` is kept.
///
/// A value in `forward` that could end its line gives [`Fault::UnsafeValue`] and leaves `out` as it was.
pub fn write_request_head(
    bytes: &[u8],
    head: &RequestHead,
    forward: &Forward<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let written = write_whole(bytes, head, forward, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_whole(bytes: &[u8], head: &RequestHead, forward: &Forward<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let injected = forward.injected.map_or(0, |own| own.line.len());
    let assertion = forward.assertion.map_or(0, <[u8]>::len);
    out.reserve(head.length + forward.path.len() + injected + assertion + 512);
    write_line(bytes, head, forward, out)?;
    let wants_trailers = match forward.injected {
        None => write_fields(bytes, head, forward, |_| false, out),
        Some(own) => {
            let wants_trailers = write_fields(bytes, head, forward, |name| own.is_named(name), out);
            out.extend_from_slice(own.line);
            wants_trailers
        }
    };
    write_connection(forward, wants_trailers && head.options.te, out);
    write_framing(forward, out);
    write_provenance(head.version, forward, out)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The client's own fields but for those that are `withheld`. Whether it takes trailers.
fn write_fields(
    bytes: &[u8],
    head: &RequestHead,
    forward: &Forward<'_>,
    withheld: impl Fn(&[u8]) -> bool,
    out: &mut Vec<u8>,
) -> bool {
    let mut wants_trailers = false;
    for field in &head.fields {
        match field.known {
            Name::Other
            | Name::Traceparent
            | Name::Via
            | Name::Date
            | Name::Server
            | Name::AltSvc
            | Name::RateLimit => {}
            Name::Authorization | Name::ApiKey | Name::Dpop if forward.pass_credentials => {}
            // What is announced of the gateway's own field is taken away in the trailers too.
            Name::Trailer if forward.framing == Framing::Chunked && !list(field.value.of(bytes)).any(&withheld) => {}
            Name::Te => {
                wants_trailers |= asks_for_trailers(field.value.of(bytes));
                continue;
            }
            Name::MaxForwards => {
                write_max_forwards(bytes, head, field, out);
                continue;
            }
            _ => continue,
        }
        let name = field.name.of(bytes);
        if !withheld(name) && (!head.options.listed || !is_listed(bytes, &head.fields, name)) {
            put_line(out, name, field.value.of(bytes));
        }
    }
    wants_trailers
}

fn write_line(bytes: &[u8], head: &RequestHead, forward: &Forward<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !forward.path.starts_with(b"/") || forward.path.contains(&b'?') {
        return Err(Fault::UnsafeValue);
    }
    put_visible(out, head.method.of(bytes))?;
    out.push(b' ');
    put_visible(out, forward.path)?;
    if let Some(query) = forward.query {
        out.push(b'?');
        put_visible(out, query)?;
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    put_visible(out, forward.host)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The gateway's own `Connection` and what it lists.
fn write_connection(forward: &Forward<'_>, trailers: bool, out: &mut Vec<u8>) {
    let fields: &[u8] = match (forward.close, trailers) {
        (false, false) => b"",
        (true, false) => b"Connection: close\r\n",
        (false, true) => b"Connection: TE\r\nTE: trailers\r\n",
        (true, true) => b"Connection: close, TE\r\nTE: trailers\r\n",
    };
    out.extend_from_slice(fields);
}

fn write_framing(forward: &Forward<'_>, out: &mut Vec<u8>) {
    match forward.framing {
        Framing::None => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if forward.expect_continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
}

/// Where the request came from, by whom and which way.
fn write_provenance(version: Version, forward: &Forward<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(if version == Version::Http10 { b"Via: 1.0 " } else { b"Via: 1.1 " });
    put_visible(out, forward.via)?;
    let proto: &[u8] = if forward.scheme == Scheme::Https { b"https" } else { b"http" };
    let ip = if forward.client_ip.is_empty() { b"unknown" } else { forward.client_ip };
    out.extend_from_slice(b"\r\nForwarded: for=");
    if ip.contains(&b':') {
        out.extend_from_slice(b"\"[");
        put_address(out, ip)?;
        out.extend_from_slice(b"]\"");
    } else {
        put_address(out, ip)?;
    }
    if !forward.forwarded_host.is_empty() {
        out.extend_from_slice(b";host=");
        put_quoted(out, forward.forwarded_host)?;
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(proto);
    out.extend_from_slice(b"\r\nX-Forwarded-For: ");
    put_address(out, ip)?;
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(proto);
    if !forward.forwarded_host.is_empty() {
        out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
        put_visible(out, forward.forwarded_host)?;
    }
    out.extend_from_slice(b"\r\nX-Request-Id: ");
    put_visible(out, forward.request_id)?;
    if let Some(agent) = forward.agent {
        out.extend_from_slice(b"\r\nAdamant-Agent: ");
        put_escaped(out, agent.as_bytes());
    }
    if let Some(assertion) = forward.assertion {
        out.extend_from_slice(b"\r\nAdamant-Assertion: ");
        put_visible(out, assertion)?;
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// An address has letters, digits, dots and colons; a separator of `Forwarded` in it would forge an entry.
fn put_address(out: &mut Vec<u8>, address: &[u8]) -> Result<(), Fault> {
    if !address.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':')) {
        return Err(Fault::UnsafeValue);
    }
    out.extend_from_slice(address);
    Ok(())
}

fn write_max_forwards(bytes: &[u8], head: &RequestHead, field: &Field, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Max-Forwards: ");
    match head.max_forwards {
        Some(hops) => put_decimal(out, hops.saturating_sub(1)),
        None => out.extend_from_slice(field.value.of(bytes)),
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a `TE` value has the member `trailers`.
fn asks_for_trailers(value: &[u8]) -> bool {
    list(value).any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

/// Whether a `Connection` field lists `name`, which makes it hop-by-hop.
pub(crate) fn is_listed(bytes: &[u8], fields: &Fields, name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.known == Name::Connection)
        .flat_map(|field| list(field.value.of(bytes)))
        .any(|option| option.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
