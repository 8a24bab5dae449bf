//! The memory that one client session works in: a block for heads, the parsed heads, normal forms. Pooled, because a
//! connection needs it only while an exchange runs.

use std::cell::RefCell;
use std::rc::Rc;

use http1::{RequestHead, ResponseHead};

use crate::block::{Block, Blocks};

/// Free desks kept.
const FREE_DESKS_MAX: usize = 512;

/// The free desks of one worker. The boxes are the point: a session must stay small to move.
pub struct Desks {
    free: RefCell<Vec<Box<Desk>>>,
    blocks: Rc<Blocks>,
}

/// What a session works with.
pub struct Desk {
    /// What the client sent: a head, content, the next requests.
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

impl Desks {
    pub fn new(blocks: &Rc<Blocks>) -> Self {
        Self { free: RefCell::default(), blocks: Rc::clone(blocks) }
    }

    pub fn take(&self) -> Box<Desk> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| {
            Box::new(Desk {
                block: self.blocks.block(),
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
            free.push(desk);
        }
    }
}
