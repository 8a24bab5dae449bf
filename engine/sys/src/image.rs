//! The table's bytes in memory that nobody in this process can write: a sealed memfd, mapped shared and read-only.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Read-only bytes, 4096-byte aligned. The memfd is sealed against writing, growing, shrinking and further seals, so
/// that no mapping and no descriptor can change them.
pub struct Image {
    address: NonNull<u8>,
    length: usize,
    _descriptor: OwnedFd,
}

impl Image {
    /// Copies `bytes` into sealed memory. Errors are the system's.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an image holds at least one byte, found none"));
        }
        let mut file = File::from(memfd_create("adamant-table", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(bytes)?;
        let descriptor = OwnedFd::from(file);
        fcntl_add_seals(&descriptor, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        // JUSTIFICATION: mapping a descriptor has no safe interface.
        // SAFETY: a new mapping at an address the kernel picks aliases nothing; its length is the file's, which the
        // GROW and SHRINK seals fix, so reads stay inside the file; the WRITE seal means that the bytes never change.
        let address =
            unsafe { mmap(std::ptr::null_mut(), bytes.len(), ProtFlags::READ, MapFlags::SHARED, &descriptor, 0)? };
        let address =
            NonNull::new(address.cast()).ok_or_else(|| io::Error::other("the kernel mapped the image at address 0"))?;
        Ok(Self { address, length: bytes.len(), _descriptor: descriptor })
    }
}

impl AsRef<[u8]> for Image {
    fn as_ref(&self) -> &[u8] {
        // JUSTIFICATION: the mapping is known to Rust only by its address.
        // SAFETY: `address` and `length` are those of a live, readable mapping (unmapped in `drop` alone), the bytes are
        // immutable (sealed), and the borrow ends before `self` does.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.length) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // JUSTIFICATION: unmapping has no safe interface.
        // SAFETY: the mapping is ours, and no borrow of it outlives `self`. An error leaves it mapped, which is harmless.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), self.length) };
    }
}

// JUSTIFICATION: `NonNull` is neither Send nor Sync; workers share the image.
// SAFETY: the bytes are immutable for the life of the value and the mapping belongs to the process, not to a thread.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_bytes_and_refuses_writes() {
        let image = Image::new(b"rules").unwrap();
        assert_eq!(image.as_ref(), b"rules");
        let descriptor = image._descriptor.try_clone().unwrap();
        assert!(File::from(descriptor).write_all(b"other").is_err());
        let protect = rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE;
        // SAFETY: the page is ours; the call is expected to fail.
        assert!(unsafe { rustix::mm::mprotect(image.address.as_ptr().cast(), image.length, protect) }.is_err());
        let memory = std::fs::OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
        let wrote = std::os::unix::fs::FileExt::write_at(&memory, b"other", image.address.as_ptr() as u64);
        assert!(wrote.is_err());
        assert_eq!(image.as_ref(), b"rules");
        assert!(Image::new(b"").is_err());
    }
}
