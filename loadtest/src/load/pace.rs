//! A constant rate: which request is due when, and who sends it.
//!
//! Requests are due at fixed times from the start of a slice, whatever the target does. A connection that is free takes
//! the next due one; when all are busy, requests age until one is free. The clock is a timerfd read through the ring:
//! it is armed for the next due time with nanoseconds, and one expiry releases everything that is due by then, so the
//! cost falls to one wake-up per batch as the rate rises.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// The schedule of one slice on one thread.
pub(super) struct Pace {
    started: Instant,
    /// First due time and distance between due times, nanoseconds from the start.
    first_ns: f64,
    every_ns: f64,
    end_ns: Cell<u64>,
    next: Cell<u64>,
    /// Connections without work, longest first.
    free: RefCell<VecDeque<Free>>,
    /// The pacer, while it waits for a connection to be free or for the end.
    pacer: RefCell<Option<Waker>>,
}

struct Free {
    waker: Waker,
    granted: Rc<Cell<Grant>>,
}

/// What a waiting connection was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Grant {
    #[default]
    None,
    Due(u64),
    Over,
}

/// A request to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Nanoseconds from the start of the slice, as all times here.
    pub due_ns: u64,
    pub now_ns: u64,
    /// Whether a connection was free when it was due: any delay is the generator's own.
    pub unhindered: bool,
}

impl Pace {
    /// `share` of a rate: this thread is `index` of `threads`, and sends every `threads`-th request.
    pub fn new(started: Instant, duration: Duration, per_second: f64, index: usize, threads: usize) -> Self {
        let every_ns = 1e9 / per_second;
        Self {
            started,
            first_ns: every_ns * index as f64,
            every_ns: every_ns * threads as f64,
            end_ns: Cell::new(nanoseconds(duration)),
            next: Cell::new(0),
            free: RefCell::new(VecDeque::new()),
            pacer: RefCell::new(None),
        }
    }

    /// The next request for a connection that is free; none when the slice is over. `granted` belongs to the
    /// connection.
    pub async fn turn(&self, granted: &Rc<Cell<Grant>>) -> Option<Turn> {
        granted.set(Grant::None);
        let mut waiting = false;
        poll_fn(|context| {
            match granted.get() {
                Grant::Due(due_ns) => {
                    return Poll::Ready(Some(Turn { due_ns, now_ns: self.now_ns(), unhindered: true }));
                }
                Grant::Over => return Poll::Ready(None),
                Grant::None => {}
            }
            if waiting {
                return Poll::Pending;
            }
            let now_ns = self.now_ns();
            if now_ns >= self.end_ns.get() {
                self.wake_pacer();
                return Poll::Ready(None);
            }
            if self.due_ns() <= now_ns && self.due_ns() < self.end_ns.get() {
                let due_ns = self.take();
                let unhindered = !self.free.borrow().is_empty();
                return Poll::Ready(Some(Turn { due_ns, now_ns, unhindered }));
            }
            waiting = true;
            let free = Free { waker: context.waker().clone(), granted: Rc::clone(granted) };
            self.free.borrow_mut().push_back(free);
            self.wake_pacer();
            Poll::Pending
        })
        .await
    }

    /// Hands out what is due until the slice is over.
    pub async fn run(&self, timer: &mut Timer) -> io::Result<()> {
        loop {
            let now_ns = self.now_ns();
            while self.due_ns() <= now_ns && self.due_ns() < self.end_ns.get() {
                let Some(free) = self.free.borrow_mut().pop_front() else { break };
                free.granted.set(Grant::Due(self.take()));
                free.waker.wake();
            }
            if now_ns >= self.end_ns.get() {
                for free in self.free.borrow_mut().drain(..) {
                    free.granted.set(Grant::Over);
                    free.waker.wake();
                }
                return Ok(());
            }
            let due_ns = self.due_ns().min(self.end_ns.get());
            if due_ns <= now_ns {
                self.wait_for_a_free_one().await;
            } else {
                timer.sleep(due_ns - now_ns).await?;
            }
        }
    }

    /// Due times of requests that nobody sent; after the slice.
    pub fn unsent(&self) -> impl Iterator<Item = u64> {
        let (first, every, end) = (self.first_ns, self.every_ns, self.end_ns.get());
        (self.next.get()..).map(move |index| due(first, every, index)).take_while(move |due| *due < end)
    }

    /// Ends the slice now.
    pub fn stop(&self) {
        self.end_ns.set(self.end_ns.get().min(self.now_ns()));
        self.wake_pacer();
    }

    async fn wait_for_a_free_one(&self) {
        let mut waited = false;
        poll_fn(|context| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            *self.pacer.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake_pacer(&self) {
        if let Some(waker) = self.pacer.borrow_mut().take() {
            waker.wake();
        }
    }

    fn take(&self) -> u64 {
        let due = self.due_ns();
        self.next.set(self.next.get() + 1);
        due
    }

    fn due_ns(&self) -> u64 {
        due(self.first_ns, self.every_ns, self.next.get())
    }

    fn now_ns(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }
}

/// A timer with nanoseconds: monoio's own knows milliseconds only.
pub(super) struct Timer {
    descriptor: OwnedFd,
    file: monoio::fs::File,
    /// Lent to the ring while it reads the number of expirations.
    expirations: Vec<u8>,
}

impl Timer {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let file = monoio::fs::File::from_std(std::fs::File::from(descriptor.try_clone()?))?;
        Ok(Self { descriptor, file, expirations: vec![0; size_of::<u64>()] })
    }

    async fn sleep(&mut self, wait_ns: u64) -> io::Result<()> {
        let it_value = Timespec {
            tv_sec: (wait_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (wait_ns % 1_000_000_000).cast_signed(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
        let (outcome, buffer) = self.file.read_at(std::mem::take(&mut self.expirations), 0).await;
        self.expirations = buffer;
        outcome.map(drop)
    }
}

/// When the request of this number is due; whole nanoseconds, without the error of a running sum.
fn due(first_ns: f64, every_ns: f64, index: u64) -> u64 {
    every_ns.mul_add(index as f64, first_ns) as u64
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
