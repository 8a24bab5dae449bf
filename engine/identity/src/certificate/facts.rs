//! Facts of a client certificate: its names as the policy spells them, its life and its hash.

use policy::model::CertificateName;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::CertificateFault;
use crate::bounds::{CERTIFICATE_NAMES_MAX, DNS_NAME_BYTES_MAX, SPIFFE_ID_BYTES_MAX, SPIFFE_TRUST_DOMAIN_BYTES_MAX};

/// What a certificate says. Only of worth with the CAs that vouch for it ([`super::Chains::cas_of`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// At most [`CERTIFICATE_NAMES_MAX`]: the SPIFFE id, DNS names in order, then the key's hash.
    pub names: Vec<CertificateName>,
    /// Seconds since the Unix epoch; valid from then on.
    pub not_before_s: i64,
    /// Seconds since the Unix epoch; valid until then, that second included.
    pub not_after_s: i64,
    /// SHA-256 over the DER.
    pub sha256: [u8; 32],
}

impl Facts {
    /// Reads a leaf. Names that cannot name an agent (wildcards, other kinds, ill-formed ones) are passed over; one too
    /// many that can is a fault rather than a silent loss, because a name that is not seen cannot conflict.
    pub fn from_der(leaf: &CertificateDer<'_>) -> Result<Self, CertificateFault> {
        let (rest, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateFault::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateFault::Malformed);
        }
        let alternative = certificate.subject_alternative_name().map_err(|_| CertificateFault::Malformed)?;
        let general_names = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();

        let mut names: Vec<CertificateName> = Vec::new();
        let mut uris = general_names.iter().filter_map(uri);
        // X.509-SVID §2: exactly one URI SAN, else it is no SVID.
        if let (Some(uri), None) = (uris.next(), uris.next())
            && is_spiffe_id(uri)
        {
            names.push(CertificateName::Spiffe(uri.to_owned()));
        }
        for name in general_names {
            if let GeneralName::DNSName(name) = name
                && let Some(name) = exact_dns_name(name).map(CertificateName::Dns)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names.push(CertificateName::SpkiSha256(hex(&Sha256::digest(certificate.public_key().raw).into())));
        if names.len() > CERTIFICATE_NAMES_MAX {
            return Err(CertificateFault::TooManyNames(names.len()));
        }
        Ok(Self {
            names,
            not_before_s: certificate.validity().not_before.timestamp(),
            not_after_s: certificate.validity().not_after.timestamp(),
            sha256: Sha256::digest(leaf).into(),
        })
    }

    /// Whether the leaf itself lives at `now_s`; a connection asks on each request.
    pub fn check_time(&self, now_s: u64) -> Result<(), CertificateFault> {
        match i64::try_from(now_s) {
            Ok(now_s) if now_s < self.not_before_s => Err(CertificateFault::NotYetValid),
            Ok(now_s) if now_s <= self.not_after_s => Ok(()),
            _ => Err(CertificateFault::Expired),
        }
    }
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(uri) } else { None }
}

/// SPIFFE-ID §2: `spiffe://trust-domain/path`; the trust domain of `[a-z0-9.-_]`, path segments of `[a-zA-Z0-9.-_]`,
/// none empty, `.` or `..`. A workload's id has a path.
pub(super) fn is_spiffe_id(uri: &str) -> bool {
    let Some((trust_domain, path)) = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let domain_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let path_byte = |byte: u8| domain_byte(byte) || byte.is_ascii_uppercase();
    let segment =
        |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(path_byte);
    uri.len() <= SPIFFE_ID_BYTES_MAX
        && (1..=SPIFFE_TRUST_DOMAIN_BYTES_MAX).contains(&trust_domain.len())
        && trust_domain.bytes().all(domain_byte)
        && path.split('/').all(segment)
}

/// A DNS SAN in lower case, if it is one host's name and not a pattern.
fn exact_dns_name(name: &str) -> Option<String> {
    is_dns_name(name).then(|| name.to_ascii_lowercase())
}

/// Letters, digits, hyphens and underscores in non-empty labels of at most 63 (RFC 1035 §2.3.1), without a final dot.
pub(super) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= DNS_NAME_BYTES_MAX && name.split('.').all(label)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
