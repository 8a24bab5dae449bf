//! Nothing allocates on the permitted keep-alive path after warm-up: counted by this program's own allocator, per
//! thread, over a real connection.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]

mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::token::{Issuer, Keyset};
use policy::model::*;

/// Allocations of the worker's thread while counting is on.
static COUNTED: AtomicU64 = AtomicU64::new(0);
static COUNTING: AtomicBool = AtomicBool::new(false);

struct Counting;

thread_local! {
    static IS_WORKER: bool = std::thread::current().name().is_some_and(|name| name.starts_with("worker-"));
}

fn count() {
    if COUNTING.load(Ordering::Relaxed) && IS_WORKER.try_with(|is_worker| *is_worker).unwrap_or(false) {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as for our caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for our caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations per permitted keep-alive request: none. What is admitted here is the timers of the worker's tick, ten a
/// second however many requests there are.
const ALLOCATIONS_PER_REQUEST_MAX: f64 = 0.02;
/// With an assertion: what the library allocates for a signature (DER, which is mostly shorter than its buffer and moves
/// once more, and two numbers), and nothing of ours.
const ALLOCATIONS_PER_ASSERTION_MAX: f64 = 3.85;
const WARM_UP: usize = 1_000;
const REQUESTS: usize = 3_000;
/// Clients whose requests are under way together: so many that the worker sends their messages in a row.
const CLIENTS: usize = 32;

/// A token of the issuer, and the JWK Set that verifies it.
fn token() -> (String, String) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let jwks = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","x":"{x}","y":"{y}"}}]}}"#);
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#);
    let claims = r#"{"iss":"https://id.example","aud":"api","sub":"bot","scope":"all other","exp":4000000000}"#;
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    (format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())), jwks)
}

/// One named agent by token, with scope and two limits.
fn full(jwks: &str) -> (Policy, Arc<Issuer>) {
    let issuer = policy::model::Issuer {
        name: "id".into(),
        issuer: "https://id.example".into(),
        audience: vec!["api".into()],
        algorithms: vec![Algorithm::ES256],
        keys: Keys::Pinned { jwks: jwks.into() },
        introspection: None,
        scope_claim: Some("scope".into()),
        leeway_s: 0,
    };
    let limit = |name: &str, kind, unit| Limit { name: name.into(), kind, count: 4_000_000, unit, per: Per::Agent };
    let mut policy = world::public();
    policy.issuers = vec![issuer.clone()];
    policy.agents = vec![Agent {
        name: "bot".into(),
        identity: vec![Identity::Proofs(Proofs {
            token: Some(TokenProof { issuer: "id".into(), subject: Subject::Exactly("bot".into()), bound: None }),
            ..Proofs::default()
        })],
        scopes: vec!["all".into()],
        limits: vec![
            limit("hour", LimitKind::Quota, Unit::Hour),
            limit("minute", LimitKind::Rate { burst: 4_000_000 }, Unit::Minute),
        ],
    }];
    let keyset = Keyset::from_jwks(jwks, &issuer.algorithms).unwrap();
    (policy, Arc::new(Issuer::new(issuer, Some(Arc::new(keyset)))))
}

/// One test for both: they share one count.
#[test]
fn the_permitted_keep_alive_path_allocates_nothing_but_for_a_signature() {
    let plain = least(world::start, ALLOCATIONS_PER_REQUEST_MAX);
    assert!(plain <= ALLOCATIONS_PER_REQUEST_MAX, "{plain} allocations a request");
    let asserted = least(world::start_asserting, ALLOCATIONS_PER_ASSERTION_MAX);
    assert!(asserted <= ALLOCATIONS_PER_ASSERTION_MAX, "{asserted} allocations a request with an assertion");
}

/// Starts a worker that serves a policy, with an origin and issuers.
type Start = fn(&Policy, std::net::SocketAddr, Vec<Arc<Issuer>>) -> world::World;

/// Connections of a machine that stood still meanwhile have rested, and take their page again: then it is counted anew.
fn least(start: Start, most: f64) -> f64 {
    let counts = std::iter::repeat_with(|| per_request(start)).take(3);
    let mut least = f64::MAX;
    for count in counts {
        least = least.min(count);
        if least <= most {
            break;
        }
    }
    least
}

fn per_request(start: Start) -> f64 {
    let (token, jwks) = token();
    let (policy, issuer) = full(&jwks);
    let all_there = Barrier::new(CLIENTS);
    let (origin, requests) = world::origin(move |_| {
        all_there.wait();
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
    });
    let world = start(&policy, origin, vec![issuer]);
    let request = format!(
        "POST /orders/7?x=1 HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\nContent-Length: 4\r\n\r\nbody"
    );
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| world.connect()).collect();
    // With pauses, because a worker finds out with its tick that it is busy.
    let mut send = |count: usize, pause_ms: u64| {
        for _ in 0..count / CLIENTS {
            clients.iter_mut().for_each(|client| client.write_all(request.as_bytes()).unwrap());
            for client in &mut clients {
                let response = world::read_until(client, "hello");
                assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
                requests.recv().unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        }
    };
    send(WARM_UP, 10);
    // Counting must be able to fail: a new connection allocates.
    COUNTING.store(true, Ordering::SeqCst);
    drop(world.connect());
    while COUNTED.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    COUNTING.store(false, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(300));
    COUNTED.store(0, Ordering::SeqCst);
    COUNTING.store(true, Ordering::SeqCst);
    send(REQUESTS, 3);
    COUNTING.store(false, Ordering::SeqCst);
    let per_request = COUNTED.load(Ordering::SeqCst) as f64 / REQUESTS as f64;
    println!("allocations per permitted keep-alive request: {per_request}");
    drop(clients);
    world.stop();
    per_request
}
