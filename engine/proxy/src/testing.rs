//! What the tests of this crate share.

use std::future::Future;

/// Runs a future on a worker's runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    crate::probe::runtime(256).unwrap().block_on(future)
}
