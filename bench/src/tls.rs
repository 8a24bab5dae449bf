//! TLS 1.3 as the adapter uses it: rustls' buffered interface, here over memory instead of a socket.

use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use bench_counts::{HEAD, Stage};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

use crate::credentials;
use crate::exchange::RESPONSE;

struct Tls {
    client: Connection,
    server: Connection,
    /// From the client to the server, and back.
    there: Vec<u8>,
    back: Vec<u8>,
    room: Vec<u8>,
}

/// Reading one request and writing one response on an open connection.
pub fn stage() -> Box<dyn Stage> {
    let (certificate, key) = credentials::server();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stage = Tls {
        client: ClientConnection::new(Arc::new(client), name).unwrap().into(),
        server: ServerConnection::new(Arc::new(server)).unwrap().into(),
        there: Vec::with_capacity(16 << 10),
        back: Vec::with_capacity(16 << 10),
        room: vec![0; 16 << 10],
    };
    while stage.client.is_handshaking() || stage.server.is_handshaking() {
        flush(&mut stage.client, &mut stage.there);
        take(&mut stage.server, &mut stage.there);
        flush(&mut stage.server, &mut stage.back);
        take(&mut stage.client, &mut stage.back);
    }
    Box::new(stage)
}

fn flush(from: &mut Connection, into: &mut Vec<u8>) {
    while from.wants_write() {
        from.write_tls(into).unwrap();
    }
}

fn take(into: &mut Connection, from: &mut Vec<u8>) {
    let mut rest = from.as_slice();
    while !rest.is_empty() {
        into.read_tls(&mut rest).unwrap();
        into.process_new_packets().unwrap();
    }
    from.clear();
}

impl Stage for Tls {
    fn prepare(&mut self) {
        take(&mut self.client, &mut self.back);
        while self.client.reader().read(&mut self.room).is_ok_and(|read| read > 0) {}
        self.client.writer().write_all(HEAD).unwrap();
        flush(&mut self.client, &mut self.there);
    }

    fn run(&mut self) {
        take(&mut self.server, &mut self.there);
        let read = self.server.reader().read(&mut self.room).unwrap();
        assert_eq!(read, HEAD.len());
        let parts = [IoSlice::new(RESPONSE), IoSlice::new(b"hello")];
        let written = self.server.writer().write_vectored(&parts).unwrap();
        assert_eq!(written, RESPONSE.len() + 5);
        flush(&mut self.server, &mut self.back);
        black_box(&self.back);
    }
}
