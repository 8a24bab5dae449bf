//! Plain TCP.

use std::io::{self, IoSlice};
use std::rc::Rc;

use monoio::net::TcpStream;

use super::{Interest, Transport};

/// A TCP connection; its deadline holds a second reference to it.
pub struct Tcp {
    stream: Rc<TcpStream>,
}

impl Tcp {
    pub fn new(stream: Rc<TcpStream>) -> Self {
        Self { stream }
    }
}

impl Transport for Tcp {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        sys::socket::try_read(&*self.stream, into)
    }

    fn try_write(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        match from {
            [one] => sys::socket::try_write(&*self.stream, one),
            several => sys::socket::try_write_vectored(&*self.stream, several),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }

    async fn ready(&self, interest: Interest) -> io::Result<()> {
        match interest {
            Interest::Read => self.stream.readable(false).await,
            Interest::Write => self.stream.writable(false).await,
        }
    }

    fn finish(&self) {
        sys::socket::shut_down_write(&*self.stream);
    }

    fn try_discard(&self, into: &mut [u8]) -> io::Result<usize> {
        self.try_read(into)
    }

    fn reset(&self) {
        sys::socket::reset_on_close(&*self.stream);
    }

    fn is_stale(&self) -> bool {
        !matches!(sys::socket::try_peek(&*self.stream), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
