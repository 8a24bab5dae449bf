//! Follows a channel while the gateway serves: a thread off the workers' cores that looks at the store, verifies what is
//! new, and has it activated or says what is wrong with it. Whatever it finds, what serves goes on serving. What is revoked
//! and what is filled do not wait for any of it: see `lists`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use control::accept::{Change, Check, Refusal};
use control::assemble::Frozen;
use control::live::Register;
use control::records::Handle;
use control::status::Status;
use control::{clock, watch};
use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::time::Timestamp;
use stores::{Channel, Followed, Store};

use super::again::Again;
use super::choose::{Choice, Trust, examine};
use super::lists::{self, Ground, Tended, Watching};
use super::showing;
use super::standing::{Candidate, Look, Named, Standing};
use super::tellable::Tellable;
use super::trust::Placed;
use crate::config::{ActivationMode, Releases};

/// How often the store is looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);
/// How often it is read although nothing seems to have changed.
pub(super) const READ_INTERVAL: Duration = Duration::from_secs(60);
/// How long a file may be missing or changing before that is told: a writer may be at work.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the thread.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Whom the thread works with.
pub struct Hands {
    pub revocations: control::revocations::Register,
    pub key_sets: control::key_set::Register,
    pub watch: watch::Handle,
    pub status: Arc<Status>,
    pub records: Handle,
    pub worker_cores: Vec<usize>,
}

impl Hands {
    fn of_list<L: Tended>(&self, register: &Register<L>) -> lists::Hands<L> {
        lists::Hands {
            register: register.clone(),
            status: Arc::clone(&self.status),
            records: self.records.clone(),
            worker_cores: self.worker_cores.clone(),
        }
    }
}

enum Order {
    /// Read everything now, changed or not.
    Look,
    Stop,
}

/// The running thread.
pub struct Following {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
    lists: [Watching; 2],
}

impl Following {
    /// Starts from what was chosen at the start; `frozen` is what serves. None where nothing is followed.
    pub fn spawn(choice: Choice, frozen: &Frozen, hands: Hands) -> std::io::Result<Option<Self>> {
        let Releases::Store { at, channel } = choice.settings.releases.clone() else { return Ok(None) };
        let Some(digest) = choice.standing.accepted.release.as_ref().map(|release| release.digest) else {
            return Ok(None);
        };
        let Some(lists) = choice.lists else { return Ok(None) };
        lists.ground.serves(&frozen.policy);
        let store = || at.reader();
        let follower = Follower {
            store: store(),
            channel,
            place: choice.settings.place(),
            ground: lists.ground.clone(),
            last: Last { policy: Arc::clone(&frozen.policy), digest },
            settled: None,
            again: Again::none(),
            // Those of lists are for the threads that look after them.
            told: choice.refusals.last().cloned(),
            tellable: Tellable::new(),
            missing_since: None,
            told_expired: false,
            read_at: Instant::now() + READ_INTERVAL,
            now: choice.now,
            settings: choice.settings,
            standing: choice.standing,
            hands,
        };
        let (hands, place) = (&follower.hands, &follower.place);
        let revocations = hands.of_list(&hands.revocations);
        let revocations = Watching::spawn(lists.revocations, store(), place.clone(), choice.now, revocations)?;
        let key_set = hands.of_list(&hands.key_sets);
        let key_set = Watching::spawn(lists.key_set, store(), place.clone(), choice.now, key_set)?;
        let lists = [revocations, key_set];
        let (orders, inbox) = sync_channel(4);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            control::affinity::leave(&follower.hands.worker_cores);
            follower.run(&inbox);
        })?;
        Ok(Some(Self { orders, thread, lists }))
    }

    /// Reads the store and the placed trust root now.
    pub fn look(&self) {
        self.lists.iter().for_each(Watching::look);
        let _ = self.orders.try_send(Order::Look);
    }

    /// Waits for all threads, but not for ever: a store that hangs must not keep the process.
    pub fn stop(self) {
        let until = Instant::now() + STOP_PATIENCE;
        loop {
            let _ = self.orders.try_send(Order::Stop);
            let ended = self.lists.each_ref().map(Watching::end);
            let has_ended = ended.iter().all(|ended| *ended) && self.thread.is_finished();
            if has_ended || Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What candidates are compared with: the release accepted last.
struct Last {
    policy: Arc<Policy>,
    digest: Digest,
}

/// What a look went by: the same again need not be verified and compiled again.
#[derive(PartialEq, Eq)]
struct Basis {
    /// Over the whole files: signatures may be added.
    pointer: Digest,
    release: Digest,
    root: u64,
}

struct Follower {
    settings: Trust,
    place: String,
    channel: Channel,
    store: Box<dyn Store>,
    standing: Standing,
    ground: Ground,
    hands: Hands,
    last: Last,
    /// What the candidate looked at last came to, when that can only change with its bytes.
    settled: Option<(Basis, Result<(), Refusal>)>,
    /// What may come to another thing with the same bytes: it failed here.
    again: Again<Basis>,
    /// Told, and not gone since.
    told: Option<Refusal>,
    tellable: Tellable,
    /// Since when a file has been missing or changing.
    missing_since: Option<Instant>,
    told_expired: bool,
    /// When the store is read next, changed or not.
    read_at: Instant,
    /// The latest time seen: what is accepted never goes by an earlier one.
    now: Timestamp,
}

impl Follower {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            self.now = Timestamp::from_seconds(clock::unix_s()).unwrap_or(self.now).max(self.now);
            self.watch_expiry();
            let now = Instant::now();
            let due = now >= self.read_at || self.again.finds_room(|| self.standing.memory.free_bytes(), now);
            if self.store.changed(&self.channel, Followed::Releases) || due {
                self.read(None);
            }
            match inbox.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Look) => {
                    self.settled = None;
                    self.again.forget();
                    self.read_all();
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Also the trust root that was placed by hand.
    fn read_all(&mut self) {
        let placed = Placed::read(&self.settings.trust_root);
        self.read(placed.as_ref().ok());
        let held = placed.and_then(|placed| {
            self.standing.expect_line(&placed)?;
            self.standing.expect_reached(&placed)
        });
        if let Err(failure) = held {
            let version = self.standing.accepted.root_latest;
            control::error!("{failure}: trust root version {version} goes on to hold, and the next start is refused");
        }
    }

    /// Reads trust roots, pointer, and the release that it names.
    fn read(&mut self, placed: Option<&Placed>) {
        self.read_at = Instant::now() + READ_INTERVAL;
        let rooted = self.standing.advance_roots(Some(&*self.store), placed);
        // Before everything that takes long. Each of them: one in between may have nobody in a role.
        for root in self.standing.news.iter().filter_map(|new| self.standing.root_of(new.version)) {
            self.ground.rooted(root);
        }
        for new in self.standing.news.drain(..) {
            showing::tell_root(&self.hands.records, &new);
        }
        let outcome = self.standing.look(&*self.store, &self.channel, self.now).and_then(|look| match look {
            Look::Same => {
                self.nothing_waits();
                Ok(())
            }
            Look::Renewed => {
                self.nothing_waits();
                if let Some(verified) = &self.standing.pointer {
                    showing::tell_renewed(&self.hands.records, verified, self.now);
                }
                self.told_expired = false;
                Ok(())
            }
            Look::Named(named) => self.meet(*named),
        });
        if outcome.as_ref().is_err_and(|refusal| !refusal.is_passing()) {
            self.nothing_waits();
        }
        // A root that does not hold is told after what was found without it.
        let outcome = outcome.and(rooted);
        match &outcome {
            Err(refusal) if refusal.check == Check::State => self.fails_here(None, refusal.clone(), 0),
            Err(refusal) if refusal.check == Check::Activation || refusal.is_passing() => {}
            _ => self.again.forget(),
        }
        // Not what is due and could not be tried, because the store is away: it is when the store is back.
        let again_at = self.again.at().filter(|at| *at > Instant::now());
        self.read_at = again_at.map_or(self.read_at, |at| self.read_at.min(at));
        self.report(outcome);
    }

    /// What was found in the store (none: not even that) could not be accepted for this gateway's own sake.
    fn fails_here(&mut self, of: Option<Basis>, refusal: Refusal, bytes: usize) {
        let free = self.standing.memory.free_bytes();
        self.again.failed(of, refusal, (bytes, free), Instant::now());
    }

    fn nothing_waits(&mut self) {
        self.hands.status.moving().waiting = None;
        self.settled = self.settled.take().filter(|(_, outcome)| outcome.is_err());
    }

    /// Another release than the accepted one is named. The same bytes under the same root come to the same: for a large
    /// release it takes a second to find out.
    fn meet(&mut self, named: Named) -> Result<(), Refusal> {
        let basis = Basis {
            pointer: Digest::of(named.envelope.as_bytes()),
            release: Digest::of(&named.bytes),
            root: self.standing.accepted.root_latest,
        };
        if let Some((of, outcome)) = &self.settled
            && *of == basis
        {
            return outcome.clone();
        }
        if let Some(refusal) = self.again.refusal(&basis, Instant::now()) {
            return Err(refusal.clone());
        }
        let (serial, bytes) = (named.pointer.pointer.serial, named.bytes.len());
        let verified = self.standing.verify(named, self.now);
        let outcome = verified.and_then(|candidate| {
            let last = Some((&*self.last.policy, self.last.digest));
            let highest = self.standing.accepted.version_highest;
            let (frozen, change) = examine(&candidate, last, highest).map_err(|refusal| refusal.of_serial(serial))?;
            Ok((candidate, frozen, change))
        });
        let outcome = match outcome {
            Err(refusal) => Err(refusal),
            Ok((candidate, _, change)) if self.settings.activation == ActivationMode::Restart => {
                self.wait(&candidate, serial, change.as_ref());
                Ok(())
            }
            // What it comes to may be another thing a moment later.
            Ok((candidate, frozen, change)) => {
                let outcome = self.activate(candidate, frozen, change.as_ref());
                if let Err(refusal) = &outcome {
                    self.fails_here(Some(basis), refusal.clone(), bytes);
                }
                return outcome;
            }
        };
        self.settled = Some((basis, outcome.clone()));
        outcome
    }

    fn wait(&self, candidate: &Candidate, serial: u64, change: Option<&Change>) {
        let release = &candidate.signed.release;
        let change = change.map_or("it cannot be compared", |change| &change.told);
        showing::waiting(&mut self.hands.status.moving(), release, serial);
        control::warning!(
            "release {} version {} (serial {serial}) waits for a restart, because activation is \"restart\": {}; still \
             served: {}",
            release.digest,
            release.version,
            change,
            self.standing.served()
        );
        self.hands.records.event("waiting", |line| {
            line.text("adamant.release", release.digest.to_string().as_bytes());
            line.number("adamant.pointer.serial", serial);
            line.text("adamant.change", change.as_bytes());
        });
    }

    fn activate(&mut self, candidate: Candidate, frozen: Frozen, change: Option<&Change>) -> Result<(), Refusal> {
        let digest = candidate.signed.release.digest;
        let accepted = self.standing.with(&candidate, self.now);
        let last = Last { policy: Arc::clone(&frozen.policy), digest };
        let memory = self.standing.memory.clone();
        let failed = |why: String| {
            let remedy = "it is tried again after 5 s to 60 s, and at once on SIGHUP or for another pointer";
            let found = format!("one that cannot: {why}");
            Refusal::new(Check::Activation, "a release that can be activated", found, remedy).of_release(digest)
        };
        memory.keep_release(&digest, &candidate.bytes).map_err(|failure| failed(failure.to_string()))?;
        let pointer = candidate.pointer.map(|(verified, _)| verified);
        let commit = {
            let (accepted, pointer, now) = (accepted.clone(), pointer.clone(), self.now);
            let status = Arc::clone(&self.hands.status);
            Box::new(move || {
                memory.keep(&accepted).map_err(|failure| failure.to_string())?;
                showing::accepting(&mut status.moving(), digest, pointer.as_ref(), now);
                Ok(())
            })
        };
        self.hands.watch.activate(frozen, commit).map_err(failed)?;
        showing::tell_accepted(&self.hands.records, &candidate.signed.release, pointer.as_ref(), change, self.now);
        self.standing.take(accepted, pointer);
        self.ground.serves(&last.policy);
        self.last = last;
        self.told_expired = false;
        self.nothing_waits();
        Ok(())
    }

    /// Tells each refusal once, until it is gone.
    fn report(&mut self, outcome: Result<(), Refusal>) {
        let Err(refusal) = outcome else {
            if self.told.take().is_some() {
                control::info!("{}: neither pointer nor release is refused any more", self.place);
            }
            self.missing_since = None;
            let mut moving = self.hands.status.moving();
            moving.refusal = None;
            moving.store_looked_unix_s = self.now.seconds();
            showing::accepted(&mut moving, &self.standing, self.now);
            return;
        };
        if refusal.is_passing() && self.missing_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            self.read_at = Instant::now() + INTERVAL;
            return;
        }
        if !refusal.is_passing() {
            self.missing_since = None;
        }
        showing::accepted(&mut self.hands.status.moving(), &self.standing, self.now);
        if self.told.as_ref() == Some(&refusal) {
            return;
        }
        // Told before it is shown, so that whoever sees it finds the line.
        if self.tellable.take() {
            showing::tell_refused(&self.hands.records, &refusal, &self.place, &self.standing.served());
        }
        showing::refused(&mut self.hands.status.moving(), &refusal, self.now);
        self.told = Some(refusal);
    }

    /// The alarm that nothing new can be accepted any more.
    fn watch_expiry(&mut self) {
        let Some(verified) = &self.standing.pointer else { return };
        let expired = verified.pointer.expires <= self.now;
        if let Some(shown) = &mut self.hands.status.moving().pointer {
            shown.expired = expired;
        }
        if expired && !self.told_expired {
            showing::tell_expired(&self.hands.records, verified, &self.standing.served());
        }
        self.told_expired = expired;
    }
}
