//! Keeps what moves under a release fresh: keysets, certificates, names of origins; and puts another release in its
//! place. A good change is published as a new activation that reuses everything else; a bad one leaves the old in place,
//! loudly.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::activate::{Activator, Parts};
use crate::assemble::keysets::watched_path;
use crate::assemble::material::Material;
use crate::assemble::origins::Planned;
use crate::assemble::renew::{addresses, origin, same_origin};
use crate::assemble::tls::{Loaded, Tickets};
use crate::assemble::{Frozen, Node, Placement};
use crate::assertion::Keyring;
use crate::bounds::{RESOLVE_INTERVAL_S, RESOLVE_RETRY_S, WATCH_INTERVAL_MS};
use crate::clock;
use crate::expiry::Expiry;
use crate::names::{self, Addresses};
use crate::records;
use crate::status::Status;
use fetches::Fetches;
use fingerprint::Watched;
use keeping::Keeping;
use keysets::Keysets;
use revocation::watched_crls;

mod access;
mod assertion;
pub(crate) mod ends;
mod fetches;
mod fingerprint;
mod keeping;
mod keysets;
mod listeners;
mod material;
mod renewal;
mod report;
mod revocation;

pub(crate) use material::{CREDENTIAL, IDENTITY, declare as declare_material};
use renewal::{Renewal, show_memory};
pub use report::report_origins;

/// What the watcher begins with.
pub struct Start {
    pub activator: Activator,
    pub parts: Parts,
    pub node: Node,
    pub material: Material,
    pub planned: Vec<Planned>,
    pub addresses: Addresses,
    pub tickets: Tickets,
    /// By listener.
    pub server_certificates: Vec<Option<Vec<Loaded>>>,
    /// None where no origin asks for assertions.
    pub assertion_keys: Option<Keyring>,
    pub placement: Placement,
    /// Whether audit mode `durable` can be kept: records go where they can be made durable.
    pub durable_records: bool,
    pub status: Arc<Status>,
    pub records: records::Handle,
    pub worker_cores: Vec<usize>,
}

enum Order {
    /// Look at every file now, changed or not.
    Reload,
    Activate(Box<Renewal>),
    /// From now on ACME servers are answered so, and the asker is told that they are.
    Challenges(Option<Arc<rustls::ServerConfig>>, oneshot::Sender<Result<(), String>>),
    /// Publish the present release from fresh memory.
    RenewMemory(SyncSender<Result<u64, String>>),
    Stop,
}

/// The running watcher.
pub struct Watch {
    handle: Handle,
    thread: JoinHandle<()>,
}

/// For the other control threads.
#[derive(Clone)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
}

const GONE: &str = "the control thread has ended: the gateway stops";

/// Persists that a release is accepted; why it could not be.
pub type Commit = Box<dyn FnOnce() -> Result<(), String> + Send>;

impl Handle {
    /// Puts another release before the workers: assembles what the node adds to `frozen`, makes the activation, calls
    /// `commit`, and only then swaps it in. Its number; an error leaves the present one serving and says why. Waits for
    /// the control thread, so it is not to be called from a task.
    pub fn activate(&self, frozen: Frozen, commit: Commit) -> Result<u64, String> {
        self.ask(|reply| Order::Activate(Box::new(Renewal { frozen, commit, reply })))
    }

    /// Compiles the present release again into fresh memory, and puts that before the workers. Its number.
    pub(crate) fn renew_memory(&self) -> Result<u64, String> {
        self.ask(Order::RenewMemory)
    }

    /// Answers ACME servers so from now on; returns when new connections are.
    pub(crate) async fn challenges(&self, challenges: Option<Arc<rustls::ServerConfig>>) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Challenges(challenges, reply)).await.map_err(|_| GONE.to_owned())?;
        answer.await.map_err(|_| GONE.to_owned())?
    }

    fn ask(&self, order: impl FnOnce(SyncSender<Result<u64, String>>) -> Order) -> Result<u64, String> {
        let (reply, answer) = sync_channel(1);
        self.orders.blocking_send(order(reply)).map_err(|_| GONE.to_owned())?;
        answer.recv().map_err(|_| GONE.to_owned())?
    }
}

impl Watch {
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// As [`Handle::activate`].
    pub fn activate(&self, frozen: Frozen, commit: Commit) -> Result<u64, String> {
        self.handle.activate(frozen, commit)
    }

    /// Reads certificates and keysets now.
    pub fn reload(&self) {
        let _ = self.handle.orders.try_send(Order::Reload);
    }

    pub fn stop(self) {
        let _ = self.handle.orders.try_send(Order::Stop);
        let _ = self.thread.join();
    }
}

/// Starts the watcher on a thread of its own.
pub fn spawn(start: Start) -> std::io::Result<Watch> {
    let (orders, inbox) = mpsc::channel(4);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        crate::affinity::leave(&start.worker_cores);
        // Within the runtime: what it begins with has timers.
        runtime.block_on(async { Watcher::new(start).run(inbox).await });
        // A look-up that hangs in the system's resolver must not keep the process.
        runtime.shutdown_background();
    })?;
    Ok(Watch { handle: Handle { orders }, thread })
}

struct Watcher {
    start: Start,
    keysets: Keysets,
    /// By client CA.
    crls: Vec<Option<Watched>>,
    keeping: Keeping,
    /// By listener.
    listeners: Vec<Option<Watched>>,
    origin_files: material::Files,
    access: access::Files,
    assertion_pace: assertion::Pace,
    fetches: Fetches,
    expiry: Expiry,
    pinned: ends::Pinned,
    /// When it is looked at next what ends.
    ends_at: Instant,
    resolve_at: Instant,
    /// When it is looked next at what does not wait, while something else takes long.
    meanwhile_at: Instant,
    changed: bool,
}

impl Watcher {
    fn new(start: Start) -> Self {
        let loaded = start.status.keysets_loaded();
        let keysets = Keysets::new(start.activator.frozen(), &start.node, &start.parts.issuers, &loaded);
        let chain_paths = |of: &crate::assemble::ChainFiles| [of.chain.clone(), of.key.clone()];
        let listeners = start.node.listeners.iter().map(|files| {
            let paths: Option<Vec<PathBuf>> =
                files.as_ref().map(|files| files.certificates.iter().flat_map(chain_paths).collect());
            paths.map(Watched::new)
        });
        let origin_files = material::Files::new(&start.node);
        let (access, fetches) = (access::Files::new(&start.node), Fetches::new(&start.node));
        show_memory(&start.status, start.activator.frozen());
        let crls = watched_crls(start.activator.frozen(), &start.node);
        Self {
            keysets,
            crls,
            keeping: Keeping::new(start.node.state.clone()),
            listeners: listeners.collect(),
            origin_files,
            access,
            assertion_pace: assertion::Pace::default(),
            fetches,
            expiry: Expiry::open(start.node.state.as_deref()),
            pinned: None,
            ends_at: Instant::now(),
            resolve_at: Instant::now() + resolve_pause(&start.planned, &start.addresses),
            meanwhile_at: Instant::now(),
            changed: false,
            start,
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(WATCH_INTERVAL_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                done = self.keysets.event() => {
                    self.take_keysets(done);
                    continue;
                }
                done = self.fetches.event() => {
                    let waits = self.changed;
                    self.move_credentials(done);
                    if self.changed && !waits {
                        self.publish();
                    }
                    continue;
                }
                order = inbox.recv() => match order {
                    Some(Order::Reload) => self.forget_seen(),
                    Some(Order::Activate(renewal)) => self.renew(*renewal).await,
                    Some(Order::Challenges(challenges, reply)) => drop(reply.send(self.take_challenges(challenges))),
                    Some(Order::RenewMemory(reply)) => drop(reply.send(self.renew_memory().await)),
                    Some(Order::Stop) | None => return,
                },
            }
            self.look_at_keysets();
            self.look_at_crls();
            self.look_at_listeners();
            self.look_at_origin_material();
            self.look_at_assertion_keys();
            self.look_at_access();
            self.move_credentials(None);
            // Before whatever may take long.
            self.publish();
            self.look_at_ends();
            if Instant::now() >= self.resolve_at {
                self.resolve().await;
                self.publish();
            }
        }
    }

    /// Waits for `work`, and looks all the while at what must not wait for what else is done.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                done = self.keysets.event() => self.take_keysets(done),
                () = tokio::time::sleep_until(self.meanwhile_at) => self.look_meanwhile(),
            }
        }
    }

    /// What lists revoke is revoked, and what origins ask for is shown, whatever else takes long.
    fn look_meanwhile(&mut self) {
        self.meanwhile_at = Instant::now() + Duration::from_millis(WATCH_INTERVAL_MS);
        self.look_at_crls();
        self.look_at_origin_material();
        self.move_credentials(None);
        self.publish();
    }

    fn forget_seen(&mut self) {
        self.keysets.forget();
        self.crls.iter_mut().chain(&mut self.listeners).flatten().for_each(Watched::forget);
        self.origin_files.forget();
        self.access.forget();
        self.fetches.forget();
    }

    fn take_challenges(&mut self, challenges: Option<Arc<rustls::ServerConfig>>) -> Result<(), String> {
        if challenges.is_none() && self.start.parts.challenges.is_none() {
            return Ok(());
        }
        self.start.parts.challenges = challenges;
        self.changed = true;
        self.publish();
        if self.changed { Err("too many activations are in use at the moment".to_owned()) } else { Ok(()) }
    }

    async fn resolve(&mut self) {
        let looked_up = names::resolve(&self.start.planned);
        let round = self.meanwhile(looked_up).await;
        for (name, why) in &round.failures {
            crate::warning!("the origin name {name} does not resolve: {why}: its last addresses stay in use");
        }
        self.start.addresses.extend(round.found);
        report_origins(&self.start.status, &self.start.planned, &self.start.addresses, &round.failures);
        self.set_origins();
        self.resolve_at = Instant::now() + resolve_pause(&self.start.planned, &self.start.addresses);
    }

    /// Takes the origins that differ from what serves.
    fn set_origins(&mut self) {
        for (planned, slot) in self.start.planned.iter().zip(&mut self.start.parts.origins) {
            let next = origin(planned, &self.start.addresses, std::slice::from_ref(slot));
            if !same_origin(&next, slot) {
                let sockets = addresses(&next);
                // Else it is a secret or a certificate, which has a record of its own.
                if sockets != addresses(slot) {
                    crate::info!("origin \"{}\" has other addresses: {sockets:?}", planned.name);
                    self.start.records.event("origin", |line| {
                        line.text("adamant.origin", planned.name.as_bytes());
                        line.text("adamant.addresses", format!("{sockets:?}").as_bytes());
                    });
                }
                *slot = next;
                self.changed = true;
            }
        }
    }

    fn publish(&mut self) {
        let activator = &mut self.start.activator;
        let now_unix_ns = clock::unix_ns();
        activator.tidy(now_unix_ns);
        if let Some(set) = self.start.parts.client_cas.if_proven_since() {
            (self.start.parts.client_cas, self.changed) = (Arc::new(set), true);
        }
        if self.changed {
            match activator.publish(self.start.parts.clone(), now_unix_ns) {
                Ok(id) => {
                    // What changed has said so itself, and may have changed what ends.
                    self.changed = false;
                    self.ends_at = Instant::now();
                    self.start.records.event("activation", |line| line.number("adamant.activation", id));
                }
                // Tried again at the next tick.
                Err(error) => {
                    let mut moving = self.start.status.moving();
                    if moving.activations_refused.is_multiple_of(60) {
                        crate::error!("a change could not be activated: {error}");
                    }
                    moving.activations_refused += 1;
                }
            }
        }
        self.start.status.moving().activations_alive = activator.tables_alive();
        self.keeping.write(&self.start.parts.client_cas, &self.start.activator.frozen().policy.client_cas);
    }
}

/// Soon again while a name has no address at all.
fn resolve_pause(planned: &[Planned], addresses: &Addresses) -> Duration {
    let mut names = planned.iter().flat_map(Planned::names).peekable();
    if names.peek().is_none() {
        // Nothing to resolve: a day stands for never.
        return Duration::from_secs(86_400);
    }
    let missing = names.any(|(name, _)| !addresses.contains_key(name));
    Duration::from_secs(if missing { RESOLVE_RETRY_S } else { RESOLVE_INTERVAL_S })
}

#[cfg(test)]
mod tests;
