//! What io_uring can do for this process, found by asking: operations by IORING_REGISTER_PROBE, flags by making a ring
//! with them, the rest by trying it on a socket pair. A version says less: distributions take features back and forth,
//! and seccomp and sysctls forbid them.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{Builder, IoUring, Probe, cqueue, opcode, squeue};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Entries of a ring that is made to be asked.
const ENTRIES: u32 = 8;

/// Something that a ring may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// As the kernel names it, in small letters.
    pub name: &'static str,
    pub there: bool,
}

/// Asks for everything.
///
/// # Errors
/// No ring can be made at all.
pub fn features() -> io::Result<Vec<Feature>> {
    let ring = IoUring::new(ENTRIES)?;
    let mut features = Vec::new();
    let mut tell = |name, there| features.push(Feature { name, there });
    for (name, set) in FLAGS {
        let mut builder: Builder<squeue::Entry, cqueue::Entry> = IoUring::builder();
        set(&mut builder);
        tell(name, builder.build(ENTRIES).is_ok());
    }
    let params = ring.params();
    tell("ext_arg", params.is_feature_ext_arg());
    tell("fast_poll", params.is_feature_fast_poll());
    tell("nodrop", params.is_feature_nodrop());
    tell("skip_cqe_on_success", params.is_feature_skip_cqe_on_success());
    let mut probe = Probe::new();
    let asked = ring.submitter().register_probe(&mut probe).is_ok();
    for (name, code) in OPERATIONS {
        tell(name, asked && probe.is_supported(*code));
    }
    let tried = try_buffers().unwrap_or_default();
    tell("buffer rings", tried.buffer_ring);
    tell("multishot recv", tried.multishot);
    Ok(features)
}

type Flag = fn(&mut Builder<squeue::Entry, cqueue::Entry>);

const FLAGS: &[(&str, Flag)] = &[
    ("single_issuer", |builder| _ = builder.setup_single_issuer()),
    ("coop_taskrun", |builder| _ = builder.setup_coop_taskrun()),
    ("defer_taskrun", |builder| _ = builder.setup_single_issuer().setup_defer_taskrun()),
    ("submit_all", |builder| _ = builder.setup_submit_all()),
    ("sqpoll", |builder| _ = builder.setup_sqpoll(1)),
];

const OPERATIONS: &[(&str, u8)] = &[
    ("poll_add", opcode::PollAdd::CODE),
    ("async_cancel", opcode::AsyncCancel::CODE),
    ("connect", opcode::Connect::CODE),
    ("close", opcode::Close::CODE),
    ("read", opcode::Read::CODE),
    ("accept", opcode::Accept::CODE),
    ("recv", opcode::Recv::CODE),
    ("send", opcode::Send::CODE),
    ("send_zc", opcode::SendZc::CODE),
    ("msg_ring", opcode::MsgRingData::CODE),
    // The crate does not name it yet (Linux 6.15).
    ("recv_zc", 58),
];

/// What was tried with buffers that the kernel picks.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    buffer_ring: bool,
    multishot: bool,
}

/// A page with a buffer ring at its start and one buffer at its middle.
struct Page(NonNull<u8>);

const PAGE_BYTES: usize = 4096;
const BUFFER_OFFSET: usize = PAGE_BYTES / 2;
const GROUP: u16 = 1;

impl Page {
    fn map() -> io::Result<Self> {
        // JUSTIFICATION: the kernel wants a buffer ring at the start of a page, and mapping one has no safe interface.
        // SAFETY: a new mapping at an address the kernel picks aliases nothing.
        let address =
            unsafe { mmap_anonymous(null_mut(), PAGE_BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
        NonNull::new(address.cast()).map(Self).ok_or_else(|| io::Error::other("the kernel mapped memory at address 0"))
    }

    /// Puts the buffer into the ring.
    fn offer(&self) {
        let ring = self.0.as_ptr().cast::<BufRingEntry>();
        // JUSTIFICATION: entries and tail are shared with the kernel.
        // SAFETY: the page is mapped, zeroed, aligned, and large enough for both; the kernel reads the entry only after it
        // saw the tail, which is stored with release order and is an aligned 16-bit field of the first entry.
        unsafe {
            let entry = &mut *ring;
            entry.set_addr(self.0.as_ptr().add(BUFFER_OFFSET) as u64);
            entry.set_len(64);
            entry.set_bid(0);
            let tail = BufRingEntry::tail(ring).cast_mut();
            AtomicU16::from_ptr(tail).store(1, Ordering::Release);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // JUSTIFICATION: unmapping has no safe interface.
        // SAFETY: it was mapped by `map`; `try_buffers` drops the ring that knows of it first.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// Registers a buffer ring, and receives one byte through it with an operation that stays.
fn try_buffers() -> io::Result<Tried> {
    // Dropped in the opposite order: the ring goes before the page.
    let page = Page::map()?;
    let mut ring = IoUring::new(ENTRIES)?;
    page.offer();
    // JUSTIFICATION: the crate cannot know how long the page lives.
    // SAFETY: the page outlives the ring, and has room for eight entries before its buffer.
    if unsafe { ring.submitter().register_buf_ring(page.0.as_ptr() as u64, 8, GROUP) }.is_err() {
        return Ok(Tried::default());
    }
    let (ours, mut peer) = UnixStream::pair()?;
    peer.write_all(b"x")?;
    let receive = opcode::RecvMulti::new(Fd(ours.as_raw_fd()), GROUP).build();
    // JUSTIFICATION: the crate cannot know what an operation borrows.
    // SAFETY: the descriptor stays open until both completions were seen, the buffer as long as the ring.
    unsafe { ring.submission().push(&receive) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let first = ring.completion().next();
    let multishot = first.is_some_and(|first| first.result() == 1 && cqueue::more(first.flags()));
    if multishot {
        // Its end is seen before anything that it uses goes.
        drop(peer);
        ring.submit_and_wait(1)?;
        ring.completion().for_each(drop);
    }
    ring.submitter().unregister_buf_ring(GROUP)?;
    Ok(Tried { buffer_ring: true, multishot })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_has_a_ring_can_poll_and_says_what_else() {
        let features = features().unwrap();
        let there = |name| features.iter().find(|feature| feature.name == name).unwrap().there;
        assert!(there("poll_add") && there("connect") && there("close"), "{features:?}");
        // One needs the other (io_uring_setup(2), io_uring_prep_recv_multishot(3)).
        assert!(there("single_issuer") || !there("defer_taskrun"), "{features:?}");
        assert!(there("buffer rings") || !there("multishot recv"), "{features:?}");
        let names: std::collections::BTreeSet<_> = features.iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), features.len());
    }
}
