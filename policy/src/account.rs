//! Whom the limits of a request count.

use std::net::IpAddr;

use crate::decide::{Caller, Grant};

/// The subject of a request for limits that count subjects one by one: the client's prefix where the anonymous agent
/// pays or nobody is known, else the token's subject (as [`counted_as`] gives it); none without a token. `room` is
/// where the prefix is written.
#[inline]
pub fn subject<'s>(
    grant: &Grant,
    caller: &Caller,
    token: Option<&'s [u8]>,
    client: IpAddr,
    room: &'s mut [u8; 16],
) -> Option<&'s [u8]> {
    if grant.by_anonymous || caller.agent.is_none() { Some(client_prefix(client, room)) } else { token }
}

/// A token's subject as limits count it: equal names of two issuers are two subjects. `issuer` is the `iss` value, not
/// the name of the issuer in the policy: counters go on under a new name.
pub fn counted_as(issuer: &str, subject: &str) -> Box<[u8]> {
    [issuer, "\0", subject].concat().into_bytes().into()
}

/// The client's prefix as a subject: 4 octets, or the 8 of an IPv6 /64.
#[inline]
pub fn client_prefix(client: IpAddr, room: &mut [u8; 16]) -> &[u8] {
    let length = match client.to_canonical() {
        IpAddr::V4(address) => {
            if let Some(place) = room.first_chunk_mut() {
                *place = address.octets();
            }
            4
        }
        IpAddr::V6(address) => {
            *room = address.octets();
            8
        }
    };
    room.get(..length).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let of = |text: &str| client_prefix(text.parse().unwrap(), &mut [0; 16]).to_vec();
        assert_eq!(of("192.0.2.9"), [192, 0, 2, 9]);
        assert_eq!(of("::ffff:192.0.2.9"), [192, 0, 2, 9]);
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 2]);
    }
}
