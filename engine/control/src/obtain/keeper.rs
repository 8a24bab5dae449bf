//! The thread that obtains certificates again before they end, each on its own time.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;

use super::desk::Desk;
use super::schedule::{chance, due_s, order_retry_ms, retry_ms};
use super::{IssueFault, Kind, ObtainFault, Told, Wanted, kept};
use crate::bounds::OBTAIN_LOOK_S_MAX;
use crate::clock::{self, NS_PER_S};
use crate::moving::Why;
use crate::records;
use crate::status::Status;
use crate::watch::Handle;

const NS_PER_MS: u64 = 1_000_000;
const MS_PER_S: u64 = NS_PER_S / NS_PER_MS;

/// What the thread begins with.
pub struct Start {
    pub wanted: Vec<Wanted>,
    /// What was obtained before there was anybody to tell.
    pub told: Vec<Told>,
    pub state: PathBuf,
    pub status: Arc<Status>,
    pub records: records::Handle,
    pub watch: Handle,
    pub worker_cores: Vec<usize>,
}

/// The running thread.
pub struct Obtaining {
    stop: Arc<Notify>,
    again: Arc<Notify>,
    thread: JoinHandle<()>,
}

impl Obtaining {
    /// What could not be obtained is asked for now, but where an order would be spent.
    pub fn again(&self) {
        self.again.notify_waiters();
    }

    /// What is under way is given up.
    pub fn stop(self) {
        self.stop.notify_one();
        let _ = self.thread.join();
    }
}

/// Starts to obtain what is wanted; none where that is nothing.
pub fn spawn(start: Start) -> io::Result<Option<Obtaining>> {
    if start.wanted.is_empty() {
        return Ok(None);
    }
    let (stop, again) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stopped, ordered) = (Arc::clone(&stop), Arc::clone(&again));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("certificates".to_owned()).spawn(move || {
        crate::affinity::leave(&start.worker_cores);
        LocalSet::new().block_on(&runtime, run(start, &stopped, ordered));
        // A look-up that hangs in the system's resolver must not keep the process.
        runtime.shutdown_background();
    })?;
    Ok(Some(Obtaining { stop, again, thread }))
}

async fn run(start: Start, stopped: &Notify, again: Arc<Notify>) {
    let Start { wanted, told, state, status, records, watch, .. } = start;
    let orders = Arc::new(Semaphore::new(1));
    let teller = Rc::new(Teller { status, records, again });
    for told in told {
        let kept = kept::look(&told.wanted.file);
        let next_s = kept.as_ref().map_or_else(clock::unix_s, |kept| due_s(kept.obtained_s, kept.ends_s, 0));
        told.tell(&teller.records, &teller.status, next_s, kept.map(|kept| kept.ends_s));
    }
    for wanted in wanted {
        let desk = match &wanted.source.kind {
            Kind::Acme(directory) => Some(Desk::new(&state, directory, watch.clone(), Arc::clone(&orders))),
            Kind::OpenBao(_) => None,
        };
        teller.declare(&wanted);
        let one = One { wanted, desk, failures: 0, teller: Rc::clone(&teller) };
        tokio::task::spawn_local(one.keep());
    }
    stopped.notified().await;
}

struct Teller {
    status: Arc<Status>,
    records: records::Handle,
    /// Orders to try again now.
    again: Arc<Notify>,
}

impl Teller {
    /// Makes a place in the status, so that counters are there before anything goes wrong.
    fn declare(&self, wanted: &Wanted) {
        let mut moving = self.status.moving();
        let shown = moving.obtained.entry(wanted.file.display().to_string()).or_default();
        shown.source.clone_from(&wanted.source.name);
    }

    fn next(&self, wanted: &Wanted, next_s: u64) {
        let mut moving = self.status.moving();
        moving.obtained.entry(wanted.file.display().to_string()).or_default().next_unix_s = next_s;
    }
}

/// One certificate.
struct One {
    wanted: Wanted,
    /// For orders at ACME servers.
    desk: Option<Desk>,
    /// In a row.
    failures: u32,
    teller: Rc<Teller>,
}

impl One {
    async fn keep(mut self) {
        let first = kept::look(&self.wanted.file);
        let mut next_ms = first.map_or(0, |kept| due_s(kept.obtained_s, kept.ends_s, chance()) * MS_PER_S);
        self.teller.next(&self.wanted, next_ms / MS_PER_S);
        loop {
            let is_ordered = self.wait(next_ms).await;
            next_ms = self.attempt(is_ordered).await;
        }
    }

    /// Until it is due; or until it is ordered, where it failed and asking again costs nothing.
    async fn wait(&self, next_ms: u64) -> bool {
        let ordered = self.teller.again.notified();
        tokio::select! {
            () = wait_until(next_ms) => false,
            () = ordered, if self.failures > 0 && self.desk.is_none() => true,
        }
    }

    /// When the next one is due, milliseconds since the Unix epoch.
    async fn attempt(&mut self, is_ordered: bool) -> u64 {
        let before = kept::look(&self.wanted.file);
        let why = match &before {
            _ if is_ordered => Why::Order,
            Some(_) => Why::Expiry,
            None => Why::Start,
        };
        let result = self.wanted.obtain(self.desk.as_ref()).await;
        let after = kept::look(&self.wanted.file);
        let now_ms = clock::unix_ns() / NS_PER_MS;
        let ends_s = after.as_ref().map(|kept| kept.ends_s);
        let next_ms = match &result {
            Ok(_) => {
                self.failures = 0;
                after.map_or(now_ms, |kept| due_s(kept.obtained_s, kept.ends_s, chance()) * MS_PER_S)
            }
            Err(fault) => {
                self.failures = self.failures.saturating_add(1);
                now_ms + self.pause_ms(fault, ends_s.unwrap_or(0).saturating_sub(now_ms / MS_PER_S))
            }
        };
        let told = Told::new(&self.wanted, why, before.map(|kept| kept.sha256), result);
        told.tell(&self.teller.records, &self.teller.status, next_ms / MS_PER_S, ends_s);
        next_ms
    }

    fn pause_ms(&self, fault: &ObtainFault, left_s: u64) -> u64 {
        match fault {
            ObtainFault::Issue(IssueFault::Acme(acme)) if !fault.is_passing() => {
                order_retry_ms(self.failures, acme.retry_after_s(), chance())
            }
            _ if self.desk.is_some() && !fault.is_passing() => order_retry_ms(self.failures, 0, chance()),
            _ => retry_ms(self.failures, left_s, chance()),
        }
    }
}

/// Looks at the clock now and then: it may be set, and the machine may sleep.
async fn wait_until(ms: u64) {
    loop {
        let left_ms = ms.saturating_sub(clock::unix_ns() / NS_PER_MS);
        if left_ms == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left_ms.min(OBTAIN_LOOK_S_MAX * MS_PER_S))).await;
    }
}
