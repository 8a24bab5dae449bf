//! Authorities: `host` or `host:port`, in a Host field or an absolute target (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

/// Longest host name, bytes (RFC 1035 §2.3.4, without the final dot).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A valid authority without user information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'b> {
    /// As received, without the dot that may end a name; `[…]` stays around an IPv6 address.
    host: &'b [u8],
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Strict on purpose: letters, digits, `-`, `_` and `.` in names (no percent-encoding, no other sub-delims), so
    /// that nobody downstream can read another host in it. An empty port is allowed (RFC 3986 §3.2.3).
    pub(crate) fn parse(bytes: &'b [u8]) -> Option<Self> {
        let (host, port) = bytes.split_at(host_length(bytes)?);
        let port = match port {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Self { host: host.strip_suffix(b".").unwrap_or(host), port })
    }

    /// Whether both name the same server, given the scheme's own port.
    pub(crate) fn same(self, other: Self, port_of_scheme: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(port_of_scheme) == other.port.unwrap_or(port_of_scheme)
    }
}

/// Bytes of the valid host at the start of `bytes`, up to `:` or the end.
fn host_length(bytes: &[u8]) -> Option<usize> {
    if let [b'[', rest @ ..] = bytes {
        let inner = rest.get(..rest.iter().position(|byte| *byte == b']')?)?;
        std::str::from_utf8(inner).ok()?.parse::<Ipv6Addr>().ok()?;
        return Some(inner.len() + 2);
    }
    let (mut length, mut label) = (0, 0);
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < LABEL_BYTES_MAX => label += 1,
            b'.' if label > 0 => label = 0,
            b':' => break,
            _ => return None,
        }
        length += 1;
    }
    // A final dot is not counted.
    (length > 0 && length <= HOST_BYTES_MAX + usize::from(label == 0)).then_some(length)
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_authorities() {
        for text in ["a", "A.b-c_d.example.", "a:", "a:0", "a.:65535", "127.0.0.1:80", "[::1]", "[::FFFF:1.2.3.4]:8080"]
        {
            assert!(Authority::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn invalid_authorities() {
        let long = format!("{}.example", "a".repeat(64));
        let fits = format!("{}b", "a.".repeat(126));
        assert!(fits.len() == HOST_BYTES_MAX && Authority::parse(format!("{fits}.:1").as_bytes()).is_some());
        let longest = format!("{fits}c");
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a:65536",
            "a:+1",
            "a:1:2",
            "a b",
            "a,b",
            "u@a",
            "a/b",
            "a%20",
            "[::1",
            "::1",
            "[::1]x",
            "[::1].",
            "[fe80::1%25eth0]",
            "x[::1]",
            "[]",
            "a=1",
            "h\u{f6}st",
            "a\t",
            "a:1.2",
            "a?b",
            long.as_str(),
            longest.as_str(),
        ] {
            assert!(Authority::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn default_ports_are_equal_to_none() {
        let same = |a: &str, b: &str, port| {
            Authority::parse(a.as_bytes()).unwrap().same(Authority::parse(b.as_bytes()).unwrap(), port)
        };
        assert!(same("A.example.:80", "a.example", 80));
        assert!(same("a:", "a:443", 443));
        assert!(!same("a:80", "a", 443));
        assert!(!same("a", "b", 80));
    }
}
