//! A socket on a ring: the ring says when it is ready; bytes move with plain system calls into blocks that all connections
//! of a thread share, which measured cheaper than ring reads and pins nothing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// The same socket twice, because monoio's does not lend its descriptor: `direct` moves bytes, `ring` waits.
pub(crate) struct Socket {
    pub direct: TcpStream,
    pub ring: monoio::net::TcpStream,
}

impl Socket {
    /// `receive_bytes` bounds the kernel's receive buffer, for readers that shall be slow.
    pub async fn connect(address: SocketAddr, receive_bytes: Option<usize>) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(bytes) = receive_bytes {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        }
        let outcome = rustix::net::connect(&socket, &address);
        let direct = TcpStream::from(socket);
        let ring = monoio::net::TcpStream::from_std(direct.try_clone()?)?;
        match outcome {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                ring.writable(false).await?;
                if let Some(error) = direct.take_error()? {
                    return Err(error);
                }
                direct.peer_addr()?; // shut down while connecting
            }
            Err(errno) => return Err(errno.into()),
        }
        Ok(Self { direct, ring })
    }

    /// An accepted one.
    pub fn accepted(direct: TcpStream) -> io::Result<Self> {
        direct.set_nonblocking(true)?;
        direct.set_nodelay(true)?;
        let ring = monoio::net::TcpStream::from_std(direct.try_clone()?)?;
        Ok(Self { direct, ring })
    }

    /// Ends whatever waits on this connection.
    pub fn shutdown(&self) {
        let _ = self.direct.shutdown(std::net::Shutdown::Both);
    }

    /// Closing resets the connection, so that no port stays in TIME_WAIT: a generator that opens tens of thousands of
    /// connections a second would have none left after a second or two.
    pub fn close_at_once(&self) {
        let _ = sockopt::set_socket_linger(&self.direct, Some(Duration::ZERO));
    }
}
