//! A raw client: sends exactly the bytes it is given and reads responses strictly.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::content::ContentDecoder;
use crate::stream::{Stream, timed_out};
use crate::wire::{Field, Mode, Parsed, response_head};

/// Longest wait for a response unless a test says otherwise.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// One response with all of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<Field>,
    pub content: Vec<u8>,
    pub trailers: Vec<Field>,
    /// Status and fields of the 1xx responses before it.
    pub interim: Vec<(u16, Vec<Field>)>,
}

impl Response {
    pub fn value(&self, name: &str) -> Option<&str> {
        crate::first_value(&self.fields, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// How a connection stood when reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Closed,
    Reset,
    Open,
}

pub struct Client {
    stream: Stream,
    /// Received and not yet taken.
    received: Vec<u8>,
    timeout: Duration,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = Stream::connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Self { stream, received: Vec::new(), timeout: RESPONSE_TIMEOUT }
    }

    /// A TLS connection to `name` at `address`; the error of the handshake where there is one.
    pub fn connect_tls(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let stream = Stream::connect_tls(address, name, config)?;
        Ok(Self { stream, received: Vec::new(), timeout: RESPONSE_TIMEOUT })
    }

    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes.as_ref()).unwrap_or_else(|error| panic!("cannot send: {error}"));
        self
    }

    /// Sends, where the peer may already have closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn half_close(&mut self) {
        self.stream.half_close().unwrap_or_else(|error| panic!("cannot half-close: {error}"));
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends one request and reads its response.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        let method =
            String::from_utf8_lossy(request.split(|byte| *byte == b' ').next().unwrap_or_default()).into_owned();
        self.send(request);
        self.response_to(&method)
    }

    /// Reads the response to a GET (or any method but HEAD).
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads one final response and the interim ones before it.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).unwrap_or_else(|fault| panic!("no valid response: {fault}"))
    }

    pub fn try_response_to(&mut self, method: &str) -> Result<Response, String> {
        let mut content = Vec::new();
        let mut response = self.try_stream_response(method, |piece| content.extend_from_slice(piece))?;
        response.content = content;
        Ok(response)
    }

    /// Reads one response and gives its content piece by piece to `sink`; the returned content is empty.
    pub fn try_stream_response(&mut self, method: &str, mut sink: impl FnMut(&[u8])) -> Result<Response, String> {
        let mut interim = Vec::new();
        loop {
            let head = loop {
                match response_head(&self.received, method) {
                    Parsed::Complete(head) => break head,
                    Parsed::Invalid(why) => return Err(format!("{why}; received {}", self.received_text())),
                    Parsed::Partial => self.fill()?,
                }
            };
            self.received.drain(..head.length);
            if head.status < 200 {
                interim.push((head.status, head.fields));
                continue;
            }
            let mut decoder = ContentDecoder::new(head.framing, Mode::Canonical);
            while !decoder.is_done() {
                let used = decoder.push(&self.received, &mut sink)?;
                self.received.drain(..used);
                if decoder.is_done() {
                    break;
                }
                if let Err(fault) = self.fill() {
                    let at_end = fault.starts_with("closed") && decoder.ends_with_connection();
                    if at_end { break } else { return Err(format!("in the content: {fault}")) }
                }
            }
            let trailers = decoder.trailers().to_vec();
            return Ok(Response { status: head.status, fields: head.fields, content: Vec::new(), trailers, interim });
        }
    }

    /// Reads only the next head, interim or final: its status and fields.
    pub fn head(&mut self) -> (u16, Vec<Field>) {
        loop {
            match response_head(&self.received, "GET") {
                Parsed::Complete(head) => {
                    self.received.drain(..head.length);
                    return (head.status, head.fields);
                }
                Parsed::Invalid(why) => panic!("no valid response head: {why}"),
                Parsed::Partial => self.fill().unwrap_or_else(|fault| panic!("no response head: {fault}")),
            }
        }
    }

    /// All bytes until the peer closes or nothing comes for `idle` (for `first` before the first byte).
    pub fn read_until_quiet(&mut self, first: Duration, idle: Duration) -> (Vec<u8>, Ended) {
        let mut bytes = std::mem::take(&mut self.received);
        let mut buffer = vec![0; 65_536];
        loop {
            let wait = if bytes.is_empty() { first } else { idle };
            if self.stream.set_read_timeout(wait).is_err() {
                return (bytes, Ended::Reset);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return (bytes, Ended::Closed),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if timed_out(&error) => return (bytes, Ended::Open),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return (bytes, Ended::Closed),
                Err(_) => return (bytes, Ended::Reset),
            }
        }
    }

    /// Whether the peer closes within `wait` without sending more.
    pub fn is_closed_within(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let (bytes, ended) = self.read_until_quiet(wait, until.saturating_duration_since(Instant::now()));
        self.received.extend_from_slice(&bytes);
        ended != Ended::Open && bytes.is_empty()
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut buffer = [0; 65_536];
        self.stream.set_read_timeout(self.timeout).map_err(|error| error.to_string())?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(format!("closed after {}", self.received_text())),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err("closed without close_notify".into()),
            Err(error) if timed_out(&error) => {
                Err(format!("nothing for {:?} after {}", self.timeout, self.received_text()))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn received_text(&self) -> String {
        let shown = &self.received[..self.received.len().min(200)];
        format!("{:?}", String::from_utf8_lossy(shown))
    }
}

/// One request on a connection of its own.
pub fn once(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    Client::connect(address).exchange(request)
}

/// `GET` with these extra field lines (each with its CRLF) for the host that the test policies serve.
pub fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")
}

/// `POST` of `content` with a Content-Length.
pub fn post(path: &str, fields: &str, content: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n{fields}\r\n{content}", content.len())
}
