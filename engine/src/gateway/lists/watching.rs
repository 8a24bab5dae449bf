//! The kill switch: a thread that looks at the channel's revocation list and has it in force at once. It shares with the
//! thread that follows releases what is known for a moment's lock, and waits for nothing that it does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use control::accept::Refusal;
use control::clock;
use control::records::Handle;
use control::revocations::Register;
use control::status::Status;
use policy_release::time::Timestamp;
use stores::Store;

use super::super::follow::{INTERVAL, PATIENCE, READ_INTERVAL, Tellable};
use super::super::revoking;
use super::{Lists, Now};

/// Whom the thread works with.
pub struct Hands {
    pub register: Register,
    pub status: Arc<Status>,
    pub records: Handle,
    pub worker_cores: Vec<usize>,
}

enum Order {
    /// Read the list now, changed or not.
    Look,
    Stop,
}

/// The running thread.
pub struct Watching {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
}

impl Watching {
    /// Goes on from `lists`, as they were at `latest`. `told` is what was told of them already.
    pub fn spawn(
        lists: Lists,
        store: Box<dyn Store>,
        place: String,
        latest: Timestamp,
        hands: Hands,
    ) -> std::io::Result<Self> {
        let watcher = Watcher {
            root: lists.ground.now().root.version(),
            lists,
            store,
            place,
            hands,
            now: Now { latest, wall: latest },
            refusal: None,
            missing_since: None,
            told_expired: false,
            tellable: Tellable::new(),
            read_at: Instant::now() + READ_INTERVAL,
        };
        let (orders, inbox) = sync_channel(4);
        let thread = std::thread::Builder::new().name("revocations".to_owned()).spawn(move || {
            control::affinity::leave(&watcher.hands.worker_cores);
            watcher.run(&inbox);
        })?;
        Ok(Self { orders, thread })
    }

    pub fn look(&self) {
        let _ = self.orders.try_send(Order::Look);
    }

    /// Orders it to end; whether it has.
    pub fn end(&self) -> bool {
        let _ = self.orders.try_send(Order::Stop);
        self.thread.is_finished()
    }
}

struct Watcher {
    lists: Lists,
    store: Box<dyn Store>,
    place: String,
    hands: Hands,
    now: Now,
    /// Version of the trust root that the store was looked at under.
    root: u64,
    /// Told, and not gone since.
    refusal: Option<Refusal>,
    /// Since when the file has been missing or changing.
    missing_since: Option<Instant>,
    told_expired: bool,
    tellable: Tellable,
    /// When the list is read next, changed or not.
    read_at: Instant,
}

impl Watcher {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            let wall = Timestamp::from_seconds(clock::unix_s()).unwrap_or(self.now.wall);
            self.now = Now { latest: self.now.latest.max(wall), wall };
            self.watch_time();
            let root = self.lists.ground.now().root.version();
            let is_due = Instant::now() >= self.read_at || root != self.root || self.lists.is_unkept();
            // In this order: what changed is asked each time.
            if self.store.changed(&self.lists.channel) || is_due {
                self.root = root;
                self.read();
            }
            match inbox.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Look) => self.read(),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes a new list. First it is in force, then it is written down: to deny does not wait for a medium.
    fn read(&mut self) {
        self.read_at = Instant::now() + READ_INTERVAL;
        let looked = self.lists.look(&*self.store, self.now);
        if let (Ok(true), Some(in_force)) = (&looked, &self.lists.in_force) {
            let policy = self.lists.ground.now().policy;
            self.hands.register.put(Arc::new(in_force.verified.list.clone()), self.now.wall);
            revoking::show(&mut self.hands.status.moving(), in_force, policy.as_deref(), self.now.wall);
            revoking::tell_accepted(&self.hands.records, &in_force.verified, policy.as_deref(), self.now.wall);
            self.told_expired = false;
        }
        let outcome = looked.and_then(|_| self.lists.keep());
        self.report(outcome);
    }

    /// Tells each refusal once, until it is gone.
    fn report(&mut self, outcome: Result<(), Refusal>) {
        let Err(refusal) = outcome else {
            if self.refusal.take().is_some() {
                control::info!("{}: the revocation list is not refused any more", self.place);
            }
            self.missing_since = None;
            if let Some(shown) = &mut self.hands.status.moving().revocations {
                shown.refusal = None;
            }
            return;
        };
        if refusal.is_passing() && self.missing_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            self.read_at = self.read_at.min(Instant::now() + INTERVAL);
            return;
        }
        if !refusal.is_passing() {
            self.missing_since = None;
        }
        if self.refusal.as_ref() == Some(&refusal) {
            return;
        }
        self.refusal = Some(refusal.clone());
        if self.tellable.take() {
            let in_force = self.lists.in_force.as_ref().map(|in_force| &in_force.verified);
            revoking::tell_refused(&self.hands.records, &refusal, &self.place, in_force);
        }
        revoking::refused(&mut self.hands.status.moving(), &refusal, self.now.latest);
    }

    /// The alarm that the list has expired, which stays in force; and entries that lapse by themselves, or come back because
    /// the clock was wrong.
    fn watch_time(&mut self) {
        let moved = self.hands.register.tidy(self.now.wall);
        let Some(in_force) = &self.lists.in_force else { return };
        let verified = &in_force.verified;
        if moved {
            let policy = self.lists.ground.now().policy;
            revoking::show(&mut self.hands.status.moving(), in_force, policy.as_deref(), self.now.wall);
            revoking::tell_lapsed(&self.hands.records, verified, self.now.wall);
        }
        let expired = verified.list.expires <= self.now.wall;
        if let Some(shown) = &mut self.hands.status.moving().revocations {
            shown.expired = expired;
        }
        if expired && !self.told_expired {
            revoking::tell_expired(&self.hands.records, verified);
        }
        self.told_expired = expired;
    }
}
