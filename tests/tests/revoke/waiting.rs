//! What is permitted and waits for a connection to its origin: what is revoked meanwhile never leaves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rustls::{ServerConnection, StreamOwned};

use super::*;

/// An origin whose handshakes wait until they are let through, and what it then heard of each connection.
struct Held {
    address: SocketAddr,
    came: Receiver<()>,
    go: Sender<()>,
    heard: JoinHandle<Vec<Vec<u8>>>,
}

impl Held {
    /// For so many connections.
    fn new(authority: &Authority, connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = authority.server(&["origin.test"]).server_config();
        let ((tell, came), (go, wait)) = (channel(), channel());
        let heard = thread::spawn(move || {
            let one = |_| {
                let socket = listener.accept().unwrap().0;
                tell.send(()).unwrap();
                wait.recv().unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).unwrap_or(0);
                if read > 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
                }
                bytes[..read].to_vec()
            };
            (0..connections).map(one).collect()
        });
        Self { address, came, go, heard }
    }

    fn wait_for_one(&self) {
        self.came.recv_timeout(SOON).unwrap();
    }

    fn let_through(&self) {
        self.go.send(()).unwrap();
    }
}

/// As [`Stage`], with an origin that holds its clients up.
fn stage(connections: usize, more: &str) -> (Stage, Held) {
    let mut stage = Stage::with(&format!("[timeouts]\norigin_connect = \"1m\"\n{more}"));
    let held = Held::new(&stage.server, connections);
    stage.world.write("server-ca.pem", stage.server.pem.as_bytes());
    stage.held = Some(held.address);
    stage.begin();
    (stage, held)
}

#[test]
fn what_is_revoked_while_it_waits_for_its_origin_is_never_sent() {
    let (stage, held) = stage(2, "");
    let ask = |key: &ApiKey| {
        let mut client = stage.gateway().client();
        client.send(stage.with_key(key));
        held.wait_for_one();
        client
    };
    let mut waiting = ask(&stage.key);
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    // Later than its last word, and past the moment in which its time limits were lifted.
    assert!(waiting.is_closed_within(SOON) || waiting.try_response_to("GET").is_ok());
    held.let_through();
    // Another one is sent in the same way.
    let mut other = ask(&stage.other_key);
    held.let_through();
    assert_eq!(other.response().status, 200);
    let heard = held.heard.join().unwrap();
    assert!(heard[0].is_empty(), "{}", String::from_utf8_lossy(&heard[0]));
    assert!(heard[1].starts_with(b"GET /x"), "{}", String::from_utf8_lossy(&heard[1]));
    let revoked = |record: &Value| record["adamant.reason"] == "agent-revoked";
    assert!(eventually(SOON, || stage.gateway().records().iter().any(revoked)), "{}", stage.gateway().record_text());
}

#[test]
fn nor_is_what_is_let_through_at_the_same_moment() {
    let (stage, held) = stage(1, "");
    let mut waiting = stage.gateway().client();
    waiting.send(stage.with_key(&stage.key));
    held.wait_for_one();
    stage.revoke(&["--api-key", "reports-1"]);
    // As soon as it is in force: whether a sweep came between is not certain.
    stage.wait_for_serial(1);
    held.let_through();
    assert_eq!(waiting.try_response_to("GET").map_or(401, |answer| answer.status), 401);
    let heard = held.heard.join().unwrap();
    assert!(heard[0].is_empty(), "{}", String::from_utf8_lossy(&heard[0]));
}

#[test]
fn nor_is_what_ran_out_of_time() {
    let (stage, held) = stage(1, "exchange = \"500ms\"");
    let mut waiting = stage.gateway().client();
    waiting.send(stage.with_key(&stage.key));
    held.wait_for_one();
    assert!(waiting.is_closed_within(SOON));
    held.let_through();
    let heard = held.heard.join().unwrap();
    assert!(heard[0].is_empty(), "{}", String::from_utf8_lossy(&heard[0]));
    let late = |record: &Value| record["adamant.reason"] == "exchange-timeout";
    assert!(eventually(SOON, || stage.gateway().records().iter().any(late)), "{}", stage.gateway().record_text());
}
