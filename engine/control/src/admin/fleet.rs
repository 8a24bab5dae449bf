//! The status listener: the admin listener's answers for the rest of the fleet, behind mutual TLS alone.
//!
//! Certificate, key and client CA are read again when they change; a bad new one leaves the old in place. Sessions are
//! not resumed, so every connection shows its certificate.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use identity::certificate::{CaSet, ClientCa, ClientCaError};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::Acceptor;
use sha2::{Digest, Sha256};
use stores::seats::{Seat, Seats};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::attestation::Attester;
use super::{AdminError, Reach, on_thread, pause_after, serve_connection};
use crate::assemble::files::{self, FileError};
use crate::assemble::tls::{self, Tickets, TlsError};
use crate::assemble::{ChainFiles, ClientCertificates, ListenerFiles, MinimumVersion, hex};
use crate::bounds::{
    ADMIN_HEAD_BYTES_MAX, PEM_BYTES_MAX, STATUS_CONNECTION_S_MAX, STATUS_CONNECTIONS_MAX, STATUS_HANDSHAKE_S_MAX,
    STATUS_HANDSHAKES_PER_S_MAX, STATUS_STRANGERS_MAX, WATCH_INTERVAL_MS,
};
use crate::expiry::Ends;
use crate::moving::{Outcome, Rotation, Why};
use crate::records::Handle;
use crate::status::{CertificateStatus, Status};

/// Kinds of the lines of the rotation log.
const CERTIFICATE: &str = "status-certificate";
const CLIENT_CA: &str = "status-client-ca";
/// Why a connection was turned away: it did not come to a handshake with a good certificate in time; it gave way before that,
/// or after.
const HANDSHAKE: &str = "handshake";
const GAVE_WAY: &str = "gave-way";
const KNOWN_GAVE_WAY: &str = "known-gave-way";
const TURNED_AWAY: [&str; 3] = [HANDSHAKE, GAVE_WAY, KNOWN_GAVE_WAY];

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

impl StatusTlsError {
    /// Which of the two parts is not good.
    const fn of(&self) -> &'static str {
        match self {
            Self::File(_) | Self::ClientCa { .. } => CLIENT_CA,
            Self::Tls(_) => CERTIFICATE,
        }
    }
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
    /// The certificate, and the client CA.
    parts: [Part; 2],
    /// Of the certificate that is shown, by the path of its chain.
    shown: (String, CertificateStatus),
    /// The ends of the client CA's certificates.
    cas: Vec<Ends>,
}

/// What a rotation takes the place of.
struct Part {
    of: &'static str,
    /// The file.
    source: String,
    /// Over all that was read.
    content: [u8; 32],
    /// SHA-256 over the certificate that is shown, or over each that is trusted.
    thumbprints: Vec<String>,
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
    pub fn serve(self, status: Arc<Status>, records: Handle, worker_cores: Vec<usize>) -> Result<(), AdminError> {
        let attester = Attester::new(status, self.place.last_use);
        on_thread("status", worker_cores, move || self.accept(attester, records))
    }

    async fn accept(self, attester: Attester, records: Handle) -> io::Result<()> {
        let Self { listener, place, tls } = self;
        let status = Arc::clone(attester.status());
        tls.show(&status);
        let mut following = Following { place, tls, wrong: None, status, records };
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let hall = Arc::new(Hall {
            attester: Arc::new(attester),
            known: Mutex::new(Seats::new(STATUS_CONNECTIONS_MAX)),
            pace: tokio::sync::Mutex::new(Pace::new()),
        });
        hall.attester.status().moving().status_turned_away = TURNED_AWAY.map(|why| (why, 0)).into();
        let mut strangers = Seats::new(STATUS_STRANGERS_MAX);
        let mut looked = Instant::now();
        loop {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            if looked.elapsed() >= Duration::from_millis(WATCH_INTERVAL_MS) {
                looked = Instant::now();
                following.look();
            }
            let seat = strangers.take(Some(from.ip()));
            let (config, hall) = (Arc::clone(&following.tls.config), Arc::clone(&hall));
            tokio::spawn(async move { hall.serve(stream, from.ip(), seat, config).await });
        }
    }
}

/// Where connections are served. Those whose client has shown its certificate have seats of their own: nobody without one
/// takes them away.
struct Hall {
    attester: Arc<Attester>,
    known: Mutex<Seats>,
    pace: tokio::sync::Mutex<Pace>,
}

impl Hall {
    /// A client that misbehaves ends its own connection and is of no interest to anybody else.
    async fn serve(&self, stream: TcpStream, from: IpAddr, stranger: Seat, config: Arc<ServerConfig>) {
        let within = Duration::from_secs(STATUS_HANDSHAKE_S_MAX);
        let stream = match stranger.hold(tokio::time::timeout(within, self.handshake(stream, config))).await {
            Some(Ok(Ok(Some(stream)))) => stream,
            Some(_) => return self.count(HANDSHAKE),
            None => return self.count(GAVE_WAY),
        };
        let seat = self.known.lock().unwrap_or_else(PoisonError::into_inner).take(Some(from));
        let connection = serve_connection(stream, Arc::clone(&self.attester), Reach::Own);
        let within = Duration::from_secs(STATUS_CONNECTION_S_MAX);
        if seat.hold(tokio::time::timeout(within, connection)).await.is_none() {
            self.count(KNOWN_GAVE_WAY);
        }
    }

    fn count(&self, why: &'static str) {
        *self.attester.status().moving().status_turned_away.entry(why).or_default() += 1;
    }

    /// None: somebody spoke plain HTTP, and was told so.
    async fn handshake(
        &self,
        mut stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        // A handshake begins with 0x16 (RFC 8446 §5.1), a method with a letter.
        if !matches!(first, [b'A'..=b'Z']) {
            let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            self.pace.lock().await.wait().await;
            return hello.into_stream(config).await.map(Some);
        }
        let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{PLAIN}", PLAIN.len());
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What is not read by then would have the kernel throw the answer away.
        tokio::io::copy(&mut stream.take(ADMIN_HEAD_BYTES_MAX as u64), &mut tokio::io::sink()).await?;
        Ok(None)
    }
}

/// The files as they change.
struct Following {
    place: StatusPlace,
    tls: Loaded,
    /// What is not good now, and why.
    wrong: Option<(&'static str, String)>,
    status: Arc<Status>,
    records: Handle,
}

impl Following {
    /// Takes in what changed; tells once why it is not taken.
    fn look(&mut self) {
        match load(&self.place) {
            Ok(next) => self.take(next),
            Err(error) => self.refuse(error.of(), error.to_string()),
        }
    }

    fn take(&mut self, next: Loaded) {
        let wrong = self.wrong.take().map(|(of, _)| of);
        let mut is_new = false;
        for (before, after) in self.tls.parts.iter().zip(&next.parts) {
            let changed = before.content != after.content;
            is_new |= changed;
            if before.thumbprints != after.thumbprints {
                self.tell(after.of, Outcome::Taken, &before.thumbprints, &after.thumbprints);
            } else if changed || wrong == Some(after.of) {
                self.tell(after.of, Outcome::Unchanged, &[], &[]);
            }
        }
        if is_new {
            crate::info!("the status listener's certificate or client CA changed and was taken");
            self.tls = next;
        }
        if is_new || wrong.is_some() {
            self.tls.show(&self.status);
        }
    }

    fn refuse(&mut self, of: &'static str, why: String) {
        if self.wrong.as_ref().is_some_and(|(_, before)| *before == why) {
            return;
        }
        crate::error!("the status listener keeps its old certificate: {why}");
        self.tell(of, Outcome::Refused(&why), &[], &[]);
        let mut moving = self.status.moving();
        let shown = moving.certificates.entry(self.tls.shown.0.clone()).or_default();
        shown.failures += 1;
        shown.last_failure = Some(why.clone());
        drop(moving);
        self.wrong = Some((of, why));
    }

    fn tell(&self, of: &'static str, outcome: Outcome<'_>, old: &[String], new: &[String]) {
        let source = self.tls.parts.iter().find(|part| part.of == of).map_or("", |part| &part.source);
        Rotation { of, name: source, source, why: Why::Changed, outcome, old, new }.tell(&self.records);
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
    let certificate = Part {
        of: CERTIFICATE,
        source: loaded.chain.clone(),
        content: loaded.content,
        thumbprints: vec![loaded.status.sha256.clone()],
    };
    let trusted = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let client_ca = Part {
        of: CLIENT_CA,
        source: place.client_ca.display().to_string(),
        content: Sha256::digest(&pem).into(),
        thumbprints: trusted.map(|certificate| hex(&Sha256::digest(certificate))).collect(),
    };
    let cas = client_cas(&place.client_ca, &pem)?;
    let made = tls::listener_tls(0, &wanted, &[loaded], &cas, &Tickets::new()?)?;
    let mut config = ServerConfig::clone(&made.config);
    // No session comes back without its certificate being looked at.
    config.send_tls13_tickets = 0;
    let cas = cas.cas().iter().flat_map(|ca| Ends::of_ca(CLIENT_CA, client_ca.source.clone(), ca)).collect();
    Ok(Loaded { config: Arc::new(config), parts: [certificate, client_ca], shown, cas })
}

impl Loaded {
    /// Its end is told as that of every other certificate.
    fn show(&self, status: &Status) {
        let (chain, shown) = self.shown.clone();
        let mut moving = status.moving();
        let place = moving.certificates.entry(chain).or_default();
        *place = CertificateStatus { failures: place.failures, ..shown };
        moving.fleet_cas.clone_from(&self.cas);
    }
}

fn client_cas(path: &Path, pem: &[u8]) -> Result<Arc<CaSet>, StatusTlsError> {
    let fault = |cause| StatusTlsError::ClientCa { path: path.to_owned(), cause };
    let text = String::from_utf8_lossy(pem);
    let ca = ClientCa::from_pem("fleet", &text).map_err(fault)?;
    Ok(Arc::new(CaSet::new(vec![ca]).map_err(fault)?))
}

/// So many handshakes a second and no more: each costs a signature. Who comes later waits for those who came before, and says
/// hello first: silence takes nobody's turn.
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
