//! Connections to the gateway: over TLS, to the pinned certificate, or not at all.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use webpki::EndEntityCert;

use crate::bounds::{ADDRESSES_MAX, CONNECT_S_MAX};
use crate::x509;

/// A gateway: `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    pub host: String,
    pub port: u16,
    name: ServerName<'static>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let found: String = text.chars().take(80).collect();
            let plain =
                "; agents call by TLS alone: plain http is spoken by the admin listener, and by listeners without tls";
            let why = if text.starts_with("http://") { plain } else { "" };
            format!("expected a gateway like https://api.corp.example:8443, found {found:?}{why}")
        };
        let authority = text.strip_prefix("https://").ok_or_else(wrong)?.trim_end_matches('/');
        if authority.contains(['/', '@', '?', '#', ' ']) {
            return Err(wrong());
        }
        let after_address = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority.rsplit_once(':').filter(|(host, _)| host.len() > after_address) {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (authority, 443),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| wrong())?;
        Ok(Self { host: host.to_owned(), port, name })
    }
}

impl Target {
    /// As it stands in `Host`: without the port where that is the scheme's own (RFC 9110 §4.2.2).
    pub fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// What the gateway's certificate must be: under one of the CAs, with one of the keys; at least one of the two is given.
#[derive(Clone, Debug)]
pub struct Pins {
    cas: Vec<CertificateDer<'static>>,
    spki_sha256: Vec<String>,
}

impl Pins {
    pub fn new(cas: Vec<CertificateDer<'static>>, spki_sha256: &[String]) -> Result<Self, String> {
        if cas.is_empty() && spki_sha256.is_empty() {
            return Err(
                "expected a pinned CA or key of the gateway, found none: nothing would tell it from another".into()
            );
        }
        let hex =
            |hash: &&String| hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match spki_sha256.iter().find(hex) {
            Some(wrong) => Err(format!("expected a SHA-256 of 64 hexadecimal digits in lower case, found {wrong:?}")),
            None => Ok(Self { cas, spki_sha256: spki_sha256.to_vec() }),
        }
    }
}

/// The gateway's key is not a pinned one.
#[derive(Debug, thiserror::Error)]
#[error("its key is not pinned: found SHA-256 {found} over its SubjectPublicKeyInfo")]
pub struct NotPinned {
    pub found: String,
}

/// The gateway's certificate says that it is of a pinned CA, and another key signed it.
#[derive(Debug, thiserror::Error)]
#[error("it is signed by another CA of the same name as the pinned one")]
pub struct OtherCa;

#[derive(Debug)]
struct Verifier {
    by_ca: Option<Arc<WebPkiServerVerifier>>,
    spki_sha256: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let facts = x509::facts(leaf).map_err(|why| other(io::Error::other(why)))?;
        match &self.by_ca {
            Some(by_ca) => {
                by_ca.verify_server_cert(leaf, intermediates, name, ocsp, now).map_err(|error| match error {
                    rustls::Error::InvalidCertificate(CertificateError::BadSignature) => other(OtherCa),
                    error => error,
                })?;
            }
            None => {
                // A pinned key alone: no chain, but name and time hold all the same.
                if now.as_secs() < facts.not_before_s {
                    return Err(CertificateError::NotValidYet.into());
                }
                if now.as_secs() > facts.not_after_s {
                    return Err(CertificateError::Expired.into());
                }
                let certificate = EndEntityCert::try_from(leaf).map_err(other)?;
                let named = certificate.verify_is_valid_for_subject_name(name);
                named.map_err(|_| CertificateError::NotValidForName)?;
            }
        }
        if !self.spki_sha256.is_empty() && !self.spki_sha256.contains(&facts.spki_sha256) {
            return Err(other(NotPinned { found: facts.spki_sha256 }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn other(why: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

/// TLS to a pinned gateway, with a certificate of one's own or without.
pub fn client_config(pins: &Pins, identity: Option<Arc<CertifiedKey>>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for ca in &pins.cas {
        roots.add(ca.clone()).map_err(|error| format!("the pinned CA cannot be used: {error}"))?;
    }
    let by_ca = match roots.is_empty() {
        true => None,
        false => {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(builder.build().map_err(|error| error.to_string())?)
        }
    };
    let verifier = Verifier { by_ca, spki_sha256: pins.spki_sha256.clone(), provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(certified) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would not look at the certificate again.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Why there is no connection, by the step that failed.
#[derive(Debug, thiserror::Error)]
pub enum DialFault {
    #[error("the name {host} has no address: {cause}")]
    Name { host: String, cause: io::Error },
    #[error("no connection to {address}: {cause}")]
    Connect { address: SocketAddr, cause: io::Error },
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    #[error("no connection within {CONNECT_S_MAX} s")]
    Timeout,
}

/// Resolves the gateway's name.
pub async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, DialFault> {
    let fault = |cause| DialFault::Name { host: target.host.clone(), cause };
    let found = tokio::net::lookup_host((target.bare_host(), target.port)).await.map_err(fault)?;
    let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if found.is_empty() { Err(fault(io::Error::other("no address"))) } else { Ok(found) }
}

/// Connects to the first address that takes it.
pub async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, DialFault> {
    let mut last = DialFault::Timeout;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(cause) => last = DialFault::Connect { address: *address, cause },
        }
    }
    Err(last)
}

/// Connects and shakes hands, within [`CONNECT_S_MAX`].
pub async fn dial(target: &Target, config: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, DialFault> {
    let dialled = async {
        let stream = connect(&addresses(target).await?).await?;
        handshake(target, config, stream).await
    };
    tokio::time::timeout(Duration::from_secs(CONNECT_S_MAX), dialled).await.unwrap_or(Err(DialFault::Timeout))
}

/// Shakes hands on a connection.
pub async fn handshake(
    target: &Target,
    config: &Arc<ClientConfig>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, DialFault> {
    let connector = TlsConnector::from(Arc::clone(config));
    connector.connect(target.name.clone(), stream).await.map_err(DialFault::Tls)
}

/// The error of the TLS library in an I/O error.
pub fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_an_https_authority() {
        for (text, authority, port) in [
            ("https://api.corp.example:8443", "api.corp.example:8443", 8443),
            ("https://api.corp.example/", "api.corp.example", 443),
            ("https://127.0.0.1:1", "127.0.0.1:1", 1),
            ("https://[::1]:8443", "[::1]:8443", 8443),
            ("https://[::1]", "[::1]", 443),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.authority(), target.port), (authority.to_owned(), port));
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
        for wrong in ["", "http://a:1", "https://", "https://a:x", "https://a/b", "https://u@a:1", "https://a:99999"] {
            let told = wrong.parse::<Target>().unwrap_err();
            assert_eq!(told.contains("by TLS alone"), wrong.starts_with("http:"), "{told}");
        }
    }

    #[test]
    fn pins_are_never_empty_and_well_formed() {
        assert!(Pins::new(Vec::new(), &[]).is_err());
        assert!(Pins::new(Vec::new(), &["AB".repeat(32)]).is_err());
        assert!(Pins::new(Vec::new(), &["ab".repeat(32)]).is_ok());
    }
}
