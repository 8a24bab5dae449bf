//! One bounded HTTP exchange with a transit engine: TLS (or loopback), a deadline, a limit to the answer, no redirects.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::TransitAddress;
use crate::files;

/// Bytes of an answer: a key with thousands of versions fits.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of a file with CA certificates.
const CA_BYTES_MAX: usize = 4 << 20;
/// From the first look-up to the last byte of the answer. Signing tens of MiB takes a while.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where systems keep the CAs that they trust (Debian, RHEL, SUSE, Alpine).
const SYSTEM_CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum HttpFault {
    #[error("cannot reach {authority}: {found}")]
    Reach { authority: String, found: String },
    #[error(
        "expected https://, or http:// to this machine itself, found http:// to {found}; the token would cross the \
         network in the clear"
    )]
    Plain { found: SocketAddr },
    #[error("the certificate of {authority} is not accepted: {found}")]
    Tls { authority: String, found: String },
    #[error("{}: {found}", path.display())]
    Ca { path: PathBuf, found: String },
    #[error("expected a file with the CAs of this machine, found none; give the server's CA with --ca FILE")]
    NoCa,
    #[error("expected an answer of {authority} within {} s, found none", EXCHANGE_TIMEOUT.as_secs())]
    Timeout { authority: String },
    #[error("expected an HTTP answer of {authority} of at most {ANSWER_BYTES_MAX} bytes: {found}")]
    Answer { authority: String, found: String },
}

/// Sends `request` and takes in the whole answer.
pub fn exchange(
    address: &TransitAddress,
    ca: Option<&Path>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), HttpFault> {
    let authority = address.authority();
    let unusable = |error: std::io::Error| HttpFault::Reach { authority: authority.clone(), found: error.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unusable)?;
    runtime.block_on(async {
        let exchange = async {
            let stream = connect(address).await?;
            if !address.tls {
                return send(stream, request, &authority).await;
            }
            let tls = |found: String| HttpFault::Tls { authority: authority.clone(), found };
            let name = ServerName::try_from(address.host.clone()).map_err(|error| tls(error.to_string()))?;
            let connector = TlsConnector::from(Arc::new(config(ca)?));
            let stream = connector.connect(name, stream).await.map_err(|error| tls(error.to_string()))?;
            send(stream, request, &authority).await
        };
        let timeout = HttpFault::Timeout { authority: authority.clone() };
        tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or(Err(timeout))
    })
}

async fn connect(address: &TransitAddress) -> Result<TcpStream, HttpFault> {
    let reach = |found: String| HttpFault::Reach { authority: address.authority(), found };
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|error| reach(error.to_string()))?.collect();
    if let Some(far) = addresses.iter().find(|found| !address.tls && !found.ip().is_loopback()) {
        return Err(HttpFault::Plain { found: *far });
    }
    let mut why = "its name has no address".to_owned();
    for candidate in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = format!("{candidate}: {error}"),
            Err(_) => why = format!("{candidate}: no connection within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }
    Err(reach(why))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: Request<Full<Bytes>>,
    authority: &str,
) -> Result<(StatusCode, Bytes), HttpFault> {
    let fault =
        |error: &dyn std::fmt::Display| HttpFault::Answer { authority: authority.to_owned(), found: error.to_string() };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| fault(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| fault(&error))?.to_bytes()))
    };
    // The connection is driven beside the answer; how it ends afterwards is of no interest.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = driven => match never {},
    }
}

/// A request for `path` below `/v1/`.
pub fn request(address: &TransitAddress, path: &str) -> hyper::http::request::Builder {
    Request::builder()
        .uri(format!("/v1/{path}"))
        .header(header::HOST, address.authority())
        .header(header::USER_AGENT, concat!("adamant/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json")
}

fn config(ca: Option<&Path>) -> Result<ClientConfig, HttpFault> {
    let path = match ca {
        Some(path) => path,
        None => SYSTEM_CA_FILES.iter().map(Path::new).find(|path| path.is_file()).ok_or(HttpFault::NoCa)?,
    };
    let fault = |found: String| HttpFault::Ca { path: path.to_owned(), found };
    let pem = files::read(path, CA_BYTES_MAX).map_err(|error| fault(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| fault(format!("expected certificates in PEM: {error}")))?;
        let added = roots.add(certificate);
        // A bundle of the system may hold one that this library does not read; a file that was named may not.
        if ca.is_some() {
            added.map_err(|error| fault(format!("expected CA certificates: {error}")))?;
        }
    }
    if roots.is_empty() {
        return Err(fault("expected CA certificates in PEM, found none".into()));
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
