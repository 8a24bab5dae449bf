//! The names of a server certificate: for choosing one by SNI, and for refusing a Host that the served one does not
//! cover (421, RFC 9110 §15.5.20).

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::CertificateFault;
use super::facts::is_dns_name;
use crate::bounds::SERVER_NAMES_MAX;

/// DNS and IP SANs of a server certificate. The common name does not count (RFC 9525 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// Lower-case, sorted.
    exact: Vec<Box<str>>,
    /// What follows `*.`; lower-case, sorted.
    wildcard: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

impl ServerNames {
    pub fn from_der(leaf: &CertificateDer<'_>) -> Result<Self, CertificateFault> {
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateFault::Malformed)?;
        let alternative = certificate.subject_alternative_name().map_err(|_| CertificateFault::Malformed)?;
        let general_names = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        if general_names.len() > SERVER_NAMES_MAX {
            return Err(CertificateFault::TooManyServerNames(general_names.len()));
        }
        let mut names = Self::default();
        for name in general_names {
            match name {
                GeneralName::DNSName(name) => names.add(name),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names.exact.sort_unstable();
        names.wildcard.sort_unstable();
        Ok(names)
    }

    fn add(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(suffix) if is_dns_name(suffix) => self.wildcard.push(suffix.into()),
            None if is_dns_name(&name) => self.exact.push(name.into()),
            _ => {}
        }
    }

    /// Exact DNS names, lower-case, sorted.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(AsRef::as_ref)
    }

    /// What follows `*.` in wildcard names, lower-case, sorted.
    pub fn wildcard_suffixes(&self) -> impl Iterator<Item = &str> {
        self.wildcard.iter().map(AsRef::as_ref)
    }

    /// Whether the certificate covers `host`: lower-case, without port or final dot, an IPv6 address in brackets or
    /// without. A wildcard stands for exactly one whole left-most label (RFC 9525 §6.3), never for part of one.
    pub fn covers(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else {
            return false;
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        self.covers_exactly(host) || self.covers_by_wildcard(host)
    }

    /// Whether an exact name covers `host`: such a certificate goes before one with a wildcard.
    pub fn covers_exactly(&self, host: &str) -> bool {
        self.exact.binary_search_by(|name| name.as_ref().cmp(host)).is_ok()
    }

    fn covers_by_wildcard(&self, host: &str) -> bool {
        host.split_once('.').is_some_and(|(label, suffix)| {
            !label.is_empty() && self.wildcard.binary_search_by(|name| name.as_ref().cmp(suffix)).is_ok()
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
