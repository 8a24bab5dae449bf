//! URLs of moving key sets: https only, no credentials, no fragment.

use crate::codes::{BAD_URL, SECRET_IN_POLICY};
use crate::fields::shown;
use crate::forms::Flaw;
use crate::forms::host::{dns_name, looks_like_ipv4};

/// Whether `text` is an http URL of a literal address on loopback: no name, no credentials, no fragment.
pub(crate) fn is_plain_loopback(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    let as_https = format!("https://{rest}");
    let host = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or(""),
    };
    https_url(&as_https).is_ok() && host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) fn https_url(text: &str) -> Result<(), Flaw> {
    let flaw = |message: &str| Flaw::new(BAD_URL, format!("`{}` cannot be fetched: {message}", shown(text)));
    let Some(rest) = text.strip_prefix("https://") else {
        let end = text.find("://").map_or(text.len(), |at| at + 3);
        let flaw = flaw("it is not an https URL").at(0..end).label("not https");
        return Err(flaw.hint("keys decide who is let in, so they come only over verified TLS: `https://…` (or from an address on loopback)"));
    };
    if let Some(at) = text.find(|c: char| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c)) {
        let width = text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        return Err(flaw("it has a character that URLs do not have")
            .at(at..at + width)
            .label("not admitted")
            .hint("percent-encode it"));
    }
    if let Some(at) = text.find('#') {
        return Err(flaw("it has a fragment").at(at..text.len()).label("a fragment").hint("remove it"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    let at = 8..8 + authority.len();
    if authority.contains('@') {
        let flaw = Flaw::new(SECRET_IN_POLICY, "the URL has credentials").at(at).label("a secret");
        return Err(flaw.hint("secrets never stand in a policy"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    if port.is_some_and(|port| !is_port(port)) {
        return Err(flaw("the port is a number from 1 to 65535").at(at).label("not a port").hint("remove it for 443"));
    }
    let ip = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match ip {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None if looks_like_ipv4(host) => host.parse::<std::net::Ipv4Addr>().is_ok(),
        None => dns_name(host).is_ok(),
    };
    if valid {
        Ok(())
    } else {
        Err(flaw("its host is not valid").at(at).label("not a host").hint("like `https://id.example/jwks`"))
    }
}
