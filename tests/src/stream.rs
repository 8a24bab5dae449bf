//! A blocking byte stream, plain or TLS, for both sides of the harness.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

/// Longest wait for a connection to be accepted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

pub enum Stream {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        socket.set_nodelay(true)?;
        Ok(Self::Plain(socket))
    }

    /// Connects and finishes the handshake, so that a refused certificate is an error here where TLS says it here.
    pub fn connect_tls(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        connection.complete_io(&mut socket)?;
        Ok(Self::Client(Box::new(StreamOwned::new(connection, socket))))
    }

    pub fn accept(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::Server(Box::new(StreamOwned::new(connection, socket))))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(stream) => &stream.sock,
            Self::Server(stream) => &stream.sock,
        }
    }

    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(timeout.max(Duration::from_millis(1))))
    }

    /// Ends the writing direction: a FIN, after a close_notify where it is TLS.
    pub fn half_close(&mut self) -> io::Result<()> {
        match self {
            Self::Client(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
            }
            Self::Server(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
            }
            Self::Plain(_) => {}
        }
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => read(socket, into),
            Self::Client(stream) => read(stream, into),
            Self::Server(stream) => read(stream, into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(from),
            Self::Client(stream) => stream.write(from),
            Self::Server(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Client(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
        }
    }
}

/// Reads, and again where that was interrupted: a read with a time limit is when the machine is stopped and goes on.
pub fn read(stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let read = stream.read(into);
        if !read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return read;
        }
    }
}

/// Whether a read ended because its time was up.
pub fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
