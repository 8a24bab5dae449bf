//! A minimal fast origin: one thread, epoll, one fixed response to every request.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::failure::Failure;
use crate::measure;
use crate::wire;

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 256;
const READ_BYTES: usize = 16 << 10;

/// An origin that listens; [`Origin::serve`] runs it for ever.
pub struct Origin {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    response: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Origin {
    /// Listens; answers with `content_bytes` of content.
    pub fn bind(address: SocketAddr, content_bytes: usize) -> Result<Self, Failure> {
        let what = || format!("origin at {address}");
        let listener = TcpListener::bind(address).map_err(Failure::io(what()))?;
        listener.set_nonblocking(true).map_err(Failure::io(what()))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Failure::system("epoll"))?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).map_err(Failure::system(what()))?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {content_bytes}\r\n\r\n");
        let mut response = head.into_bytes();
        response.resize(response.len() + content_bytes, b'x');
        Ok(Self { listener, epoll, connections: Vec::new(), free: Vec::new(), response })
    }

    pub fn address(&self) -> Result<SocketAddr, Failure> {
        self.listener.local_addr().map_err(Failure::io("address of the origin"))
    }

    /// Starts an origin on a thread of its own, on one core, and gives its address.
    pub fn start(core: usize, content_bytes: usize) -> Result<SocketAddr, Failure> {
        let origin = Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), content_bytes)?;
        let address = origin.address()?;
        thread::spawn(move || measure::on_core(core, || origin.serve()));
        Ok(address)
    }

    /// Serves until something fails.
    pub fn serve(mut self) -> Result<(), Failure> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(Failure::system("epoll_wait")(errno)),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    index => self.serve_connection(usize::try_from(index).unwrap_or(usize::MAX)),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => continue,
            };
            socket.set_nonblocking(true).map_err(Failure::io("accepted connection"))?;
            socket.set_nodelay(true).map_err(Failure::io("accepted connection"))?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &socket, EventData::new_u64(index as u64), EventFlags::IN)
                .map_err(Failure::system("accepted connection"))?;
            if let Some(slot) = self.connections.get_mut(index) {
                *slot = Some(Connection { socket, received: Vec::with_capacity(READ_BYTES) });
            }
        }
    }

    /// Answers all whole requests that came; a connection that fails in any way is closed.
    fn serve_connection(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else { return };
        let Some(connection) = slot else { return };
        if !connection.serve(&self.response) {
            *slot = None;
            self.free.push(index);
        }
    }
}

impl Connection {
    /// Whether the connection goes on.
    fn serve(&mut self, response: &[u8]) -> bool {
        let mut block = [0; READ_BYTES];
        match self.socket.read(&mut block) {
            Ok(0) => return false,
            Ok(count) => self.received.extend_from_slice(block.get(..count).unwrap_or_default()),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        while let Some(end) = wire::head_end(&self.received) {
            self.received.drain(..end);
            if self.socket.write_all(response).is_err() {
                return false;
            }
        }
        true
    }
}
