//! Bytes to and from a peer, plain or TLS: the ring reports readiness, the bytes move on borrowed slices.

use std::cell::Ref;
use std::io::{self, IoSlice};

use rustls::pki_types::CertificateDer;

pub mod tcp;
pub mod tls;

pub use tcp::Tcp;
pub use tls::Tls;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
}

/// A connection. `&self`, because both directions share it; dropping a pending `ready` loses nothing.
pub trait Transport {
    /// Reads what is there; `WouldBlock` when nothing is, 0 at the end.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;
    /// Takes what it can of `from`, in order; `WouldBlock` when that is nothing.
    fn try_write(&self, from: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Sends what was taken and is still held back; `WouldBlock` when some of it remains.
    fn try_flush(&self) -> io::Result<()>;
    /// Waits until the interest may make progress.
    async fn ready(&self, interest: Interest) -> io::Result<()>;
    /// Tells the peer that nothing more comes. Nothing is read after it.
    fn finish(&self);
    /// Takes what the peer still sends after [`Self::finish`], for nobody to look at; as [`Self::try_read`].
    fn try_discard(&self, into: &mut [u8]) -> io::Result<usize>;
    /// Makes the end of the connection an abnormal one, for the peer to see.
    fn reset(&self);
    /// The certificate chain that the peer showed, its own first. Not to be held while anything waits.
    fn peer_chain(&self) -> Option<Ref<'_, [CertificateDer<'static>]>> {
        None
    }
    /// Gives back memory that only a busy connection needs.
    fn rest(&self) {}
    /// Whether the peer has ended or sent something unasked; false while the connection is quiet.
    fn is_stale(&self) -> bool;
}

/// Writes all of `from`.
pub async fn write_all<T: Transport>(transport: &T, mut from: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut from, 0);
    while !from.is_empty() {
        match transport.try_write(from) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut from, written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => transport.ready(Interest::Write).await?,
            Err(error) => return Err(error),
        }
    }
    loop {
        match transport.try_flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => transport.ready(Interest::Write).await?,
            done => return done,
        }
    }
}

/// Reads at least one byte; 0 at the end.
pub async fn read_some<T: Transport>(transport: &T, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match transport.try_read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => transport.ready(Interest::Read).await?,
            done => return done,
        }
    }
}
