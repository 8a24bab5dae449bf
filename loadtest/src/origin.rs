//! A minimal fast origin: one thread, epoll, a prepared response to every request. (A ring poll for each
//! request measured dearer than epoll's standing registration, with the same reads and writes.)
//!
//! `GET /bytes/1048576` answers with so many bytes of content, any other path with the size that the origin was given.
//! Content of requests is read and thrown away.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::failure::Failure;
use crate::measure;
use crate::wire::{self, RequestEnd};

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 256;
/// Bytes of the block that requests are read into; all connections share it.
const BLOCK_BYTES: usize = 64 << 10;
/// Longest request head that is taken.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest content that a path can ask for.
const CONTENT_BYTES_MAX: usize = 64 << 20;
/// Sizes whose responses are kept ready.
const SIZES_MAX: usize = 16;

/// An origin that listens; [`Origin::serve`] runs it for ever.
pub struct Origin {
    listener: TcpListener,
    content_bytes: usize,
}

struct Serving {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    block: Vec<u8>,
    responses: Responses,
}

struct Connection {
    socket: TcpStream,
    incoming: Incoming,
    /// Answers that are not sent yet, and how much of the first is.
    answers: VecDeque<Answer>,
    sent: usize,
    /// Whether it waits for the socket to take more.
    blocked: bool,
}

/// The response that most ask for, and others.
struct Responses {
    usual: Rc<Response>,
    others: Vec<Rc<Response>>,
}

/// A response and how much of it to send.
type Answer = (Rc<Response>, usize);

/// A request that has come in part.
#[derive(Default)]
struct Incoming {
    partial: Vec<u8>,
    /// Content that is still to come, and the answer that waits for it.
    content_left: u64,
    held: Option<Answer>,
}

struct Response {
    content_bytes: usize,
    head_length: usize,
    bytes: Vec<u8>,
}

impl Origin {
    /// Listens; answers with `content_bytes` of content.
    pub fn bind(address: SocketAddr, content_bytes: usize) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(Failure::io(format!("origin at {address}")))?;
        listener.set_nonblocking(true).map_err(Failure::io("listener of the origin"))?;
        Ok(Self { listener, content_bytes })
    }

    pub fn address(&self) -> Result<SocketAddr, Failure> {
        self.listener.local_addr().map_err(Failure::io("address of the origin"))
    }

    /// Starts an origin on a thread of its own, on one core, and gives its address.
    pub fn start(core: usize, content_bytes: usize) -> Result<SocketAddr, Failure> {
        let origin = Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), content_bytes)?;
        let address = origin.address()?;
        let started = thread::Builder::new().name("origin".into());
        let started = started.spawn(move || measure::on_core(core, || origin.serve()));
        started.map_err(Failure::io("the thread of the origin"))?;
        Ok(address)
    }

    /// Serves until something fails.
    pub fn serve(self) -> Result<(), Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Failure::system("epoll"))?;
        epoll::add(&epoll, &self.listener, EventData::new_u64(LISTENER), EventFlags::IN)
            .map_err(Failure::system("listener of the origin"))?;
        let responses = Responses { usual: Rc::new(Response::new(self.content_bytes)), others: Vec::new() };
        let (connections, free, block) = (Vec::new(), Vec::new(), vec![0; BLOCK_BYTES]);
        Serving { listener: self.listener, epoll, connections, free, block, responses }.run()
    }
}

impl Serving {
    fn run(&mut self) -> Result<(), Failure> {
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
                // Also where no descriptors are left: the listener stays ready, and closing ones make room.
                Err(error) if error.kind() != ErrorKind::ConnectionAborted => return Ok(()),
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
                let (incoming, answers) = (Incoming::default(), VecDeque::new());
                *slot = Some(Connection { socket, incoming, answers, sent: 0, blocked: false });
            }
        }
    }

    /// Answers all whole requests that came; a connection that fails in any way is closed.
    fn serve_connection(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else { return };
        let Some(connection) = slot else { return };
        let was_blocked = connection.blocked;
        let outcome = connection.serve(&mut self.block, &mut self.responses);
        let outcome = outcome.and_then(|goes_on| {
            if goes_on && was_blocked != connection.blocked {
                // Who does not take what it asked for is not asked for more.
                let interest = if connection.blocked { EventFlags::OUT } else { EventFlags::IN };
                epoll::modify(&self.epoll, &connection.socket, EventData::new_u64(index as u64), interest)?;
            }
            Ok(goes_on)
        });
        if !outcome.unwrap_or(false) {
            *slot = None;
            self.free.push(index);
        }
    }
}

impl Connection {
    /// Whether the connection goes on.
    fn serve(&mut self, block: &mut [u8], responses: &mut Responses) -> io::Result<bool> {
        if !self.blocked {
            let count = match self.socket.read(block) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let bytes = block.get(..count).unwrap_or_default();
            self.incoming.take(bytes, responses, &mut self.answers)?;
        }
        self.blocked = false;
        while let Some((response, length)) = self.answers.front() {
            let rest = response.bytes.get(self.sent..*length).unwrap_or_default();
            match self.socket.write(rest) {
                Ok(count) if count < rest.len() => self.sent += count,
                Ok(_) => {
                    self.answers.pop_front();
                    self.sent = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Incoming {
    /// Takes bytes of requests; the answers to those that became whole.
    fn take(&mut self, bytes: &[u8], responses: &mut Responses, answers: &mut VecDeque<Answer>) -> io::Result<()> {
        let Self { partial, content_left, held } = self;
        let skipped = usize::try_from(*content_left).unwrap_or(usize::MAX).min(bytes.len());
        *content_left -= skipped as u64;
        if *content_left > 0 {
            return Ok(());
        }
        answers.extend(held.take());
        let bytes = bytes.get(skipped..).unwrap_or_default();
        let kept = std::mem::take(partial);
        let joined = if kept.is_empty() { None } else { Some([kept.as_slice(), bytes].concat()) };
        let mut rest = joined.as_deref().unwrap_or(bytes);
        while !rest.is_empty() {
            let Some(length) = wire::head_end(rest) else {
                if rest.len() > HEAD_BYTES_MAX {
                    return Err(ErrorKind::InvalidData.into());
                }
                partial.extend_from_slice(rest);
                return Ok(());
            };
            let head = rest.get(..length).unwrap_or_default();
            rest = rest.get(length..).unwrap_or_default();
            match wire::request_end(head) {
                RequestEnd::Head => {}
                RequestEnd::Length(content) => {
                    let here = content.min(rest.len() as u64);
                    *content_left = content - here;
                    rest = rest.get(usize::try_from(here).unwrap_or(usize::MAX)..).unwrap_or_default();
                }
                RequestEnd::Chunked => match wire::chunks_end(rest) {
                    Some(content) => rest = rest.get(content..).unwrap_or_default(),
                    None => {
                        partial.extend_from_slice(head);
                        partial.extend_from_slice(rest);
                        return Ok(());
                    }
                },
            }
            let response = responses.to(head);
            let length = if head.starts_with(b"HEAD ") { response.head_length } else { response.bytes.len() };
            if *content_left > 0 {
                *held = Some((response, length));
                return Ok(());
            }
            answers.push_back((response, length));
        }
        Ok(())
    }
}

impl Responses {
    fn to(&mut self, head: &[u8]) -> Rc<Response> {
        let asked = asked_bytes(head).unwrap_or(self.usual.content_bytes);
        if asked == self.usual.content_bytes {
            return Rc::clone(&self.usual);
        }
        if let Some(found) = self.others.iter().find(|response| response.content_bytes == asked) {
            return Rc::clone(found);
        }
        let made = Rc::new(Response::new(asked));
        if self.others.len() == SIZES_MAX {
            self.others.remove(0);
        }
        self.others.push(Rc::clone(&made));
        made
    }
}

impl Response {
    fn new(content_bytes: usize) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {content_bytes}\r\n\r\n");
        let mut bytes = head.into_bytes();
        let head_length = bytes.len();
        bytes.resize(head_length + content_bytes, b'x');
        Self { content_bytes, head_length, bytes }
    }
}

/// Size that the path asks for: `/bytes/N`, with or without a query.
fn asked_bytes(head: &[u8]) -> Option<usize> {
    let after_method = head.get(head.iter().take(8).position(|byte| *byte == b' ')? + 1..)?;
    let digits = after_method.strip_prefix(b"/bytes/")?;
    let end = digits.iter().take(9).position(|byte| !byte.is_ascii_digit())?;
    let asked = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    (asked <= CONTENT_BYTES_MAX).then_some(asked)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::{Origin, asked_bytes};
    use crate::wire;

    fn ask(stream: &mut TcpStream, pieces: &[&str]) -> (u16, usize) {
        for piece in pieces {
            stream.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut received = Vec::new();
        let mut block = vec![0; 65_536];
        loop {
            if let Some(response) = wire::response(&received).unwrap() {
                assert_eq!(response.length, received.len());
                return (response.status, received.len() - wire::head_end(&received).unwrap());
            }
            let count = stream.read(&mut block).unwrap();
            assert!(count > 0, "closed after {} bytes", received.len());
            received.extend_from_slice(&block[..count]);
        }
    }

    #[test]
    fn the_path_says_how_much_content_comes_back() {
        let address = Origin::start(0, 128).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(ask(&mut stream, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), (200, 128));
        assert_eq!(ask(&mut stream, &["GET /bytes/1048576 HTTP/1.1\r\nHost: a\r\n\r\n"]), (200, 1 << 20));
        assert_eq!(ask(&mut stream, &["GET /bytes/0?x HTTP/1.1\r\n", "Host: a\r\n\r\n"]), (200, 0));
        let upload = ["POST /bytes/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc", "def"];
        assert_eq!(ask(&mut stream, &upload), (200, 7));
        let chunked = ["PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "c\r\n0\r\n\r\n"];
        assert_eq!(ask(&mut stream, &chunked), (200, 128));
        assert_eq!(ask(&mut stream, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), (200, 128));
    }

    #[test]
    fn only_a_size_is_a_size() {
        assert_eq!(asked_bytes(b"GET /bytes/12 HTTP/1.1\r\n\r\n"), Some(12));
        for head in ["GET /bytes/ HTTP", "GET /bytes/999999999 HTTP", "GET /bytes/-1 H", "GET /other/1 H", "GET", ""] {
            assert_eq!(asked_bytes(head.as_bytes()), None, "{head}");
        }
    }
}
