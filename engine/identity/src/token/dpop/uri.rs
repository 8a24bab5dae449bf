//! `htu`: the address that a proof is for, compared after syntax- and scheme-based normalisation (RFC 9449 §4.3,
//! RFC 3986 §6.2.2 and §6.2.3), without query and fragment.

use policy::target::{normalise, normalise_host};

/// The address of a request as the gateway sees it: its own connection, and `Host`.
#[derive(Clone, Copy, Debug)]
pub struct RequestUri<'a> {
    /// The connection is TLS.
    pub tls: bool,
    /// Host in normal form, with the port that the client named, if any.
    pub authority: &'a [u8],
    /// In normal form.
    pub path: &'a [u8],
}

impl RequestUri<'_> {
    /// Whether this `htu` means the same address.
    pub(super) fn is_meant_by(&self, htu: &str) -> bool {
        self.compare(htu).is_some()
    }

    /// None: another one, or none at all.
    fn compare(&self, htu: &str) -> Option<()> {
        let (scheme, rest) = htu.split_once("://")?;
        let own = if self.tls { "https" } else { "http" };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let path = rest.split(['?', '#']).next()?;
        let path = if path.is_empty() { "/" } else { path };
        let (mut room, mut own_room, mut path_room) = (Vec::new(), Vec::new(), Vec::new());
        let same = scheme.eq_ignore_ascii_case(own)
            && self.host_and_port(authority.as_bytes(), &mut room)?
                == self.host_and_port(self.authority, &mut own_room)?
            && normalise(path.as_bytes(), &mut path_room).ok()?.path == self.path;
        same.then_some(())
    }

    fn host_and_port<'r>(&self, authority: &[u8], room: &'r mut Vec<u8>) -> Option<(&'r [u8], u16)> {
        let host = normalise_host(authority, room)?;
        let after = authority.iter().rposition(|byte| matches!(byte, b':' | b']')).unwrap_or(authority.len());
        Some((host, self.port(authority.get(after..)?)?))
    }

    /// The port after a host, or that of the scheme.
    fn port(&self, after: &[u8]) -> Option<u16> {
        match after {
            [b':', digits @ ..] if !digits.is_empty() => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => Some(if self.tls { 443 } else { 80 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_same(tls: bool, authority: &str, path: &str, htu: &str) -> bool {
        RequestUri { tls, authority: authority.as_bytes(), path: path.as_bytes() }.is_meant_by(htu)
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        for htu in [
            "https://api.example/orders/7",
            "HTTPS://API.Example:443/orders/7?page=2",
            "https://api.example:/orders/%37#top",
            "https://api.example./orders/7?a#b",
        ] {
            assert!(is_same(true, "api.example", "/orders/7", htu), "{htu}");
            assert!(is_same(true, "api.example:443", "/orders/7", htu), "{htu}");
        }
        assert!(is_same(false, "[::1]:8080", "/", "http://[::1]:8080"));
        assert!(is_same(false, "[::1]", "/", "http://[::1]:80/"));
        assert!(is_same(false, "localhost:8080", "/", "http://localhost:8080?x"));
    }

    #[test]
    fn other_addresses_are_not() {
        for htu in [
            "http://api.example/orders/7",
            "https://api.example/orders/8",
            "https://api.example/orders/7/",
            "https://api.example/Orders/7",
            "https://api.example:8443/orders/7",
            "https://api.example.org/orders/7",
            "https://user@api.example/orders/7",
            "https://api.example/x/../orders/7",
            "https://api.example/orders%2F7",
            "https:/api.example/orders/7",
            "//api.example/orders/7",
            "/orders/7",
            "https://",
            "",
            " https://api.example/orders/7",
            "https://api.example:99999/orders/7",
            "https://[::1/orders/7",
            "wss://api.example/orders/7",
        ] {
            assert!(!is_same(true, "api.example", "/orders/7", htu), "{htu}");
        }
        assert!(!is_same(true, "", "/orders/7", "https:///orders/7"), "a request without a host means no address");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_only_the_own_address_is_meant(htu in "(https?://)?[a-z.:@\\[\\]]{0,9}/?[a-z%2F.?#]{0,9}") {
            if is_same(true, "a.b", "/c", &htu) {
                prop_assert!(htu.starts_with("https://a.b") && htu.contains("/c"), "{}", htu);
            }
        }
    }
}
