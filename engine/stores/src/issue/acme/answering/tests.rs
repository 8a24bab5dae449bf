use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;
use crate::http::wait;

/// As an ACME server does, which looks into the certificate itself.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Held, so that nobody who asks for any port is given it; who names it and may use an address again gets it.
fn free() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.set_reuseaddr(true).unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

async fn shakes(at: SocketAddr, name: &'static str, protocols: &[&[u8]]) -> bool {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|of| of.to_vec()).collect();
    let Ok(stream) = TcpStream::connect(at).await else { return false };
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await.is_ok()
}

async fn says(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said).await;
    said
}

#[test]
fn a_certificate_of_a_challenge_is_shown_to_who_asks_for_it_alone() {
    let done = async {
        let (_held, at) = free();
        let answering = Answering::new(at);
        assert!(!shakes(at, "a.example", &[ALPN]).await, "not open before there is a challenge");
        answering.answer(vec![Challenge::certificate("a.example".to_owned(), &[7; 32]).unwrap()]).await.unwrap();
        assert!(shakes(at, "a.example", &[ALPN]).await && shakes(at, "A.example", &[ALPN]).await);
        assert!(!shakes(at, "b.example", &[ALPN]).await);
        assert!(!shakes(at, "a.example", &[]).await && !shakes(at, "a.example", &[b"h2"]).await);
        answering.answer(Vec::new()).await.unwrap();
        assert!(TcpStream::connect(at).await.is_err(), "closed with the order");
    };
    wait(done).unwrap();
}

#[test]
fn a_text_of_a_challenge_is_at_its_place_and_nothing_else_is() {
    let done = async {
        let (_held, at) = free();
        let answering = Answering::new(at);
        let text = Challenge::Text { token: "tok".to_owned(), text: "tok.print".to_owned() };
        answering.answer(vec![text]).await.unwrap();
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let said = says(at, &get("/.well-known/acme-challenge/tok")).await;
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("\r\n\r\ntok.print"), "{said}");
        for other in [get("/.well-known/acme-challenge/"), get("/"), get("/tok").replace("GET", "POST")] {
            assert!(says(at, &other).await.starts_with("HTTP/1.1 404"), "{other}");
        }
        let long = get(&format!("/{}", "x".repeat(HEAD_BYTES_MAX)));
        assert!(!says(at, &long).await.contains("200"), "more than a head may have");
        let held = Answering::new(at).answer(vec![Challenge::Text { token: String::new(), text: String::new() }]).await;
        assert!(held.unwrap_err().contains("cannot be listened on"), "one at a time");
    };
    wait(done).unwrap();
}

/// They wait, and have their turn once those before them have had their time.
#[test]
fn who_says_nothing_holds_up_the_others_for_a_bounded_time() {
    let done = async {
        let (_held, at) = free();
        let answering = Answering::new(at);
        let text = Challenge::Text { token: "tok".to_owned(), text: "tok.print".to_owned() };
        answering.answer(vec![text]).await.unwrap();
        let begun = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(at).await.unwrap());
        }
        let said = says(at, "GET /.well-known/acme-challenge/tok HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let took = begun.elapsed();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(took >= Duration::from_secs(CONNECTION_S_MAX - 1), "beyond the bound it waits: {took:?}");
        drop(silent);
    };
    wait(done).unwrap();
}
