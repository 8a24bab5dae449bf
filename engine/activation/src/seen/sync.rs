//! The atomics under the proofs that were shown, and the shape of a line. `tests/seen_loom.rs` compiles `slots` a second
//! time over loom's atomics and a smaller shape, so this is all it may build on.

pub use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Slots of one line, a cache line of 64 bytes.
pub const LINE_SLOTS: usize = 8;
