//! What moves by itself beneath the activations of one table: they share it, so that a new one is in force for requests that
//! run already, and neither a slow exchange nor a release that waits holds it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

/// What is in force for one table.
#[derive(Default)]
pub struct Live<T> {
    /// Counts what was put since the process began; 0: there never was anything.
    generation: AtomicU64,
    now: ArcSwap<T>,
}

impl<T> Live<T> {
    /// What is in force; none while there never was anything.
    pub fn now(&self) -> Option<Guard<Arc<T>>> {
        (self.generation() != 0).then(|| self.now.load())
    }

    /// Generation of what is in force.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts `next` in force. Gives what was, to be kept until nobody reads it any more: workers free nothing.
    pub fn put(&self, next: Arc<T>, generation: u64) -> Arc<T> {
        let before = self.now.swap(next);
        self.generation.store(generation, Ordering::Release);
        before
    }
}
