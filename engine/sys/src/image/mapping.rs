//! Mapping sealed memory, and sealing the mapping.

use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::huge::{self, HUGE_PAGE_BYTES};

/// What became of the wish to seal a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapSeal {
    NotAsked,
    /// It cannot be unmapped, moved, replaced or given other rights until the process ends.
    Sealed,
    /// The kernel has no mseal(2) (Linux 6.10), or forbids it.
    Unavailable(String),
}

/// Maps `length` bytes of `file` as [`map`] does, in huge pages if they fill any.
pub fn map_new(file: &File, length: usize) -> io::Result<NonNull<u8>> {
    if length < HUGE_PAGE_BYTES {
        return map(file, length, None);
    }
    // A huge page can be mapped only where one can begin: the place is held free, and then mapped over.
    let place = huge::map_aligned(length, ProtFlags::empty())?;
    let mapped = map(file, length, Some(place));
    match &mapped {
        Ok(address) => huge::now(*address, length),
        Err(_) => {
            // JUSTIFICATION: unmapping has no safe interface.
            // SAFETY: nobody but this function knows of the place. An error leaves it mapped, which is harmless.
            let _ = unsafe { munmap(place.as_ptr().cast(), length) };
        }
    }
    mapped
}

/// Maps `length` bytes of `file`, which must be sealed or never change, read-only: at a place that the kernel picks, or
/// in the place of the mapping at `over`, which must be one that this crate made with the same length.
pub fn map(file: &File, length: usize, over: Option<NonNull<u8>>) -> io::Result<NonNull<u8>> {
    let (at, fixed) = match over {
        None => (null_mut(), MapFlags::empty()),
        Some(over) => (over.as_ptr().cast(), MapFlags::FIXED),
    };
    // The page tables are filled here, so that no worker takes a fault for each page after an activation.
    let flags = MapFlags::SHARED | MapFlags::POPULATE | fixed;
    // JUSTIFICATION: mapping a descriptor has no safe interface.
    // SAFETY: a new mapping at an address the kernel picks aliases nothing. One with MAP_FIXED replaces, in one step,
    // exactly the mapping that an `Image` owns, by the same bytes that its readers were promised, or one that nobody
    // reads yet. The length is the file's, which the GROW and SHRINK seals fix, so reads stay inside the file.
    let address = unsafe { mmap(at, length, ProtFlags::READ, flags, file, 0)? };
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("the kernel mapped the image at address 0"))
}

/// Seals the mapping of `length` bytes at `address` (mseal(2)).
pub fn seal(address: NonNull<u8>, length: usize) -> MapSeal {
    // The length need not be that of whole pages for the kernel, which rounds up; zero flags are the only ones there are.
    // JUSTIFICATION: neither rustix nor the C library knows this system call yet.
    // SAFETY: it takes numbers, and forbids changes of a mapping that is never to change.
    let sealed = unsafe { libc::syscall(libc::SYS_mseal, address.as_ptr(), length, 0) };
    if sealed == 0 { MapSeal::Sealed } else { MapSeal::Unavailable(io::Error::last_os_error().to_string()) }
}
