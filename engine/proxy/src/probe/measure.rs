//! Which way of waiting costs less on this machine: for readiness, then moving bytes by system call, as the workers do,
//! or for completion, the ring moving the bytes. Both ends are in one thread on one ring like those of the workers, so
//! that what is compared is processor time, and nobody sleeps while it counts.

use std::io;
use std::time::{Duration, Instant};

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};

/// Bytes of a message: a small request or response.
const MESSAGE_BYTES: usize = 900;
/// Messages that go there and back in one slice, over all connections.
const ROUND_TRIPS: usize = 640;
/// Slices of each way. An interval of 95 % for the median goes by rank, so there must be enough of them.
const SLICES: usize = 48;
/// Time for one number of connections: fewer slices on a slow or busy machine.
const BUDGET: Duration = Duration::from_millis(1_200);
const SLICES_MIN: usize = 8;
const RING_ENTRIES: u32 = 256;
/// Connections at once: one alone, and as many as share one entry into the kernel on a worker that has something to do.
pub const CONNECTIONS: [usize; 2] = [1, 32];

/// How bytes are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What the workers do: the ring tells readiness, system calls move the bytes.
    Readiness,
    /// The ring receives, a system call sends.
    RingReceives,
    /// The ring tells readiness and sends, a system call receives.
    RingSends,
}

const WAYS: [Way; 3] = [Way::Readiness, Way::RingReceives, Way::RingSends];

/// Processor time of one way, by that of the workers' own way in the same turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub median: f64,
    /// Ends of a 95 % interval for the median.
    pub low: f64,
    pub high: f64,
}

/// What was measured with so many connections at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub connections: usize,
    pub ring_receives: Ratio,
    pub ring_sends: Ratio,
    /// Processor time of one message there and back as the workers do it, both ends: the median, in nanoseconds.
    pub round_trip_ns: u64,
    /// Turns, each with a slice of every way.
    pub slices: usize,
}

/// Measures, for less than three seconds where the machine has time for it.
///
/// # Errors
/// No ring, no loopback socket, or the kernel tells no processor time of a thread.
pub fn measure() -> io::Result<Vec<Measured>> {
    // A runtime belongs to its thread.
    let measuring = std::thread::spawn(|| {
        let mut runtime = super::runtime(RING_ENTRIES)?;
        runtime.block_on(async {
            let mut all = Vec::new();
            for connections in CONNECTIONS {
                all.push(with_connections(connections, BUDGET).await?);
            }
            Ok(all)
        })
    });
    measuring.join().unwrap_or_else(|_| Err(io::Error::other("the thread that measured ended")))
}

async fn with_connections(connections: usize, budget: Duration) -> io::Result<Measured> {
    let mut ends = connect(connections).await?;
    // Once for nothing: sockets and caches are new.
    for way in WAYS {
        slice(&mut ends, way).await?;
    }
    let mut times: Vec<[u64; 3]> = Vec::new();
    let began = Instant::now();
    while times.len() < SLICES && (times.len() < SLICES_MIN || began.elapsed() < budget) {
        let mut turn = [0; 3];
        // Another way begins each time, so that none is always after the same other.
        for step in 0..WAYS.len() {
            let index = (times.len() + step) % WAYS.len();
            if let (Some(way), Some(time)) = (WAYS.get(index), turn.get_mut(index)) {
                *time = slice(&mut ends, *way).await?;
            }
        }
        times.push(turn);
    }
    let mut own: Vec<u64> = times.iter().map(|[readiness, ..]| *readiness).collect();
    own.sort_unstable();
    Ok(Measured {
        connections,
        ring_receives: ratio(times.iter().map(|[readiness, receives, _]| (*receives, *readiness))),
        ring_sends: ratio(times.iter().map(|[readiness, _, sends]| (*sends, *readiness))),
        round_trip_ns: own.get(own.len() / 2).copied().unwrap_or_default() / ROUND_TRIPS as u64,
        slices: times.len(),
    })
}

/// Connected sockets on loopback, the two ends of a connection beside each other.
async fn connect(connections: usize) -> io::Result<Vec<TcpStream>> {
    let listener = TcpListener::bind_with_config("127.0.0.1:0", &ListenerOpts::new().reuse_port(false))?;
    let address = listener.local_addr()?;
    let mut ends = Vec::new();
    for _ in 0..connections {
        ends.push(TcpStream::connect_addr(address).await?);
        ends.push(listener.accept().await?.0);
    }
    ends.iter().try_for_each(|end| end.set_nodelay(true))?;
    Ok(ends)
}

/// Processor time of so many messages there and back.
async fn slice(ends: &mut Vec<TcpStream>, way: Way) -> io::Result<u64> {
    let messages = ROUND_TRIPS * 2 / ends.len().max(1);
    let began = cpu_ns()?;
    let mut tasks = Vec::new();
    for (index, end) in ends.drain(..).enumerate() {
        tasks.push(monoio::spawn(talk(end, way, messages, index % 2 == 0)));
    }
    for task in tasks {
        ends.push(task.await?);
    }
    Ok(cpu_ns()?.saturating_sub(began))
}

/// One end: says and hears in turns.
async fn talk(mut stream: TcpStream, way: Way, messages: usize, begins: bool) -> io::Result<TcpStream> {
    let mut buffer = vec![0; MESSAGE_BYTES];
    for _ in 0..messages {
        if begins {
            buffer = say(&mut stream, way, buffer).await?;
        }
        buffer = hear(&mut stream, way, buffer).await?;
        if !begins {
            buffer = say(&mut stream, way, buffer).await?;
        }
    }
    Ok(stream)
}

async fn say(stream: &mut TcpStream, way: Way, message: Vec<u8>) -> io::Result<Vec<u8>> {
    if way == Way::RingSends {
        let (done, message) = stream.write_all(message).await;
        return done.map(|_| message);
    }
    let sent = sys::socket::try_write(stream, &message)?;
    if sent == message.len() { Ok(message) } else { Err(io::Error::other("loopback took a part of a message")) }
}

async fn hear(stream: &mut TcpStream, way: Way, mut into: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut heard = 0;
    while heard < MESSAGE_BYTES {
        let read = if way == Way::RingReceives {
            let (done, buffer) = stream.read(into).await;
            into = buffer;
            done?
        } else {
            stream.readable(false).await?;
            sys::socket::try_read(stream, &mut into)?
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard += read;
    }
    Ok(into)
}

fn cpu_ns() -> io::Result<u64> {
    sys::process::thread_cpu_ns().ok_or_else(|| io::Error::other("the kernel tells no processor time of a thread"))
}

/// The median, with an interval of 95 % by rank: for 8 values the first and the last, for 48 the 17th and the 32nd.
fn ratio(pairs: impl Iterator<Item = (u64, u64)>) -> Ratio {
    let mut ratios: Vec<f64> = pairs.map(|(time, own)| time as f64 / own.max(1) as f64).collect();
    ratios.sort_by(f64::total_cmp);
    let count = ratios.len();
    let half_width = 0.98 * (count as f64).sqrt();
    let rank = ((count as f64 / 2.0 - half_width).floor().max(1.0) as usize).min(count) - usize::from(count > 0);
    let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
    Ratio { median: at(count / 2), low: at(rank), high: at(count.saturating_sub(1 + rank)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_goes_by_rank() {
        let of = |count: u64| ratio((0..count).rev().map(|value| (value, 1)));
        assert_eq!(of(8), Ratio { median: 4.0, low: 0.0, high: 7.0 });
        assert_eq!(of(48), Ratio { median: 24.0, low: 16.0, high: 31.0 });
        assert_eq!(of(1), Ratio { median: 0.0, low: 0.0, high: 0.0 });
    }

    #[test]
    fn every_way_carries_every_message() {
        let mut runtime = crate::probe::runtime(RING_ENTRIES).unwrap();
        for connections in CONNECTIONS {
            // Without a budget: the fewest slices.
            let measured = runtime.block_on(with_connections(connections, Duration::ZERO)).unwrap();
            assert_eq!((measured.connections, measured.slices), (connections, SLICES_MIN));
            for ratio in [measured.ring_receives, measured.ring_sends] {
                assert!(ratio.low <= ratio.median && ratio.median <= ratio.high, "{ratio:?}");
            }
        }
    }
}
