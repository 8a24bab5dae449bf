//! A worker in this process, before an origin that answers each request with what the test says.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use activation::Activation;
use activation::activation::{ListenerTls, Origin, OriginAddress, ReleaseFacts};
use activation::assertion::{Assertion, SigningKey};
use activation::counters::Arena;
use activation::injection::Injection;
use activation::ring::{DurableMark, RecordReader, rings};
use activation::stats::WorkerStats;
use activation::uses::{Uses, Words, key_names};
use arc_swap::ArcSwap;
use identity::certificate::CaSet;
use policy::compile::compile;
use policy::model::*;
use policy::table::Table;
use proxy::bound::Dpop;
use proxy::drain::Drain;
use proxy::settings::{Bounds, Listener, Settings, Timeouts};
use proxy::worker::{Handle, Seat, spawn};

/// A running worker.
pub struct World {
    pub address: SocketAddr,
    pub stats: Arc<WorkerStats>,
    pub records: RecordReader,
    pub drain: Arc<Drain>,
    pub handle: Handle,
}

/// A policy with one public route to one origin.
pub fn public() -> Policy {
    Policy {
        name: "test".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![],
        client_cas: vec![],
        origins: vec![model_origin()],
        routes: vec![Route {
            name: "all".into(),
            host: "*".into(),
            methods: Methods::Any,
            path: "/{rest...}".into(),
            origin: "o".into(),
            encoded_slash: false,
            path_parameters: false,
        }],
        scopes: vec![Scope { name: "all".into(), routes: vec!["all".into()] }],
        agents: vec![Agent {
            name: "everyone".into(),
            identity: vec![Identity::Anonymous],
            scopes: vec!["all".into()],
            limits: vec![],
        }],
        api_keys: vec![],
    }
}

fn model_origin() -> policy::model::Origin {
    policy::model::Origin {
        name: "o".into(),
        addresses: vec!["127.0.0.1:1".into()],
        tls: None,
        pass_credentials: false,
        credential: None,
        assertion: None,
    }
}

/// Starts a worker that serves `policy` with its one origin at `origin`.
pub fn start(policy: &Policy, origin: SocketAddr, issuers: Vec<Arc<identity::token::Issuer>>) -> World {
    start_with(policy, origin, issuers, Arc::new(CaSet::new(vec![]).unwrap()), None)
}

/// As `start`, with an origin that asks for assertions.
pub fn start_asserting(policy: &Policy, origin: SocketAddr, issuers: Vec<Arc<identity::token::Issuer>>) -> World {
    let key = Arc::new(SigningKey::generate().unwrap());
    let assertion = Some(Arc::new(Assertion { audience: "orders".into(), key }));
    start_all(policy, origin, issuers, Arc::new(CaSet::new(vec![]).unwrap()), None, assertion)
}

/// As `start`, with client CAs, and with TLS.
pub fn start_with(
    policy: &Policy,
    origin: SocketAddr,
    issuers: Vec<Arc<identity::token::Issuer>>,
    client_cas: Arc<CaSet>,
    tls: Option<ListenerTls>,
) -> World {
    start_all(policy, origin, issuers, client_cas, tls, None)
}

fn start_all(
    policy: &Policy,
    origin: SocketAddr,
    issuers: Vec<Arc<identity::token::Issuer>>,
    client_cas: Arc<CaSet>,
    tls: Option<ListenerTls>,
    assertion: Option<Arc<Assertion>>,
) -> World {
    let is_tls = tls.is_some();
    let image = sys::Image::new(&compile(policy, [7; 32]).unwrap()).unwrap();
    let table = Arc::new(Table::load(image).unwrap());
    let limits = Arc::new(Arena::new().slots(&table, 0).unwrap());
    let uses = Arc::new(uses(policy, &issuers));
    let activation = Activation {
        id: 1,
        release: ReleaseFacts {
            digest: "sha256:test".into(),
            policy_name: policy.name.clone(),
            version: 1,
            expires_s: None,
            signers: vec![],
        },
        audit: policy.audit,
        transport: policy.transport,
        table,
        table_sha256: "sha256:table".into(),
        limits,
        issuers,
        client_cas,
        api_keys: Arc::new([]),
        origins: vec![Arc::new(Origin {
            name: "o".into(),
            identity: 1,
            section: [0; 32],
            addresses: vec![OriginAddress { socket: origin, server_name: None }],
            tls: None,
            pass_credentials: false,
            // The more costly way: what holds with a field of its own holds without.
            injected: Injection::new(b"x-origin-key", b"Bearer s3cr3t").ok().map(Arc::new),
            assertion,
        })],
        listeners: vec![tls.map(Arc::new)],
        challenges: None,
        ended: Arc::default(),
        revoked: Arc::default(),
        filled: Arc::default(),
        uses,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stats = Arc::new(WorkerStats::new(0));
    let (writer, records) = rings(1 << 20, 1 << 18, Arc::clone(&stats));
    let drain = Drain::new();
    let seat = Seat {
        index: 0,
        core: None,
        listeners: vec![listener],
        activation: Arc::new(ArcSwap::from_pointee(activation)),
        records: writer,
        stats: Arc::clone(&stats),
        certificates: Arc::default(),
        drain: Arc::clone(&drain),
        durable: Arc::new(DurableMark::default()),
        random_seed: [3; 32],
        dpop: Arc::new(Dpop::new(1_024, false, [1, 2, 3, 4], &[5; 32])),
        inquiries: Arc::new(activation::inquiries::Inquiries::new(64, || {})),
    };
    let settings = Settings {
        bounds: Bounds::default(),
        timeouts: Timeouts::default(),
        listeners: vec![Listener {
            address,
            tls: is_tls,
            trusted_proxies: vec![],
            client_address: proxy::settings::ClientAddress::Forwarded,
            proxy_protocol: false,
        }],
        ring_entries: 256,
        dpop_nonce: false,
    };
    let handle = spawn(seat, Arc::new(settings)).unwrap();
    World { address, stats, records, drain, handle }
}

fn uses(policy: &Policy, issuers: &[Arc<identity::token::Issuer>]) -> Uses {
    let of_policy = Words::new(1, 1, policy.agents.len() + policy.api_keys.len());
    let of_keys = Words::new(2, 1, key_names(issuers).len());
    Uses::new(Arc::new(of_policy), policy.agents.len(), Arc::new(of_keys), issuers)
}

impl World {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Ends the worker and waits for it.
    pub fn stop(self) -> RecordReader {
        self.drain.begin(u64::MAX - 2_000_000_000);
        self.handle.join().unwrap();
        self.records
    }
}

/// An origin that gives each request (up to the end of its head, or what `whole` wants) to the test and writes the
/// answer it gets.
pub fn origin(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let (answer, seen) = (Arc::clone(&answer), seen.clone());
            std::thread::spawn(move || converse(stream, &*answer, &seen));
        }
    });
    (address, requests)
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&str) -> Vec<u8>, seen: &mpsc::Sender<String>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some(length) = whole(&bytes) {
            let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
            bytes.drain(..length);
            let reply = answer(&request);
            let _ = seen.send(request);
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Length of the first request in `bytes`, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let end = bytes[head..].windows(5).position(|five| five == b"0\r\n\r\n")?;
        return Some(head + end + 5);
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

/// Reads until `end` was seen.
pub fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while !bytes.windows(end.len()).any(|window| window == end.as_bytes()) {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) => panic!("waiting for {end:?} after {:?}: {error}", String::from_utf8_lossy(&bytes)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
