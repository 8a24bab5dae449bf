//! Certificates that move under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;

use crate::client::{Client, get};
use crate::gateway::Gateway;
use crate::process::eventually;

/// The name that the certificates are for.
pub const HOST: &str = "api.test";
/// What is waited for comes within: an order that failed is placed again after a minute.
const LOADED_MAX: Duration = Duration::from_secs(180);

/// The rotation log's entries of certificates that came from an issuer, or should have.
pub fn refreshes(gateway: &Gateway, outcome: &str) -> Vec<Value> {
    let is_it = |line: &Value| line["adamant.refresh.outcome"] == outcome;
    gateway.refreshes("obtained-certificate").into_iter().filter(is_it).collect()
}

/// The same, once there are `count` of them.
pub fn wait_for_refreshes(gateway: &Gateway, outcome: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let reached = eventually(LOADED_MAX, || {
        found = refreshes(gateway, outcome);
        found.len() >= count
    });
    assert!(reached, "{count} refreshes were to be {outcome}, {} were", found.len());
    found
}

/// Whether a request on a new connection passes.
pub fn serves(address: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    let connected = Client::connect_tls(address, HOST, config);
    connected.is_ok_and(|mut client| {
        client.try_send(get("/", "").as_bytes()).is_ok()
            && client.try_response_to("GET").is_ok_and(|of| of.status == 200)
    })
}

/// Sends requests, on one connection and on a new one for each, until there were many and something `happens`. None fails.
pub fn under_load(address: SocketAddr, config: &Arc<ClientConfig>, happens: impl FnMut() -> bool) {
    let (stop, kept, new) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let mut happens = happens;
    thread::scope(|scope| {
        let loading = scope.spawn(|| load(address, config, &stop, [&kept, &new]));
        let many = || kept.load(Ordering::Relaxed) > 100 && new.load(Ordering::Relaxed) > 50;
        let happened = eventually(LOADED_MAX, || loading.is_finished() || (many() && happens()));
        stop.store(true, Ordering::Relaxed);
        loading.join().expect("no request fails and no connection is lost");
        assert!(happened, "what was waited for under load does not happen");
    });
    let (kept, new) = (kept.into_inner(), new.into_inner());
    println!("{kept} requests on a kept connection, {new} new connections");
}

fn load(address: SocketAddr, config: &Arc<ClientConfig>, stop: &AtomicBool, passed: [&AtomicUsize; 2]) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut kept = Client::connect_tls(address, HOST, config).expect("a connection");
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(kept.exchange(get("/", "")).status, 200, "on the kept connection");
                passed[0].fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(3));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut new = Client::connect_tls(address, HOST, config).expect("a new connection");
                assert_eq!(new.exchange(get("/", "")).status, 200, "on a new connection");
                passed[1].fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(3));
            }
        });
    });
}
