//! Where something is fetched from: an https URL, or one of plain http to a literal address on loopback.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::ServerName;

/// A URL in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceFault {
    #[error("expected https://HOST[:PORT][/PATH], or http:// with an address on loopback, found {0:?}")]
    Form(String),
    #[error("plain http is for an address on loopback alone, found {0:?}: use https")]
    NotLoopback(String),
    #[error(
        "expected https://, found {0:?}: a secret goes there, and whoever listens on a port of this machine could ask for it"
    )]
    Plain(String),
}

impl Place {
    /// Without credentials and without fragment.
    pub fn parse(text: &str) -> Result<Self, PlaceFault> {
        let form = || PlaceFault::Form(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        if rest.bytes().any(|byte| !byte.is_ascii_graphic()) || rest.contains(['@', '#', '\\', '"', '<', '>']) {
            return Err(form());
        }
        let (authority, rest) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(form()),
        };
        let otherwise = if tls { 443 } else { 80 };
        let (host, port) = split_port(authority, otherwise).filter(|(host, _)| !host.is_empty()).ok_or_else(form)?;
        if !tls && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
            return Err(PlaceFault::NotLoopback(text.chars().take(200).collect()));
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Ok(Self { tls, host: host.to_ascii_lowercase(), port, path, query })
    }

    /// The same, where a secret goes along: over TLS alone, on loopback too.
    pub fn parse_for_secret(text: &str) -> Result<Self, PlaceFault> {
        Self::parse(text)?.for_secret()
    }

    /// Itself, where a secret may go along.
    pub fn for_secret(self) -> Result<Self, PlaceFault> {
        if self.tls { Ok(self) } else { Err(PlaceFault::Plain(self.to_string())) }
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Another path on the same server.
    pub fn with_path(&self, path: String) -> Self {
        Self { path, query: None, ..self.clone() }
    }

    /// Whether requests to both go to the same server in the same way.
    pub fn is_same_server(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    /// `HOST[:PORT]` as it stands in Host (RFC 9110 §7.2).
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let otherwise = if self.tls { 443 } else { 80 };
        if self.port == otherwise { host } else { format!("{host}:{}", self.port) }
    }

    /// Path and query, as sent.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, String> {
        ServerName::try_from(self.host.clone()).map_err(|_| format!("{:?} is no name of a server", self.host))
    }
}

/// Without the query, which may hold what is not for everybody.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.path)
    }
}

fn split_port(authority: &str, otherwise: u16) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return Some((host, if port.is_empty() { otherwise } else { port.strip_prefix(':')?.parse().ok()? }));
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, otherwise)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_could_be_anybody_are_refused() {
        for form in [
            "",
            "dir",
            "ftp://a/",
            "https://",
            "https:///x",
            "https://a:x/",
            "https://u:p@a/",
            "https://a/b c",
            "https://a/#b",
            "https://a\\b",
            "https://[a]/",
            "file:///etc/passwd",
        ] {
            assert!(matches!(Place::parse(form), Err(PlaceFault::Form(_))), "{form}");
        }
        for far in ["http://localhost/", "http://10.0.0.1/", "http://id.example/"] {
            assert!(matches!(Place::parse(far), Err(PlaceFault::NotLoopback(_))), "{far}");
        }
    }

    #[test]
    fn parts() {
        let parts = |text: &str| {
            let place = Place::parse(text).unwrap();
            (place.authority(), place.target(), place.to_string())
        };
        let three = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("https://Id.example"), three("id.example", "/", "https://id.example/"));
        assert_eq!(parts("https://a:8443/k?t=1"), three("a:8443", "/k?t=1", "https://a:8443/k"));
        assert_eq!(parts("http://[::1]:8080?x"), three("[::1]:8080", "/?x", "http://[::1]:8080/"));
        let (one, other) = (Place::parse("https://a/x").unwrap(), Place::parse("https://A:443/y?z").unwrap());
        assert!(one.is_same_server(&other) && !one.is_same_server(&Place::parse("https://a:444/").unwrap()));
        assert_eq!(other.with_path("/w".to_owned()).target(), "/w");
    }
}
