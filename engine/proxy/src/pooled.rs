//! Futures in pooled boxes: a session is boxed when its first byte arrives, and the box is used again by the next one,
//! so that an idle connection is small and a busy one allocates nothing.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Free boxes kept.
const FREE_BOXES_MAX: usize = 512;

/// A box that a future of one type lives in.
type Place<F> = Pin<Box<Option<F>>>;

/// Free boxes for futures of one type.
pub struct Pooled<F> {
    free: RefCell<Vec<Place<F>>>,
}

impl<F> Default for Pooled<F> {
    fn default() -> Self {
        Self { free: RefCell::default() }
    }
}

impl<F: Future> Pooled<F> {
    /// Runs what `make` makes in a pooled box.
    pub async fn run(&self, make: impl FnOnce() -> F) -> F::Output {
        let free = self.free.borrow_mut().pop();
        let mut place = free.unwrap_or_else(|| Box::pin(None));
        place.set(Some(make()));
        let output = poll_fn(|context| match place.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            None => Poll::Pending,
        })
        .await;
        place.set(None);
        let mut free = self.free.borrow_mut();
        if free.len() < FREE_BOXES_MAX {
            free.push(place);
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    #[test]
    fn a_box_is_used_again() {
        let pool = Pooled::default();
        let make = |value: u32| async move { value + 1 };
        for value in 0..3 {
            assert_eq!(block_on(pool.run(|| make(value))), value + 1);
        }
        assert_eq!(pool.free.borrow().len(), 1);
    }
}
