//! The table's bytes in memory that nobody in this process can write: a sealed memfd, mapped shared and read-only.
//!
//! What the seals do not stop is that another mapping takes the place of this one (`mmap` with MAP_FIXED, `munmap`,
//! `mremap`), by arbitrary code in the process or by who may ptrace it. mseal(2) stops that too, for as long as the
//! process lives; without it a look through the same address finds it, and [`Image::map_again`] puts it right.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::mm::munmap;

mod mapping;
mod node;

pub use mapping::MapSeal;

/// How often sealing is tried. While the kernel has a page of the file in its hands for a moment (it may be moving it), it
/// waits for some tenths of a second, and then refuses to seal against writing with EBUSY.
const SEAL_TRIES_MAX: usize = 20;

/// Read-only bytes, 4096-byte aligned, in huge pages where they fill some and the kernel has them. The memfd is sealed against writing, growing, shrinking and further seals, so
/// that no mapping and no descriptor can change them.
pub struct Image {
    address: NonNull<u8>,
    length: usize,
    file: File,
    map_seal: MapSeal,
}

/// How an image lies in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// NUMA node whose processors read it; none: wherever the kernel puts it.
    pub node: Option<u32>,
    /// The mapping stays as it is until the process ends (mseal, Linux 6.10): it is not unmapped when the value is
    /// dropped, and cannot be mapped again.
    pub forever: bool,
}

impl Image {
    /// Copies `bytes` into sealed memory. Errors are the system's.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        Self::with(bytes, Options::default())
    }

    /// Copies `bytes` into sealed memory that lies as `options` say, as far as the kernel can.
    pub fn with(bytes: &[u8], options: Options) -> io::Result<Self> {
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an image holds at least one byte, found none"));
        }
        let mut file = File::from(memfd_create("adamant-table", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        node::prefer(options.node, || file.write_all(bytes))?;
        seal(&file)?;
        let address = mapping::map_new(&file, bytes.len())?;
        let map_seal = if options.forever { mapping::seal(address, bytes.len()) } else { MapSeal::NotAsked };
        Ok(Self { address, length: bytes.len(), file, map_seal })
    }

    /// Whether the mapping itself is sealed.
    pub fn map_seal(&self) -> &MapSeal {
        &self.map_seal
    }

    /// The bytes as the sealed memory has them, read through its descriptor and not through the mapping.
    pub fn stored(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Maps the sealed memory again at the same address, in one step for whoever reads there.
    ///
    /// # Errors
    /// The system's; `PermissionDenied` when the mapping is sealed.
    pub fn map_again(&self) -> io::Result<()> {
        mapping::map(&self.file, self.length, Some(self.address)).map(drop)
    }

    /// Where the bytes are mapped, and how many they are: for tests that attack them from outside.
    pub fn place(&self) -> (usize, usize) {
        (self.address.as_ptr() as usize, self.length)
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

#[cfg(feature = "fault-injection")]
impl Image {
    /// Puts other bytes in the place of the mapping, as an attacker with code in the process would. For tests alone: the
    /// bytes under a `&[u8]` change.
    pub fn inject_other_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let file = File::from(memfd_create("other", MemfdFlags::CLOEXEC)?);
        file.set_len(self.length as u64)?;
        file.write_all_at(bytes.get(..self.length.min(bytes.len())).unwrap_or_default(), 0)?;
        mapping::map(&file, self.length, Some(self.address)).map(drop)
    }
}

/// Nothing can change the file from here on.
fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    let mut tries = 1;
    while let Err(errno) = fcntl_add_seals(file, seals) {
        if errno != Errno::BUSY || tries == SEAL_TRIES_MAX {
            return Err(errno.into());
        }
        tries += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
