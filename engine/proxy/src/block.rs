//! Pooled blocks: the memory that heads and content pass through. An idle connection holds none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::settings::BLOCK_BYTES;

/// Free blocks kept; more go back to the allocator.
const FREE_BLOCKS_MAX: usize = 512;
/// Capacity of a gathering buffer; one that grew beyond `GATHER_BYTES_KEPT_MAX` is not kept.
const GATHER_BYTES: usize = 8 << 10;
const GATHER_BYTES_KEPT_MAX: usize = 128 << 10;

/// Bytes of a small block: where a head begins to arrive.
pub const SMALL_BLOCK_BYTES: usize = 8 << 10;

/// The free blocks of one worker.
#[derive(Default)]
pub struct Blocks {
    free: RefCell<Vec<Box<[u8]>>>,
    small: RefCell<Vec<Box<[u8]>>>,
    gathers: RefCell<Vec<Vec<u8>>>,
}

/// `BLOCK_BYTES` of memory, or `SMALL_BLOCK_BYTES`; back in the pool when dropped.
pub struct Block {
    bytes: Box<[u8]>,
    pool: Rc<Blocks>,
}

/// A growing buffer for heads and small pieces that are written together, back in the pool when dropped.
pub struct Gather {
    bytes: Vec<u8>,
    pool: Rc<Blocks>,
}

impl Blocks {
    pub fn block(self: &Rc<Self>) -> Block {
        let bytes = self.free.borrow_mut().pop().unwrap_or_else(|| vec![0; BLOCK_BYTES].into_boxed_slice());
        Block { bytes, pool: Rc::clone(self) }
    }

    /// A small block.
    pub fn small(self: &Rc<Self>) -> Block {
        let bytes = self.small.borrow_mut().pop().unwrap_or_else(|| vec![0; SMALL_BLOCK_BYTES].into_boxed_slice());
        Block { bytes, pool: Rc::clone(self) }
    }

    pub fn gather(self: &Rc<Self>) -> Gather {
        let bytes = self.gathers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(GATHER_BYTES));
        Gather { bytes, pool: Rc::clone(self) }
    }
}

impl Deref for Block {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let pool = if self.bytes.len() == BLOCK_BYTES { &self.pool.free } else { &self.pool.small };
        let mut free = pool.borrow_mut();
        if free.len() < FREE_BLOCKS_MAX {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Gather {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Gather {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        let mut gathers = self.pool.gathers.borrow_mut();
        if gathers.len() < FREE_BLOCKS_MAX && self.bytes.capacity() <= GATHER_BYTES_KEPT_MAX {
            self.bytes.clear();
            gathers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_are_bounded() {
        let pool = Rc::new(Blocks::default());
        let many: Vec<_> = (0..FREE_BLOCKS_MAX + 3).map(|_| pool.block()).collect();
        drop(many);
        assert_eq!(pool.free.borrow().len(), FREE_BLOCKS_MAX);
        drop(pool.small());
        assert_eq!(pool.small.borrow().len(), 1);
        assert_eq!(pool.small().len(), SMALL_BLOCK_BYTES);
        let mut gather = pool.gather();
        gather.extend_from_slice(b"x");
        drop(gather);
        assert!(pool.gather().is_empty());
        pool.gather().reserve(2 * GATHER_BYTES_KEPT_MAX);
        assert!(pool.gathers.borrow().is_empty());
    }
}
