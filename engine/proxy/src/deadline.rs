//! Time limits of connections: one slot each, swept every tick. On expiry the socket is shut down, so that whoever
//! waits on it sees its end, and the slot tells which stage it was.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;

use monoio::net::TcpStream;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Handshake,
    Idle,
    Head,
    Content,
    OriginFirstByte,
    OriginContent,
    Exchange,
    Linger,
}

/// How often slots are swept, milliseconds: a limit fires up to this much late.
pub const TICK_MS: u64 = 100;

const NEVER_MS: u64 = u64::MAX;

/// The slots of one worker.
#[derive(Default)]
pub struct Deadlines {
    slots: RefCell<Vec<Option<Rc<Slot>>>>,
    free: RefCell<Vec<usize>>,
    /// Milliseconds of the worker's own clock, moved on by each sweep.
    now_ms: Cell<u64>,
}

struct Slot {
    stream: Rc<TcpStream>,
    at_ms: Cell<u64>,
    stage: Cell<Stage>,
    /// The whole exchange must be over by then.
    exchange_at_ms: Cell<u64>,
    expired: Cell<Option<Stage>>,
}

/// A connection's own slot, given back when dropped.
pub struct Deadline {
    slot: Rc<Slot>,
    index: usize,
    all: Rc<Deadlines>,
}

impl Deadlines {
    /// Takes a slot for `stream`; no limit is set yet.
    pub fn slot(self: &Rc<Self>, stream: &Rc<TcpStream>) -> Deadline {
        let slot = Rc::new(Slot {
            stream: Rc::clone(stream),
            at_ms: Cell::new(NEVER_MS),
            stage: Cell::new(Stage::Idle),
            exchange_at_ms: Cell::new(NEVER_MS),
            expired: Cell::new(None),
        });
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(slots.len());
        match slots.get_mut(index) {
            Some(place) => *place = Some(Rc::clone(&slot)),
            None => slots.push(Some(Rc::clone(&slot))),
        }
        Deadline { slot, index, all: Rc::clone(self) }
    }

    /// Moves the clock on and shuts down what is due; gives how many were.
    pub fn sweep(&self, now_ms: u64) -> usize {
        self.now_ms.set(now_ms);
        let mut expired = 0;
        for slot in self.slots.borrow().iter().flatten() {
            if slot.at_ms.get() <= now_ms {
                slot.expire(slot.stage.get());
                expired += 1;
            } else if slot.exchange_at_ms.get() <= now_ms {
                slot.expire(Stage::Exchange);
                expired += 1;
            }
        }
        expired
    }

    /// Ends connections that wait between exchanges and have sent nothing of another one.
    pub fn end_idle(&self) {
        for slot in self.slots.borrow().iter().flatten() {
            let is_quiet =
                || matches!(sys::socket::try_peek(&*slot.stream), Err(error) if error.kind() == ErrorKind::WouldBlock);
            if slot.expired.get().is_none() && slot.stage.get() == Stage::Idle && is_quiet() {
                slot.expire(Stage::Idle);
            }
        }
    }

    /// Ends every connection.
    pub fn end_all(&self) {
        for slot in self.slots.borrow().iter().flatten() {
            if slot.expired.get().is_none() {
                slot.expire(slot.stage.get());
            }
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }
}

impl Slot {
    fn expire(&self, stage: Stage) {
        self.at_ms.set(NEVER_MS);
        self.exchange_at_ms.set(NEVER_MS);
        self.expired.set(Some(stage));
        sys::socket::shut_down(&*self.stream);
    }
}

impl Deadline {
    /// From now on `stage` may take `limit_ms` (0 = for ever).
    pub fn set(&self, stage: Stage, limit_ms: u32) {
        self.slot.stage.set(stage);
        let at_ms = if limit_ms == 0 { NEVER_MS } else { self.all.now_ms.get() + u64::from(limit_ms) + TICK_MS };
        self.slot.at_ms.set(at_ms);
    }

    /// Bounds the whole exchange (0 = for ever).
    pub fn set_exchange(&self, limit_ms: u32) {
        let at_ms = if limit_ms == 0 { NEVER_MS } else { self.all.now_ms.get() + u64::from(limit_ms) + TICK_MS };
        self.slot.exchange_at_ms.set(at_ms);
    }

    /// Lifts the stage's limit; that of the exchange stays.
    pub fn pause(&self) {
        self.slot.at_ms.set(NEVER_MS);
    }

    pub fn clear(&self) {
        self.slot.at_ms.set(NEVER_MS);
        self.slot.exchange_at_ms.set(NEVER_MS);
    }

    /// The stage that ran out of time, if one did.
    pub fn expired(&self) -> Option<Stage> {
        self.slot.expired.get()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(place) = self.all.slots.borrow_mut().get_mut(self.index) {
            *place = None;
            self.all.free.borrow_mut().push(self.index);
        }
    }
}
