//! PROXY protocol v2 (HAProxy, "The PROXY protocol", §2.2): who stands behind the load balancer that connects to us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use monoio::net::TcpStream;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
/// Addresses and type-length-values after the fixed part; load balancers send some tens of bytes.
const VARIABLE_BYTES_MAX: usize = 2048;

/// Reads the header that every connection of such a listener begins with. Exactly its bytes are taken. Gives the
/// client's address, or none where the balancer speaks for itself (health checks).
///
/// # Errors
/// The connection ended, or does not begin with a header of version 2 for TCP.
pub async fn receive(stream: &TcpStream) -> io::Result<Option<IpAddr>> {
    let mut fixed = [0; FIXED_BYTES];
    fill(stream, &mut fixed).await?;
    let fixed = Fixed::parse(&fixed)?;
    let mut addresses = [0; 32];
    let known = fixed.length.min(addresses.len());
    fill(stream, addresses.get_mut(..known).unwrap_or(&mut [])).await?;
    let mut rest = fixed.length - known;
    while rest > 0 {
        let mut skipped = [0; 64];
        let piece = rest.min(skipped.len());
        fill(stream, skipped.get_mut(..piece).unwrap_or(&mut [])).await?;
        rest -= piece;
    }
    fixed.source(&addresses)
}

async fn fill(stream: &TcpStream, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match sys::socket::try_read(stream, into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => into = into.get_mut(read..).unwrap_or(&mut []),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable(false).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The fixed part of a header.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    /// The balancer speaks for a client, not for itself.
    proxied: bool,
    family: u8,
    length: usize,
}

impl Fixed {
    fn parse(bytes: &[u8; FIXED_BYTES]) -> io::Result<Self> {
        let [signature @ .., command, family, high, low] = bytes;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let proxied = match command {
            0x20 => false,
            0x21 => true,
            _ => return Err(malformed()),
        };
        if signature != SIGNATURE || length > VARIABLE_BYTES_MAX {
            return Err(malformed());
        }
        Ok(Self { proxied, family: *family, length })
    }

    fn source(&self, addresses: &[u8; 32]) -> io::Result<Option<IpAddr>> {
        const TCP_OVER_IPV4: u8 = 0x11;
        const TCP_OVER_IPV6: u8 = 0x21;
        match self.family {
            _ if !self.proxied => Ok(None),
            TCP_OVER_IPV4 if self.length >= 12 => {
                Ok(addresses.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))))
            }
            TCP_OVER_IPV6 if self.length >= 36 => {
                Ok(addresses.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets)).to_canonical()))
            }
            _ => Err(malformed()),
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "expected a PROXY protocol v2 header for TCP, found something else")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(command: u8, family: u8, length: u16) -> io::Result<Fixed> {
        let mut bytes = [0; FIXED_BYTES];
        bytes[..12].copy_from_slice(SIGNATURE);
        bytes[12..14].copy_from_slice(&[command, family]);
        bytes[14..].copy_from_slice(&length.to_be_bytes());
        Fixed::parse(&bytes)
    }

    #[test]
    fn addresses_are_read_and_everything_else_is_refused() {
        let mut addresses = [0; 32];
        addresses[..4].copy_from_slice(&[192, 0, 2, 1]);
        let of = |command, family, length| fixed(command, family, length).and_then(|fixed| fixed.source(&addresses));
        assert_eq!(of(0x21, 0x11, 12).unwrap(), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        assert_eq!(of(0x21, 0x21, 36).unwrap().unwrap().to_string(), "c000:201::");
        assert_eq!(of(0x20, 0x00, 0).unwrap(), None);
        for (command, family, length) in [
            (0x11, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x11, 11),
            (0x21, 0x12, 12),
            (0x21, 0x31, 216),
            (0x21, 0x11, 2049),
        ] {
            assert!(of(command, family, length).is_err(), "{command:x} {family:x} {length}");
        }
        assert!(Fixed::parse(b"GET / HTTP/1.1\r\n").is_err());
    }
}
