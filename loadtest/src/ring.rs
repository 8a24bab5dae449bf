//! The runtime of a thread: io_uring and nothing else, with timers.

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, Runtime, RuntimeBuilder};

use crate::failure::Failure;

/// A ring with so many entries. COOP_TASKRUN: completions wait for the next entry into the ring instead of interrupting
/// the thread; one thread for each ring.
pub(crate) fn runtime(entries: u32) -> Result<Runtime<TimeDriver<IoUringDriver>>, Failure> {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).with_entries(entries).enable_timer();
    builder.build().map_err(Failure::io("an io_uring ring (Linux 6.0 or later, and allowed for this process)"))
}
