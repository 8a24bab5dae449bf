//! Time limits of connections: one slot each, swept every tick. On expiry the socket is shut down, so that whoever
//! waits on it sees its end, and the slot tells which stage it was.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::ErrorKind;
use std::rc::{Rc, Weak};

use monoio::net::TcpStream;
use policy::reason::Reason;

use crate::certified::{EXPIRED_EXCHANGE_MS_MAX, Judge, Standing};
use crate::revoked::Sweep;

mod owner;
mod rotation;
mod stage;

pub use owner::Owner;
use rotation::Rotation;
pub use stage::Stage;

/// How often slots are swept, milliseconds: a limit fires up to this much late.
pub const TICK_MS: u64 = 100;

/// How much longer than its exchange a client connection may take, milliseconds: for the response that says so.
const LAST_WORD_MS: u64 = 1_000;

/// The same for an exchange that stands on what was revoked: it is to be over within the second.
const REVOKED_LAST_WORD_MS: u64 = 300;

/// How long the first request of a connection may take once the worker drains, milliseconds.
const FIRST_WHILE_DRAINING_MS: u64 = 1_000;

/// Sweeps after which a connection that waits between exchanges gives back what it does not need: one that is busy again
/// sooner would only pay for it.
const REST_SWEEPS: u16 = 10;
/// Sweeps after which it does so again: the kernel puts small pages together to huge ones, and fills what was given back.
const REST_AGAIN_SWEEPS: u16 = 600;

const NEVER_MS: u64 = u64::MAX;

/// No certificate that could end.
const NEVER_S: u64 = u64::MAX;

/// The slots of one worker.
#[derive(Default)]
pub struct Deadlines {
    slots: RefCell<Vec<Option<Rc<Slot>>>>,
    free: RefCell<Vec<usize>>,
    /// Milliseconds of the worker's own clock, moved on by each sweep.
    now_ms: Cell<u64>,
    rotation: Rotation,
}

struct Slot {
    stream: Rc<TcpStream>,
    /// Limits of the two directions, which may wait at the same time.
    lanes: [Lane; 2],
    /// The whole exchange must be over by then.
    exchange: Lane,
    /// Number of the activation that its exchange runs on; 0 between exchanges.
    activation: Cell<u64>,
    /// How much later than its exchange it is ended with its activation, milliseconds.
    last_word_ms: Cell<u64>,
    expired: Cell<Option<Stage>>,
    /// No further request is taken.
    over: Cell<bool>,
    /// The client's certificate is to be looked at after that second, Unix time.
    certificate_until_s: Cell<u64>,
    /// Sweeps until the owner rests.
    sweeps_to_rest: Cell<u16>,
    /// Slot of the origin's connection that the exchange goes on over.
    partner: RefCell<Weak<Slot>>,
    /// Whose slot it is; none of an origin's.
    owner: OnceCell<Weak<dyn Owner>>,
}

/// One limit.
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
            lanes: [Stage::First, Stage::Content].map(Lane::new),
            exchange: Lane::new(Stage::Exchange),
            activation: Cell::new(0),
            last_word_ms: Cell::new(LAST_WORD_MS),
            expired: Cell::new(None),
            over: Cell::new(false),
            certificate_until_s: Cell::new(NEVER_S),
            sweeps_to_rest: Cell::new(REST_SWEEPS),
            partner: RefCell::new(Weak::new()),
            owner: OnceCell::new(),
        });
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(slots.len());
        match slots.get_mut(index) {
            Some(place) => *place = Some(Rc::clone(&slot)),
            None => slots.push(Some(Rc::clone(&slot))),
        }
        Deadline { slot, index, all: Rc::clone(self) }
    }

    /// Moves the clock on and shuts down what is due; gives how many were. Exchanges on activations up to number
    /// `ended` (0 = none) are due now, and their clients once there was time to say so. So is what stands on something
    /// revoked, where there is a list: `lists` knows the activation in force.
    pub fn sweep(&self, now_ms: u64, ended: u64, lists: Option<&Sweep<'_>>) -> usize {
        self.now_ms.set(now_ms);
        let mut expired = 0;
        self.rotation.each(&self.slots.borrow(), |slot| {
            let Some(slot) = slot else { return true };
            slot.rest_when_quiet();
            if let Some(reason) = lists.and_then(|sweep| slot.revoked(sweep)) {
                slot.revoke(reason, now_ms);
            }
            if slot.runs_on_any(ended) {
                slot.end_exchange(now_ms);
            }
            if let Some(stage) = slot.due(now_ms) {
                slot.expire(stage);
                expired += 1;
            }
            lists.is_none_or(Sweep::may_look)
        });
        expired
    }

    /// Has `judge` look at client certificates, and closes in order what it no longer stands for.
    pub fn judge(&self, judge: &mut Judge<'_>) {
        for slot in self.slots.borrow().iter().flatten() {
            let until_s = slot.certificate_until_s.get();
            if until_s != NEVER_S && judge.is_due(until_s) {
                slot.judge(judge, self.now_ms.get());
            }
        }
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

impl Lane {
    fn new(stage: Stage) -> Self {
        Self { at_ms: Cell::new(NEVER_MS), stage: Cell::new(stage) }
    }

    fn set(&self, stage: Stage, at_ms: u64) {
        self.stage.set(stage);
        self.at_ms.set(at_ms);
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
        let mut lanes = self.lanes.iter().chain([&self.exchange]);
        lanes.find(|lane| lane.at_ms.get() <= now_ms).map(|lane| lane.stage.get())
    }

    fn expire(&self, stage: Stage) {
        self.lift();
        self.expired.set(Some(stage));
        sys::socket::shut_down(&*self.stream);
    }

    /// Lets the owner rest once it has waited between exchanges for long enough.
    fn rest_when_quiet(&self) {
        let Some(owner) = self.owner.get() else { return };
        let waits = self.activation.get() == 0 && matches!(self.stage(), Stage::First | Stage::Idle);
        if !waits {
            return;
        }
        let left = self.sweeps_to_rest.get().saturating_sub(1);
        self.sweeps_to_rest.set(if left == 0 { REST_AGAIN_SWEEPS } else { left });
        if left == 0
            && let Some(owner) = owner.upgrade()
        {
            owner.rest();
        }
    }

    /// Brings the limit of waiting to read forward.
    fn hurry(&self, at_ms: u64) {
        let lane = self.lane(Direction::Read);
        if lane.at_ms.get() != NEVER_MS {
            lane.at_ms.set(lane.at_ms.get().min(at_ms));
        }
    }

    fn runs_on_any(&self, ended: u64) -> bool {
        (1..=ended).contains(&self.activation.get()) && self.expired.get().is_none()
    }

    /// Brings the end of the exchange forward, because its activation is given up.
    fn end_exchange(&self, now_ms: u64) {
        self.end_exchange_at(Stage::Activation, now_ms + self.last_word_ms.get());
    }

    fn end_exchange_at(&self, stage: Stage, at_ms: u64) {
        if at_ms < self.exchange.at_ms.get() {
            self.exchange.set(stage, at_ms);
        }
    }

    fn judge(&self, judge: &mut Judge<'_>, now_ms: u64) {
        let Some(owner) = self.owner.get().and_then(Weak::upgrade).filter(|_| self.expired.get().is_none()) else {
            return;
        };
        let standing = owner.judged(judge);
        let until_s = match standing {
            Standing::Good { until_s } => until_s.min(NEVER_S - 1),
            Standing::Undecided => 0,
            Standing::Over | Standing::Expired | Standing::Revoked(_) => {
                self.over.set(true);
                NEVER_S
            }
        };
        self.certificate_until_s.set(until_s);
        match standing {
            Standing::Good { .. } | Standing::Undecided => {}
            Standing::Revoked(reason) => self.revoke(reason, now_ms),
            Standing::Over | Standing::Expired if self.activation.get() == 0 => {
                // A head that has begun to come is still answered.
                if matches!(self.stage(), Stage::First | Stage::Idle) {
                    owner.finish();
                    self.expire(Stage::Certificate);
                }
            }
            Standing::Over => {}
            Standing::Expired => {
                let at_ms = now_ms + EXPIRED_EXCHANGE_MS_MAX;
                if let Some(partner) = self.partner.borrow().upgrade() {
                    partner.end_exchange_at(Stage::Certificate, at_ms);
                }
                self.end_exchange_at(Stage::Certificate, at_ms + LAST_WORD_MS);
            }
        }
    }

    fn revoked(&self, sweep: &Sweep<'_>) -> Option<Reason> {
        let owner = self.owner.get().filter(|_| self.expired.get().is_none())?;
        owner.upgrade()?.revoked(sweep)
    }

    /// Ends what stands on something revoked: an exchange from its origin's side, so that there is time to tell the client;
    /// a connection between exchanges in order.
    fn revoke(&self, reason: Reason, now_ms: u64) {
        if self.activation.get() != 0 {
            self.over.set(true);
            if let Some(partner) = self.partner.borrow().upgrade() {
                partner.expire(Stage::Withdrawn(reason));
            }
            // Never later than it was: one list may follow the other.
            let at_ms = self.exchange.at_ms.get().min(now_ms + REVOKED_LAST_WORD_MS);
            self.exchange.set(Stage::Withdrawn(reason), at_ms);
        } else if self.stage() != Stage::Linger {
            if let Some(owner) = self.owner.get().and_then(Weak::upgrade) {
                owner.finish();
            }
            self.expire(Stage::Withdrawn(reason));
        }
    }

    fn lift(&self) {
        self.lanes.iter().chain([&self.exchange]).for_each(|lane| lane.at_ms.set(NEVER_MS));
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
        self.slot.lane(direction).set(stage, self.all.after(limit_ms));
    }

    /// Lifts the limit of one direction.
    pub fn pause(&self, direction: Direction) {
        self.slot.lane(direction).at_ms.set(NEVER_MS);
    }

    /// Bounds the whole exchange (0 = for ever).
    pub fn set_exchange(&self, limit_ms: u32) {
        self.slot.exchange.set(Stage::Exchange, self.all.after(limit_ms));
    }

    /// From now on the exchange runs on this activation, and is ended with it.
    pub fn runs_on(&self, activation: u64) {
        self.slot.activation.set(activation);
    }

    /// Takes over the bounds of the exchange from the client's connection, which keeps them a little longer, so that there
    /// is time to say what happened.
    pub fn take_exchange(&self, client: &Self) {
        let theirs = &client.slot.exchange;
        let at_ms = theirs.at_ms.get();
        self.slot.exchange.set(theirs.stage.get(), at_ms);
        theirs.at_ms.set(at_ms.saturating_add(LAST_WORD_MS));
        self.slot.activation.set(client.slot.activation.get());
        self.slot.last_word_ms.set(0);
        *client.slot.partner.borrow_mut() = Rc::downgrade(&self.slot);
    }

    /// Lifts every limit: there is no exchange any more.
    pub fn clear(&self) {
        self.slot.lift();
        self.slot.activation.set(0);
        self.slot.sweeps_to_rest.set(REST_SWEEPS);
        *self.slot.partner.borrow_mut() = Weak::new();
    }

    /// From now on `owner` is asked to rest when it waits for long, and whether it may go on. Once for each slot.
    pub fn belongs_to<T: Owner + 'static>(&self, owner: &Rc<T>) {
        let owner: Weak<T> = Rc::downgrade(owner);
        let _ = self.slot.owner.set(owner);
    }

    /// From now on the client certificate of the owner is looked at.
    pub fn is_certified(&self) {
        // With the next tick: by then there mostly was a request, which has verified it.
        self.slot.certificate_until_s.set(0);
    }

    /// Whether no further request is to be taken.
    pub fn is_over(&self) -> bool {
        self.slot.over.get()
    }

    /// Why nothing more may be sent on for this connection: its time is over, or will be soon for what was revoked.
    pub fn given_up(&self) -> Option<Stage> {
        let withdrawn = Some(self.slot.exchange.stage.get()).filter(|stage| matches!(stage, Stage::Withdrawn(_)));
        self.expired().or(withdrawn)
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

#[cfg(test)]
mod tests;
