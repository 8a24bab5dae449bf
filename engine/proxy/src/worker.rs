//! A worker: one OS thread, pinned to one core, with one ring. It shares nothing that it writes, but the rate counters.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use activation::Activation;
use activation::activation::ListenerTls;
use activation::assertion::Scratch;
use activation::inquiries::Inquiries;
use activation::ring::{DurableMark, RecordWriter};
use activation::stats::WorkerStats;
use activation::uses::Certificates;
use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use monoio::net::TcpListener;
use policy::model::Audit;
use policy::reason::Reason;

use crate::block::Blocks;
use crate::bound::Dpop;
use crate::certified::Judge;
use crate::connection::{Arrival, Counted, Sessions, serve_plain, serve_tls};
use crate::date::Date;
use crate::deadline::{Deadlines, TICK_MS};
use crate::desk::Desks;
use crate::drain::{Drain, State};
use crate::exchange::session;
use crate::identify::{Identified, Memory};
use crate::journal::Journal;
use crate::origins::Origins;
use crate::probe::{StartError, runtime};
use crate::revoked::Sweep;
use crate::settings::Settings;
use crate::transport::{Tcp, Tls};
use crate::turn::Turn;
use crate::used::Used;

/// How long an intent may take to become durable, milliseconds.
const DURABLE_WAIT_MS_MAX: u64 = 5_000;

/// Turns of a listener while draining: what already waits is served, a flood is not.
const DRAINING_TURNS_MAX: u32 = 20;
/// Connections taken from a listener before others have their turn.
const ARRIVALS_PER_TURN_MAX: usize = 64;

/// What a worker is given.
pub struct Seat {
    pub index: usize,
    /// None: not pinned.
    pub core: Option<usize>,
    /// By listener index; this worker's own sockets.
    pub listeners: Vec<StdListener>,
    pub activation: Arc<ArcSwap<Activation>>,
    pub records: RecordWriter,
    pub stats: Arc<WorkerStats>,
    /// This worker's own.
    pub certificates: Arc<Certificates>,
    pub drain: Arc<Drain>,
    pub durable: Arc<DurableMark>,
    pub random_seed: [u8; 32],
    /// Of all workers; both.
    pub dpop: Arc<Dpop>,
    pub inquiries: Arc<Inquiries>,
}

/// A running worker.
#[derive(Debug)]
pub struct Handle {
    index: usize,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Waits until the worker has drained.
    ///
    /// # Errors
    /// The worker's thread panicked.
    pub fn join(self) -> Result<(), String> {
        self.thread.join().map_err(|_| format!("worker {} panicked", self.index))
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a worker; returns once its ring runs and it accepts.
///
/// # Errors
/// No ring, no such core, or a listener that cannot be used.
pub fn spawn(seat: Seat, settings: Arc<Settings>) -> Result<Handle, StartError> {
    let index = seat.index;
    let (started, waits) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || run(seat, settings, &started))
        .map_err(|source| StartError::Thread { index, source })?;
    match waits.recv() {
        Ok(Ok(())) => Ok(Handle { index, thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Ended { index }),
    }
}

fn run(seat: Seat, settings: Arc<Settings>, started: &mpsc::SyncSender<Result<(), StartError>>) {
    let index = seat.index;
    let pinned = seat.core.map_or(Ok(()), |core| {
        sys::affinity::pin_current_thread(core).map_err(|source| StartError::Pin { index, core, source })
    });
    let entries = settings.ring_entries;
    let made = pinned.and_then(|()| runtime(entries).map_err(|source| StartError::Ring { entries, source }));
    let mut runtime = match made {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        let mut seat = seat;
        let listeners = std::mem::take(&mut seat.listeners);
        let worker = Rc::new(Worker::new(seat, settings));
        let turn = Rc::clone(&worker.turn);
        drop(monoio::spawn(async move { turn.run().await }));
        match worker.listen(listeners) {
            Ok(accepting) => {
                let _ = started.send(Ok(()));
                worker.turn(accepting).await;
            }
            Err(source) => {
                let _ = started.send(Err(StartError::Listener { index, source }));
            }
        }
    });
}

/// An activation in use: a clone within the worker costs no shared write.
pub(crate) type Held = Rc<Arc<Activation>>;

/// Everything of one worker. Lives as long as its thread.
pub(crate) struct Worker {
    pub settings: Arc<Settings>,
    pub stats: Arc<WorkerStats>,
    pub blocks: Rc<Blocks>,
    pub desks: Rc<Desks>,
    pub deadlines: Rc<Deadlines>,
    pub origins: Origins,
    pub memory: RefCell<Memory>,
    pub records: RefCell<RecordWriter>,
    pub used: Used,
    pub date: Date,
    pub assertions: RefCell<Scratch>,
    durable: Arc<DurableMark>,
    pub connections: Cell<usize>,
    pub turn: Rc<Turn>,
    pub draining: Cell<bool>,
    drain: Arc<Drain>,
    /// Digest of the client CAs and revocation lists at the last tick.
    vouching: Cell<[u8; 32]>,
    swap: RefCell<Cache<Arc<ArcSwap<Activation>>, Arc<Activation>>>,
    current: RefCell<Held>,
    request_id_high: u64,
    request_id_low: Cell<u64>,
}

impl Worker {
    fn new(seat: Seat, settings: Arc<Settings>) -> Self {
        let mut swap = Cache::new(seat.activation);
        let current = Rc::new(Arc::clone(swap.load()));
        let blocks = Rc::new(Blocks::default());
        let deadlines = Rc::new(Deadlines::default());
        let seeds = seat.random_seed.as_chunks::<8>().0;
        let seed = |index: usize| seeds.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            origins: Origins::new(Arc::clone(&settings), Arc::clone(&seat.stats), Rc::clone(&deadlines)),
            memory: RefCell::new(Memory::new(
                &settings.bounds,
                [seed(0), seed(1), seed(2), seed(3)],
                seat.dpop,
                seat.inquiries,
            )),
            records: RefCell::new(seat.records),
            used: Used::new(seat.index, seat.certificates),
            date: Date::default(),
            assertions: RefCell::default(),
            durable: seat.durable,
            connections: Cell::new(0),
            turn: Rc::default(),
            draining: Cell::new(false),
            drain: seat.drain,
            vouching: Cell::new(*current.client_cas.digest()),
            swap: RefCell::new(swap),
            current: RefCell::new(current),
            request_id_high: seed(2),
            request_id_low: Cell::new(seed(3)),
            desks: Rc::new(Desks::new(&blocks)),
            stats: seat.stats,
            settings,
            blocks,
            deadlines,
        }
    }

    /// The activation in force now. Control keeps a clone of each until no worker holds one, so that nothing is freed
    /// here.
    pub fn activation(&self) -> Held {
        let mut swap = self.swap.borrow_mut();
        let newest = swap.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current) {
            *current = Rc::new(Arc::clone(newest));
        }
        Rc::clone(&current)
    }

    /// An id that no other exchange of this gateway has: 64 random bits of this worker's start, then a count.
    pub fn request_id(&self) -> u128 {
        let low = self.request_id_low.get();
        self.request_id_low.set(low.wrapping_add(1));
        (u128::from(self.request_id_high) << 64) | u128::from(low)
    }

    /// Closes connections whose certificates nothing vouches for any more.
    fn judge_certificates(&self, activation: &Activation, now_s: u64) {
        let vouching = *activation.client_cas.digest();
        let others_vouch = self.vouching.replace(vouching) != vouching;
        let chains = &mut self.memory.borrow_mut().chains;
        self.deadlines.judge(&mut Judge::new(activation, chains, others_vouch, now_s));
    }

    /// Nanoseconds since the Unix epoch.
    pub fn now_unix_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    /// See [`Dpop::remember`].
    pub fn remember_proof(&self, identified: &Identified, now_unix_ns: u64) -> Result<(), Reason> {
        if identified.proof.is_none() {
            return Ok(());
        }
        self.memory.borrow().dpop.remember(identified, now_unix_ns / 1_000_000_000)
    }

    /// In audit mode `durable`: writes the intent to forward and waits until it is on stable storage.
    pub async fn make_durable(&self, audit: Audit, journal: &Journal<'_>) -> Result<(), Reason> {
        if audit != Audit::Durable {
            return Ok(());
        }
        let records = journal.intent().ok_or(Reason::RecordUnavailable)?;
        let begun = Instant::now();
        while self.durable.records() < records {
            if begun.elapsed() >= Duration::from_millis(DURABLE_WAIT_MS_MAX) {
                return Err(Reason::RecordUnavailable);
            }
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn listen(self: &Rc<Self>, listeners: Vec<StdListener>) -> io::Result<Vec<monoio::task::JoinHandle<()>>> {
        let mut accepting = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            accepting.push(monoio::spawn(accept(Rc::clone(self), listener, index as u16)));
        }
        Ok(accepting)
    }

    /// Ticks until drained.
    async fn turn(self: &Rc<Self>, accepting: Vec<monoio::task::JoinHandle<()>>) {
        let started = Instant::now();
        let mut ticks = 0u64;
        let mut deadline_unix_ns = None;
        loop {
            monoio::time::sleep(Duration::from_millis(TICK_MS)).await;
            ticks += 1;
            self.turn.tick();
            let now_unix_ns = self.now_unix_ns();
            self.stats.turn_unix_ns.set(now_unix_ns);
            let activation = self.activation();
            let lists = (activation.revoked.generation() != 0).then(|| Sweep::new(&activation));
            let now_ms = started.elapsed().as_millis() as u64;
            let expired = self.deadlines.sweep(now_ms, activation.ended.up_to(), lists.as_ref());
            self.stats.deadlines_expired.add(expired as u64);
            self.judge_certificates(&activation, now_unix_ns / 1_000_000_000);
            if ticks.is_multiple_of(10) {
                self.origins.tidy(&self.activation().origins);
            }
            crate::journal::aggregate(self, now_unix_ns);
            self.memory.borrow().tell(&self.stats);
            if let State::Draining { deadline_unix_ns: at } = self.drain.state() {
                self.draining.set(true);
                self.deadlines.end_idle();
                self.origins.close_idle();
                deadline_unix_ns = Some(at);
            }
            if let Some(at) = deadline_unix_ns {
                if now_unix_ns >= at {
                    self.origins.close();
                    self.deadlines.end_all();
                }
                let accepted_all = accepting.iter().all(monoio::task::JoinHandle::is_finished);
                // What still connects to an origin ends with that time limit; its record must not be lost.
                let connects_ms = u64::from(self.settings.timeouts.origin_connect_ms) * 2 + 1_000;
                let late = now_unix_ns >= at.saturating_add(connects_ms * 1_000_000);
                if late || (accepted_all && self.connections.get() == 0) {
                    return;
                }
            }
        }
    }
}

/// Accepts until the worker drains. Waits for readiness and takes what waits, because a cancelled accept would lose a
/// connection.
async fn accept(worker: Rc<Worker>, listener: TcpListener, index: u16) {
    let plain = Rc::new(Sessions::new(session::<Tcp>));
    let secure = Rc::new(Sessions::new(session::<Tls>));
    let mut turns_left = DRAINING_TURNS_MAX;
    loop {
        // While draining, what already waits is still served; then the socket is left to whoever shares it.
        let ready = monoio::time::timeout(Duration::from_millis(TICK_MS), listener.readable(false)).await;
        for _ in 0..ARRIVALS_PER_TURN_MAX {
            let Some(arrival) = worker.take_arrival(&listener, index).await else { break };
            match worker.listener_tls(index) {
                None => drop(monoio::spawn(serve_plain(Rc::clone(&worker), arrival, Rc::clone(&plain)))),
                Some(tls) => drop(monoio::spawn(serve_tls(Rc::clone(&worker), arrival, tls, Rc::clone(&secure)))),
            }
        }
        if worker.draining.get() {
            turns_left -= 1;
            if ready.is_err() || turns_left == 0 {
                return;
            }
        }
    }
}

impl Worker {
    /// The next waiting connection that may be served.
    async fn take_arrival(self: &Rc<Self>, listener: &TcpListener, index: u16) -> Option<Arrival> {
        loop {
            match sys::socket::try_accept(listener) {
                Ok((stream, peer)) => {
                    self.stats.connections_accepted.add(1);
                    if self.connections.get() < self.settings.bounds.connections_max {
                        let counted = Counted::new(Rc::clone(self));
                        return Some(Arrival { stream, peer, listener: index, counted });
                    }
                    self.stats.connections_refused.add(1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    // Out of descriptors, most likely: those in use come back.
                    monoio::time::sleep(Duration::from_millis(TICK_MS)).await;
                    return None;
                }
            }
        }
    }

    fn listener_tls(&self, index: u16) -> Option<Arc<ListenerTls>> {
        self.activation().listeners.get(usize::from(index)).cloned().flatten()
    }
}
