//! The status listener: the admin listener's answers for the rest of the fleet, behind mutual TLS alone.
//!
//! Certificate, key and client CA are read again when they change; a bad new one leaves the old in place. Sessions are
//! not resumed, so every connection shows its certificate.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use identity::certificate::{CaSet, ClientCa, ClientCaError};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::attestation::Attester;
use super::{AdminError, Reach, on_thread, pause_after, serve_connection};
use crate::assemble::files::{self, FileError};
use crate::assemble::tls::{self, Tickets, TlsError};
use crate::assemble::{ChainFiles, ClientCertificates, ListenerFiles, MinimumVersion};
use crate::bounds::{
    ADMIN_HEAD_BYTES_MAX, PEM_BYTES_MAX, STATUS_CONNECTION_S_MAX, STATUS_CONNECTIONS_MAX, STATUS_HANDSHAKE_S_MAX,
    STATUS_HANDSHAKES_PER_S_MAX, WATCH_INTERVAL_MS,
};
use crate::expiry::Ends;
use crate::status::{CertificateStatus, Status};

/// Where the status listener stands and whom it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPlace {
    pub address: SocketAddr,
    pub tls: ChainFiles,
    /// PEM file of the CAs whose client certificates are answered.
    pub client_ca: PathBuf,
    /// Whether `/last-use` is answered too.
    pub last_use: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StatusTlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{}: {cause}", .path.display())]
    ClientCa { path: PathBuf, cause: ClientCaError },
}

/// A bound status listener that nobody serves yet.
pub struct BoundStatus {
    listener: TcpListener,
    place: StatusPlace,
    tls: Loaded,
}

/// To whoever speaks without TLS.
const PLAIN: &str = "expected TLS, found plain HTTP: use https://, with a client certificate of the CA that client_ca under \
                     [status] names\n";

/// What its files hold.
struct Loaded {
    config: Arc<ServerConfig>,
    /// Over the bytes of all files.
    content: [u8; 32],
    /// Of the certificate that is shown, by the path of its chain.
    shown: (String, CertificateStatus),
    /// The ends of the client CA's certificates.
    cas: Vec<Ends>,
}

/// Reads the files without binding anything.
pub fn check(place: &StatusPlace) -> Result<(), StatusTlsError> {
    load(place).map(drop)
}

/// Reads the files and binds.
pub fn bind(place: &StatusPlace) -> Result<BoundStatus, AdminError> {
    let tls = load(place)?;
    let listener = TcpListener::bind(place.address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listener = listener.map_err(|cause| AdminError::BindStatus { address: place.address, cause })?;
    Ok(BoundStatus { listener, place: place.clone(), tls })
}

impl BoundStatus {
    /// Where it stands, with the port that was bound.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.place.address)
    }

    /// Serves on a new thread off `worker_cores`, until the process ends.
    pub fn serve(self, status: Arc<Status>, worker_cores: Vec<usize>) -> Result<(), AdminError> {
        let attester = Attester::new(status, self.place.last_use);
        on_thread("status", worker_cores, move || self.accept(attester))
    }

    async fn accept(self, attester: Attester) -> io::Result<()> {
        let Self { listener, place, mut tls } = self;
        tls.show(attester.status());
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let attester = Arc::new(attester);
        let seats = Arc::new(Semaphore::new(STATUS_CONNECTIONS_MAX));
        let mut pace = Pace::new();
        let mut looked = Instant::now();
        let mut complained = String::new();
        loop {
            pace.wait().await;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            if looked.elapsed() >= Duration::from_millis(WATCH_INTERVAL_MS) {
                looked = Instant::now();
                follow(&place, &mut tls, &mut complained, attester.status());
            }
            // Too many at once: this one is closed.
            let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
            let (acceptor, attester) = (TlsAcceptor::from(Arc::clone(&tls.config)), Arc::clone(&attester));
            tokio::spawn(async move {
                let _seat = seat;
                serve_one(stream, acceptor, attester).await;
            });
        }
    }
}

/// A client that misbehaves ends its own connection and is of no interest to anybody else.
async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, attester: Arc<Attester>) {
    let handshake = tokio::time::timeout(Duration::from_secs(STATUS_HANDSHAKE_S_MAX), handshake(stream, acceptor));
    if let Ok(Ok(Some(stream))) = handshake.await {
        let connection = serve_connection(stream, attester, Reach::Own);
        let _ = tokio::time::timeout(Duration::from_secs(STATUS_CONNECTION_S_MAX), connection).await;
    }
}

/// None: somebody spoke plain HTTP, and was told so.
async fn handshake(mut stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A handshake begins with 0x16 (RFC 8446 §5.1), a method with a letter.
    if !matches!(first, [b'A'..=b'Z']) {
        return acceptor.accept(stream).await.map(Some);
    }
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{PLAIN}", PLAIN.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // What is not read by then would have the kernel throw the answer away.
    tokio::io::copy(&mut stream.take(ADMIN_HEAD_BYTES_MAX as u64), &mut tokio::io::sink()).await?;
    Ok(None)
}

/// Takes in files that changed; tells once why they are not taken.
fn follow(place: &StatusPlace, tls: &mut Loaded, complained: &mut String, status: &Status) {
    match load(place) {
        Ok(next) => {
            if next.content != tls.content {
                crate::info!("the status listener's certificate or client CA changed and was taken");
                *tls = next;
                tls.show(status);
            }
            complained.clear();
        }
        Err(error) => {
            let why = error.to_string();
            if why != *complained {
                crate::error!("the status listener keeps its old certificate: {why}");
                let mut moving = status.moving();
                let shown = moving.certificates.entry(tls.shown.0.clone()).or_default();
                shown.failures += 1;
                shown.last_failure = Some(why.clone());
                *complained = why;
            }
        }
    }
}

fn load(place: &StatusPlace) -> Result<Loaded, StatusTlsError> {
    let wanted = ListenerFiles {
        certificates: vec![place.tls.clone()],
        awaited: Vec::new(),
        client_certificates: ClientCertificates::Required,
        min_version: MinimumVersion::Tls13,
    };
    let loaded = tls::load(&place.tls)?;
    let shown = (loaded.chain.clone(), loaded.status.clone());
    let pem = files::read(&place.client_ca, PEM_BYTES_MAX)?;
    let content: [u8; 32] = Sha256::new().chain_update(loaded.content).chain_update(&pem).finalize().into();
    let cas = client_cas(&place.client_ca, &pem)?;
    let made = tls::listener_tls(0, &wanted, &[loaded], &cas, &Tickets::new()?)?;
    let mut config = ServerConfig::clone(&made.config);
    // No session comes back without its certificate being looked at.
    config.send_tls13_tickets = 0;
    let cas =
        cas.cas().iter().flat_map(|ca| Ends::of_ca("status-client-ca", place.client_ca.display().to_string(), ca));
    Ok(Loaded { config: Arc::new(config), content, shown, cas: cas.collect() })
}

impl Loaded {
    /// Its end is told as that of every other certificate.
    fn show(&self, status: &Status) {
        let (chain, shown) = self.shown.clone();
        let mut moving = status.moving();
        moving.certificates.insert(chain, shown);
        moving.fleet_cas.clone_from(&self.cas);
    }
}

fn client_cas(path: &Path, pem: &[u8]) -> Result<Arc<CaSet>, StatusTlsError> {
    let fault = |cause| StatusTlsError::ClientCa { path: path.to_owned(), cause };
    let text = String::from_utf8_lossy(pem);
    let ca = ClientCa::from_pem("fleet", &text).map_err(fault)?;
    Ok(Arc::new(CaSet::new(vec![ca]).map_err(fault)?))
}

/// So many handshakes a second and no more: each costs a signature. Whoever comes later waits in the kernel's queue.
struct Pace {
    second: Instant,
    begun: u32,
}

impl Pace {
    fn new() -> Self {
        Self { second: Instant::now(), begun: 0 }
    }

    async fn wait(&mut self) {
        if self.begun >= STATUS_HANDSHAKES_PER_S_MAX {
            tokio::time::sleep_until(self.second + Duration::from_secs(1)).await;
        }
        if self.second.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.begun += 1;
    }
}
