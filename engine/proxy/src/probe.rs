//! What the kernel must offer, asked before anything is bound: there is no fallback.

use std::io;

use monoio::{IoUringDriver, RuntimeBuilder};

pub mod measure;

/// The oldest kernel we support.
pub const KERNEL_MIN: (u32, u32) = (6, 1);

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("expected Linux {}.{} or newer, found {found}: io_uring there lacks what the workers need", KERNEL_MIN.0, KERNEL_MIN.1)]
    Kernel { found: String },
    #[error(
        "expected a working io_uring, but making a ring of {entries} entries failed: {source} \
         (see /proc/sys/kernel/io_uring_disabled, the container's seccomp profile, and the memory-lock limit)"
    )]
    Ring { entries: u32, source: io::Error },
    #[error("worker {index} could not be pinned to core {core}: {source} (name a core that this process may use)")]
    Pin { index: usize, core: usize, source: io::Error },
    #[error("worker {index} could not take its listener: {source}")]
    Listener { index: usize, source: io::Error },
    #[error("worker {index} did not start: {source}")]
    Thread { index: usize, source: io::Error },
    #[error("worker {index} ended while it started")]
    Ended { index: usize },
}

/// What was found.
#[derive(Clone, Debug)]
pub struct KernelReport {
    pub kernel: String,
    pub ring_entries: u32,
}

/// Makes a ring as the workers will, and does one turn on it.
///
/// # Errors
/// The kernel is too old, or has no io_uring for this process.
pub fn check_kernel(ring_entries: u32) -> Result<KernelReport, StartError> {
    let version = sys::process::kernel_version();
    let kernel = version.map_or_else(|| "an unknown version".to_owned(), |(major, minor)| format!("{major}.{minor}"));
    if version.is_none_or(|version| version < KERNEL_MIN) {
        return Err(StartError::Kernel { found: kernel });
    }
    // A runtime belongs to its thread, and the caller may have one of its own later.
    let made = std::thread::spawn(move || {
        let mut runtime = runtime(ring_entries)?;
        runtime.block_on(async {});
        Ok(())
    });
    let made = made.join().unwrap_or_else(|_| Err(io::Error::other("the thread that tried it ended")));
    made.map_err(|source| StartError::Ring { entries: ring_entries, source })?;
    Ok(KernelReport { kernel, ring_entries })
}

/// What the workers use of a ring, of what [`sys::uring::features`] asks for: the flags of [`runtime`], and the operations
/// by which they wait for readiness, connect, close, cancel and are woken.
pub const USED: &[&str] =
    &["single_issuer", "coop_taskrun", "ext_arg", "poll_add", "async_cancel", "connect", "close", "read"];

/// The runtime of a worker: io_uring and nothing else, with timers.
pub(crate) fn runtime(ring_entries: u32) -> io::Result<monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>> {
    let mut ring = io_uring::IoUring::builder();
    // COOP_TASKRUN: completions wait for the next entry into the ring instead of interrupting this thread. Needs one
    // task per ring, which thread per core gives.
    ring.setup_coop_taskrun().setup_single_issuer();
    RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).with_entries(ring_entries).enable_timer().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_will_do() {
        assert!(check_kernel(256).unwrap().kernel.contains('.'));
        let features = sys::uring::features().unwrap();
        for used in USED {
            assert!(features.iter().any(|feature| feature.name == *used && feature.there), "{used}");
        }
    }
}
