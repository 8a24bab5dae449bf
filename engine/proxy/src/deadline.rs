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
    /// For the first request of a connection.
    First,
    /// For the next request.
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

/// How much longer than its exchange a client connection may take, milliseconds: for the response that says so.
const LAST_WORD_MS: u64 = 1_000;

/// How long the first request of a connection may take once the worker drains, milliseconds.
const FIRST_WHILE_DRAINING_MS: u64 = 1_000;

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
    /// Limits of the two directions, which may wait at the same time.
    lanes: [Lane; 2],
    /// The whole exchange must be over by then.
    exchange_at_ms: Cell<u64>,
    expired: Cell<Option<Stage>>,
}

/// One direction's limit.
struct Lane {
    at_ms: Cell<u64>,
    stage: Cell<Stage>,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Read = 0,
    Write = 1,
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
            lanes: [Stage::First, Stage::Content]
                .map(|stage| Lane { at_ms: Cell::new(NEVER_MS), stage: Cell::new(stage) }),
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
            if let Some(stage) = slot.due(now_ms) {
                slot.expire(stage);
                expired += 1;
            }
        }
        expired
    }

    /// Ends connections that wait between exchanges and have sent nothing of another one. One that was just made gets a
    /// moment for its first request: it cannot know that it is unwanted.
    pub fn end_idle(&self) {
        let soon_ms = self.now_ms.get() + FIRST_WHILE_DRAINING_MS;
        for slot in self.slots.borrow().iter().flatten() {
            let is_quiet =
                || matches!(sys::socket::try_peek(&*slot.stream), Err(error) if error.kind() == ErrorKind::WouldBlock);
            match slot.stage() {
                Stage::First => slot.hurry(soon_ms),
                Stage::Idle if slot.expired.get().is_none() && is_quiet() => slot.expire(Stage::Idle),
                _ => {}
            }
        }
    }

    /// Ends every connection.
    pub fn end_all(&self) {
        for slot in self.slots.borrow().iter().flatten() {
            if slot.expired.get().is_none() {
                slot.expire(slot.stage());
            }
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// When `limit_ms` from now is over; 0 = never.
    fn after(&self, limit_ms: u32) -> u64 {
        // The clock may be up to a tick behind.
        if limit_ms == 0 { NEVER_MS } else { self.now_ms.get() + u64::from(limit_ms) + TICK_MS }
    }
}

impl Slot {
    /// What the connection waits for, seen from its reading side.
    fn stage(&self) -> Stage {
        let [read, _] = &self.lanes;
        read.stage.get()
    }

    /// The stage whose limit is over, if one's is.
    fn due(&self, now_ms: u64) -> Option<Stage> {
        let lane = self.lanes.iter().find(|lane| lane.at_ms.get() <= now_ms);
        lane.map(|lane| lane.stage.get()).or_else(|| (self.exchange_at_ms.get() <= now_ms).then_some(Stage::Exchange))
    }

    fn expire(&self, stage: Stage) {
        self.lift();
        self.expired.set(Some(stage));
        sys::socket::shut_down(&*self.stream);
    }

    /// Brings the limit of waiting to read forward.
    fn hurry(&self, at_ms: u64) {
        let lane = self.lane(Direction::Read);
        if lane.at_ms.get() != NEVER_MS {
            lane.at_ms.set(lane.at_ms.get().min(at_ms));
        }
    }

    fn lift(&self) {
        self.lanes.iter().for_each(|lane| lane.at_ms.set(NEVER_MS));
        self.exchange_at_ms.set(NEVER_MS);
    }

    fn lane(&self, direction: Direction) -> &Lane {
        let [read, write] = &self.lanes;
        match direction {
            Direction::Read => read,
            Direction::Write => write,
        }
    }
}

impl Deadline {
    /// From now on waiting in `direction` for `stage` may take `limit_ms` (0 = for ever).
    pub fn set(&self, direction: Direction, stage: Stage, limit_ms: u32) {
        let lane = self.slot.lane(direction);
        lane.stage.set(stage);
        lane.at_ms.set(self.all.after(limit_ms));
    }

    /// Lifts the limit of one direction.
    pub fn pause(&self, direction: Direction) {
        self.slot.lane(direction).at_ms.set(NEVER_MS);
    }

    /// Bounds the whole exchange (0 = for ever).
    pub fn set_exchange(&self, limit_ms: u32) {
        self.slot.exchange_at_ms.set(self.all.after(limit_ms));
    }

    /// Takes over the bound of the exchange from the client's connection, which keeps it a little longer, so that there is
    /// time to say what happened.
    pub fn take_exchange(&self, client: &Self) {
        let at_ms = client.slot.exchange_at_ms.get();
        self.slot.exchange_at_ms.set(at_ms);
        client.slot.exchange_at_ms.set(at_ms.saturating_add(LAST_WORD_MS));
    }

    pub fn clear(&self) {
        self.slot.lift();
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
