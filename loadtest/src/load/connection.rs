//! One connection of a load and what it does in a slice.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::pace::{Grant, Pace, Turn};
use super::plan::{Request, Requests, Reuse};
use super::response::{Head, LastHead, Reader};
use super::stream::{OpenError, Stream};
use super::worker::Shared;
use crate::failure::Failure;
use crate::socket::Socket;
use crate::wire::Malformed;

/// Reads that take less than this are not worth a discarding call.
const DISCARD_BYTES_MIN: u64 = 16 << 10;
/// Bytes of the shared block that are read into; more is only used to discard.
const READ_BYTES: usize = 64 << 10;
/// After an error that a next try would meet at once again.
const PAUSE: Duration = Duration::from_millis(10);

/// A connection, open or not.
#[derive(Default)]
pub(super) struct Connection {
    stream: Option<Stream>,
    reader: Reader,
    /// Requests on this stream so far.
    used: u32,
    pub slot: Rc<Slot>,
    granted: Rc<Cell<Grant>>,
}

/// What the sweeper sees of a connection.
#[derive(Default)]
pub(super) struct Slot {
    since: Cell<Option<Instant>>,
    socket: RefCell<Option<Rc<Socket>>>,
    expired: Cell<bool>,
}

/// What ended an exchange without a whole response.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Open(OpenError),
    #[error("{0}")]
    Io(io::Error),
    #[error("the connection was closed before the response was whole")]
    Closed,
    #[error("{0}")]
    Malformed(Malformed),
}

impl Connection {
    /// Sends requests until the slice is over, then is given back.
    pub async fn drive(mut self, shared: Rc<Shared>, requests: Rc<Requests>, pace: Option<Rc<Pace>>) -> Self {
        if self.stream.as_mut().is_some_and(Stream::is_stale) {
            self.close(); // closed between slices: nobody's fault
        }
        let mut now_ns = shared.now_ns();
        while shared.goes_on(now_ns) {
            let turn = match &pace {
                None => Turn { due_ns: now_ns, now_ns, unhindered: false },
                Some(pace) => match pace.turn(&self.granted).await {
                    Some(turn) => turn,
                    None => break,
                },
            };
            let Some(request) = shared.next(&requests) else { break };
            now_ns = self.exchange(&shared, request, turn).await;
        }
        if let (Some(pace), Some(_)) = (&pace, shared.stop.get()) {
            pace.stop();
        }
        self
    }

    /// Opens it if it is not open.
    async fn open(&mut self, shared: &Shared) -> Result<(), OpenError> {
        if self.stream.is_some() {
            return Ok(());
        }
        self.reader = Reader::default();
        self.used = 0;
        self.stream = Some(self.slot.connect(shared, None).await?);
        Ok(())
    }

    /// Opens it before the first slice.
    pub async fn open_first(&mut self, shared: &Shared) -> Result<(), OpenError> {
        self.slot.since.set(Some(Instant::now()));
        let outcome = self.open(shared).await;
        self.slot.since.set(None);
        outcome
    }

    /// One request and its response; when it ended, nanoseconds from the start of the slice.
    async fn exchange(&mut self, shared: &Shared, request: &Request, turn: Turn) -> u64 {
        if turn.unhindered {
            let late_ns = turn.now_ns.saturating_sub(turn.due_ns);
            shared.slice.borrow_mut().pacing.saturating_record(late_ns);
        }
        self.slot.expired.set(false);
        self.slot.since.set(Some(shared.instant(turn.now_ns)));
        let outcome = self.try_exchange(shared, request).await;
        let now_ns = shared.now_ns();
        self.slot.since.set(None);
        match outcome {
            Ok(head) => {
                shared.answered(head.status, now_ns.saturating_sub(turn.due_ns), now_ns);
                self.used += 1;
                let spent = match shared.plan.reuse {
                    Reuse::KeepAlive => false,
                    Reuse::NewEach => true,
                    Reuse::Every(count) => self.used >= count,
                };
                if spent {
                    self.reset();
                } else if !head.keep_alive {
                    self.close();
                }
            }
            Err(broken) => {
                self.close();
                self.count(shared, &broken);
                if matches!(broken, Broken::Open(_)) {
                    monoio::time::sleep(PAUSE).await;
                    return shared.now_ns();
                }
            }
        }
        now_ns
    }

    async fn try_exchange(&mut self, shared: &Shared, request: &Request) -> Result<Head, Broken> {
        self.open(shared).await.map_err(Broken::Open)?;
        let Self { stream: Some(stream), reader, .. } = self else { return Err(Broken::Closed) };
        let mut rest = request.bytes();
        let mut sending = send(stream, &mut rest)?;
        loop {
            if sending { stream.ready().await } else { stream.readable().await }.map_err(Broken::Io)?;
            if let Some(head) = receive(stream, reader, shared, request.head_only())? {
                let mut head = head;
                head.keep_alive &= !sending; // the rest of an unwanted request has no end that both know
                return Ok(head);
            }
            if sending {
                sending = send(stream, &mut rest)?;
            }
        }
    }

    fn close(&mut self) {
        // Descriptors are closed through the ring, a turn later: the peer shall know now.
        if let Some(stream) = self.stream.take() {
            stream.socket.shutdown();
        }
        self.slot.socket.replace(None);
    }

    /// Closes without leaving a port in TIME_WAIT.
    fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.socket.close_at_once();
        }
        self.slot.socket.replace(None);
    }

    fn count(&self, shared: &Shared, broken: &Broken) {
        let expired = self.slot.expired.replace(false);
        let why = || if expired { "no whole response in time".to_owned() } else { broken.to_string() };
        shared.failed(why, |errors| match broken {
            _ if expired => &mut errors.timeout,
            Broken::Open(OpenError::Connect(_)) => &mut errors.connect,
            Broken::Open(OpenError::Handshake(_)) => &mut errors.handshake,
            Broken::Io(_) | Broken::Closed => &mut errors.reset,
            Broken::Malformed(_) => &mut errors.malformed,
        });
    }
}

/// Sends what the socket takes; whether something is left.
fn send(stream: &mut Stream, rest: &mut &[u8]) -> Result<bool, Broken> {
    while !rest.is_empty() {
        match stream.send(rest) {
            Ok(count) => *rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            // The response may have come before the connection broke: reading tells.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(Broken::Io(error)),
        }
    }
    stream.is_flushed().map(|flushed| !flushed).map_err(Broken::Io)
}

/// Takes everything that came; the head of the response once it is whole.
fn receive(stream: &mut Stream, reader: &mut Reader, shared: &Shared, head_only: bool) -> Result<Option<Head>, Broken> {
    let mut block = shared.block.borrow_mut();
    let mut last: std::cell::RefMut<'_, LastHead> = shared.last_head.borrow_mut();
    loop {
        let left = reader.content_left();
        let discards = left >= DISCARD_BYTES_MIN && !stream.is_secure();
        let outcome = if discards {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            stream.discard(block.get_mut(..most).unwrap_or_default())
        } else {
            stream.receive(block.get_mut(..READ_BYTES).unwrap_or_default())
        };
        let count = match outcome {
            Ok(0) => return reader.close().map(Some).ok_or(Broken::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return reader.close().map(Some).ok_or(Broken::Closed);
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(Broken::Open(OpenError::Handshake(error))); // such as a refused client certificate
            }
            Err(error) => return Err(Broken::Io(error)),
        };
        shared.slice.borrow_mut().bytes_received += count as u64;
        let head = if discards {
            reader.skip(count as u64)
        } else {
            let bytes = block.get(..count).unwrap_or_default();
            reader.take(bytes, head_only, &mut last).map_err(Broken::Malformed)?
        };
        if head.is_some() {
            return Ok(head);
        }
        if !stream.is_secure() && count < READ_BYTES && reader.content_left() < DISCARD_BYTES_MIN {
            return Ok(None); // most probably nothing more has come yet
        }
    }
}

impl Slot {
    /// Opens a stream that the sweeper can end.
    pub async fn connect(&self, shared: &Shared, receive_bytes: Option<usize>) -> Result<Stream, OpenError> {
        let connected = Socket::connect(shared.plan.target.address, receive_bytes).await;
        let socket = Rc::new(connected.map_err(OpenError::Connect)?);
        self.socket.replace(Some(Rc::clone(&socket)));
        shared.slice.borrow_mut().connections_opened += 1;
        let stream = match &shared.client {
            None => Stream::plain(socket),
            Some(client) => Stream::secure(socket, client).await?,
        };
        if let Some((resumed, group, version)) = stream.negotiated() {
            let tls = &mut shared.slice.borrow_mut().tls;
            *(if resumed { &mut tls.resumed } else { &mut tls.full }) += 1;
            (tls.group, tls.version) = (group, version);
        }
        Ok(stream)
    }

    /// Ends the connection if its request began longer ago than `limit`.
    pub fn expire(&self, now: Instant, limit: Duration) {
        let Some(since) = self.since.get() else { return };
        if now.saturating_duration_since(since) > limit
            && let Some(socket) = &*self.socket.borrow()
        {
            self.expired.set(true);
            socket.shutdown();
        }
    }
}

impl OpenError {
    pub fn explain(self, address: SocketAddr) -> Failure {
        match self {
            Self::Connect(source) => Failure::io(format!("connection to {address}"))(source),
            Self::Handshake(source) => Failure::io(format!("TLS handshake with {address}"))(source),
        }
    }
}
