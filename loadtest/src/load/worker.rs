//! One thread of a load: its ring, its connections, and the slices it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::time::ClockId;

use super::connection::{Connection, Slot};
use super::first::{First, first};
use super::pace::{Pace, Timer};
use super::plan::{Loop, Plan, Request, Requests};
use super::response::LastHead;
use super::slice::{Errors, OVER_TIME, Slice, histogram};
use super::stream::OpenError;
use crate::failure::Failure;
use crate::{measure, ring, tls};

/// Bytes of the block that responses are read into; discarded content never touches it, so it may be large.
const BLOCK_BYTES: usize = 1 << 20;
/// How often requests that take too long are looked for.
const SWEEP: Duration = Duration::from_millis(100);
/// Connections opened at the same time before the first slice.
const OPENING_MAX: usize = 128;

/// What a thread is told.
pub(super) struct Order {
    pub started: Instant,
    pub duration: Duration,
    pub loop_: Loop,
    /// New ones, if they changed.
    pub requests: Option<Requests>,
}

/// Everything that the connections of one thread share.
pub(super) struct Shared {
    pub plan: Plan,
    pub index: usize,
    pub threads: usize,
    pub client: Option<tls::Client>,
    pub block: RefCell<Vec<u8>>,
    pub last_head: RefCell<LastHead>,
    pub slice: RefCell<Slice>,
    started: Cell<Instant>,
    end_ns: Cell<u64>,
    /// Requests taken so far, over all slices.
    taken: Cell<usize>,
    pub stop: Cell<Option<Stop>>,
}

/// Why a slice ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Exhausted,
    Errors,
}

/// The thread: opens the connections, then follows orders until there are no more.
pub(super) fn run(
    plan: Plan,
    index: usize,
    threads: usize,
    orders: &mpsc::Receiver<Order>,
    results: &mpsc::Sender<Result<Slice, Failure>>,
) -> Result<(), Failure> {
    let client = client(&plan)?;
    let share = share(plan.connections, index, threads) + share(slow(&plan), index, threads);
    let entries = u32::try_from(share.saturating_mul(4).clamp(256, 16_384)).unwrap_or(256).next_power_of_two();
    let mut runtime = ring::runtime(entries)?;
    runtime.block_on(async {
        let mut worker = Worker::open(plan, index, threads, client).await?;
        let opened = worker.shared.slice.replace(Slice::empty()?);
        let _ = results.send(Ok(opened));
        // Between slices nothing happens on this ring: a blocking wait is no harm.
        while let Ok(order) = orders.recv() {
            let outcome = worker.slice(order).await;
            if results.send(outcome).is_err() {
                break;
            }
        }
        drop(worker);
        // Descriptors are closed through the ring: it must turn once more.
        monoio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    })
}

fn client(plan: &Plan) -> Result<Option<tls::Client>, Failure> {
    if !plan.target.tls {
        return Ok(None);
    }
    let tls = plan.tls.clone().unwrap_or_default();
    tls::Client::new(&tls, &plan.target.authority).map(Some)
}

fn slow(plan: &Plan) -> usize {
    plan.slow_readers.map_or(0, |slow| slow.connections)
}

/// How many of `count` belong to thread `index`.
fn share(count: usize, index: usize, threads: usize) -> usize {
    count / threads + usize::from(index < count % threads)
}

struct Worker {
    shared: Rc<Shared>,
    requests: Rc<Requests>,
    connections: Vec<Connection>,
    slots: Vec<Rc<Slot>>,
    timer: Timer,
}

impl Worker {
    async fn open(plan: Plan, index: usize, threads: usize, client: Option<tls::Client>) -> Result<Self, Failure> {
        let connections = share(plan.connections, index, threads);
        let requests = Rc::new(plan.requests.clone());
        let address = plan.target.address;
        let shared = Rc::new(Shared {
            plan,
            index,
            threads,
            client,
            block: RefCell::new(vec![0; BLOCK_BYTES]),
            last_head: RefCell::default(),
            slice: RefCell::new(Slice::empty()?),
            started: Cell::new(Instant::now()),
            end_ns: Cell::new(0),
            taken: Cell::new(0),
            stop: Cell::new(None),
        });
        let timer = Timer::new().map_err(Failure::io("a timer"))?;
        let all: Vec<Connection> = (0..connections).map(|_| Connection::default()).collect();
        let slots = all.iter().map(|connection| Rc::clone(&connection.slot)).collect();
        let mut worker = Self { shared, requests, connections: Vec::with_capacity(connections), slots, timer };
        let sweeper = sweep(Rc::clone(&worker.shared), worker.slots.clone());
        match first(worker.open_all(all), sweeper).await {
            First::Left(Err(error)) => Err(error.explain(address)),
            _ => Ok(worker),
        }
    }

    async fn open_all(&mut self, all: Vec<Connection>) -> Result<(), OpenError> {
        let mut waiting = all.into_iter();
        loop {
            let open = |mut connection: Connection| {
                let shared = Rc::clone(&self.shared);
                monoio::spawn(async move {
                    let outcome = connection.open_first(&shared).await;
                    (connection, outcome)
                })
            };
            let some: Vec<_> = waiting.by_ref().take(OPENING_MAX).map(open).collect();
            if some.is_empty() {
                return Ok(());
            }
            for opened in some {
                let (connection, outcome) = opened.await;
                outcome?;
                self.connections.push(connection);
            }
        }
    }

    async fn slice(&mut self, mut order: Order) -> Result<Slice, Failure> {
        if let Some(requests) = order.requests.take() {
            self.requests = Rc::new(requests);
            self.shared.taken.set(0);
        }
        let shared = Rc::clone(&self.shared);
        shared.begin(&order)?;
        let cpu_before = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        let pace = match order.loop_ {
            Loop::Closed => None,
            Loop::Open { per_second } => {
                Some(Rc::new(Pace::new(order.started, order.duration, per_second, shared.index, shared.threads)))
            }
        };
        let sweeper = sweep(Rc::clone(&shared), self.slots.clone());
        let slow: Vec<_> = (0..share(slow(&shared.plan), shared.index, shared.threads))
            .map(|_| monoio::spawn(super::slow::read(Rc::clone(&shared), Rc::clone(&self.requests))))
            .collect();
        let driven: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| {
                monoio::spawn(connection.drive(Rc::clone(&shared), Rc::clone(&self.requests), pace.clone()))
            })
            .collect();
        let timer = &mut self.timer;
        let work = async {
            if let Some(pace) = &pace {
                pace.run(timer).await.map_err(Failure::io("the timer of an open loop"))?;
            }
            let mut back = Vec::with_capacity(driven.len());
            for task in driven {
                back.push(task.await);
            }
            shared.slice.borrow_mut().elapsed = order.started.elapsed();
            for task in slow {
                task.await;
            }
            Ok::<_, Failure>(back)
        };
        if let First::Left(back) = first(work, sweeper).await {
            self.connections = back?;
        }
        let mut slice = shared.slice.replace(Slice::empty()?);
        if let Some(pace) = pace {
            for due_ns in pace.unsent() {
                slice.unsent += 1;
                slice.latencies.saturating_record(shared.end_ns.get().saturating_sub(due_ns));
            }
        }
        let cpu_after = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        slice.cpu_ns = measure::nanoseconds_between(cpu_before, cpu_after);
        self.outcome(slice)
    }

    fn outcome(&self, slice: Slice) -> Result<Slice, Failure> {
        match self.shared.stop.take() {
            None => Ok(slice),
            Some(Stop::Exhausted) => Err(Failure::Subject(format!(
                "the prepared requests ran out after {} in this slice: prepare more, or send them more slowly",
                slice.requests
            ))),
            Some(Stop::Errors) => Err(Failure::Subject(format!(
                "more than {} errors after {} responses ({}); the first: {}",
                self.shared.plan.errors_max,
                slice.requests,
                slice.errors,
                slice.first_error.as_deref().unwrap_or_default()
            ))),
        }
    }
}

/// Ends connections whose request takes too long; for ever.
async fn sweep(shared: Rc<Shared>, slots: Vec<Rc<Slot>>) {
    loop {
        monoio::time::sleep(SWEEP).await;
        let now = Instant::now();
        for slot in &slots {
            slot.expire(now, shared.plan.response_timeout);
        }
    }
}

impl Shared {
    fn begin(&self, order: &Order) -> Result<(), Failure> {
        let mut slice = Slice::empty()?;
        if self.plan.over_time {
            let parts = order.duration.as_nanos().div_ceil(OVER_TIME.as_nanos()).max(1);
            slice.over_time = Some((0..parts).map(|_| histogram(2)).collect::<Result<_, _>>()?);
        }
        self.slice.replace(slice);
        self.started.set(order.started);
        self.end_ns.set(u64::try_from(order.duration.as_nanos()).unwrap_or(u64::MAX));
        self.stop.set(None);
        Ok(())
    }

    /// Nanoseconds from the start of the slice.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.started.get().elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether requests may still be sent.
    pub fn goes_on(&self, now_ns: u64) -> bool {
        now_ns < self.end_ns.get() && self.stop.get().is_none()
    }

    pub fn instant(&self, at_ns: u64) -> Instant {
        self.started.get() + Duration::from_nanos(at_ns)
    }

    /// The next request of this thread: threads take turns, so that each has its own.
    pub fn next<'r>(&self, requests: &'r Requests) -> Option<&'r Request> {
        let taken = self.taken.get();
        self.taken.set(taken.wrapping_add(1));
        match requests {
            Requests::One(request) => Some(request),
            Requests::Rotating(all) => all.get((taken * self.threads + self.index) % all.len().max(1)),
            Requests::Once(all) => {
                let request = all.get(taken.saturating_mul(self.threads) + self.index);
                if request.is_none() {
                    self.stop.set(Some(Stop::Exhausted));
                }
                request
            }
        }
    }

    /// Counts an error; too many end the slice.
    pub fn failed(&self, why: impl FnOnce() -> String, count: impl FnOnce(&mut Errors) -> &mut u64) {
        let mut slice = self.slice.borrow_mut();
        slice.first_error.get_or_insert_with(why);
        *count(&mut slice.errors) += 1;
        if slice.errors.total() > self.plan.errors_max {
            self.stop.set(Some(Stop::Errors));
        }
    }

    /// Counts a whole response.
    pub fn answered(&self, status: u16, latency_ns: u64, now_ns: u64) {
        let mut slice = self.slice.borrow_mut();
        slice.requests += 1;
        slice.latencies.saturating_record(latency_ns);
        if status != self.plan.expect {
            slice.refused += 1;
            *slice.refused_by_status.entry(status).or_default() += 1;
        }
        if let Some(parts) = &mut slice.over_time {
            let at = usize::try_from(u128::from(now_ns) / OVER_TIME.as_nanos()).unwrap_or(usize::MAX);
            let last = parts.len().saturating_sub(1);
            if let Some(part) = parts.get_mut(at.min(last)) {
                part.saturating_record(latency_ns);
            }
        }
    }
}
