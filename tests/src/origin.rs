//! A strict but transparent origin: records the raw bytes of every connection and what they mean, and answers as its
//! script says.

mod serve;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::answer::Answer;
use crate::process::free_port;
use crate::wire::{Field, RequestHead};

/// Raw bytes kept of one connection; what comes after is only counted.
pub const RAW_BYTES_MAX: usize = 4 << 20;

/// Longest wait of [`RecordingOrigin::wait_for`].
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A request as the origin understood it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub head: RequestHead,
    /// The first [`RAW_BYTES_MAX`] bytes of the content.
    pub content: Vec<u8>,
    pub content_bytes: u64,
    pub trailers: Vec<Field>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Whether all of its content came.
    pub complete: bool,
}

impl Recorded {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.head.value(name)
    }

    pub fn target(&self) -> String {
        self.head.target_text()
    }
}

/// One connection as the origin saw it.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub raw: Vec<u8>,
    pub raw_bytes: u64,
    pub open: bool,
    /// What was invalid, where something was.
    pub fault: Option<String>,
    taken: usize,
}

/// Decides the answer to a request from its head and its number (from 0, over all connections).
pub type Script = dyn Fn(&RequestHead, usize) -> Answer + Send + Sync;

#[derive(Default)]
struct Journal {
    connections: Vec<Connection>,
    requests: Vec<Recorded>,
    sockets: Vec<Option<TcpStream>>,
}

struct Shared {
    journal: Mutex<Journal>,
    script: Mutex<Arc<Script>>,
    stopping: AtomicBool,
    /// Read no content faster than this pause per 64 KiB block allows.
    read_pause: Mutex<Duration>,
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct RecordingOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl RecordingOrigin {
    /// Answers every request with `200` and the text `ok`.
    pub fn start() -> Self {
        Self::scripted(|_, _| Answer::text("ok"))
    }

    pub fn scripted(script: impl Fn(&RequestHead, usize) -> Answer + Send + Sync + 'static) -> Self {
        // Whoever stops it and starts another one there finds the port free.
        Self::bind(&format!("127.0.0.1:{}", free_port()), None, Arc::new(script))
    }

    pub fn tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&RequestHead, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::bind("127.0.0.1:0", Some(config), Arc::new(script))
    }

    /// An origin at an address that another one had.
    pub fn at(address: SocketAddr, script: impl Fn(&RequestHead, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::bind(&address.to_string(), None, Arc::new(script))
    }

    fn bind(address: &str, tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("origin cannot bind {address}: {error}"));
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            journal: Mutex::new(Journal::default()),
            script: Mutex::new(script),
            stopping: AtomicBool::new(false),
            read_pause: Mutex::new(Duration::ZERO),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, tls.as_ref())
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the script for the requests to come.
    pub fn answer_with(&self, script: impl Fn(&RequestHead, usize) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// From now on pauses after each block of content that it reads.
    pub fn read_slowly(&self, pause: Duration) {
        *self.shared.read_pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.journal().requests.clone()
    }

    /// Number of requests whose head came.
    pub fn count(&self) -> usize {
        self.shared.journal().requests.len()
    }

    pub fn connections(&self) -> Vec<Connection> {
        self.shared.journal().connections.clone()
    }

    pub fn open_connections(&self) -> usize {
        self.shared.journal().connections.iter().filter(|connection| connection.open).count()
    }

    /// Waits until `count` requests came whole, and gives all.
    pub fn wait_for(&self, count: usize) -> Vec<Recorded> {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let requests = self.requests();
            if requests.iter().filter(|request| request.complete).count() >= count {
                return requests;
            }
            assert!(Instant::now() < until, "{count} requests were to reach the origin, {requests:#?} did");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the head of the `count`-th request came.
    pub fn wait_for_head(&self, count: usize) {
        let until = Instant::now() + WAIT_MAX;
        while self.count() < count {
            assert!(Instant::now() < until, "{count} heads were to reach the origin, {} did", self.count());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The last request, where exactly `count` came.
    pub fn last_of(&self, count: usize) -> Recorded {
        let requests = self.wait_for(count);
        assert_eq!(requests.len(), count, "requests at the origin: {requests:#?}");
        requests.into_iter().next_back().expect("at least one request")
    }

    /// The raw bytes that each connection received since the last call, where there were any.
    pub fn take_raw(&self) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        for connection in &mut self.shared.journal().connections {
            if connection.raw.len() > connection.taken {
                taken.push(connection.raw[connection.taken..].to_vec());
                connection.taken = connection.raw.len();
            }
        }
        taken
    }

    /// Closes all connections from this side.
    pub fn close_connections(&self) {
        for socket in self.shared.journal().sockets.iter().flatten() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Stops listening and closes everything; the address can be bound again.
    pub fn stop(&mut self) {
        if self.shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.close_connections();
    }
}

impl Drop for RecordingOrigin {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, tls: Option<&Arc<ServerConfig>>) {
    for socket in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let number = {
            let mut journal = shared.journal();
            journal.connections.push(Connection { open: true, ..Connection::default() });
            journal.sockets.push(socket.try_clone().ok());
            journal.connections.len() - 1
        };
        let (shared, tls) = (Arc::clone(shared), tls.cloned());
        thread::spawn(move || {
            let fault = serve::connection(socket, tls.as_ref(), number, &shared).err();
            let mut journal = shared.journal();
            journal.sockets[number] = None;
            journal.connections[number].open = false;
            if let Some(serve::Fault::Invalid(why)) = fault {
                journal.connections[number].fault = Some(why);
            }
        });
    }
}
