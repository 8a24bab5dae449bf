//! TLS over TCP on rustls' buffered interface; the one module that knows rustls' buffers.
//!
//! No borrow of the rustls state is held across an await. Plain text waits in rustls only up to its buffer limit, which
//! gives back-pressure.

use std::cell::{Cell, Ref, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use activation::activation::ACME_ALPN;
use monoio::net::TcpStream;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use rustls::{Connection, ServerConfig, ServerConnection};

use super::{Interest, Transport};

/// Cipher text that rustls may hold back, bytes.
pub const TLS_BUFFER_BYTES_MAX: usize = 64 << 10;

/// A TLS connection, server or client side.
pub struct Tls {
    stream: Rc<TcpStream>,
    session: RefCell<Connection>,
    /// The session is over: it takes nothing in any more.
    finished: Cell<bool>,
}

/// What rustls reads from and writes to: the socket itself, without waiting.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        sys::socket::try_read(self.0, into)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        sys::socket::try_write(self.0, from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::socket::try_write_vectored(self.0, from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A read that brings nothing: rustls first cuts its buffer of cipher text to the 4 KiB that a read may take, and then lends
/// it, of which even the page goes back.
struct Resting;

impl Read for Resting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        sys::rest::give_back(into);
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Tls {
    pub fn new(stream: Rc<TcpStream>, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        Self { stream, session: RefCell::new(session), finished: Cell::new(false) }
    }

    /// Runs the handshake to its end. An alert that rustls wants to send is sent.
    pub async fn handshake(&self) -> io::Result<()> {
        loop {
            let step = self.handshake_step();
            match step {
                Ok(None) => return Ok(()),
                Ok(Some(interest)) => self.ready(interest).await?,
                Err(error) => {
                    let _ = self.try_flush();
                    return Err(error);
                }
            }
        }
    }

    /// What to wait for next; none when the handshake is done and sent.
    fn handshake_step(&self) -> io::Result<Option<Interest>> {
        let mut session = self.session.borrow_mut();
        loop {
            while session.wants_write() {
                match session.write_tls(&mut Wire(&self.stream)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Interest::Write)),
                    Err(error) => return Err(error),
                }
            }
            if !session.is_handshaking() {
                return Ok(None);
            }
            match session.read_tls(&mut Wire(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => session.process_new_packets().map_err(tls_error)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Interest::Read)),
                Err(error) => return Err(error),
            };
        }
    }

    /// Whether there is something to read without the socket. Fails where the session is broken: no read would tell that, and
    /// who took it for something to read would look for it without end.
    fn holds_plain_text(&self) -> io::Result<bool> {
        if self.finished.get() {
            return Ok(false);
        }
        let state = self.session.borrow_mut().process_new_packets().map_err(tls_error)?;
        Ok(state.plaintext_bytes_to_read() > 0)
    }

    /// Looks into the session; nothing may wait meanwhile.
    pub fn session<R>(&self, look: impl FnOnce(&Connection) -> R) -> R {
        look(&self.session.borrow())
    }
}

/// The server's side of a connection, before its handshake: of `config`; of `challenges` where an ACME server asks.
pub async fn accept(
    stream: &TcpStream,
    config: &Arc<ServerConfig>,
    challenges: Option<&Arc<ServerConfig>>,
) -> io::Result<ServerConnection> {
    match challenges {
        None => ServerConnection::new(Arc::clone(config)).map_err(tls_error),
        Some(challenges) => {
            let mut acceptor = Acceptor::default();
            loop {
                if let Some(session) = accept_step(stream, &mut acceptor, config, challenges)? {
                    return Ok(session);
                }
                stream.readable(false).await?;
            }
        }
    }
}

/// None while the client has not said enough.
fn accept_step(
    stream: &TcpStream,
    acceptor: &mut Acceptor,
    config: &Arc<ServerConfig>,
    challenges: &Arc<ServerConfig>,
) -> io::Result<Option<ServerConnection>> {
    loop {
        match acceptor.read_tls(&mut Wire(stream)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let refused = |(error, mut alert): (rustls::Error, rustls::server::AcceptedAlert)| {
            let _ = alert.write(&mut Wire(stream));
            tls_error(error)
        };
        let Some(accepted) = acceptor.accept().map_err(refused)? else { continue };
        // RFC 8737 §3: it offers this protocol and no other.
        let asks = accepted
            .client_hello()
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(ACME_ALPN) && offered.next().is_none());
        let config = if asks { challenges } else { config };
        return accepted.into_connection(Arc::clone(config)).map(Some).map_err(refused);
    }
}

fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Transport for Tls {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        if self.finished.get() {
            return Ok(0);
        }
        let mut session = self.session.borrow_mut();
        loop {
            match session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            session.read_tls(&mut Wire(&self.stream))?;
            if let Err(error) = session.process_new_packets() {
                let _ = session.write_tls(&mut Wire(&self.stream));
                return Err(tls_error(error));
            }
            if session.wants_write() {
                // A key update or a ticket; what does not fit now goes with the next write.
                let _ = session.write_tls(&mut Wire(&self.stream));
            }
        }
    }

    fn try_write(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        let mut taken = session.writer().write_vectored(from)?;
        while session.wants_write() {
            match session.write_tls(&mut Wire(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if taken == 0 {
            taken = session.writer().write_vectored(from)?;
        }
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn try_flush(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            session.write_tls(&mut Wire(&self.stream))?;
        }
        Ok(())
    }

    async fn ready(&self, interest: Interest) -> io::Result<()> {
        match interest {
            // The socket is silent about plain text that came with the handshake's end or behind what was read last.
            Interest::Read if self.holds_plain_text()? => Ok(()),
            Interest::Read => self.stream.readable(false).await,
            Interest::Write => self.stream.writable(false).await,
        }
    }

    fn finish(&self) {
        let mut session = self.session.borrow_mut();
        session.send_close_notify();
        let _ = session.write_tls(&mut Wire(&self.stream));
        sys::socket::shut_down_write(&*self.stream);
        self.finished.set(true);
    }

    /// As it is on the wire: what is not looked at needs no decryption, and cannot break a session that is over.
    fn try_discard(&self, into: &mut [u8]) -> io::Result<usize> {
        Wire(&self.stream).read(into)
    }

    fn rest(&self) {
        // Ends with `WouldBlock`, or at once.
        let _ = self.session.borrow_mut().read_tls(&mut Resting);
    }

    fn reset(&self) {
        sys::socket::reset_on_close(&*self.stream);
    }

    fn peer_chain(&self) -> Option<Ref<'_, [CertificateDer<'static>]>> {
        Ref::filter_map(self.session.borrow(), |session| session.peer_certificates()).ok()
    }

    fn is_stale(&self) -> bool {
        let mut session = self.session.borrow_mut();
        // Tickets may wait to be read: only plain text or an end makes it stale.
        loop {
            match session.read_tls(&mut Wire(&self.stream)) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
            match session.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return true,
            }
        }
    }
}
