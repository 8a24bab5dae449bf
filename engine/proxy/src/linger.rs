//! An orderly end: say that nothing more comes, then take what the peer still sends for a moment, so that a reset does
//! not destroy the last response on its way.

use crate::deadline::{Deadline, Direction, Stage};
use crate::transport::{Interest, Transport};

/// How long, milliseconds.
const LINGER_MS: u32 = 2_000;
/// How much is taken: an upload that was refused is on its way still, and its client reads the answer after it.
const LINGER_BYTES_MAX: usize = 16 << 20;
/// How much is taken before others have their turn.
const LINGER_TURN_BYTES_MAX: usize = 64 << 10;
const LINGER_CHUNK_BYTES: usize = 8 << 10;

/// Ends a connection in order.
pub async fn linger<T: Transport>(transport: &T, deadline: &Deadline) {
    transport.finish();
    deadline.set(Direction::Read, Stage::Linger, LINGER_MS);
    let mut taken = 0;
    while taken < LINGER_BYTES_MAX {
        // Looked at without a block: a closing connection waits as cheaply as an idle one. It waits for the ring each time, so
        // that others have their turn.
        if transport.ready(Interest::Read).await.is_err() {
            return;
        }
        match discard(transport) {
            Some(bytes) => taken += bytes,
            None => return,
        }
    }
}

/// Takes what is there, or a turn's share of it; none at the end.
fn discard<T: Transport>(transport: &T) -> Option<usize> {
    let mut into = [0; LINGER_CHUNK_BYTES];
    let mut taken = 0;
    loop {
        match transport.try_discard(&mut into) {
            Ok(0) => return None,
            Ok(read) => taken += read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Some(taken),
            Err(_) => return None,
        }
        if taken >= LINGER_TURN_BYTES_MAX {
            return Some(taken);
        }
    }
}
