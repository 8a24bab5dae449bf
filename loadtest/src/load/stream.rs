//! One connection, plain or TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use rustix::net::RecvFlags;
use rustls::{ClientConnection, HandshakeKind};

use super::first::{First, first};
use crate::socket::Socket;
use crate::tls;

pub(super) struct Stream {
    pub socket: Rc<Socket>,
    tls: Option<Box<ClientConnection>>,
}

/// Where opening a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no TLS session: {0}")]
    Handshake(io::Error),
}

impl Stream {
    pub fn plain(socket: Rc<Socket>) -> Self {
        Self { socket, tls: None }
    }

    pub async fn secure(socket: Rc<Socket>, client: &tls::Client) -> Result<Self, OpenError> {
        let mut tls = client.connect().map_err(|error| OpenError::Handshake(io::Error::other(error)))?;
        while !tls::shake(&mut tls, &mut &socket.direct).map_err(OpenError::Handshake)? {
            socket.ring.readable(false).await.map_err(OpenError::Handshake)?;
        }
        Ok(Self { socket, tls: Some(tls) })
    }

    /// Whether the peer has closed, or sent what nobody asked for. Session tickets are none of that.
    pub fn is_stale(&mut self) -> bool {
        let outcome = match &self.tls {
            None => self.socket.direct.peek(&mut [0]),
            Some(_) => self.receive(&mut [0]),
        };
        !matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the handshake was a resumption, and the names of group and version.
    pub fn negotiated(&self) -> Option<(bool, Option<String>, Option<String>)> {
        let tls = self.tls.as_ref()?;
        let group = tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let version = tls.protocol_version().map(|version| format!("{version:?}"));
        Some((tls.handshake_kind() == Some(HandshakeKind::Resumed), group, version))
    }

    /// Sends some of `from`; how much was taken. WouldBlock when nothing can be.
    pub fn send(&mut self, from: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => (&self.socket.direct).write(from),
            Some(tls) => {
                let taken = tls::write(tls, from)?;
                let flushed = tls::flush(tls, &mut &self.socket.direct)?;
                if taken == 0 && !flushed { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
            }
        }
    }

    /// Whether taken bytes still wait for the socket.
    pub fn is_flushed(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            Some(tls) => tls::flush(tls, &mut &self.socket.direct),
            None => Ok(true),
        }
    }

    /// Bytes that came, 0 at the end; WouldBlock when there are none.
    pub fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => (&self.socket.direct).read(into),
            Some(tls) => tls::read(tls, &mut &self.socket.direct, into),
        }
    }

    /// Throws away up to `into.len()` bytes that came, without copying them (tcp(7), MSG_TRUNC). Plain only.
    pub fn discard(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (_, count) = rustix::net::recv(&self.socket.direct, into, RecvFlags::TRUNC | RecvFlags::DONTWAIT)?;
        Ok(count)
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.socket.ring.readable(false).await
    }

    /// Until the socket takes or has bytes: a target may answer before it has the whole request.
    pub async fn ready(&self) -> io::Result<()> {
        let ring = &self.socket.ring;
        match first(ring.writable(false), ring.readable(false)).await {
            First::Left(outcome) | First::Right(outcome) => outcome,
        }
    }
}
