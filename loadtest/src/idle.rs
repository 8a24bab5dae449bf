//! Memory of idle keep-alive connections: resident memory before and after opening many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::failure::Failure;
use crate::measure;
use crate::wire::{self, Target};

/// How long the subject is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Memory of one idle connection.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Idle {
    pub connections: usize,
    pub bytes_per_connection: f64,
}

enum Held {
    Plain { _socket: TcpStream },
    Tls { _stream: Box<StreamOwned<ClientConnection, TcpStream>> },
}

/// Opens `count` connections, sends one request on each, leaves them open, and reads how much memory `pid` grew.
/// Some connections are opened and left first, so that what is allocated once is not counted.
pub fn measure(target: &Target, count: usize, fields: &[String], pid: u32) -> Result<Idle, Failure> {
    measure::raise_descriptor_limit()?;
    let request = target.request(fields);
    let config = Arc::new(trusting_config()?);
    let warm: Vec<Held> = (0..count.min(64)).map(|_| open(target, &request, &config)).collect::<Result<_, _>>()?;
    thread::sleep(SETTLE);
    let before = measure::resident_bytes(pid)?;
    let held: Vec<Held> = (0..count).map(|_| open(target, &request, &config)).collect::<Result<_, _>>()?;
    thread::sleep(SETTLE);
    let after = measure::resident_bytes(pid)?;
    drop((warm, held));
    Ok(Idle { connections: count, bytes_per_connection: (after as f64 - before as f64) / count as f64 })
}

fn open(target: &Target, request: &[u8], config: &Arc<ClientConfig>) -> Result<Held, Failure> {
    let socket =
        TcpStream::connect(target.address).map_err(Failure::io(format!("connection to {}", target.address)))?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(Failure::io("an idle connection"))?;
    if !target.tls {
        let mut socket = socket;
        exchange(&mut socket, request)?;
        return Ok(Held::Plain { _socket: socket });
    }
    let host = target.authority.split(':').next().unwrap_or_default().to_owned();
    let name = ServerName::try_from(host).map_err(|error| Failure::Subject(error.to_string()))?;
    let connection =
        ClientConnection::new(Arc::clone(config), name).map_err(|error| Failure::Subject(error.to_string()))?;
    let mut stream = Box::new(StreamOwned::new(connection, socket));
    exchange(&mut *stream, request)?;
    Ok(Held::Tls { _stream: stream })
}

fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Result<(), Failure> {
    stream.write_all(request).and_then(|()| stream.flush()).map_err(Failure::io("a request on an idle connection"))?;
    let mut received = Vec::new();
    let mut block = [0; 4_096];
    while wire::response(&received)?.is_none() {
        let count = stream.read(&mut block).map_err(Failure::io("the response on an idle connection"))?;
        if count == 0 {
            return Err(Failure::Subject("the connection was closed instead of answered".into()));
        }
        received.extend_from_slice(block.get(..count).unwrap_or_default());
    }
    Ok(())
}

/// Trusts any certificate: the load generator checks nothing but cost.
fn trusting_config() -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Subject(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
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
