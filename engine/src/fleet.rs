//! Asking gateways what they serve: over the admin listener of this machine, or over the status listener of another one.
//! An answer is believed only when the node's key signed it together with the nonce that was asked with.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use control::assemble::ChainFiles;
use control::assemble::tls::{self, TlsError};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use policy_release::attestation::{Attestation, AttestationFault, Nonce};
use policy_release::envelope::Kind;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stores::http::gathered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use crate::failure::Failure;
use crate::files;

pub mod expect;
pub mod judge;
pub mod jwks;
pub mod last_use;
pub mod pins;
pub mod show;

/// Time for one gateway to be reached and to answer.
pub const ANSWER_S_MAX: u64 = 5;
/// Gateways that are asked at the same time.
const ASKED_AT_ONCE_MAX: usize = 64;
/// Pause before a gateway that signs too much is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(1_100);
/// Bytes of a PEM file.
const PEM_BYTES_MAX: usize = 1 << 20;

/// A gateway, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    text: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// `HOST:PORT` of an admin listener.
    Plain(String),
    Unix(PathBuf),
    /// `HOST:PORT` of a status listener, and the name that its certificate must be for.
    Tls(String, ServerName<'static>),
}

/// How gateways are named.
pub const EXAMPLES: &str = "a gateway like http://127.0.0.1:9901, unix:/run/adamant/admin or https://gw1:9902";

/// What a status listener is asked with.
#[derive(Clone, Default)]
pub struct Access {
    connector: Option<TlsConnector>,
}

/// Why there is no answer to believe.
#[derive(Debug, thiserror::Error)]
pub enum FleetFault {
    #[error("cannot be reached: {0}")]
    Connect(io::Error),
    #[error("no answer within {ANSWER_S_MAX} s")]
    Timeout,
    #[error("a status listener is asked with a certificate: give --ca, --cert and --key")]
    NoAccess,
    #[error("no TLS with it: {0}; is --ca the CA of its certificate, and is that for the name that is asked?")]
    Tls(io::Error),
    #[error("it refuses our certificate ({0}): is --cert valid, and under its client_ca?")]
    Refused(String),
    #[error("no answer: {0}")]
    Http(String),
    #[error(
        "what it answers is no HTTP: does it speak TLS? A status listener does: https://…, with --ca, --cert and --key"
    )]
    NoHttp,
    #[error("expected an attestation, found status {status}: {said}")]
    Status { status: StatusCode, said: String },
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
    #[error(transparent)]
    Attestation(#[from] AttestationFault),
    #[error("expected the last uses of credentials, found status {status}: {said}")]
    NotTold { status: StatusCode, said: String },
    #[error("expected the last uses of credentials, found something else: {0}")]
    LastUse(serde_json::Error),
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected {EXAMPLES}, found {text:?}");
        let place = if let Some(path) = text.strip_prefix("unix:") {
            path.starts_with('/').then(|| Place::Unix(PathBuf::from(path)))
        } else if let Some(rest) = text.strip_prefix("http://") {
            host_and_port(rest).map(|_| Place::Plain(rest.trim_end_matches('/').to_owned()))
        } else if let Some(rest) = text.strip_prefix("https://") {
            host_and_port(rest).and_then(|(host, _)| {
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
                Some(Place::Tls(rest.trim_end_matches('/').to_owned(), name))
            })
        } else {
            None
        };
        let place = place.map(|place| Self { text: text.to_owned(), place });
        // How `adamant diff` names one.
        let of_diff = text.strip_prefix("gateway:").filter(|rest| rest.parse::<Self>().is_ok());
        let is_relative = text.strip_prefix("unix:").is_some_and(|path| !path.starts_with('/'));
        place.ok_or_else(|| match of_diff {
            None if is_relative => format!("expected an absolute path after unix:, found {text:?}"),
            Some(rest) => format!("expected {rest}, found {text:?}: gateway: stands only where files could stand too"),
            None => expected(),
        })
    }
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.trim_end_matches('/').rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    port.parse().ok().filter(|_| plain).map(|port| (host, port))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Access {
    /// From the CA of the gateways' certificates, and the certificate and key that they let in.
    pub fn from_files(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, Failure> {
        let pem = files::read(ca, PEM_BYTES_MAX)?;
        let mut roots = RootCertStore::empty();
        for anchor in CertificateDer::pem_slice_iter(&pem) {
            let added = anchor
                .map_err(|error| error.to_string())
                .and_then(|anchor| roots.add(anchor).map_err(|error| error.to_string()));
            added.map_err(|why| Failure::at(ca, format_args!("expected CA certificates in PEM, found {why}")))?;
        }
        if roots.is_empty() {
            return Err(Failure::at(ca, "expected CA certificates in PEM, found none"));
        }
        let files = ChainFiles::given(certificate.to_owned(), key.to_owned());
        let (chain, secret) = tls::load_identity(&files).map_err(Failure::new)?;
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(Failure::new)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, secret.clone_key())
            .map_err(|why| {
                Failure::new(TlsError::Mismatch { chain: certificate.to_owned(), key: key.to_owned(), why })
            })?;
        Ok(Self { connector: Some(TlsConnector::from(Arc::new(config))) })
    }
}

/// Asks one gateway; takes at most [`ANSWER_S_MAX`] seconds. Whether its node key is one to believe is for the caller.
pub fn fetch(host: &Host, access: &Access) -> Result<Attestation, FleetFault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(FleetFault::Connect)?;
    runtime.block_on(ask(host, access))
}

/// Asks all of them, many at the same time; the answers in the order of `hosts`.
pub fn fetch_all(hosts: &[Host], access: &Access) -> Result<Vec<Result<Attestation, FleetFault>>, Failure> {
    of_all(hosts, |host| {
        let access = access.clone();
        async move { ask(&host, &access).await }
    })
}

fn of_all<T, F>(hosts: &[Host], ask: impl Fn(Host) -> F) -> Result<Vec<Result<T, FleetFault>>, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, FleetFault>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    runtime.block_on(async {
        let seats = Arc::new(Semaphore::new(ASKED_AT_ONCE_MAX));
        let ask_one = |host: &Host| {
            let (asking, seats) = (ask(host.clone()), Arc::clone(&seats));
            tokio::spawn(async move {
                let _seat = seats.acquire().await;
                asking.await
            })
        };
        let asked: Vec<_> = hosts.iter().map(ask_one).collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.map_err(Failure::new)?);
        }
        Ok(answers)
    })
}

async fn ask(host: &Host, access: &Access) -> Result<Attestation, FleetFault> {
    let asking = async {
        loop {
            match ask_once(host, access).await {
                // It signs so many a second and no more.
                Err(FleetFault::Status { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                answer => return answer,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asking).await.unwrap_or(Err(FleetFault::Timeout))
}

async fn ask_once(host: &Host, access: &Access) -> Result<Attestation, FleetFault> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(FleetFault::Randomness)?;
    let nonce = Nonce::new(random);
    let path = format!("/attestation?nonce={nonce}");
    let bytes = get_of(host, access, &path, Kind::Attestation.envelope_bytes_max()).await?;
    Ok(Attestation::open(&bytes, &nonce)?)
}

/// What a gateway answers at `path`, at most `bytes_max` bytes.
async fn get_of(host: &Host, access: &Access, path: &str, bytes_max: usize) -> Result<Bytes, FleetFault> {
    match &host.place {
        Place::Plain(address) => {
            let stream = TcpStream::connect(address).await.map_err(FleetFault::Connect)?;
            get(stream, address, path, bytes_max).await
        }
        Place::Unix(socket) => {
            let stream = UnixStream::connect(socket).await.map_err(FleetFault::Connect)?;
            get(stream, "admin", path, bytes_max).await
        }
        Place::Tls(address, name) => {
            let connector = access.connector.as_ref().ok_or(FleetFault::NoAccess)?;
            let stream = TcpStream::connect(address).await.map_err(FleetFault::Connect)?;
            let stream = connector.connect(name.clone(), stream).await.map_err(FleetFault::Tls)?;
            get(stream, address, path, bytes_max).await
        }
    }
}

async fn get<S>(stream: S, authority: &str, path: &str, bytes_max: usize) -> Result<Bytes, FleetFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let http = |error: hyper::Error| match error.is_parse() {
        true => FleetFault::NoHttp,
        false => refused_or(with_causes(&error)),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(http)?;
    // Its end is told by the request.
    tokio::spawn(async move { drop(connection.await) });
    let mut request = Request::get(path).body(Empty::new()).map_err(|error| FleetFault::Http(error.to_string()))?;
    let authority = HeaderValue::from_str(authority).map_err(|error| FleetFault::Http(error.to_string()))?;
    request.headers_mut().insert(HOST, authority);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let response = sender.send_request(request).await.map_err(http)?;
    let status = response.status();
    let content = gathered(response.into_body(), bytes_max).await;
    let content = content.map_err(|error| match error {
        Some(error) => refused_or(with_causes(&error)),
        None => FleetFault::Http(format!("expected at most {bytes_max} bytes, found more")),
    })?;
    if status == StatusCode::OK {
        return Ok(content);
    }
    let said = String::from_utf8_lossy(content.get(..content.len().min(200)).unwrap_or_default()).trim().to_owned();
    Err(FleetFault::Status { status, said })
}

/// In TLS 1.3 a server tells that it does not take our certificate when the handshake is over for us.
fn refused_or(why: String) -> FleetFault {
    match why.rsplit_once("received fatal alert: ") {
        Some((_, alert)) => FleetFault::Refused(alert.to_owned()),
        None => FleetFault::Http(why),
    }
}

/// The library tells the reason in the causes alone.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_three_forms() {
        for right in ["http://127.0.0.1:9901", "http://[::1]:9901/", "https://gw1:9902", "unix:/run/adamant/admin"] {
            assert_eq!(right.parse::<Host>().unwrap().to_string(), right);
        }
        for wrong in
            ["", "gw1", "gw1:9902", "http://gw1", "http://:1", "https://gw1:99999", "http://u@h:1", "ftp://h:1"]
        {
            let refused = wrong.parse::<Host>().unwrap_err();
            assert!(refused.contains("expected a gateway like") && refused.contains(wrong), "{refused}");
        }
        let refused = "unix:admin.sock".parse::<Host>().unwrap_err();
        assert_eq!(refused, "expected an absolute path after unix:, found \"unix:admin.sock\"");
        let refused = "gateway:http://127.0.0.1:9901".parse::<Host>().unwrap_err();
        assert!(refused.starts_with("expected http://127.0.0.1:9901, found"), "{refused}");
    }

    #[test]
    fn whoever_cannot_be_reached_is_told() {
        let nowhere = "unix:/nonexistent/socket".parse().unwrap();
        assert!(matches!(fetch(&nowhere, &Access::default()), Err(FleetFault::Connect(_))));
        let tls = "https://127.0.0.1:1".parse().unwrap();
        assert!(matches!(fetch(&tls, &Access::default()), Err(FleetFault::NoAccess)));
    }
}
