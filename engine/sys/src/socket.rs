//! Bytes on a socket that something else owns: non-blocking, on borrowed slices.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, acceptfrom_with, recv, send, sendmsg, shutdown};

/// Lends out the descriptor of something that has no `AsFd` (monoio's streams).
fn borrow<T: AsRawFd>(owner: &T) -> BorrowedFd<'_> {
    let raw: RawFd = owner.as_raw_fd();
    // JUSTIFICATION: monoio 0.2's `TcpStream` gives its descriptor only as a number.
    // SAFETY: `owner` owns the open descriptor and outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(raw) }
}

/// Reads what is there; `WouldBlock` when nothing is, 0 at the end.
pub fn try_read<T: AsRawFd>(socket: &T, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match recv(borrow(socket), &mut *into, RecvFlags::DONTWAIT) {
            Ok((read, _)) => return Ok(read),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks at what is there without taking it.
pub fn try_peek<T: AsRawFd>(socket: &T) -> io::Result<usize> {
    let mut one = [MaybeUninit::<u8>::uninit()];
    loop {
        match recv(borrow(socket), &mut one, RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Ok((_, read)) => return Ok(read),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes what the peer takes now; `WouldBlock` when that is nothing. Never raises SIGPIPE.
pub fn try_write<T: AsRawFd>(socket: &T, from: &[u8]) -> io::Result<usize> {
    loop {
        match send(borrow(socket), from, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Writes several slices in one call.
pub fn try_write_vectored<T: AsRawFd>(socket: &T, from: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(borrow(socket), from, &mut rustix::net::SendAncillaryBuffer::default(), flags) {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Takes a waiting connection from a non-blocking listener; `WouldBlock` when there is none.
pub fn try_accept<T: AsRawFd>(listener: &T) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match acceptfrom_with(borrow(listener), SocketFlags::CLOEXEC) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            Err(error) => return Err(error.into()),
            Ok((descriptor, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let peer = peer.ok_or_else(|| io::Error::other("expected an IP peer address, found none"))?;
                return Ok((TcpStream::from(descriptor), peer));
            }
        }
    }
}

/// Ends both directions: who waits on the socket sees its end.
pub fn shut_down(descriptor: &impl AsRawFd) {
    // An error means that the peer was faster.
    let _ = shutdown(borrow(descriptor), Shutdown::Both);
}

/// Closing will reset the connection instead of ending it in order (SO_LINGER with 0 seconds).
pub fn reset_on_close(descriptor: &impl AsRawFd) {
    let _ = set_socket_linger(borrow(descriptor), Some(Duration::ZERO));
}

/// Ends our direction: the peer sees the end after what was written.
pub fn shut_down_write(descriptor: &impl AsRawFd) {
    let _ = shutdown(borrow(descriptor), Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn reads_peeks_and_writes_without_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut into = [0; 8];
        assert_eq!(try_read(&client, &mut into).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(try_peek(&client).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        server.write_all(b"ab").unwrap();
        while try_peek(&client).is_err() {}
        assert_eq!(try_read(&client, &mut into).unwrap(), 2);
        assert_eq!(try_write(&client, b"x").unwrap(), 1);
        assert_eq!(try_write_vectored(&client, &[IoSlice::new(b"y"), IoSlice::new(b"z")]).unwrap(), 2);
        let filled = loop {
            match try_write(&client, &[0; 65536]) {
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(filled, io::ErrorKind::WouldBlock);
        shut_down(&client);
        assert_eq!(try_read(&client, &mut into).unwrap(), 0);
    }
}
