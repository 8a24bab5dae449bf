//! Whom a trusted proxy forwards for: the nearest address in `Forwarded` (RFC 7239), or else in `X-Forwarded-For`, that
//! is not itself a trusted proxy's. Nobody is trusted unless listed.

use std::net::IpAddr;

use http1::RequestHead;

use crate::settings::Network;

/// The client's address, seen from a peer at `peer`.
pub fn client_address(peer: IpAddr, trusted: &[Network], bytes: &[u8], head: &RequestHead) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let mut nearest = peer;
    for entry in entries(bytes, head, b"forwarded", for_parameter).chain(entries(bytes, head, b"x-forwarded-for", Some))
    {
        match entry.and_then(address) {
            Some(address) if is_trusted(address) => nearest = address,
            Some(address) => return address.to_canonical(),
            // Unknown or obfuscated: what lies behind it cannot be told apart from a lie.
            None => return nearest,
        }
    }
    nearest
}

/// List members of all fields of this name, the nearest first; nothing when `Forwarded` was there and this is not it.
fn entries<'a>(
    bytes: &'a [u8],
    head: &'a RequestHead,
    name: &'static [u8],
    part: impl Fn(&'a [u8]) -> Option<&'a [u8]>,
) -> impl Iterator<Item = Option<&'a [u8]>> {
    let named = move |wanted: &'static [u8]| {
        head.fields.as_slice().iter().filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(wanted))
    };
    let hidden = name != b"forwarded" && named(b"forwarded").next().is_some();
    named(name)
        .rev()
        .filter(move |_| !hidden)
        .flat_map(move |field| field.value.of(bytes).rsplit(|byte| *byte == b','))
        .map(move |member| part(member.trim_ascii()))
}

/// Value of `for=` in one `Forwarded` element.
fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    element.split(|byte| *byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })
}

/// An address with or without quotes, brackets and port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches('"');
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok().map(IpAddr::V6);
    }
    text.parse().ok().or_else(|| text.rsplit_once(':')?.0.parse().ok().map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use http1::{Bounds, Progress, parse_request};

    use super::*;

    fn seen(peer: &str, fields: &str) -> String {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        assert_eq!(parse_request(text.as_bytes(), &Bounds::default(), &mut head), Ok(Progress::Complete));
        let trusted = [Network { address: "10.0.0.0".parse().unwrap(), prefix_bits: 8 }];
        client_address(peer.parse().unwrap(), &trusted, text.as_bytes(), &head).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed_and_only_up_to_the_first_stranger() {
        assert_eq!(seen("192.0.2.1", "X-Forwarded-For: 198.51.100.1\r\n"), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 198.51.100.1\r\n"), "198.51.100.1");
        assert_eq!(
            seen("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 198.51.100.1, 10.9.9.9\r\n"),
            "198.51.100.1"
        );
        assert_eq!(seen("10.0.0.1", "Forwarded: for=1.1.1.1, for=\"[2001:db8::1]:99\";proto=https\r\n"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "Forwarded: For=198.51.100.1:80\r\nX-Forwarded-For: 1.1.1.1\r\n"), "198.51.100.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        assert_eq!(seen("10.0.0.1", "X-Forwarded-For: 1.1.1.1, unknown\r\n"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", "X-Forwarded-For: 1.1.1.1, _x, 10.2.2.2\r\n"), "10.2.2.2");
        assert_eq!(seen("10.0.0.1", "Forwarded: by=10.0.0.2\r\nX-Forwarded-For: 1.1.1.1\r\n"), "10.0.0.1");
    }
}
