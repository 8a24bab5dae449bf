//! The memory that one client session works in: a block for heads, the parsed heads, normal forms. Pooled, because a
//! connection needs it only while an exchange runs.

use std::cell::RefCell;
use std::rc::Rc;

use http1::{RequestHead, ResponseHead};

use crate::block::{Block, Blocks, SMALL_BLOCK_BYTES};

/// Free desks kept.
const FREE_DESKS_MAX: usize = 512;

/// The free desks of one worker. The boxes are the point: a session must stay small to move.
pub struct Desks {
    free: RefCell<Vec<Box<Desk>>>,
    blocks: Rc<Blocks>,
}

/// What a session works with.
pub struct Desk {
    /// What the client sent: a head, content, the next requests. Small until a head does not fit.
    pub block: Block,
    /// Bytes of `block` that are filled.
    pub filled: usize,
    pub head: RequestHead,
    pub reply: ResponseHead,
    /// Normal form of the target.
    pub target: Vec<u8>,
    /// Normal form of the host.
    pub host: Vec<u8>,
}

impl Desk {
    /// Makes room for more of a head; false when there is no larger block.
    pub fn grow(&mut self, blocks: &Rc<Blocks>) -> bool {
        if self.block.len() > SMALL_BLOCK_BYTES {
            return false;
        }
        let mut larger = blocks.block();
        if let (Some(to), Some(from)) = (larger.get_mut(..self.filled), self.block.get(..self.filled)) {
            to.copy_from_slice(from);
        }
        self.block = larger;
        true
    }
}

impl Desks {
    pub fn new(blocks: &Rc<Blocks>) -> Self {
        Self { free: RefCell::default(), blocks: Rc::clone(blocks) }
    }

    pub fn take(&self) -> Box<Desk> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| {
            Box::new(Desk {
                block: self.blocks.small(),
                filled: 0,
                head: RequestHead::default(),
                reply: ResponseHead::default(),
                target: Vec::with_capacity(1024),
                host: Vec::with_capacity(256),
            })
        })
    }

    pub fn put(&self, mut desk: Box<Desk>) {
        let mut free = self.free.borrow_mut();
        if free.len() < FREE_DESKS_MAX {
            desk.filled = 0;
            if desk.block.len() > SMALL_BLOCK_BYTES {
                desk.block = self.blocks.small();
            }
            free.push(desk);
        }
    }
}
