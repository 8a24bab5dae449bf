//! One connection, one request after the other, blocking: enough to probe.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::load::{ClientTls, Identity};
use crate::target::material::HOST;
use crate::{tls, wire};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// Closed or refused by the other side.
    #[error("closed ({0})")]
    Refused(String),
    /// Anything else, such as no answer in time.
    #[error("no answer: {0}")]
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content: Vec<u8>,
}

pub struct Client {
    stream: Stream,
    received: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Client {
    /// TLS where there are `roots`.
    pub fn connect(address: SocketAddr, roots: Option<String>, identity: Option<Identity>) -> Result<Self, Closed> {
        let socket = TcpStream::connect_timeout(&address, TIMEOUT).map_err(closed)?;
        socket.set_read_timeout(Some(TIMEOUT)).map_err(closed)?;
        socket.set_write_timeout(Some(TIMEOUT)).map_err(closed)?;
        socket.set_nodelay(true).map_err(closed)?;
        let stream = match roots {
            None => Stream::Plain(socket),
            roots => {
                let wanted = ClientTls { roots, identity, group: None, resumption: false };
                let client = tls::Client::new(&wanted, HOST).map_err(|error| Closed::Failed(error.to_string()))?;
                let connection = client.connect().map_err(|error| Closed::Failed(error.to_string()))?;
                Stream::Tls(Box::new(StreamOwned::new(*connection, socket)))
            }
        };
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends a GET and waits for the whole response.
    pub fn ask(&mut self, path: &str, fields: &[String]) -> Result<Answer, Closed> {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n");
        for field in fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let stream: &mut dyn ReadWrite = match &mut self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream,
        };
        stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).map_err(closed)?;
        let mut block = [0; 16 << 10];
        loop {
            let whole = wire::response(&self.received).map_err(|error| Closed::Failed(error.to_string()))?;
            if let Some(response) = whole {
                let rest = self.received.split_off(response.length);
                let all = std::mem::replace(&mut self.received, rest);
                let head = wire::head_end(&all).unwrap_or(all.len());
                return Ok(Answer { status: response.status, content: all.get(head..).unwrap_or_default().to_vec() });
            }
            let count = stream.read(&mut block).map_err(closed)?;
            if count == 0 {
                return Err(Closed::Refused("without a response".into()));
            }
            self.received.extend_from_slice(block.get(..count).unwrap_or_default());
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn closed(error: io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        // An alert of the other side, where it says why it refuses the handshake.
        | io::ErrorKind::InvalidData => Closed::Refused(error.to_string()),
        _ => Closed::Failed(error.to_string()),
    }
}
