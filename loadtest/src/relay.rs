//! The floor for gateways: bytes go from each client connection to an origin connection and back, and nothing is parsed.
//!
//! Each client connection has an origin connection of its own: to share them, a relay would have to know where messages
//! end. It runs on monoio, as the gateway does. Multishot receives into a buffer ring would be a little cheaper still,
//! but monoio has none, and this package has no `unsafe` for a ring of its own.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::measure;
use crate::ring;
use crate::socket::Socket;

/// Bytes of the one block that everything passes through.
const BLOCK_BYTES: usize = 64 << 10;
const RING_ENTRIES: u32 = 4_096;
/// After no descriptors were left.
const PAUSE: Duration = Duration::from_millis(1);

/// A relay that listens; [`Relay::serve`] runs it for ever.
pub struct Relay {
    listener: TcpListener,
    origin: SocketAddr,
}

/// One block for all connections: it is only used between two waits.
type Block = Rc<RefCell<Vec<u8>>>;

impl Relay {
    pub fn bind(address: SocketAddr, origin: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(Failure::io(format!("relay at {address}")))?;
        listener.set_nonblocking(true).map_err(Failure::io("listener of the relay"))?;
        Ok(Self { listener, origin })
    }

    pub fn address(&self) -> Result<SocketAddr, Failure> {
        self.listener.local_addr().map_err(Failure::io("address of the relay"))
    }

    /// Starts a relay on a thread of its own, on one core, and gives its address.
    pub fn start(core: usize, origin: SocketAddr) -> Result<SocketAddr, Failure> {
        let relay = Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), origin)?;
        let address = relay.address()?;
        let started = thread::Builder::new().name("relay".into());
        let started = started.spawn(move || measure::on_core(core, || relay.serve()));
        started.map_err(Failure::io("the thread of the relay"))?;
        Ok(address)
    }

    /// Relays until something fails.
    pub fn serve(self) -> Result<(), Failure> {
        let mut runtime = ring::runtime(RING_ENTRIES)?;
        runtime.block_on(self.accept()).map_err(Failure::io("the relay"))
    }

    async fn accept(self) -> io::Result<()> {
        let block: Block = Rc::new(RefCell::new(vec![0; BLOCK_BYTES]));
        let waiting = monoio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        loop {
            waiting.readable(false).await?;
            loop {
                match self.listener.accept() {
                    Ok((client, _)) => drop(monoio::spawn(relay(client, self.origin, Rc::clone(&block)))),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(_) => monoio::time::sleep(PAUSE).await,
                }
            }
        }
    }
}

/// Connects to the origin and relays both ways; a client whose origin cannot be reached is closed.
async fn relay(client: TcpStream, origin: SocketAddr, block: Block) {
    let Ok(client) = Socket::accepted(client) else { return };
    let Ok(origin) = Socket::connect(origin, None).await else { return };
    let (client, origin) = (Rc::new(client), Rc::new(origin));
    let back = pump(Rc::clone(&origin), Rc::clone(&client), Rc::clone(&block));
    drop(monoio::spawn(back));
    pump(client, origin, block).await;
}

/// One direction, until its end or a fault; that passes on to the other side.
async fn pump(from: Rc<Socket>, to: Rc<Socket>, block: Block) {
    match copy(&from, &to, &block).await {
        Ok(()) => drop(to.direct.shutdown(Shutdown::Write)),
        Err(_) => {
            from.shutdown();
            to.shutdown();
        }
    }
}

async fn copy(from: &Socket, to: &Socket, block: &Block) -> io::Result<()> {
    loop {
        from.ring.readable(false).await?;
        let rest = {
            let mut block = block.borrow_mut();
            let count = match (&from.direct).read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let bytes = block.get(..count).unwrap_or_default();
            let written = write(to, bytes)?;
            // Only what the other side does not take yet gets memory of its own.
            bytes.get(written..).filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec)
        };
        let Some(rest) = rest else { continue };
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            to.ring.writable(false).await?;
            rest = rest.get(write(to, rest)?..).unwrap_or_default();
        }
    }
}

/// How much of `bytes` the socket took.
fn write(to: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match (&to.direct).write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Relay;
    use crate::load::{Load, Plan, Request, Requests};
    use crate::origin::Origin;
    use crate::wire::Target;

    #[test]
    fn everything_comes_through_both_ways() {
        let origin = Origin::start(0, 128).unwrap();
        let relay = Relay::start(0, origin).unwrap();
        let target = Target::parse(&format!("http://{relay}/bytes/3000000")).unwrap();
        let upload = Request::new(&target, "POST", &[], 2_000_000);
        let mut load = Load::connect(Plan::new(target, 4, Requests::one(upload))).unwrap();
        let mut slices = (0..30).map(|_| load.run(Duration::from_millis(1_000)).unwrap());
        let slice = slices.find(|slice| slice.requests >= 4).unwrap();
        assert!(slice.is_clean() && slice.requests >= 4, "{slice:?}");
        assert!(slice.bytes_received >= slice.requests * 3_000_000);
    }

    #[test]
    fn an_origin_that_is_gone_is_told_by_closing() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let relay = Relay::start(0, gone).unwrap();
        let target = Target::parse(&format!("http://{relay}/")).unwrap();
        let request = Request::get(&target, &[]);
        let mut load = Load::connect(Plan::new(target, 1, Requests::one(request))).unwrap();
        let mut slices = (0..30).map(|_| load.run(Duration::from_millis(500)).unwrap());
        let slice = slices.find(|slice| slice.errors.reset > 0).unwrap();
        assert!(slice.requests == 0 && slice.errors.reset > 0, "{slice:?}");
    }
}
