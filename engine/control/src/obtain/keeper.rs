//! The thread that obtains certificates again before they end, each on its own time.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;

use super::desk::Desk;
use super::schedule::{chance, due_s, order_retry_ms, retry_ms};
use super::{IssueFault, Kind, ObtainFault, Obtained, Told, Wanted, kept};
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
    /// Files that gateway.toml names: none of them is removed, whoever obtained them.
    pub named: BTreeSet<PathBuf>,
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

/// Starts to obtain what is wanted; none where that is nothing. What was wanted once and is not any more is removed: nobody
/// looks after those keys.
pub fn spawn(start: Start) -> io::Result<Option<Obtaining>> {
    sweep(&start);
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

fn sweep(start: &Start) {
    if start.state.as_os_str().is_empty() {
        return;
    }
    let accounts = start.wanted.iter().filter_map(|wanted| match &wanted.source.kind {
        Kind::Acme { directory, .. } => Some(Desk::account_of(&start.state, directory)),
        Kind::OpenBao(_) => None,
    });
    let files = start.wanted.iter().map(|wanted| wanted.file.clone()).chain(start.named.iter().cloned());
    let wanted: BTreeSet<PathBuf> = accounts.chain(files).collect();
    let removed = kept::sweep(&start.state, &wanted);
    if !removed.is_empty() {
        let directory = kept::directory(&start.state);
        crate::info!("{}: removed what is not configured any more: {}", directory.display(), removed.join(", "));
    }
}

async fn run(start: Start, stopped: &Notify, again: Arc<Notify>) {
    let Start { wanted, told, state, status, records, watch, .. } = start;
    let orders = Arc::new(Semaphore::new(1));
    let teller = Rc::new(Teller { status, records, again });
    for told in told {
        let kept = kept::look(&told.wanted.files());
        let next_s = kept.as_ref().map_or_else(clock::unix_s, |kept| due_s(kept.obtained_s, kept.ends_s, 0));
        told.tell(&teller.records, &teller.status, next_s, kept.map(|kept| kept.ends_s));
    }
    for wanted in wanted {
        let desk = match &wanted.source.kind {
            Kind::Acme { directory, http } => {
                let state = (state.as_path(), &wanted.at_rest);
                Some(Desk::new(state, (directory, *http), watch.clone(), Arc::clone(&orders)))
            }
            Kind::OpenBao(_) => None,
        };
        let one = One { wanted, desk, unkept: None, failures: 0, teller: Rc::clone(&teller) };
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
    /// What came and could not be kept: it is not asked for again.
    unkept: Option<Obtained>,
    /// In a row.
    failures: u32,
    teller: Rc<Teller>,
}

impl One {
    async fn keep(mut self) {
        let first = kept::look(&self.wanted.files());
        let mut next_ms = first.map_or(0, |kept| due_s(kept.obtained_s, kept.ends_s, chance()) * MS_PER_S);
        self.teller.next(&self.wanted, next_ms / MS_PER_S);
        let again = Arc::clone(&self.teller.again);
        let mut ordered = std::pin::pin!(again.notified());
        loop {
            let is_ordered = self.wait(next_ms, ordered.as_mut()).await;
            // From here on: what is ordered during the attempt counts after it.
            ordered.set(again.notified());
            ordered.as_mut().enable();
            next_ms = self.attempt(is_ordered).await;
        }
    }

    /// Until it is due; or until it is ordered, where it failed and asking again costs nothing.
    async fn wait(&self, next_ms: u64, ordered: Pin<&mut Notified<'_>>) -> bool {
        tokio::select! {
            () = wait_until(next_ms) => false,
            () = ordered, if self.failures > 0 && self.desk.is_none() => true,
        }
    }

    /// When the next one is due, milliseconds since the Unix epoch.
    async fn attempt(&mut self, is_ordered: bool) -> u64 {
        let before = kept::look(&self.wanted.files());
        let why = match &before {
            _ if is_ordered => Why::Order,
            Some(_) => Why::Expiry,
            None => Why::Start,
        };
        let result = self.obtain().await;
        let after = kept::look(&self.wanted.files());
        let now_ms = clock::unix_ns() / NS_PER_MS;
        let ends_s = after.as_ref().map(|kept| kept.ends_s);
        let next_ms = match (&result, after) {
            (Ok(_), Some(kept)) => {
                self.failures = 0;
                due_s(kept.obtained_s, kept.ends_s, chance()) * MS_PER_S
            }
            (result, _) => {
                self.failures = self.failures.saturating_add(1);
                let left_s = ends_s.unwrap_or(0).saturating_sub(now_ms / MS_PER_S);
                // What was kept and cannot be read back would be obtained again and again.
                let spent = spent(result.as_ref().err(), self.desk.as_ref().map(Desk::has_begun));
                now_ms + pause_ms(self.failures, left_s, spent)
            }
        };
        let told = Told::new(&self.wanted, why, before.map(|kept| kept.sha256), result);
        told.tell(&self.teller.records, &self.teller.status, next_ms / MS_PER_S, ends_s);
        next_ms
    }

    async fn obtain(&mut self) -> Result<String, ObtainFault> {
        let obtained = match self.unkept.take() {
            Some(obtained) => obtained,
            None => self.wanted.obtain(self.desk.as_ref()).await?,
        };
        let kept = self.wanted.keep(&obtained);
        if let Err(ObtainFault::Keep { .. }) = &kept {
            self.unkept = Some(obtained);
        }
        kept
    }
}

/// How long the server wants to be left alone, seconds, where an order was spent; none where asking again costs nothing.
/// `has_begun`: whether one was placed, where it is an ACME server that is asked. No fault: what came is gone.
fn spent(fault: Option<&ObtainFault>, has_begun: Option<bool>) -> Option<u64> {
    let has_begun = has_begun?;
    match fault {
        // It is there, and is written once more.
        Some(ObtainFault::Keep { .. }) => None,
        Some(fault) if fault.is_passing() && !has_begun => None,
        Some(ObtainFault::Issue(IssueFault::Acme(acme))) if acme.is_bad_nonce() => None,
        Some(ObtainFault::Issue(IssueFault::Acme(acme))) => Some(acme.retry_after_s()),
        _ => Some(0),
    }
}

fn pause_ms(failures: u32, left_s: u64, spent: Option<u64>) -> u64 {
    match spent {
        Some(retry_after_s) => order_retry_ms(failures, retry_after_s, chance()),
        None => retry_ms(failures, left_s, chance()),
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

#[cfg(test)]
mod tests {
    use stores::issue::acme::{AcmeFault, ChallengeKind};

    use super::*;
    use crate::bounds::{OBTAIN_RETRY_MS_MIN, ORDER_RETRY_MS_MIN};

    #[test]
    fn an_order_that_was_placed_is_not_repeated_soon_whatever_came_of_it() {
        let acme = |fault| ObtainFault::Issue(IssueFault::Acme(fault));
        let desk = || acme(AcmeFault::Desk("busy".to_owned()));
        let keep = ObtainFault::Keep { path: PathBuf::new(), cause: io::ErrorKind::StorageFull.into() };
        let slow = ObtainFault::Slow { source_name: String::new(), within_s: 180 };
        let unproven = |retry_after_s| {
            let [directory, names, said] = std::array::from_fn(|_| String::new());
            acme(AcmeFault::Unproven { directory, names, said, retry_after_s, kind: ChallengeKind::TlsAlpn })
        };
        let account = acme(AcmeFault::Account(io::ErrorKind::StorageFull.into()));
        let first_ms = |spent| pause_ms(1, 0, spent);
        let is_order = |spent| first_ms(spent) >= ORDER_RETRY_MS_MIN * 3 / 4;
        for (fault, has_begun) in [(&slow, true), (&desk(), true), (&unproven(0), true), (&account, false)] {
            assert!(is_order(spent(Some(fault), Some(has_begun))), "{fault:?}");
        }
        assert!(is_order(spent(None, Some(true))), "it came, was kept and is gone");
        assert_eq!(spent(Some(&unproven(600)), Some(true)), Some(600));
        // What is there is written again; who was not reached, or counts nothing, is asked again.
        for (fault, has_begun) in [(&keep, Some(true)), (&slow, Some(false)), (&slow, None), (&keep, None)] {
            assert!(first_ms(spent(Some(fault), has_begun)) <= OBTAIN_RETRY_MS_MIN, "{fault:?}");
        }
        assert!(first_ms(spent(None, None)) >= OBTAIN_RETRY_MS_MIN * 3 / 4, "nobody is asked without a pause");
    }
}
