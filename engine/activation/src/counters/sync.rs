//! The atomics under the counters, and the shape of a table of subjects. `tests/counters_loom.rs` compiles the
//! lock-free modules a second time over loom's atomics and a smaller shape, so this is all they may build on.

pub use std::sync::atomic::{AtomicU64, Ordering};

/// Slots of a bucket: their control words fill two cache lines.
pub const BUCKET_SLOTS: usize = 16;
/// Words of an inline subject.
pub const KEY_WORDS: usize = crate::bounds::SUBJECT_INLINE_BYTES_MAX / 8;
/// Turns and tries before a request stops waiting for another one.
pub const TRIES_MAX: usize = crate::bounds::SUBJECT_TRIES_MAX;

/// One turn of waiting for another worker.
pub fn pause() {
    std::hint::spin_loop();
}
