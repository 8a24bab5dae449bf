//! A small fixed work: round trips over loopback on the target's own core, in one thread.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::time::{ClockId, clock_gettime};

use crate::failure::Failure;
use crate::measure;

/// Round trips of a slice: about 20 ms.
const TRIPS: u32 = 2_000;
/// About a request with a token.
const BYTES: usize = 900;

/// Both ends of one loopback connection. What a slice costs does not depend on any program under test, so that it shows
/// what the machine does: frequency, caches, neighbours, the kernel's TCP path.
pub struct Reference {
    core: usize,
    near: TcpStream,
    far: TcpStream,
}

impl Reference {
    pub const ABOUT: &str = "CPU of a round trip of 900 bytes over loopback, one thread, on the target's core";

    /// Runs on `core`, which should be the target's.
    pub fn new(core: usize) -> Result<Self, Failure> {
        let what = "the reference's connection";
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::io(what))?;
        let address = listener.local_addr().map_err(Failure::io(what))?;
        let near = TcpStream::connect(address).map_err(Failure::io(what))?;
        let (far, _) = listener.accept().map_err(Failure::io(what))?;
        near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).map_err(Failure::io(what))?;
        Ok(Self { core, near, far })
    }

    /// On-CPU nanoseconds of one round trip, over one slice.
    pub fn slice(&mut self) -> Result<f64, Failure> {
        let (core, near, far) = (self.core, &mut self.near, &mut self.far);
        measure::on_core(core, || {
            let before = own_cpu_ns();
            let mut block = [0; BYTES];
            for _ in 0..TRIPS {
                trip(near, far, &mut block).map_err(Failure::io("a round trip of the reference"))?;
            }
            Ok((own_cpu_ns() - before) as f64 / f64::from(TRIPS))
        })
    }
}

fn trip(near: &mut TcpStream, far: &mut TcpStream, block: &mut [u8]) -> std::io::Result<()> {
    near.write_all(block)?;
    far.read_exact(block)?;
    far.write_all(block)?;
    near.read_exact(block)
}

/// On-CPU time of this thread.
fn own_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn a_round_trip_costs_something() {
        let mut reference = Reference::new(0).unwrap();
        for _ in 0..2 {
            assert!(reference.slice().unwrap() > 100.0);
        }
    }
}
