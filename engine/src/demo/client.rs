//! The demo's agent: one request on one TLS connection, byte for byte as told.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::world::World;
use crate::failure::Failure;

/// The answer as it came.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("the demo's agent: {error}"))
}

/// Sends `request` to the gateway and reads until it closes the connection.
pub async fn send(world: &World, address: &str, certificate: bool, request: &str) -> Result<Answer, Failure> {
    let exchange = async {
        let connector = TlsConnector::from(Arc::new(config(world, certificate)?));
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let name = ServerName::try_from("localhost").map_err(failed)?;
        let mut stream = connector.connect(name, stream).await.map_err(failed)?;
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes).await {
            Ok(_) => Ok(bytes),
            Err(error) if bytes.is_empty() => Err(failed(error)),
            Err(_) => Ok(bytes),
        }
    };
    let bytes = tokio::time::timeout(Duration::from_secs(10), exchange)
        .await
        .map_err(|_| failed("no answer within 10 s"))??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| failed(format_args!("expected a response, found {head:?}")))?;
    Ok(Answer { status, head: head.to_owned(), body: body.trim_end().to_owned() })
}

fn config(world: &World, certificate: bool) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    for anchor in CertificateDer::pem_file_iter(world.path("servers-ca.pem")).map_err(failed)? {
        roots.add(anchor.map_err(failed)?).map_err(failed)?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    if !certificate {
        return Ok(builder.with_no_client_auth());
    }
    let chain = CertificateDer::pem_file_iter(world.path("agent.pem")).map_err(failed)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let key = PrivateKeyDer::from_pem_file(world.path("agent.key")).map_err(failed)?;
    builder.with_client_auth_cert(chain, key).map_err(failed)
}
