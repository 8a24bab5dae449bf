//! What a certificate says about itself, and whether it holds under a CA.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Facts of a certificate. Times in seconds since the Unix epoch, hashes in lower-case hex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub sha256: String,
    pub spki_sha256: String,
    pub serial: String,
    pub not_before_s: u64,
    pub not_after_s: u64,
    pub uris: Vec<String>,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// Whether clients may show it (RFC 5280 §4.2.1.12), as gateways see it.
    pub is_for_clients: bool,
    pub issuer: String,
    /// The issuer's key as the certificate names it (RFC 5280 §4.2.1.1), lower-case hex; empty where it does not.
    pub issuer_key: String,
}

impl Facts {
    /// SHA-256 over the certificate, 32 bytes.
    pub fn sha256_bytes(&self) -> Vec<u8> {
        from_hex(&self.sha256)
    }
}

/// The bytes of hexadecimal digits; what is none is left out.
pub fn from_hex(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).filter_map(pair).collect()
}

/// Reads a certificate.
pub fn facts(der: &[u8]) -> Result<Facts, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| format!("no X.509 certificate: {error}"))?;
    let time = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let (mut uris, mut names, mut issuer_key) = (Vec::new(), Vec::new(), String::new());
    for extension in certificate.extensions() {
        if let ParsedExtension::AuthorityKeyIdentifier(of) = extension.parsed_extension() {
            issuer_key = of.key_identifier.as_ref().map(|id| hex(id.0)).unwrap_or_default();
        }
    }
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => names.push((*dns).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let is_for_clients = match certificate.extended_key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.client_auth),
        Err(_) => false,
    };
    Ok(Facts {
        sha256: hex(&Sha256::digest(der)),
        spki_sha256: hex(&Sha256::digest(certificate.public_key().raw)),
        serial: hex(certificate.raw_serial()),
        not_before_s: time(certificate.validity().not_before),
        not_after_s: time(certificate.validity().not_after),
        uris,
        names,
        is_for_clients,
        issuer: certificate.issuer().to_string(),
        issuer_key,
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string());
    four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

/// The certificates of a PEM text, at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("expected certificates in PEM, found {error}"))?;
    if found.is_empty() { Err("expected certificates in PEM, found none".to_owned()) } else { Ok(found) }
}

/// Whether a client's chain (its own certificate first) holds under one of the CAs at this time.
pub fn holds_under(chain: &[CertificateDer<'_>], cas: &[CertificateDer<'_>], now_s: u64) -> Result<(), webpki::Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(webpki::Error::UnknownIssuer)?;
    let anchors: Vec<TrustAnchor<'_>> = cas.iter().map(anchor_from_trusted_cert).collect::<Result<_, _>>()?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s));
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            intermediates,
            time,
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map(|_| ())
}
