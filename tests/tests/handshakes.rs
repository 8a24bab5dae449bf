//! Clients that leave at every step of a real handshake with certificates, in either direction, leave nothing behind and hold up
//! nobody.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;
use tests::certificates::{Authority, Identity};
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::{descriptors, eventually, resident_anonymous_kib};

const HOST: &str = "api.test";
const BOT: &str = "spiffe://corp.test/bot";
const SOON: Duration = Duration::from_secs(60);
/// Fewer than the clients that leave: a place that is not given back is missed.
const CONNECTIONS_MAX: usize = 40;
/// Connections to the origin that the others may have opened meanwhile.
const DESCRIPTORS_MORE_MAX: usize = 6;
/// The allocator keeps some.
const RESIDENT_MORE_KIB_MAX: u64 = 6 << 10;

/// Where a client leaves: after so many bytes of its own, or of the gateway's.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Sent(usize),
    Taken(usize),
    Never,
}

/// How it leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// In both directions, with whatever is unread.
    Close,
    /// A reset.
    Reset,
    /// It sends no more, and reads on until the gateway closes.
    HalfClose,
}

const WAYS: [Leave; 3] = [Leave::Close, Leave::Reset, Leave::HalfClose];

struct Stage {
    gateway: Gateway,
    _origin: RecordingOrigin,
    servers: Authority,
    bot: Identity,
}

impl Stage {
    /// Where no handshake is to be ended for its time, though the machine stands still for a while.
    fn new() -> Self {
        Self::with("/{rest...}", "20s")
    }

    fn with(path: &str, handshake: &str) -> Self {
        let (servers, agents, origin) = (Authority::new("servers"), Authority::new("agents"), RecordingOrigin::start());
        let policy = PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("all", "*", path, "origin")
            .scope("all", &["all"])
            .client_ca("agents", "agents.pem")
            .agent("bot", &format!("{{ certificate = \"{BOT}\", ca = \"agents\" }}"), &["all"], &[]);
        let gateway = Deployment::new()
            .file("agents.pem", &agents.pem)
            .tls_listener(&servers.server(&[HOST]), "required")
            .with(&format!("[bounds]\nconnections_max = {CONNECTIONS_MAX}\n\n[timeouts]\nhandshake = \"{handshake}\""))
            .run(&policy.text());
        Self { gateway, _origin: origin, servers, bot: agents.spiffe(BOT) }
    }

    fn config(&self, version: &'static rustls::SupportedProtocolVersion, resumes: bool) -> Arc<ClientConfig> {
        let mut config = self.servers.client_config_of(Some(&self.bot), &[version]);
        if !resumes {
            Arc::make_mut(&mut config).resumption = Resumption::disabled();
        }
        config
    }

    fn status(&self, config: &Arc<ClientConfig>) -> u16 {
        Client::connect_tls(self.gateway.tls_address(), HOST, config).unwrap().exchange(get("/", "")).status
    }

    /// Has clients leave at all these places while others call: those are not held up, and nothing stays.
    fn leaves_nothing(&self, what: &str, config: &Arc<ClientConfig>, cuts: impl Iterator<Item = Cut>) {
        let (pid, address) = (self.gateway.pid(), self.gateway.tls_address());
        let others = self.config(&TLS13, true);
        assert_eq!(self.status(&others), 200);
        let before = (self.gateway.settled_descriptors(), resident_anonymous_kib(pid));
        let open = self.gateway.metric("connections_open");
        let ends = AtomicBool::new(false);
        let (left, slowest) = thread::scope(|scope| {
            let steady = scope.spawn(|| {
                let mut client = Client::connect_tls(address, HOST, &others).unwrap();
                let mut slowest = Duration::ZERO;
                while !ends.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    assert_eq!(client.exchange(get("/", "")).status, 200, "{what}: on an open connection");
                    assert_eq!(self.status(&others), 200, "{what}: on a new one");
                    slowest = slowest.max(begun.elapsed());
                    thread::sleep(Duration::from_millis(20));
                }
                slowest
            });
            let mut left = 0;
            for (cut, way) in cuts.zip(WAYS.iter().cycle()) {
                let socket = handshake_until(address, config, cut);
                leave(socket, *way);
                left += 1;
            }
            ends.store(true, Ordering::Relaxed);
            (left, steady.join().unwrap())
        });
        println!("{what}: {left} clients left; the others' slowest two requests took {slowest:?}");
        assert!(left > CONNECTIONS_MAX, "{what}: {left}");
        let closed = || self.gateway.metric("connections_open") <= open;
        assert!(eventually(SOON, closed), "{what}: {} connections stay open", self.gateway.metric("connections_open"));
        let returned = || descriptors(pid) <= before.0 + DESCRIPTORS_MORE_MAX;
        assert!(eventually(SOON, returned), "{what}: {} descriptors, {} before", descriptors(pid), before.0);
        let is_small = || resident_anonymous_kib(pid) <= before.1 + RESIDENT_MORE_KIB_MAX;
        assert!(eventually(SOON, is_small), "{what}: {} KiB, {} before", resident_anonymous_kib(pid), before.1);
        assert_eq!(self.gateway.metric("connections_refused_total"), 0.0, "{what}: there was room for everybody");
    }
}

/// Bytes of a whole handshake with one request and its response: sent, taken.
fn whole(stage: &Stage, config: &Arc<ClientConfig>) -> (usize, usize) {
    let mut exchange = Exchange::new(config);
    let mut socket = TcpStream::connect(stage.gateway.tls_address()).unwrap();
    assert!(exchange.run(&mut socket, Cut::Never), "it comes to its end");
    (exchange.sent, exchange.taken)
}

/// Runs a handshake and a request up to the cut.
fn handshake_until(address: SocketAddr, config: &Arc<ClientConfig>, cut: Cut) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    Exchange::new(config).run(&mut socket, cut);
    socket
}

fn leave(mut socket: TcpStream, way: Leave) {
    match way {
        Leave::Close => {}
        Leave::Reset => SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap(),
        Leave::HalfClose => {
            let _ = socket.shutdown(Shutdown::Write);
            // It must not hold a place until a time limit; whether that is so, the bound of connections shows.
            let _ = socket.set_read_timeout(Some(SOON));
            let _ = socket.read_to_end(&mut Vec::new());
        }
    }
}

/// A client's side, byte by byte.
struct Exchange {
    tls: ClientConnection,
    sent: usize,
    taken: usize,
    asked: bool,
}

impl Exchange {
    fn new(config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from(HOST).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { tls, sent: 0, taken: 0, asked: false }
    }

    /// Until the cut; whether the response came.
    fn run(&mut self, socket: &mut TcpStream, cut: Cut) -> bool {
        let (sent_max, taken_max) = match cut {
            Cut::Sent(bytes) => (bytes, usize::MAX),
            Cut::Taken(bytes) => (usize::MAX, bytes),
            Cut::Never => (usize::MAX, usize::MAX),
        };
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        loop {
            if !self.asked && !self.tls.is_handshaking() {
                self.asked = true;
                self.tls.writer().write_all(get("/", "").as_bytes()).unwrap();
            }
            let mut flight = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut flight).unwrap();
            }
            let goes = flight.len().min(sent_max - self.sent);
            socket.write_all(&flight[..goes]).unwrap();
            self.sent += goes;
            if self.sent == sent_max || self.taken == taken_max {
                return false;
            }
            let mut block = [0; 4_096];
            let room = block.len().min(taken_max - self.taken);
            let count = tests::stream::read(socket, &mut block[..room]).unwrap();
            assert_ne!(count, 0, "the gateway closes a connection that is in order, {cut:?}");
            self.taken += count;
            self.tls.read_tls(&mut &block[..count]).unwrap();
            let state = self.tls.process_new_packets().unwrap();
            let mut content = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut content).unwrap();
            if content.ends_with(b"ok") {
                return true;
            }
        }
    }
}

/// Every place, or, where that would take long, every few bytes.
fn places(bytes: usize, step: usize) -> impl Iterator<Item = usize> {
    let step = if std::env::var_os("FULL").is_some() { 1 } else { step };
    (0..bytes).step_by(step)
}

#[test]
fn clients_that_leave_at_each_byte_of_a_handshake() {
    let stage = Stage::new();
    for (what, version, resumes, step) in [
        ("TLS 1.3", &TLS13, false, 1),
        ("TLS 1.2", &TLS12, false, 7),
        ("TLS 1.3, resumed", &TLS13, true, 7),
        ("TLS 1.2, resumed", &TLS12, true, 7),
    ] {
        let config = stage.config(version, resumes);
        // The first one brings the ticket for those that resume.
        whole(&stage, &config);
        let before = stage.gateway.metric("handshakes_resumed_total");
        let (sent, taken) = whole(&stage, &config);
        assert_eq!(stage.gateway.metric("handshakes_resumed_total") > before, resumes, "{what}");
        println!("{what}: {sent} bytes sent, {taken} taken");
        stage.leaves_nothing(&format!("{what}, sending"), &config, places(sent, step).map(Cut::Sent));
        stage.leaves_nothing(&format!("{what}, taking"), &config, places(taken, step * 3).map(Cut::Taken));
    }
}

/// A client that stays and says no more has its time, and a place until then.
#[test]
fn clients_that_fall_silent_in_a_handshake_are_closed_in_time() {
    let stage = Stage::with("/{rest...}", "7s");
    let config = stage.config(&TLS13, false);
    let (sent, _) = whole(&stage, &config);
    let silent: Vec<TcpStream> = (0..CONNECTIONS_MAX - 8)
        .map(|at| handshake_until(stage.gateway.tls_address(), &config, Cut::Sent(at * sent / CONNECTIONS_MAX)))
        .collect();
    assert_eq!(stage.status(&config), 200, "others are served meanwhile");
    for mut socket in silent {
        socket.set_read_timeout(Some(SOON)).unwrap();
        let ended = socket.read_to_end(&mut Vec::new());
        assert!(!matches!(&ended, Err(error) if tests::stream::timed_out(error)), "{ended:?}");
    }
    assert!(eventually(SOON, || stage.gateway.metric("connections_open") == 0.0));
    assert_eq!(stage.gateway.metric("connections_refused_total"), 0.0);
    assert_eq!(stage.status(&config), 200);
}

/// A record that does not decrypt, behind an answer that was given before the content came: the broken session is no reason to
/// look for more without end, at the cost of everybody else's turn.
#[test]
fn a_broken_record_after_an_answer_stops_nobody() {
    let stage = Stage::with("/orders", "20s");
    let config = stage.config(&TLS13, false);
    let others = stage.config(&TLS13, true);
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut tls = rustls::ClientConnection::new(Arc::clone(&config), HOST.try_into().unwrap()).unwrap();
        let mut socket = TcpStream::connect(stage.gateway.tls_address()).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(b"POST /nothing HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403");
        let broken = [&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat();
        socket.write_all(&broken).unwrap();
        silent.push((tls, socket));
        // Said at once, and not when the silent one goes.
        assert_eq!(stage.status(&others), 403);
    }
    thread::sleep(Duration::from_millis(100));
    assert_eq!(stage.status(&others), 403);
}

#[test]
fn a_broken_record_while_a_connection_ends_stops_nobody() {
    let stage = Stage::with("/orders", "20s");
    let (config, others) = (stage.config(&TLS13, false), stage.config(&TLS13, true));
    for _ in 0..4 {
        let mut tls = rustls::ClientConnection::new(Arc::clone(&config), HOST.try_into().unwrap()).unwrap();
        let mut socket = TcpStream::connect(stage.gateway.tls_address()).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&answer));
        // All is said; the gateway waits for the end.
        socket.write_all(&[&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat()).unwrap();
        assert_eq!(stage.status(&others), 403);
    }
}
