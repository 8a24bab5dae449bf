//! Memory of idle keep-alive connections: resident memory before and after opening many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::failure::Failure;
use crate::load::ClientTls;
use crate::measure;
use crate::tls::Client;
use crate::wire::{self, Target};

/// How long the subject is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(2_000);

/// Memory of one idle connection.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Idle {
    pub connections: usize,
    pub bytes_per_connection: f64,
}

enum Held {
    Plain { _socket: TcpStream },
    Tls { _stream: Box<StreamOwned<ClientConnection, TcpStream>> },
}

/// Opens `count` connections, sends one request on each, leaves them open, and reads how much memory `pid` grew.
/// Some connections are opened and left first, so that what is allocated once is not counted.
pub fn measure(target: &Target, count: usize, fields: &[String], pid: u32) -> Result<Idle, Failure> {
    measure::raise_descriptor_limit()?;
    let request = target.request(fields);
    let client = Client::new(&ClientTls::default(), &target.authority)?;
    let warm: Vec<Held> = (0..count.min(64)).map(|_| open(target, &request, &client)).collect::<Result<_, _>>()?;
    thread::sleep(SETTLE);
    let before = measure::resident_bytes(pid)?;
    let held: Vec<Held> = (0..count).map(|_| open(target, &request, &client)).collect::<Result<_, _>>()?;
    thread::sleep(SETTLE);
    let after = measure::resident_bytes(pid)?;
    drop((warm, held));
    Ok(Idle { connections: count, bytes_per_connection: (after as f64 - before as f64) / count as f64 })
}

fn open(target: &Target, request: &[u8], client: &Client) -> Result<Held, Failure> {
    let socket =
        TcpStream::connect(target.address).map_err(Failure::io(format!("connection to {}", target.address)))?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(Failure::io("an idle connection"))?;
    if !target.tls {
        let mut socket = socket;
        exchange(&mut socket, request)?;
        return Ok(Held::Plain { _socket: socket });
    }
    let connection = client.connect().map_err(|error| Failure::Subject(error.to_string()))?;
    let mut stream = Box::new(StreamOwned::new(*connection, socket));
    exchange(&mut *stream, request)?;
    Ok(Held::Tls { _stream: stream })
}

fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Result<(), Failure> {
    stream.write_all(request).and_then(|()| stream.flush()).map_err(Failure::io("a request on an idle connection"))?;
    let mut received = Vec::new();
    let mut block = [0; 4_096];
    while wire::response(&received)?.is_none() {
        let count = stream.read(&mut block).map_err(Failure::io("the response on an idle connection"))?;
        if count == 0 {
            return Err(Failure::Subject("the connection was closed instead of answered".into()));
        }
        received.extend_from_slice(block.get(..count).unwrap_or_default());
    }
    Ok(())
}
