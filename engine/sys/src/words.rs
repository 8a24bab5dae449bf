//! Atomic words that never move, many of them: counters that all workers write.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{ProtFlags, munmap};

use crate::huge;

/// Zeroed words, page-aligned, until they are dropped.
pub struct Words {
    address: NonNull<u8>,
    count: usize,
}

/// Which pages words lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Small ones, each taken when it is first written.
    Small,
    /// Huge ones where the kernel has some: the first write takes a whole one.
    Huge,
}

impl Words {
    /// Zeroed words. Errors are the system's.
    pub fn zeroed(count: usize, pages: Pages) -> io::Result<Self> {
        let length = count.checked_mul(size_of::<AtomicU64>()).filter(|length| *length > 0);
        let length = length
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{count} words cannot be mapped")))?;
        let address = huge::map_aligned(length, ProtFlags::READ | ProtFlags::WRITE)?;
        if pages == Pages::Huge {
            huge::on_touch(address, length);
        }
        Ok(Self { address, count })
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // JUSTIFICATION: the mapping is known to Rust only by its address.
        // SAFETY: so many words are mapped there, readable and writable, until `drop`; zeroed bytes are words of 0; a page's
        // alignment is more than a word's.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // JUSTIFICATION: unmapping has no safe interface.
        // SAFETY: the mapping is ours, and no borrow of it outlives `self`. An error leaves it mapped, which is harmless.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

// JUSTIFICATION: `NonNull` is neither Send nor Sync; workers share the words.
// SAFETY: the words are atomic, and the mapping belongs to the process, not to a thread.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn they_begin_at_a_huge_page_zeroed_and_keep_what_is_stored() {
        for (count, pages) in [(1, Pages::Small), (huge::HUGE_PAGE_BYTES / 8 * 2 + 5, Pages::Huge)] {
            let words = Words::zeroed(count, pages).unwrap();
            assert_eq!((words.len(), words.as_ptr() as usize % huge::HUGE_PAGE_BYTES), (count, 0));
            assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
            words[count - 1].store(7, Ordering::Relaxed);
            assert_eq!(words[count - 1].load(Ordering::Relaxed), 7);
        }
        assert!(Words::zeroed(0, Pages::Small).is_err() && Words::zeroed(usize::MAX, Pages::Huge).is_err());
    }
}
