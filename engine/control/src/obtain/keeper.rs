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
use crate::bounds::{OBTAIN_LOOK_S_MAX, RETRY_AFTER_S_MAX};
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
                let asked = Asked::of(result.as_ref().err(), self.desk.as_ref().map(Desk::has_begun));
                now_ms + asked.pause_ms(self.failures, left_s)
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

/// What an attempt that came to nothing says of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// An order was spent: asking again costs something.
    is_spent: bool,
    /// How long the server wants to be left alone, whether or not an order stands there, seconds.
    retry_after_s: u64,
}

impl Asked {
    /// `has_begun`: whether an order was placed, where it is an ACME server that is asked. No fault: what came is gone.
    fn of(fault: Option<&ObtainFault>, has_begun: Option<bool>) -> Self {
        let retry_after_s = match fault {
            Some(ObtainFault::Issue(IssueFault::Acme(acme))) => acme.retry_after_s(),
            _ => 0,
        };
        let is_spent = has_begun.is_some_and(|has_begun| match fault {
            // It is there, and is written once more.
            Some(ObtainFault::Keep { .. }) => false,
            Some(fault) if fault.is_passing() && !has_begun => false,
            _ => true,
        });
        Self { is_spent, retry_after_s }
    }

    fn pause_ms(self, failures: u32, left_s: u64) -> u64 {
        let Self { is_spent, retry_after_s } = self;
        let own_ms = if is_spent { order_retry_ms(failures, chance()) } else { retry_ms(failures, left_s, chance()) };
        own_ms.max(retry_after_s.min(RETRY_AFTER_S_MAX) * MS_PER_S)
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
    use stores::http::HttpFault;
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
        let first_ms = |asked: Asked| asked.pause_ms(1, 0);
        let is_order = |asked| first_ms(asked) >= ORDER_RETRY_MS_MIN * 3 / 4;
        let nonce = {
            let [directory, said] = std::array::from_fn(|_| String::new());
            acme(AcmeFault::Problem {
                directory,
                said,
                kind: "urn:ietf:params:acme:error:badNonce".to_owned(),
                retry_after_s: 0,
            })
        };
        for (fault, has_begun) in
            [(&slow, true), (&desk(), true), (&unproven(0), true), (&nonce, true), (&account, false)]
        {
            assert!(is_order(Asked::of(Some(fault), Some(has_begun))), "{fault:?}");
        }
        assert!(is_order(Asked::of(None, Some(true))), "it came, was kept and is gone");
        assert_eq!(first_ms(Asked::of(Some(&unproven(600)), Some(true))), 600_000);
        assert_eq!(first_ms(Asked::of(Some(&unproven(u64::MAX)), Some(true))), RETRY_AFTER_S_MAX * MS_PER_S);
        // What is there is written again; who was not reached, or counts nothing, is asked again.
        for (fault, has_begun) in
            [(&keep, Some(true)), (&slow, Some(false)), (&nonce, Some(false)), (&slow, None), (&keep, None)]
        {
            assert!(first_ms(Asked::of(Some(fault), has_begun)) <= OBTAIN_RETRY_MS_MIN, "{fault:?}");
        }
        assert!(first_ms(Asked::of(None, None)) >= OBTAIN_RETRY_MS_MIN * 3 / 4, "nobody is asked without a pause");
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is_left_alone_before_any_order_too() {
        let acme = |fault| ObtainFault::Issue(IssueFault::Acme(fault));
        let problem = |kind: &str, retry_after_s| {
            let [directory, said] = std::array::from_fn(|_| String::new());
            acme(AcmeFault::Problem {
                directory,
                said,
                kind: format!("urn:ietf:params:acme:error:{kind}"),
                retry_after_s,
            })
        };
        let busy = |retry_after_s| {
            let cause = HttpFault::Status { authority: "ca.example".to_owned(), status: 503 };
            acme(AcmeFault::Http { directory: String::new(), cause, retry_after_s })
        };
        for fault in [busy(120), problem("serverInternal", 120), problem("badNonce", 120)] {
            assert_eq!(
                Asked::of(Some(&fault), Some(false)),
                Asked { is_spent: false, retry_after_s: 120 },
                "{fault:?}"
            );
            assert_eq!(Asked::of(Some(&fault), Some(false)).pause_ms(1, 86_400), 120_000, "{fault:?}");
        }
        assert_eq!(Asked::of(Some(&busy(u64::MAX)), Some(false)).pause_ms(1, 0), RETRY_AFTER_S_MAX * MS_PER_S);
        assert!(Asked::of(Some(&busy(0)), Some(false)).pause_ms(1, 86_400) <= OBTAIN_RETRY_MS_MIN);
    }
}
