//! The life of a client connection: handshake, then sessions with idle times between them. While idle it holds no
//! block, and nothing but a poll in the ring.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::Arc;

use activation::activation::{ACME_ALPN, ListenerTls};
use activation::record::Transport as TransportKind;
use identity::certificate::ServerNames;
use monoio::net::TcpStream;
use policy::reason::Reason;
use rustls::{HandshakeKind, ProtocolVersion};

use crate::certified::{Judge, Standing};
use crate::deadline::{Deadline, Direction, Owner, Stage};
use crate::identify::PeerCertificate;
use crate::linger::linger;
use crate::pooled::Pooled;
use crate::revoked::{Stands, Sweep};
use crate::transport::{self, Interest, Tcp, Tls, Transport};
use crate::worker::Worker;

/// A connection that was just accepted.
pub struct Arrival {
    pub stream: StdStream,
    pub peer: SocketAddr,
    pub listener: u16,
    pub counted: Counted,
}

/// A client connection, ready for requests.
pub struct Connection<T> {
    pub transport: T,
    pub deadline: Deadline,
    /// Who connected, or whom its PROXY header names; IPv4-mapped addresses as IPv4.
    pub peer: IpAddr,
    pub listener: u16,
    pub kind: TransportKind,
    /// Boxed, as what follows: a plain connection has neither.
    pub certificate: Option<Box<PeerCertificate>>,
    /// Names that the certificate we served is good for, and the name that was asked for (TLS only).
    pub served: Option<Box<Served>>,
    pub requests: Cell<u64>,
    pub stands: Stands,
}

/// Under which names the connection was made.
pub struct Served {
    names: Arc<[ServerNames]>,
    /// SNI, lower-case.
    asked: Option<String>,
}

impl Served {
    /// Whether a request for `host` belongs on this connection: one certificate covers it and the name asked for.
    pub fn covers(&self, host: &[u8]) -> bool {
        let asked = self.asked.as_deref().unwrap_or_default();
        self.names.iter().any(|names| {
            names.covers(host) && (asked.is_empty() || asked.as_bytes() == host || names.covers(asked.as_bytes()))
        })
    }
}

/// What becomes of a connection after a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the next request.
    Wait,
    /// The last response said that it is the last: close in order.
    Close,
    /// Nothing more can be said to the client.
    Cut,
}

impl<T: Transport> Owner for Connection<T> {
    fn rest(&self) {
        self.transport.rest();
    }

    fn revoked(&self, sweep: &Sweep<'_>) -> Option<Reason> {
        sweep.ends(self)
    }

    fn judged(&self, judge: &mut Judge<'_>) -> Standing {
        match (&self.certificate, self.transport.peer_chain()) {
            (Some(certificate), Some(chain)) => judge.standing(certificate, &chain),
            _ => Standing::Over,
        }
    }

    fn finish(&self) {
        self.transport.finish();
    }
}

/// Counts a connection while it lives.
pub struct Counted {
    worker: Rc<Worker>,
}

impl Counted {
    pub fn new(worker: Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        worker.stats.connections_open.set(worker.connections.get() as u64);
        Self { worker }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.connections.set(worker.connections.get().saturating_sub(1));
        worker.stats.connections_open.set(worker.connections.get() as u64);
    }
}

/// How sessions on connections of type `T` are made and where they live.
pub struct Sessions<M, F> {
    make: M,
    places: Pooled<F>,
}

impl<M, F: Future<Output = Next>> Sessions<M, F> {
    pub fn new<T>(make: M) -> Self
    where
        M: Fn(Rc<Worker>, Rc<Connection<T>>) -> F,
    {
        Self { make, places: Pooled::default() }
    }
}

/// Serves a plain connection to its end.
pub async fn serve_plain<M, F>(worker: Rc<Worker>, arrival: Arrival, sessions: Rc<Sessions<M, F>>)
where
    M: Fn(Rc<Worker>, Rc<Connection<Tcp>>) -> F,
    F: Future<Output = Next>,
{
    let Arrival { stream, peer, listener, counted: _counted } = arrival;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let stream = Rc::new(stream);
    let deadline = worker.deadlines.slot(&stream);
    let Some(peer) = learn_peer(&worker, peer, listener, &stream, &deadline).await else { return };
    let connection = Rc::new(Connection {
        transport: Tcp::new(stream),
        deadline,
        peer,
        listener,
        kind: TransportKind::Plain,
        certificate: None,
        served: None,
        requests: Cell::new(0),
        stands: Stands::default(),
    });
    connection.deadline.belongs_to(&connection);
    run(&worker, &connection, &sessions).await;
}

/// Serves a TLS connection to its end.
pub async fn serve_tls<M, F>(worker: Rc<Worker>, arrival: Arrival, tls: Arc<ListenerTls>, sessions: Rc<Sessions<M, F>>)
where
    M: Fn(Rc<Worker>, Rc<Connection<Tls>>) -> F,
    F: Future<Output = Next>,
{
    let Arrival { stream, peer, listener, counted: _counted } = arrival;
    // Boxed: what a handshake needs must not stay with the connection.
    let connection = match Box::pin(shake_hands(&worker, stream, peer, listener, &tls)).await {
        Some(Shaken::Serves(connection)) => connection,
        Some(Shaken::Proven) => return,
        None => {
            worker.stats.handshakes_failed.add(1);
            return;
        }
    };
    worker.stats.handshakes.add(1);
    drop(tls);
    connection.deadline.belongs_to(&connection);
    if connection.certificate.is_some() {
        connection.deadline.is_certified();
    }
    run(&worker, &connection, &sessions).await;
}

/// Who the client is: the peer, or whom its PROXY header names; none when there should be a header and is not.
async fn learn_peer(
    worker: &Worker,
    peer: SocketAddr,
    listener: u16,
    stream: &TcpStream,
    deadline: &Deadline,
) -> Option<IpAddr> {
    let peer = peer.ip().to_canonical();
    let settings = worker.settings.listeners.get(usize::from(listener))?;
    if !settings.proxy_protocol {
        return Some(peer);
    }
    if !settings.trusted_proxies.iter().any(|network| network.contains(peer)) {
        return None;
    }
    deadline.set(Direction::Read, Stage::Handshake, worker.settings.timeouts.handshake_ms);
    let source = Box::pin(crate::proxy_header::receive(stream)).await.ok()?;
    deadline.clear();
    Some(source.unwrap_or(peer))
}

/// What a handshake was for.
enum Shaken {
    Serves(Rc<Connection<Tls>>),
    /// An ACME server has seen that the name is ours; that was all.
    Proven,
}

async fn shake_hands(
    worker: &Worker,
    stream: StdStream,
    peer: SocketAddr,
    listener: u16,
    tls: &ListenerTls,
) -> Option<Shaken> {
    let stream = Rc::new(TcpStream::from_std(stream).ok()?);
    let deadline = worker.deadlines.slot(&stream);
    let peer = learn_peer(worker, peer, listener, &stream, &deadline).await?;
    deadline.set(Direction::Read, Stage::Handshake, worker.settings.timeouts.handshake_ms);
    let challenges = worker.activation().challenges.clone();
    let session = transport::tls::accept(&stream, &tls.config, challenges.as_ref()).await.ok()?;
    let transport = Tls::new(stream, session.into());
    transport.handshake().await.ok()?;
    deadline.clear();
    if transport.session(|session| session.alpn_protocol() == Some(ACME_ALPN)) {
        transport.finish();
        return Some(Shaken::Proven);
    }
    let (kind, resumed, certificate, asked) = transport.session(|session| {
        let kind = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TransportKind::Tls12,
            _ => TransportKind::Tls13,
        };
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let certificate = session.peer_certificates().map(PeerCertificate::new);
        let asked = match session {
            rustls::Connection::Server(server) => server.server_name().map(str::to_ascii_lowercase),
            rustls::Connection::Client(_) => None,
        };
        (kind, resumed, certificate, asked)
    });
    if resumed {
        worker.stats.handshakes_resumed.add(1);
    }
    let certificate = match certificate {
        // A certificate that the handshake accepted but that cannot be read is not a proof of anything.
        Some(read) => Some(Box::new(read?)),
        None => None,
    };
    Some(Shaken::Serves(Rc::new(Connection {
        transport,
        deadline,
        peer,
        listener,
        kind,
        certificate,
        served: Some(Box::new(Served { names: Arc::clone(&tls.names), asked })),
        requests: Cell::new(0),
        stands: Stands::default(),
    })))
}

async fn run<T, M, F>(worker: &Rc<Worker>, connection: &Rc<Connection<T>>, sessions: &Sessions<M, F>)
where
    T: Transport,
    M: Fn(Rc<Worker>, Rc<Connection<T>>) -> F,
    F: Future<Output = Next>,
{
    loop {
        let stage = if connection.requests.get() == 0 { Stage::First } else { Stage::Idle };
        connection.deadline.set(Direction::Read, stage, worker.settings.timeouts.idle_ms);
        if connection.transport.ready(Interest::Read).await.is_err() {
            return;
        }
        let next = sessions.places.run(|| (sessions.make)(Rc::clone(worker), Rc::clone(connection))).await;
        match next {
            Next::Wait if worker.draining.get() || connection.deadline.is_over() => break,
            Next::Wait => {}
            Next::Close => break,
            Next::Cut => return,
        }
    }
    linger(&connection.transport, &connection.deadline).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::session;

    /// Bytes of a connection's future; it may grow only with a reason.
    const FUTURE_BYTES_MAX: usize = 1024;
    /// Bytes of a session's future, pooled.
    const SESSION_BYTES_MAX: usize = 4608;

    fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    fn sizes<M, F>(_: &Sessions<M, F>) -> (usize, usize)
    where
        M: Fn(Rc<Worker>, Rc<Connection<Tcp>>) -> F,
        F: Future<Output = Next>,
    {
        (size(serve_plain::<M, F>), size_of::<F>())
    }

    #[test]
    fn futures_stay_small() {
        let (connection, session) = sizes(&Sessions::new(session::<Tcp>));
        println!("connection {connection} bytes, session {session} bytes");
        assert!(connection <= FUTURE_BYTES_MAX, "{connection}");
        assert!(session <= SESSION_BYTES_MAX, "{session}");
    }
}
