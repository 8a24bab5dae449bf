//! Listening sockets: one per worker and address, shared by port; or those that systemd passed.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::Failure;

/// Connections that wait to be accepted, per worker (the kernel caps it at net.core.somaxconn).
const BACKLOG: i32 = 4_096;

/// The sockets of every worker, each by listener index, and the addresses they got.
pub struct Bound {
    pub of_workers: Vec<Vec<TcpListener>>,
    pub addresses: Vec<SocketAddr>,
}

/// Binds every address once for each worker. A socket that systemd passed for an address is shared by all workers.
pub fn bind(wanted: &[SocketAddr], workers: usize) -> Result<Bound, Failure> {
    let mut passed = passed_by_systemd()?;
    let mut bound = Bound { of_workers: (0..workers).map(|_| Vec::new()).collect(), addresses: Vec::new() };
    for address in wanted {
        let at = passed.iter().position(|listener| listener.local_addr().is_ok_and(|local| local == *address));
        let sockets = match at {
            Some(at) => share(&passed.swap_remove(at), workers),
            None => bind_all(*address, workers),
        };
        let sockets = sockets.map_err(|error| refused(*address, &error))?;
        let local = sockets.first().map_or(Ok(*address), TcpListener::local_addr);
        bound.addresses.push(local.map_err(|error| refused(*address, &error))?);
        for (of_worker, socket) in bound.of_workers.iter_mut().zip(sockets) {
            of_worker.push(socket);
        }
    }
    if let Some(unused) = passed.first() {
        let address = unused.local_addr().map_or_else(|_| "an unknown address".to_owned(), |local| local.to_string());
        return Err(Failure::new(format_args!("systemd passed a socket for {address}, which no [[listener]] has"))
            .help("give the .socket unit the addresses of gateway.toml"));
    }
    Ok(bound)
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::new(format_args!("cannot listen on {address}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.help("another process has it: `ss -ltnp` tells which"),
        io::ErrorKind::PermissionDenied => {
            failure.help("a port below 1024 needs CAP_NET_BIND_SERVICE: use the systemd unit, or a higher port")
        }
        io::ErrorKind::AddrNotAvailable => failure.help("this machine does not have that address: see `ip address`"),
        _ => failure,
    }
}

fn passed_by_systemd() -> Result<Vec<TcpListener>, Failure> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let taken = passed.take_tcp_listener(index);
        let refuse = |error| Failure::new(format_args!("socket {index} passed by systemd is no TCP listener: {error}"));
        listeners.extend(taken.map_err(refuse)?);
    }
    Ok(listeners)
}

fn share(listener: &TcpListener, workers: usize) -> io::Result<Vec<TcpListener>> {
    socket2::SockRef::from(listener).set_tcp_nodelay(true)?;
    (0..workers).map(|_| listener.try_clone()).collect()
}

/// The first socket is bound without SO_REUSEPORT, which fails if anybody has the port, even a process that would share
/// it; only then is sharing switched on and the others join.
fn bind_all(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let local = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        let next = socket(address)?;
        next.set_reuse_port(true)?;
        next.bind(&local)?;
        sockets.push(next);
    }
    sockets.into_iter().map(|socket| socket.listen(BACKLOG).map(|()| socket.into())).collect()
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process that are still in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted connections inherit it: what is written is meant to go out.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_nobody_else_can_join_unnoticed() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&[any, any], 3).unwrap();
        assert_eq!((bound.of_workers.len(), bound.of_workers[0].len()), (3, 2));
        assert_ne!(bound.addresses[0], bound.addresses[1]);
        let refused = format!("{:?}", bind(&[bound.addresses[0]], 1).err().unwrap());
        assert!(refused.contains("another process has it"), "{refused}");
    }

    #[test]
    fn every_worker_gets_connections() {
        let bound = bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
        let clients: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(bound.addresses[0]).unwrap()).collect();
        let accepted: Vec<usize> =
            bound.of_workers.iter().map(|sockets| std::iter::from_fn(|| sockets[0].accept().ok()).count()).collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
    }
}
