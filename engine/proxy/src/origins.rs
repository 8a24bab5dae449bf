//! Connections to origins: a pool per worker and address, round robin over addresses, failed ones set aside a while.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use activation::activation::Origin;
use activation::stats::WorkerStats;
use ahash::AHashMap;
use monoio::net::TcpStream;
use policy::reason::Reason;

use crate::deadline::{Deadline, Deadlines};
use crate::settings::Settings;
use crate::transport::{Interest, Tcp, Tls, Transport};

/// How long a failed address is set aside, milliseconds.
const SET_ASIDE_MS: u64 = 5_000;

/// The origins of one worker.
pub struct Origins {
    settings: Arc<Settings>,
    stats: Arc<WorkerStats>,
    deadlines: Rc<Deadlines>,
    /// By `Origin::identity`.
    pools: RefCell<AHashMap<u64, Rc<Pool>>>,
    closed: Cell<bool>,
}

/// The addresses of one origin.
struct Pool {
    next: Cell<usize>,
    addresses: RefCell<Vec<Rc<Address>>>,
}

struct Address {
    socket: SocketAddr,
    in_use: Cell<usize>,
    set_aside_until_ms: Cell<u64>,
    /// Last used last.
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    link: Link,
    since_ms: u64,
}

/// A connection to an origin, in use by one exchange.
pub struct OriginConnection {
    link: Link,
    in_use: InUse,
}

/// The connection itself, in use or idle.
struct Link {
    transport: OriginTransport,
    deadline: Deadline,
}

enum OriginTransport {
    Tcp(Tcp),
    Tls(Box<Tls>),
}

/// Counts a connection in use with its address, from before it is opened.
struct InUse {
    address: Rc<Address>,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    Unreachable,
    Timeout,
    Tls,
    Full,
    /// The worker ends.
    Closed,
}

impl ConnectFault {
    pub fn reason(self) -> Reason {
        match self {
            Self::Unreachable => Reason::OriginUnreachable,
            Self::Timeout => Reason::OriginConnectTimeout,
            Self::Tls => Reason::OriginTlsFailed,
            Self::Full => Reason::Overloaded,
            Self::Closed => Reason::Draining,
        }
    }
}

impl Origins {
    pub fn new(settings: Arc<Settings>, stats: Arc<WorkerStats>, deadlines: Rc<Deadlines>) -> Self {
        Self { settings, stats, deadlines, pools: RefCell::default(), closed: Cell::new(false) }
    }

    /// A connection to `origin`: a pooled one, or a new one to the next address that answers. `fresh` takes no
    /// pooled one.
    pub async fn connection(&self, origin: &Origin, fresh: bool) -> Result<OriginConnection, ConnectFault> {
        if self.closed.get() {
            return Err(ConnectFault::Closed);
        }
        let pool = self.pool(origin);
        let count = pool.addresses.borrow().len();
        let mut fault = ConnectFault::Unreachable;
        for _ in 0..count.max(1) {
            let Some(index) = pool.turn(self.deadlines.now_ms()) else { break };
            let Some(address) = pool.addresses.borrow().get(index).cloned() else { break };
            if !fresh && let Some(connection) = self.pooled(&address) {
                return Ok(connection);
            }
            if address.in_use.get() >= self.settings.bounds.origin_connections_max {
                fault = ConnectFault::Full;
                continue;
            }
            let connected = self.connect(origin, index, &address).await;
            if self.closed.get() {
                return Err(ConnectFault::Closed);
            }
            match connected {
                Ok(connection) => return Ok(connection),
                Err(failed) => {
                    self.stats.origin_connects_failed.add(1);
                    address.set_aside_until_ms.set(self.deadlines.now_ms() + SET_ASIDE_MS);
                    fault = failed;
                }
            }
        }
        Err(fault)
    }

    /// Takes a connection back after a complete exchange.
    pub fn give_back(&self, connection: OriginConnection) {
        let OriginConnection { link, in_use } = connection;
        link.deadline.clear();
        let mut idle = in_use.address.idle.borrow_mut();
        if idle.len() < self.settings.bounds.origin_idle_max {
            idle.push(Idle { link, since_ms: self.deadlines.now_ms() });
        }
    }

    /// Closes connections that were idle for too long or that the origin closed, and forgets origins that are no longer
    /// named by `current`.
    pub fn tidy(&self, current: &[Arc<Origin>]) {
        let now_ms = self.deadlines.now_ms();
        let idle_max_ms = u64::from(self.settings.timeouts.origin_idle_ms);
        let mut closed = Vec::new();
        self.pools.borrow_mut().retain(|identity, pool| {
            for address in pool.addresses.borrow().iter() {
                let mut idle = address.idle.borrow_mut();
                closed.extend(idle.extract_if(.., |idle| {
                    now_ms.saturating_sub(idle.since_ms) >= idle_max_ms || idle.link.is_stale()
                }));
            }
            current.iter().any(|origin| origin.identity == *identity)
        });
    }

    /// Opens and lends no connection any more.
    pub fn close(&self) {
        self.closed.set(true);
        self.close_idle();
    }

    /// Closes every idle connection.
    pub fn close_idle(&self) {
        self.pools.borrow_mut().clear();
    }

    fn pool(&self, origin: &Origin) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(origin.identity).or_insert_with(|| Rc::new(Pool::default()));
        pool.follow(origin);
        Rc::clone(pool)
    }

    /// A pooled connection on which nothing has come since its last exchange: bytes that an origin sent unasked would be
    /// taken for the response to the next request.
    fn pooled(&self, address: &Rc<Address>) -> Option<OriginConnection> {
        loop {
            // The borrow ends before a stale connection is dropped.
            let idle = address.idle.borrow_mut().pop()?;
            if !idle.link.is_stale() {
                self.stats.origin_reuses.add(1);
                return Some(OriginConnection { link: idle.link, in_use: InUse::new(address) });
            }
        }
    }

    async fn connect(
        &self,
        origin: &Origin,
        index: usize,
        address: &Rc<Address>,
    ) -> Result<OriginConnection, ConnectFault> {
        let in_use = InUse::new(address);
        let limit = Duration::from_millis(u64::from(self.settings.timeouts.origin_connect_ms));
        let stream = match monoio::time::timeout(limit, TcpStream::connect_addr(address.socket)).await {
            Err(_) => return Err(ConnectFault::Timeout),
            Ok(Err(_)) => return Err(ConnectFault::Unreachable),
            Ok(Ok(stream)) => stream,
        };
        let _ = stream.set_nodelay(true);
        let stream = Rc::new(stream);
        let deadline = self.deadlines.slot(&stream);
        let transport = match &origin.tls {
            None => OriginTransport::Tcp(Tcp::new(stream)),
            Some(config) => {
                let named = origin.addresses.get(index).and_then(|address| address.server_name.clone());
                let name = named.ok_or(ConnectFault::Tls)?;
                let session = rustls::ClientConnection::new(Arc::clone(config), name).map_err(|_| ConnectFault::Tls)?;
                let tls = Tls::new(stream, session.into());
                match monoio::time::timeout(limit, tls.handshake()).await {
                    Err(_) => return Err(ConnectFault::Timeout),
                    Ok(Err(_)) => return Err(ConnectFault::Tls),
                    Ok(Ok(())) => OriginTransport::Tls(Box::new(tls)),
                }
            }
        };
        self.stats.origin_connects.add(1);
        Ok(OriginConnection { link: Link { transport, deadline }, in_use })
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { next: Cell::new(0), addresses: RefCell::default() }
    }
}

impl Pool {
    /// Takes over the origin's addresses where they changed; pooled connections to those that stay are kept.
    fn follow(&self, origin: &Origin) {
        let same = {
            let ours = self.addresses.borrow();
            ours.len() == origin.addresses.len()
                && ours.iter().zip(&origin.addresses).all(|(ours, theirs)| ours.socket == theirs.socket)
        };
        if same {
            return;
        }
        let mut ours = self.addresses.borrow_mut();
        let before = std::mem::take(&mut *ours);
        ours.extend(origin.addresses.iter().map(|theirs| {
            let kept = before.iter().find(|address| address.socket == theirs.socket);
            kept.cloned().unwrap_or_else(|| Rc::new(Address::new(theirs.socket)))
        }));
    }

    /// The next address that is not set aside; when all are, the one that comes back first.
    fn turn(&self, now_ms: u64) -> Option<usize> {
        let addresses = self.addresses.borrow();
        let count = addresses.len();
        let from = self.next.get();
        let order = (0..count).map(|step| (from + step) % count);
        let chosen = order
            .clone()
            .find(|index| addresses.get(*index).is_some_and(|address| address.set_aside_until_ms.get() <= now_ms))
            .or_else(|| {
                order.min_by_key(|index| addresses.get(*index).map(|address| address.set_aside_until_ms.get()))
            })?;
        self.next.set((chosen + 1) % count);
        Some(chosen)
    }
}

impl Address {
    fn new(socket: SocketAddr) -> Self {
        Self { socket, in_use: Cell::new(0), set_aside_until_ms: Cell::new(0), idle: RefCell::default() }
    }
}

impl InUse {
    fn new(address: &Rc<Address>) -> Self {
        address.in_use.set(address.in_use.get() + 1);
        Self { address: Rc::clone(address) }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.address.in_use.set(self.address.in_use.get().saturating_sub(1));
    }
}

impl OriginConnection {
    pub fn socket(&self) -> SocketAddr {
        self.in_use.address.socket
    }

    pub fn deadline(&self) -> &Deadline {
        &self.link.deadline
    }
}

impl Link {
    fn is_stale(&self) -> bool {
        match &self.transport {
            OriginTransport::Tcp(tcp) => tcp.is_stale(),
            OriginTransport::Tls(tls) => tls.is_stale(),
        }
    }
}

impl Transport for OriginConnection {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.try_read(into),
            OriginTransport::Tls(tls) => tls.try_read(into),
        }
    }

    fn try_write(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.try_write(from),
            OriginTransport::Tls(tls) => tls.try_write(from),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.try_flush(),
            OriginTransport::Tls(tls) => tls.try_flush(),
        }
    }

    async fn ready(&self, interest: Interest) -> io::Result<()> {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.ready(interest).await,
            OriginTransport::Tls(tls) => tls.ready(interest).await,
        }
    }

    fn finish(&self) {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.finish(),
            OriginTransport::Tls(tls) => tls.finish(),
        }
    }

    fn try_discard(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.try_discard(into),
            OriginTransport::Tls(tls) => tls.try_discard(into),
        }
    }

    fn reset(&self) {
        match &self.link.transport {
            OriginTransport::Tcp(tcp) => tcp.reset(),
            OriginTransport::Tls(tls) => tls.reset(),
        }
    }

    fn is_stale(&self) -> bool {
        self.link.is_stale()
    }
}
