//! The load generator: one thread and one ring for each core, nothing shared on the path, merged at the end of a slice.
//!
//! A [`Load`] opens its connections once and then runs any number of slices over them, so that targets can take turns
//! in short slices without paying for connecting in each.
//!
//! The generator shares its machine with what it measures, so it does as little as it can: requests are prepared bytes,
//! a response head that repeats itself is compared and not parsed, known content is discarded in the kernel
//! (MSG_TRUNC), there is one clock read for each request and no allocation. In an open loop latencies count from when a
//! request should have been sent, and how late the generator itself was is told beside them ([`Slice::pacing`]).
//! Connections that were opened for one request are closed by a reset, or no port would be left after a few seconds.

mod connection;
mod first;
mod pace;
mod plan;
mod response;
mod slice;
mod slow;
mod stream;
mod worker;

pub use plan::{ClientTls, Group, Identity, Loop, Plan, Request, Requests, Reuse, SlowReaders};
pub use slice::{Errors, Negotiated, OVER_TIME, Slice};

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::measure;

/// A plan with its connections open. Dropping it closes them.
pub struct Load {
    threads: Vec<Thread>,
    loop_: Loop,
    requests: Option<Requests>,
    /// Connections and handshakes before the first slice.
    opened: Option<Slice>,
}

struct Thread {
    orders: Option<mpsc::Sender<worker::Order>>,
    results: mpsc::Receiver<Result<Slice, Failure>>,
    handle: Option<thread::JoinHandle<()>>,
}

impl Load {
    /// Starts the threads and opens the connections. Fails when one of them cannot be opened.
    pub fn connect(plan: Plan) -> Result<Self, Failure> {
        plan.check()?;
        let loop_ = plan.loop_;
        let cores: Vec<Option<usize>> =
            if plan.cores.is_empty() { vec![None] } else { plan.cores.iter().copied().map(Some).collect() };
        let mut threads = Vec::with_capacity(cores.len());
        for (index, core) in cores.iter().enumerate() {
            threads.push(Thread::start(plan.clone(), index, cores.len(), *core)?);
        }
        let mut load = Self { threads, loop_, requests: None, opened: None };
        load.opened = Some(load.collect()?);
        Ok(load)
    }

    /// Sends for `duration`, waits for what is under way, and tells what was seen. Connections stay open.
    ///
    /// Fails when a thread cannot run, when there were more than `errors_max` errors, and when requests that may be
    /// sent only once ran out.
    pub fn run(&mut self, duration: Duration) -> Result<Slice, Failure> {
        let started = Instant::now();
        let requests = self.requests.take();
        for thread in &self.threads {
            let order = worker::Order { started, duration, loop_: self.loop_, requests: requests.clone() };
            // A thread that is gone says why in its result.
            let _ = thread.orders.as_ref().map(|orders| orders.send(order));
        }
        let mut slice = self.collect()?;
        if let Some(opened) = self.opened.take() {
            slice.connections_opened += opened.connections_opened;
            slice.tls.full += opened.tls.full;
            slice.tls.resumed += opened.tls.resumed;
            slice.tls.group = slice.tls.group.or(opened.tls.group);
            slice.tls.version = slice.tls.version.or(opened.tls.version);
        }
        Ok(slice)
    }

    /// Another loop (such as the next rate) from the next slice on.
    pub fn set_loop(&mut self, loop_: Loop) -> Result<(), Failure> {
        loop_.check()?;
        self.loop_ = loop_;
        Ok(())
    }

    /// Other requests from the next slice on, such as the next pool of those that may be sent only once.
    pub fn set_requests(&mut self, requests: Requests) -> Result<(), Failure> {
        requests.check()?;
        self.requests = Some(requests);
        Ok(())
    }

    fn collect(&self) -> Result<Slice, Failure> {
        let gone = |_| Err(Failure::Subject("a thread of the load generator ended".into()));
        let mut slices: Vec<Result<Slice, Failure>> =
            self.threads.iter().map(|thread| thread.results.recv().unwrap_or_else(gone)).collect();
        let mut sum = slices.pop().unwrap_or_else(Slice::empty)?;
        for slice in slices {
            sum.merge(&slice?)?;
        }
        Ok(sum)
    }
}

impl Thread {
    fn start(plan: Plan, index: usize, threads: usize, core: Option<usize>) -> Result<Self, Failure> {
        let (orders, ordered) = mpsc::channel();
        let (sender, results) = mpsc::channel();
        let body = move || {
            let outcome = match core {
                Some(core) => measure::on_core(core, || worker::run(plan, index, threads, &ordered, &sender)),
                None => worker::run(plan, index, threads, &ordered, &sender),
            };
            if let Err(failure) = outcome {
                let _ = sender.send(Err(failure));
            }
        };
        let started = thread::Builder::new().name(format!("load-{index}")).spawn(body);
        let handle = started.map_err(Failure::io("a thread of the load generator"))?;
        Ok(Self { orders: Some(orders), results, handle: Some(handle) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.orders = None; // ends the thread, which closes its connections
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests;
