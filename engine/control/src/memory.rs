//! Looks at the tables in memory, again and again, through the addresses that the workers use: bytes that are not those of
//! the release are told loudly and put right, or service stops. On a thread of its own, at a bounded cost.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use policy::table::Table;
use sha2::{Digest, Sha256};

use crate::assemble::{Frozen, hex};
use crate::bounds::{
    REHASH_BYTES_PER_S_MAX, REHASH_CORE_PERCENT_MAX, REHASH_PASS_MS_MIN, REHASH_PAUSE_MS_MAX, REHASH_SLICE_BYTES,
    TABLE_REPAIRS_MAX,
};
use crate::status::Status;
use crate::{clock, records, watch};

/// The tables that are in use.
#[derive(Clone, Default)]
pub struct Register(Arc<Mutex<Vec<Watched>>>);

/// One copy of a table and what it should be.
#[derive(Clone)]
struct Watched {
    table: Weak<Table<sys::Image>>,
    sha256: [u8; 32],
    release: Arc<str>,
}

impl Register {
    /// To be called when a release comes to serve.
    pub fn add(&self, frozen: &Frozen) {
        let release = Arc::from(frozen.facts.digest.as_str());
        let mut all = self.all();
        all.retain(|watched| watched.table.strong_count() > 0);
        all.extend(frozen.tables.iter().map(|table| Watched {
            table: Arc::downgrade(table),
            sha256: frozen.image_sha256,
            release: Arc::clone(&release),
        }));
    }

    fn remove(&self, gone: &Watched) {
        self.all().retain(|watched| !watched.table.ptr_eq(&gone.table));
    }

    fn all(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the guard begins with.
pub struct Start {
    pub tables: Register,
    pub status: Arc<Status>,
    pub records: records::Handle,
    pub watch: watch::Handle,
    pub worker_cores: Vec<usize>,
}

/// The running guard.
pub struct Guard {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Guard {
    pub fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// Starts the guard on a thread of its own.
pub fn spawn(start: Start) -> io::Result<Guard> {
    let (stop, stopped) = sync_channel(0);
    let thread = std::thread::Builder::new().name("memory".to_owned()).spawn(move || {
        crate::affinity::leave(&start.worker_cores);
        Looking { start, stopped, repairs: 0 }.run();
    })?;
    Ok(Guard { stop, thread })
}

/// The gateway ends.
struct Stopped;

struct Looking {
    start: Start,
    stopped: Receiver<()>,
    repairs: u32,
}

impl Looking {
    fn run(mut self) {
        while self.pass().is_ok() {}
    }

    /// Looks at every table once.
    fn pass(&mut self) -> Result<(), Stopped> {
        let begun = Instant::now();
        let watched = self.start.tables.all().clone();
        for one in watched {
            let Some(table) = one.table.upgrade() else { continue };
            let found = self.hash(&table)?;
            if found == one.sha256 {
                let mut moving = self.start.status.moving();
                moving.memory.hashed_unix_s = Some(clock::unix_s());
                moving.memory.looks += 1;
            } else {
                self.put_right(&one, &table, &found);
            }
        }
        self.pause(Duration::from_millis(REHASH_PASS_MS_MIN).saturating_sub(begun.elapsed()))
    }

    /// Over the bytes that the workers see, slice by slice.
    fn hash(&self, table: &Table<sys::Image>) -> Result<[u8; 32], Stopped> {
        let mut hash = Sha256::new();
        for slice in table.image().chunks(REHASH_SLICE_BYTES) {
            let begun = Instant::now();
            hash.update(slice);
            self.pause(pause_after(slice.len(), begun.elapsed()))?;
        }
        Ok(hash.finalize().into())
    }

    fn pause(&self, pause: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    fn put_right(&mut self, watched: &Watched, table: &Table<sys::Image>, found: &[u8; 32]) {
        self.tell(watched, found);
        self.start.status.moving().memory.mismatches += 1;
        self.repairs += 1;
        if self.repairs > TABLE_REPAIRS_MAX {
            self.start.tables.remove(watched);
            return self.give_up(&format!("it was put right {TABLE_REPAIRS_MAX} times already"));
        }
        let Err(why) = map_again(watched, table) else { return self.tell_outcome(watched, "mapped again", None) };
        crate::error!("the table cannot be mapped again: {why}: it is compiled anew");
        self.start.tables.remove(watched);
        match self.start.watch.renew_memory() {
            Ok(id) => self.tell_outcome(watched, "compiled again", Some(id)),
            Err(error) => self.give_up(&error),
        }
    }

    fn tell(&self, watched: &Watched, found: &[u8; 32]) {
        let (expected, found) = (hex(&watched.sha256), hex(found));
        crate::error!(
            "the table of release {} in memory is not what was verified: expected sha256:{expected}, found \
             sha256:{found}: somebody or something changed memory of this process",
            watched.release
        );
        self.start.records.event("table", |line| {
            line.text("adamant.outcome", b"mismatch");
            line.text("adamant.release", watched.release.as_bytes());
            line.text("adamant.table_sha256.expected", format!("sha256:{expected}").as_bytes());
            line.text("adamant.table_sha256.found", format!("sha256:{found}").as_bytes());
        });
    }

    fn tell_outcome(&self, watched: &Watched, outcome: &str, activation: Option<u64>) {
        crate::error!(
            "the table of release {} was {outcome}; decisions since the last look may be wrong",
            watched.release
        );
        self.start.status.moving().memory.repairs += 1;
        self.start.records.event("table", |line| {
            line.text("adamant.outcome", outcome.as_bytes());
            line.text("adamant.release", watched.release.as_bytes());
            if let Some(id) = activation {
                line.number("adamant.activation", id);
            }
        });
    }

    fn give_up(&self, why: &str) {
        crate::error!("the table in memory cannot be put right: {why}: the gateway stops");
        self.start.records.event("table", |line| {
            line.text("adamant.outcome", b"stops");
            line.text("error.message", why.as_bytes());
        });
        self.start.status.fail(format!("the table in memory cannot be put right: {why}"));
    }
}

/// The sealed memory at the same address again, if it still holds the right bytes.
fn map_again(watched: &Watched, table: &Table<sys::Image>) -> io::Result<()> {
    let image = table.storage();
    if <[u8; 32]>::from(Sha256::digest(image.stored()?)) != watched.sha256 {
        return Err(io::Error::other("the sealed memory itself holds other bytes"));
    }
    image.map_again()?;
    if <[u8; 32]>::from(Sha256::digest(table.image())) != watched.sha256 {
        return Err(io::Error::other("it holds other bytes all the same"));
    }
    Ok(())
}

/// So that neither the rate nor the share of a core is exceeded.
fn pause_after(bytes: usize, spent: Duration) -> Duration {
    let by_rate = Duration::from_nanos((bytes as u64).saturating_mul(clock::NS_PER_S) / REHASH_BYTES_PER_S_MAX);
    let by_share = spent.saturating_mul(100 / REHASH_CORE_PERCENT_MAX).saturating_sub(spent);
    by_rate.max(by_share).min(Duration::from_millis(REHASH_PAUSE_MS_MAX))
}

#[cfg(test)]
mod tests;
