//! Huge pages where the kernel gives them. What is read at random over many megabytes misses the TLB with almost every read
//! of a small page, and in a virtual machine such a miss costs as much as one of the cache.

use std::io;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes of a huge page on x86-64, and on AArch64 with small pages of 4 KiB. Elsewhere the kernel does what it can.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Maps zeroed private memory of `length` bytes that begins where a huge page can.
pub fn map_aligned(length: usize, rights: ProtFlags) -> io::Result<NonNull<u8>> {
    let kept = length.checked_next_multiple_of(page_bytes());
    let (kept, wider) = kept
        .and_then(|kept| Some((kept, kept.checked_add(HUGE_PAGE_BYTES)?)))
        .ok_or_else(|| io::Error::other("the length is beyond what can be mapped"))?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // JUSTIFICATION: mapping memory at a place of one's choice has no safe interface.
    // SAFETY: a new mapping at an address the kernel picks aliases nothing. The two that are unmapped lie inside it, before
    // and after the part that is handed out, and nobody knows their addresses.
    unsafe {
        let whole = mmap_anonymous(null_mut(), wider, rights, flags)?.cast::<u8>();
        let before = whole.align_offset(HUGE_PAGE_BYTES).min(HUGE_PAGE_BYTES);
        let start = whole.add(before);
        if before > 0 {
            munmap(whole.cast(), before)?;
        }
        if before < HUGE_PAGE_BYTES {
            munmap(start.add(kept).cast(), HUGE_PAGE_BYTES - before)?;
        }
        NonNull::new(start).ok_or_else(|| io::Error::other("the kernel mapped memory at address 0"))
    }
}

/// Has pages of the mapping at `address` taken as huge ones, from its first touch on.
pub fn on_touch(address: NonNull<u8>, length: usize) {
    advise(address, length, libc::MADV_HUGEPAGE);
}

/// Puts the pages of the mapping at `address` together to huge ones now (Linux 6.1), whatever the system's setting for shared
/// memory: that one is for everybody, this is asked for. What cannot be put together stays as it is.
pub fn now(address: NonNull<u8>, length: usize) {
    advise(address, length, libc::MADV_COLLAPSE);
}

/// How pages are cut is a matter of speed alone, so a kernel that cannot do it is not an error.
fn advise(address: NonNull<u8>, length: usize, advice: libc::c_int) {
    // JUSTIFICATION: advice on a mapping has no safe interface, and rustix does not know the newer kind yet.
    // SAFETY: both kinds of advice leave the bytes as they are.
    let _ = unsafe { libc::madvise(address.as_ptr().cast(), length, advice) };
}

/// Bytes of a page.
pub(crate) fn page_bytes() -> usize {
    // JUSTIFICATION: the C library has no safe interface.
    // SAFETY: it takes and gives a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(HUGE_PAGE_BYTES)
}
