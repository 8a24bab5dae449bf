//! A thread that looks at a list of the channel and has it in force at once: the kill switch, and the keys that move. It shares
//! with the thread that follows releases what is known for a moment's lock, and waits for nothing that it does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use control::accept::{Check, Refusal};
use control::clock;
use control::live::Register;
use control::moving::rotation::Why;
use control::records::Handle;
use control::status::Status;
use policy::model::Policy;
use policy_release::time::Timestamp;
use stores::Store;

use super::super::follow::{INTERVAL, PATIENCE, READ_INTERVAL};
use super::super::tellable::Tellable;
use super::keeping::Writer;
use super::tended::{Showing, Tended, refused};
use super::{InForce, Lists};

/// How soon a list is read again that is refused for the time alone.
const TIME_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks whether the list is written down, at the end.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// Whom the thread works with.
pub struct Hands<L: Tended> {
    pub register: Register<L>,
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
    /// Goes on from `lists`, as they were at `now`.
    pub fn spawn<L: Tended>(
        lists: Lists<L>,
        store: Box<dyn Store>,
        place: String,
        now: Timestamp,
        hands: Hands<L>,
    ) -> std::io::Result<Self> {
        let (memory, name) = (lists.memory.clone(), L::SHELF.folder());
        let writer =
            Writer::spawn(format!("{name}-kept"), hands.worker_cores.clone(), move |note| note.write(&memory))?;
        let watcher = Watcher {
            root: lists.ground.now().root.version(),
            policy: None,
            lists,
            writer,
            store,
            place,
            hands,
            now,
            looked: Ok(()),
            refusal: None,
            missing_since: None,
            told_expired: false,
            tellable: Tellable::new(),
            read_at: Instant::now() + READ_INTERVAL,
        };
        let (orders, inbox) = sync_channel(4);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
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

struct Watcher<L: Tended> {
    lists: Lists<L>,
    writer: Writer,
    store: Box<dyn Store>,
    place: String,
    hands: Hands<L>,
    /// What the clock says, by which credentials end, and so what is said of them.
    now: Timestamp,
    /// The release that it was held against.
    policy: Option<Arc<Policy>>,
    /// Version of the trust root that the store was looked at under.
    root: u64,
    /// What the last look came to.
    looked: Result<(), Refusal>,
    /// Told, and not gone since.
    refusal: Option<Refusal>,
    /// Since when the file has been missing or changing.
    missing_since: Option<Instant>,
    told_expired: bool,
    tellable: Tellable,
    /// When the list is read next, changed or not.
    read_at: Instant,
}

impl<L: Tended> Watcher<L> {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            self.turn();
            match inbox.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Look) => self.read_at = Instant::now(),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    fn turn(&mut self) {
        self.now = Timestamp::from_seconds(clock::unix_s()).unwrap_or(self.now);
        self.watch_time();
        self.watch_release();
        let root = self.lists.ground.now().root.version();
        let is_due = Instant::now() >= self.read_at || root != self.root;
        // In this order: what changed is asked each time.
        if self.store.changed(&self.lists.channel, L::FOLLOWED) || is_due {
            self.root = root;
            self.looked = self.read();
        }
        // Whatever the store holds by now: what is in force must outlive a restart.
        let kept = self.writer.keep(&mut self.lists);
        let lifting = self.lists.in_force().and_then(|in_force| in_force.refusal.clone());
        let outcome = self.looked.clone().and(kept).and(lifting.map_or(Ok(()), Err));
        self.report(outcome);
    }

    /// What is in force and not written down yet is tried once more: whoever ended the thread does not wait for ever.
    fn end(mut self) {
        let _ = self.writer.keep(&mut self.lists);
        while self.writer.is_busy() {
            std::thread::sleep(END_INTERVAL);
            let _ = self.writer.keep(&mut self.lists);
        }
    }

    /// Takes a new list. First it is in force, then it is shown, told and written down: it waits for nobody.
    fn read(&mut self) -> Result<(), Refusal> {
        let before = self.lists.in_force().map(|in_force| Arc::clone(&in_force.list));
        let looked = self.lists.look(&*self.store, self.now);
        self.read_at = Instant::now() + pause(&looked);
        if before.is_some() && self.lists.in_force().is_none() {
            self.empty();
        }
        if let (Ok(true), Some(in_force)) = (&looked, self.lists.in_force()) {
            let policy = self.lists.ground.now().policy;
            self.hands.register.put(Arc::clone(&in_force.list), self.now);
            L::show(&mut self.hands.status.moving(), Some(in_force), policy.as_deref(), self.now);
            let (before, policy) = (before.as_deref(), policy.as_deref());
            let showing = Showing { place: &self.place, why: Why::Changed, before, policy, now: self.now };
            L::tell_accepted(&self.hands.records, in_force, &showing);
            self.told_expired = false;
        }
        looked.map(|_| ())
    }

    /// Nothing is in force any more: nobody stands behind the list.
    fn empty(&self) {
        let policy = self.lists.ground.now().policy;
        self.hands.register.clear(self.now);
        L::show(&mut self.hands.status.moving(), None, policy.as_deref(), self.now);
        if let Some(void) = &self.lists.in_force {
            L::tell_void(&self.hands.records, void, &self.place);
        }
    }

    /// Tells each refusal once, until it is gone.
    fn report(&mut self, outcome: Result<(), Refusal>) {
        let Err(refusal) = outcome else {
            if self.refusal.take().is_some() {
                control::info!("{}: the {} is not refused any more", self.place, L::KIND);
            }
            self.missing_since = None;
            L::show_refusal(&mut self.hands.status.moving(), None);
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
            let at = (self.place.as_str(), &self.lists.channel);
            L::tell_refused(&self.hands.records, &refusal, at, self.lists.in_force());
        }
        refused::<L>(&mut self.hands.status.moving(), &refusal, self.now);
    }

    /// The alarm that the list has expired; and entries that lapse by themselves, or come back because
    /// the clock was wrong.
    fn watch_time(&mut self) {
        let moved = self.hands.register.tidy(self.now);
        if let Some(in_force) = self.lists.in_force.as_mut().filter(|_| moved) {
            in_force.lapse(self.now);
        }
        let Some(in_force) = self.lists.in_force() else { return };
        if moved {
            let policy = self.lists.ground.now().policy;
            L::show(&mut self.hands.status.moving(), Some(in_force), policy.as_deref(), self.now);
            L::tell_lapsed(&self.hands.records, in_force, self.now);
        }
        let expired = in_force.expires() <= self.now;
        L::show_expired(&mut self.hands.status.moving(), expired);
        if expired && !self.told_expired {
            L::tell_expired(&self.hands.records, in_force, &self.place);
        }
        self.told_expired = expired;
    }

    /// What a list is to a release changes with the release.
    fn watch_release(&mut self) {
        let Some(policy) = self.lists.ground.now().policy else { return };
        if self.policy.as_ref().is_some_and(|known| Arc::ptr_eq(known, &policy)) {
            return;
        }
        let in_force: Option<&InForce<L>> = self.lists.in_force();
        L::show(&mut self.hands.status.moving(), in_force, Some(&policy), self.now);
        L::tell_released(in_force, &policy);
        self.policy = Some(policy);
    }
}

/// How soon a list is read again that did not change: the clock alone may let in what was refused.
pub(super) fn pause(looked: &Result<bool, Refusal>) -> Duration {
    let is_of_time =
        |refusal: &Refusal| matches!(refusal.check, Check::RootExpiry | Check::RevocationsLifted | Check::KeySetLife);
    if looked.as_ref().is_err_and(is_of_time) { TIME_INTERVAL } else { READ_INTERVAL }
}
