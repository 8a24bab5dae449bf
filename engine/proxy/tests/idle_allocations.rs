//! What a connection that waits holds: live bytes of the worker's heap, counted by this program's own allocator. What C
//! code allocates and what an allocator loses between its size classes is not in it; `loadtest compare --only idle`
//! measures the whole.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]

mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use activation::activation::ListenerTls;
use identity::certificate::{CaSet, ClientAuthentication, ClientCa, ClientVerifier, ServerNames};
use policy::model::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// Bytes that worker threads allocated and nobody freed yet.
static LIVE: AtomicI64 = AtomicI64::new(0);

struct Counting;

thread_local! {
    static IS_WORKER: bool = std::thread::current().name().is_some_and(|name| name.starts_with("worker-"));
}

fn count(bytes: i64) {
    if IS_WORKER.try_with(|is_worker| *is_worker).unwrap_or(false) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Blocks of a page begin where a page does, as in the gateway's allocator.
fn aligned(layout: Layout) -> Layout {
    if layout.size() == PAGE_BYTES { layout.align_to(PAGE_BYTES).unwrap_or(layout) } else { layout }
}

// SAFETY: every call goes to the system's allocator, with the same layout for the same block.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as for our caller.
        unsafe { System.alloc(aligned(layout)) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as for our caller.
        unsafe { System.dealloc(pointer, aligned(layout)) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PAGE_BYTES: usize = 4096;

/// Live bytes of a plain connection that waits, with what it must remember to be ended by a revocation.
const PLAIN_BYTES_MAX: i64 = 896;
/// The same with TLS 1.3 and a client certificate. A page of it is rustls' buffer, which goes back to the kernel after a while.
const MTLS_BYTES_MAX: i64 = 8_500;

/// Connections before counting begins, and those counted: as many as the tables that double with them had doubled for.
const FIRST: usize = 64;
const COUNTED: usize = 400;

const REQUEST: &[u8] = b"GET /orders/7 HTTP/1.1\r\nHost: api.example\r\nUser-Agent: test\r\n\r\n";

fn ask<S: Read + Write>(mut stream: S) -> S {
    stream.write_all(REQUEST).unwrap();
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while !received.ends_with(b"hello") {
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "closed instead of answered");
        received.extend_from_slice(&chunk[..read]);
    }
    stream
}

/// Opens many connections and leaves them; also gives the bytes that each adds: once it is no more than `most`, or after a while.
fn leave<C>(most: i64, open: impl Fn() -> C) -> (Vec<C>, i64) {
    let settle = || std::thread::sleep(std::time::Duration::from_millis(300));
    let mut held: Vec<C> = (0..FIRST).map(|_| open()).collect();
    settle();
    let before = LIVE.load(Ordering::SeqCst);
    held.extend((0..COUNTED).map(|_| open()));
    settle();
    let each = || (LIVE.load(Ordering::SeqCst) - before) / COUNTED as i64;
    for _ in 0..1_000 {
        if each() <= most {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    (held, each())
}

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE_BYTES
}

/// Waits until a good part of the connections gave their page back.
fn await_rest(busy: usize) {
    for _ in 0..1_000 {
        if resident() + FIRST * PAGE_BYTES < busy {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("expected less than {busy} bytes resident once the connections rest, found {}", resident());
}

/// A TLS listener as the gateway makes one, the CA of its clients, and a client.
fn mtls() -> (Arc<CaSet>, ListenerTls, Arc<ClientConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let issue = |name: &str, usage| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer).unwrap().into();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    };
    let (server, server_key) = issue("api.example", ExtendedKeyUsagePurpose::ServerAuth);
    let (agent, agent_key) = issue("agent.example", ExtendedKeyUsagePurpose::ClientAuth);
    let cas = Arc::new(CaSet::new(vec![ClientCa::from_pem("agents", &ca.pem()).unwrap()]).unwrap());
    let provider = Arc::new(default_provider());
    let names = Arc::new([ServerNames::from_der(&server).unwrap()]);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(ClientVerifier::new(Arc::clone(&cas), ClientAuthentication::Required)))
        .with_single_cert(vec![server], server_key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = Ticketer::new().unwrap();
    config.send_tls13_tickets = 1;
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![agent], agent_key)
        .unwrap();
    client.resumption = rustls::client::Resumption::disabled();
    (cas, ListenerTls { config: Arc::new(config), names }, Arc::new(client))
}

#[test]
fn a_connection_that_waits_holds_little() {
    let (origin, _requests) = world::origin(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec());
    let world = world::start(&world::public(), origin, vec![]);
    let (held, plain) = leave(PLAIN_BYTES_MAX, || ask(world.connect()));
    drop(held);
    world.stop();

    let (origin, _requests) = world::origin(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec());
    let mut policy = world::public();
    policy.transport = MinimumTransport::Mtls;
    let (cas, tls, client) = mtls();
    let world = world::start_with(&policy, origin, vec![], cas, Some(tls));
    let (held, mtls) = leave(MTLS_BYTES_MAX, || {
        let name = "api.example".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&client), name).unwrap();
        ask::<StreamOwned<ClientConnection, TcpStream>>(StreamOwned::new(connection, world.connect()))
    });
    // Busy again, then quiet, then asked once more.
    let held: Vec<_> = held.into_iter().map(ask).collect();
    await_rest(resident());
    held.into_iter().map(ask).for_each(drop);
    world.stop();
    println!("bytes of a waiting connection: plain {plain}, mTLS {mtls}");
    assert!(plain <= PLAIN_BYTES_MAX, "{plain}");
    assert!(mtls <= MTLS_BYTES_MAX, "{mtls}");
}
