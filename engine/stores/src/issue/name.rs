//! What a certificate is for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::SanType;
use rustls::pki_types::DnsName;

/// Bytes of a URI.
const URI_BYTES_MAX: usize = 2_048;

/// One entry of subjectAltName (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Lower-case; may begin with `*.`.
    Dns(String),
    Ip(IpAddr),
    /// Such as a SPIFFE id.
    Uri(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a DNS name, an IP address or a URI like \"spiffe://corp.example/gateway\", found {0:?}")]
pub struct NameFault(String);

impl Name {
    pub fn dns(&self) -> Option<&str> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Ip(_) | Self::Uri(_) => None,
        }
    }
}

impl FromStr for Name {
    type Err = NameFault;

    fn from_str(text: &str) -> Result<Self, NameFault> {
        let fault = || NameFault(text.chars().take(200).collect());
        if text.contains("://") {
            let is_uri = text.len() <= URI_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
            return if is_uri { Ok(Self::Uri(text.to_owned())) } else { Err(fault()) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let name = text.to_ascii_lowercase();
        let checked = DnsName::try_from(name.strip_prefix("*.").unwrap_or(&name)).map(drop);
        checked.map_err(|_| fault()).map(|()| Self::Dns(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl TryFrom<&Name> for SanType {
    type Error = rcgen::Error;

    fn try_from(name: &Name) -> Result<Self, rcgen::Error> {
        Ok(match name {
            Name::Dns(name) => Self::DnsName(name.as_str().try_into()?),
            Name::Ip(address) => Self::IpAddress(*address),
            Name::Uri(uri) => Self::URI(uri.as_str().try_into()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let read = |text: &str| text.parse::<Name>();
        assert_eq!(read("API.corp.example"), Ok(Name::Dns("api.corp.example".to_owned())));
        assert_eq!(read("*.corp.example"), Ok(Name::Dns("*.corp.example".to_owned())));
        assert_eq!(read("10.0.0.1"), Ok(Name::Ip("10.0.0.1".parse().unwrap())));
        assert_eq!(read("spiffe://corp.example/gw"), Ok(Name::Uri("spiffe://corp.example/gw".to_owned())));
        for wrong in ["", "*", "*.", "a b", "a..b", "a/b", "spiffe://a b", "a.*.b"] {
            assert!(read(wrong).unwrap_err().to_string().contains("expected a DNS name"), "{wrong}");
        }
    }
}
