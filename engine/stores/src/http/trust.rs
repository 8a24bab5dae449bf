//! Whose word counts for who an https server is.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

/// Bytes of a machine's file of CAs.
const SYSTEM_CA_BYTES_MAX: u64 = 8 << 20;

/// Where systems keep the CAs that they trust (Debian, RHEL, SUSE, Alpine).
pub const SYSTEM_CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Who vouches for servers.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// PEM of CA certificates; nobody else's word counts.
    Pinned(&'a str),
    /// The CAs that this machine trusts.
    System,
}

#[derive(Debug, thiserror::Error)]
pub enum TrustFault {
    #[error("the pinned CA: expected certificates in PEM, found {0}")]
    Pinned(String),
    #[error("expected a file with the CAs of this machine ({}), found none: install them (ca-certificates), or pin the CA", SYSTEM_CA_FILES.join(", "))]
    NoSystem,
    #[error("{}: expected the CAs of this machine in PEM, found {found}", .path.display())]
    System { path: PathBuf, found: String },
    #[error("TLS could not be set up: {0}")]
    Setup(rustls::Error),
}

/// A certificate that servers know the client by, and its key.
pub struct ClientIdentity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

pub(super) fn config(trust: &Trust<'_>, identity: Option<ClientIdentity>) -> Result<ClientConfig, TrustFault> {
    let roots = match trust {
        Trust::Pinned(pem) => pinned(pem)?,
        Trust::System => system()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(TrustFault::Setup)?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(own.chain, own.key).map_err(TrustFault::Setup)?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each exchange proves anew who the server is.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn pinned(pem: &str) -> Result<RootCertStore, TrustFault> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| TrustFault::Pinned(error.to_string()))?;
        roots.add(certificate).map_err(|error| TrustFault::Pinned(error.to_string()))?;
    }
    if roots.is_empty() { Err(TrustFault::Pinned("none".to_owned())) } else { Ok(roots) }
}

fn system() -> Result<RootCertStore, TrustFault> {
    let path = SYSTEM_CA_FILES.iter().map(Path::new).find(|path| path.is_file()).ok_or(TrustFault::NoSystem)?;
    let fault = |found: String| TrustFault::System { path: path.to_owned(), found };
    let mut pem = Vec::new();
    let opened = files::open_regular(path).map_err(|error| fault(error.to_string()))?;
    let (file, _) = opened.ok_or_else(|| fault("no regular file".to_owned()))?;
    file.take(SYSTEM_CA_BYTES_MAX).read_to_end(&mut pem).map_err(|error| fault(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        // A bundle of the system may hold one that this library does not read.
        let _ = roots.add(certificate.map_err(|error| fault(error.to_string()))?);
    }
    if roots.is_empty() { Err(fault("none".to_owned())) } else { Ok(roots) }
}
