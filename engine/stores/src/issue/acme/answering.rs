//! Who answers challenges where nobody else listens: a listener that is open while an order is pending, and at no other time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::LazyConfigAcceptor;

use super::challenge::{ALPN, Challenge, tls_config};
use crate::seats::Seats;

/// Where texts of challenges are looked for (RFC 8555 §8.3).
const PATH: &str = "/.well-known/acme-challenge/";
/// Connections at a time. A further one takes a place ([`Seats`]): the CA's comes last, whoever came before it and says
/// nothing.
const CONNECTIONS_MAX: usize = 64;
/// Time for each, seconds.
const CONNECTION_S_MAX: u64 = 5;
/// Pause after a connection that could not be taken, milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// A listener for ACME servers. Needs a tokio runtime, whose tasks it is made of.
#[derive(Debug)]
pub struct Answering {
    at: SocketAddr,
    open: Mutex<Option<Open>>,
}

impl Answering {
    /// Not open yet.
    pub fn new(at: SocketAddr) -> Self {
        Self { at, open: Mutex::default() }
    }

    /// Answers these challenges from now on, and no others; with none it is closed.
    pub async fn answer(&self, challenges: Vec<Challenge>) -> Result<(), String> {
        let mut open = self.open.lock().await;
        if let Some(mut before) = open.take() {
            before.0.abort();
            // Its socket is free once it is gone.
            let _ = (&mut before.0).await;
        }
        if challenges.is_empty() {
            return Ok(());
        }
        let answers = Arc::new(Answers::new(challenges)?);
        let bound = TcpListener::bind(self.at).await;
        let listener = bound.map_err(|error| format!("{} cannot be listened on: {error}", self.at))?;
        *open = Some(Open(tokio::spawn(serve(listener, answers))));
        Ok(())
    }
}

/// Closes when it is dropped.
#[derive(Debug)]
struct Open(JoinHandle<()>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Answers {
    Tls(Arc<ServerConfig>),
    Texts(BTreeMap<String, String>),
}

impl Answers {
    fn new(challenges: Vec<Challenge>) -> Result<Self, String> {
        let text = |challenge: &Challenge| match challenge {
            Challenge::Text { token, text } => Some((token.clone(), text.clone())),
            Challenge::Certificate { .. } => None,
        };
        let texts: BTreeMap<_, _> = challenges.iter().filter_map(text).collect();
        let config = tls_config(challenges).map_err(|error| error.to_string())?;
        Ok(config.map_or(Self::Texts(texts), Self::Tls))
    }

    async fn answer(&self, stream: TcpStream) {
        // Whoever it is: what comes of it is the ACME server's to say.
        match self {
            Self::Tls(config) => drop(show(stream, Arc::clone(config)).await),
            Self::Texts(texts) => {
                let service = service_fn(|request| {
                    let found = text(&request, texts);
                    async { Ok::<_, Infallible>(found) }
                });
                let mut builder = http1::Builder::new();
                builder.keep_alive(false).max_buf_size(HEAD_BYTES_MAX).header_read_timeout(None);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        }
    }
}

async fn serve(listener: TcpListener, answers: Arc<Answers>) {
    let mut connections = JoinSet::new();
    let mut seats = Seats::new(CONNECTIONS_MAX);
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            continue;
        };
        let (answers, seat) = (Arc::clone(&answers), seats.take(Some(from.ip())));
        let within = Duration::from_secs(CONNECTION_S_MAX);
        connections.spawn(async move {
            let answered = tokio::time::timeout(within, answers.answer(stream));
            let _ = seat.hold(answered).await;
        });
    }
}

/// A handshake with those who ask for the challenge alone; nothing comes after it (RFC 8737 §3).
async fn show(stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let asks = hello.client_hello().alpn().is_some_and(|mut offered| offered.next() == Some(ALPN));
    if asks {
        tokio::io::AsyncWriteExt::shutdown(&mut hello.into_stream(config).await?).await?;
    }
    Ok(())
}

fn text<B>(request: &Request<B>, texts: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
    let asked = request.uri().path().strip_prefix(PATH).filter(|_| request.method() == Method::GET);
    let mut response = Response::default();
    match asked.and_then(|token| texts.get(token)) {
        Some(text) => *response.body_mut() = Full::from(text.clone()),
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

#[cfg(test)]
mod tests;
