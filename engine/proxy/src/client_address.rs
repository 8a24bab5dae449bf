//! Whom a trusted proxy forwards for: the nearest address in the field that the listener names (`Forwarded`, RFC 7239, or
//! `X-Forwarded-For`) that is not itself a trusted proxy's. Nobody is trusted unless listed.

use std::net::IpAddr;

use http1::RequestHead;

use crate::settings::{ClientAddress, Listener};

/// Takes the address out of one member of the field's list.
type Part = fn(&[u8]) -> Option<&[u8]>;

/// The client's address, seen from a peer at `peer`.
pub fn client_address(peer: IpAddr, listener: &Listener, bytes: &[u8], head: &RequestHead) -> IpAddr {
    let is_trusted = |address: IpAddr| listener.trusted_proxies.iter().any(|network| network.contains(address));
    if listener.trusted_proxies.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let (name, part): (&[u8], Part) = match listener.client_address {
        ClientAddress::Forwarded => (b"forwarded", for_parameter),
        ClientAddress::XForwardedFor => (b"x-forwarded-for", |member| Some(member)),
    };
    let fields = head.fields.as_slice().iter().rev().filter(|field| field.name.of(bytes).eq_ignore_ascii_case(name));
    let members = fields.flat_map(|field| field.value.of(bytes).rsplit(|byte| *byte == b','));
    let mut nearest = peer;
    for member in members {
        match part(member.trim_ascii()).and_then(address) {
            Some(address) if is_trusted(address) => nearest = address,
            Some(address) => return address.to_canonical(),
            // Unknown or obfuscated: what lies behind it cannot be told apart from a lie.
            None => return nearest,
        }
    }
    nearest
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
    use crate::settings::Network;

    fn seen(peer: &str, named: ClientAddress, fields: &str) -> String {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        assert_eq!(parse_request(text.as_bytes(), &Bounds::default(), &mut head), Ok(Progress::Complete));
        let listener = Listener {
            address: "127.0.0.1:1".parse().unwrap(),
            tls: false,
            trusted_proxies: vec![Network { address: "10.0.0.0".parse().unwrap(), prefix_bits: 8 }],
            client_address: named,
            proxy_protocol: false,
        };
        client_address(peer.parse().unwrap(), &listener, text.as_bytes(), &head).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed_and_only_up_to_the_first_stranger() {
        let old = |peer, fields| seen(peer, ClientAddress::XForwardedFor, fields);
        assert_eq!(old("192.0.2.1", "X-Forwarded-For: 198.51.100.1\r\n"), "192.0.2.1");
        assert_eq!(old("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(old("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 198.51.100.1\r\n"), "198.51.100.1");
        let twice = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 198.51.100.1, 10.9.9.9\r\n";
        assert_eq!(old("10.0.0.1", twice), "198.51.100.1");
        let new = |fields| seen("10.0.0.1", ClientAddress::Forwarded, fields);
        assert_eq!(new("Forwarded: for=1.1.1.1, for=\"[2001:db8::1]:99\";proto=https\r\n"), "2001:db8::1");
        assert_eq!(new("Forwarded: For=198.51.100.1:80\r\n"), "198.51.100.1");
    }

    #[test]
    fn the_field_that_is_not_named_is_not_believed() {
        let both = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 198.51.100.1\r\n";
        assert_eq!(seen("10.0.0.1", ClientAddress::XForwardedFor, both), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", ClientAddress::Forwarded, both), "6.6.6.6");
        assert_eq!(seen("10.0.0.1", ClientAddress::Forwarded, "X-Forwarded-For: 198.51.100.1\r\n"), "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        let old = |fields| seen("10.0.0.1", ClientAddress::XForwardedFor, fields);
        assert_eq!(old("X-Forwarded-For: 1.1.1.1, unknown\r\n"), "10.0.0.1");
        assert_eq!(old("X-Forwarded-For: 1.1.1.1, _x, 10.2.2.2\r\n"), "10.2.2.2");
        assert_eq!(seen("10.0.0.1", ClientAddress::Forwarded, "Forwarded: by=10.0.0.2\r\n"), "10.0.0.1");
    }
}
