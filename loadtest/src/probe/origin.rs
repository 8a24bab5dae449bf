//! The origin of the probes: counts what reaches it, and answers with content that nobody can guess.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::failure::Failure;
use crate::wire;

/// An idle connection is looked at so often for whether the origin is to end.
const IDLE: Duration = Duration::from_secs(30);

/// A running origin; dropping it ends it.
pub struct Origin {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    requests: AtomicU64,
    ended: AtomicBool,
    content: Vec<u8>,
}

impl Origin {
    pub fn start() -> Result<Self, Failure> {
        let mut random = [0_u8; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| Failure::Subject("no random numbers".into()))?;
        let content = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::io("origin of the probes"))?;
        let address = listener.local_addr().map_err(Failure::io("origin of the probes"))?;
        let shared = Arc::new(Shared { requests: AtomicU64::new(0), ended: AtomicBool::new(false), content });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || serve(socket, &shared));
            }
        });
        Ok(Self { address, shared })
    }

    /// Requests that reached it so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// What it answers with.
    pub fn content(&self) -> &[u8] {
        &self.shared.content
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address); // wakes the accepting thread
    }
}

/// Answers GET requests, which have no content, until the other side closes.
fn serve(mut socket: TcpStream, shared: &Shared) {
    if socket.set_read_timeout(Some(IDLE)).is_err() {
        return;
    }
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", shared.content.len());
    let response = [head.as_bytes(), &shared.content].concat();
    let mut received = Vec::new();
    let mut block = [0; 16 << 10];
    loop {
        while let Some(end) = wire::head_end(&received) {
            received.drain(..end);
            shared.requests.fetch_add(1, Ordering::SeqCst);
            if socket.write_all(&response).is_err() {
                return;
            }
        }
        match socket.read(&mut block) {
            Ok(count) if count > 0 => received.extend_from_slice(block.get(..count).unwrap_or_default()),
            _ => return,
        }
    }
}
