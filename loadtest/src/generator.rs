//! A closed loop: so many connections, each with one request under way, on one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::failure::Failure;
use crate::wire::{self, Target};

/// A response must come within this, or the run fails.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 << 10;

/// Connections to one target, kept over many slices.
pub struct Generator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    request: Vec<u8>,
    target: Target,
}

struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
    /// When the request under way was sent.
    sent: Option<Instant>,
}

/// What one slice of load gave.
#[derive(Clone, Debug)]
pub struct Slice {
    pub requests: u64,
    /// Responses that were not 2xx.
    pub refused: u64,
    pub elapsed: Duration,
    /// Latencies, nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Slice {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Latency at a quantile, microseconds.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

impl Generator {
    /// Opens the connections. `fields` are extra field lines, `Name: value`.
    pub fn connect(target: &Target, connections: usize, fields: &[String]) -> Result<Self, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Failure::system("epoll"))?;
        let mut generator =
            Self { epoll, connections: Vec::new(), request: target.request(fields), target: target.clone() };
        for index in 0..connections {
            let connection = generator.open(index)?;
            generator.connections.push(connection);
        }
        Ok(generator)
    }

    /// Keeps one request under way on each connection for `duration`, then waits for those under way.
    pub fn run(&mut self, duration: Duration) -> Result<Slice, Failure> {
        let latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)
            .map_err(|error| Failure::Subject(error.to_string()))?;
        let started = Instant::now();
        let mut slice = Slice { requests: 0, refused: 0, elapsed: Duration::ZERO, latencies };
        let mut under_way = 0;
        for index in 0..self.connections.len() {
            self.send(index)?;
            under_way += 1;
        }
        let mut events: Vec<epoll::Event> = Vec::with_capacity(self.connections.len().max(1));
        let timeout = Timespec { tv_sec: RESPONSE_TIMEOUT.as_secs().cast_signed(), tv_nsec: 0 };
        while under_way > 0 {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(0) => return Err(Failure::Subject(format!("no response for {RESPONSE_TIMEOUT:?}"))),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Failure::system("epoll_wait")(errno)),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                if !self.receive(index, &mut slice)? {
                    continue;
                }
                if started.elapsed() < duration {
                    self.send(index)?;
                } else {
                    under_way -= 1;
                }
            }
        }
        slice.elapsed = started.elapsed();
        Ok(slice)
    }

    fn open(&self, index: usize) -> Result<Connection, Failure> {
        let what = || format!("connection to {}", self.target.address);
        let socket = TcpStream::connect(self.target.address).map_err(Failure::io(what()))?;
        socket.set_nodelay(true).map_err(Failure::io(what()))?;
        socket.set_nonblocking(true).map_err(Failure::io(what()))?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(index as u64), EventFlags::IN)
            .map_err(Failure::system(what()))?;
        Ok(Connection { socket, received: Vec::with_capacity(READ_BYTES), sent: None })
    }

    fn send(&mut self, index: usize) -> Result<(), Failure> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        connection.sent = Some(Instant::now());
        connection.socket.write_all(&self.request).map_err(Failure::io("sending a request"))
    }

    /// Takes what came; whether a response is whole now.
    fn receive(&mut self, index: usize, slice: &mut Slice) -> Result<bool, Failure> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(false) };
        let mut block = [0; READ_BYTES];
        match connection.socket.read(&mut block) {
            Ok(0) => return Err(Failure::Subject("the connection was closed under load".into())),
            Ok(count) => connection.received.extend_from_slice(block.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Failure::io("receiving a response")(error)),
        }
        let Some(response) = wire::response(&connection.received)? else { return Ok(false) };
        let Some(sent) = connection.sent.take() else {
            return Err(Failure::Subject("a response that nobody asked for".into()));
        };
        let latency = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
        slice.latencies.saturating_record(latency);
        slice.requests += 1;
        slice.refused += u64::from(!(200..300).contains(&response.status));
        connection.received.drain(..response.length);
        if !response.keep_alive {
            let connection = self.open(index)?;
            if let Some(slot) = self.connections.get_mut(index) {
                *slot = connection;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Generator;
    use crate::origin::Origin;
    use crate::wire::Target;

    #[test]
    fn the_loop_closes_over_the_origin() {
        let address = Origin::start(0, 128).unwrap();
        let target = Target::parse(&format!("http://{address}/")).unwrap();
        let mut generator = Generator::connect(&target, 8, &["X-Test: 1".into()]).unwrap();
        for _ in 0..2 {
            let slice = generator.run(Duration::from_millis(50)).unwrap();
            assert!(slice.requests >= 8 && slice.refused == 0, "{} requests", slice.requests);
            assert_eq!(slice.latencies.len(), slice.requests);
        }
    }
}
