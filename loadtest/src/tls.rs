//! TLS as a client: configuration, and a connection over a socket that does not block.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::failure::Failure;
use crate::load::{ClientTls, Group};

/// Plain bytes that wait to be encrypted and sent, at most.
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// What all connections of a load share.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// `authority` is `host[:port]`: the host is the name that the server shall prove, if anything is checked.
    pub fn new(tls: &ClientTls, authority: &str) -> Result<Self, Failure> {
        Ok(Self { config: Arc::new(config(tls)?), name: server_name(authority)? })
    }

    pub fn connect(&self) -> Result<Box<ClientConnection>, rustls::Error> {
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        Ok(Box::new(connection))
    }
}

fn server_name(authority: &str) -> Result<ServerName<'static>, Failure> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let bad = |_| Failure::Argument { expected: "a host name that a certificate can have", found: host.to_owned() };
    ServerName::try_from(host.to_owned()).map_err(bad)
}

fn config(tls: &ClientTls) -> Result<ClientConfig, Failure> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if let Some(group) = tls.group {
        provider.kx_groups = vec![match group {
            Group::X25519 => kx_group::X25519,
            Group::P256 => kx_group::SECP256R1,
            Group::X25519MlKem768 => kx_group::X25519MLKEM768,
        }];
    }
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable("TLS"))?;
    let builder = match &tls.roots {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider))),
    };
    let mut config = match &tls.identity {
        Some(identity) => {
            let chain = certificates(&identity.chain)?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(unusable("client key"))?;
            builder.with_client_auth_cert(chain, key).map_err(unusable("client certificate"))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !tls.resumption {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn roots(pem: &str) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(unusable("certificate authority"))?;
    }
    Ok(store)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(unusable("PEM certificate"))?;
    if all.is_empty() {
        return Err(Failure::Argument { expected: "at least one PEM certificate", found: "none".into() });
    }
    Ok(all)
}

fn unusable<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Subject(format!("unusable {what}: {error}"))
}

/// Goes on with a handshake as far as the socket lets it; true once it is done.
pub fn shake(tls: &mut ClientConnection, socket: &mut (impl Read + Write)) -> io::Result<bool> {
    loop {
        flush(tls, socket)?;
        if !tls.is_handshaking() {
            return Ok(true);
        }
        match tls.read_tls(socket) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                if let Err(error) = tls.process_new_packets() {
                    let _ = tls.write_tls(socket); // the alert
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Takes plain bytes; how many were taken. [`flush`] sends them.
pub fn write(tls: &mut ClientConnection, from: &[u8]) -> io::Result<usize> {
    tls.writer().write(from)
}

/// Sends what is encrypted; false when the socket takes no more for now.
pub fn flush(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Plain bytes that came, 0 at the end; WouldBlock when there are none for now.
pub fn read(tls: &mut ClientConnection, socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
        if tls.read_tls(socket)? == 0 {
            return Ok(0);
        }
        tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}

#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
