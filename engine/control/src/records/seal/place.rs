//! A place outside the gateway that keeps its checkpoints: a directory or a witness. One thread each, so that none waits
//! for another; of what waits, the newest checkpoint of a log is enough.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain::bounds::CHECKPOINT_BYTES_MAX;
use chain::checkpoint::Checkpoint;

use super::witness::Witness;
use crate::bounds::{CHECKPOINT_RETRY_MS_MAX, CHECKPOINT_RETRY_MS_MIN};
use crate::clock;

/// How long the end of the process waits for a place that fails.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);

/// Where checkpoints go.
#[derive(Clone, Debug)]
pub enum Place {
    /// `DIRECTORY/<log>/<size>.checkpoint`: a file each, never written again, so that the directory's owner can make it
    /// one that only grows.
    Directory(PathBuf),
    /// Takes each one as the body of a POST.
    Witness(Witness),
}

/// What became of a place's checkpoints: written by its thread, read by the metrics.
#[derive(Debug, Default)]
pub struct PlaceProgress {
    pub name: String,
    /// 0: never.
    pub success_unix_s: AtomicU64,
    pub failures: AtomicU64,
    /// Why the last one did not reach it.
    pub(in crate::records) failure: Mutex<Option<String>>,
}

impl PlaceProgress {
    /// Why its checkpoints do not reach it; none where they do.
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }
}

/// The way to a place's thread.
pub struct Sender {
    shared: Arc<(Mutex<Waiting>, Condvar)>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Waiting {
    /// At most one a log: that of the run before, and the newest.
    checkpoints: Vec<(Checkpoint, String)>,
    closed: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Witness(witness) => write!(f, "{witness}"),
        }
    }
}

/// Directory of a log's checkpoints in a place: its origin with everything but letters, digits, `.`, `-` and `:`
/// replaced.
pub fn directory_of(origin: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-:".contains(c) { c } else { '_' };
    origin.chars().map(plain).collect()
}

impl Place {
    /// What is wrong with it, as far as that shows without asking anybody.
    pub fn fault(&self) -> Option<String> {
        let Self::Directory(path) = self else { return None };
        let fault = |why: &dyn fmt::Display| Some(format!("checkpoints cannot go to {}: {why}", path.display()));
        match path.metadata() {
            Ok(found) if found.is_dir() => None,
            Ok(_) => fault(&"it is no directory"),
            Err(error) => fault(&error),
        }
    }

    fn put(&self, checkpoint: &Checkpoint, note: &str) -> Result<(), String> {
        match self {
            Self::Directory(path) => put_file(path, checkpoint, note).map_err(|error| error.to_string()),
            Self::Witness(witness) => witness.post(note).map_err(|error| error.to_string()),
        }
    }
}

/// A file of its own, written once in one write: that works in a directory that only takes new files, too.
fn put_file(directory: &Path, checkpoint: &Checkpoint, note: &str) -> io::Result<()> {
    let log = directory.join(directory_of(&checkpoint.origin));
    match fs::create_dir(&log) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let path = log.join(format!("{:020}.checkpoint", checkpoint.size));
    match File::options().write(true).create_new(true).mode(0o444).open(&path) {
        Ok(mut file) => {
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            files::sync_directory(&log)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read(&path)? {
            same if same == note.as_bytes() => Ok(()),
            // A crash in the middle of the write; a later checkpoint covers what this one would have.
            torn if note.as_bytes().starts_with(&torn) => Ok(()),
            _ => Err(io::Error::other(format!("{}: another checkpoint of that size stands there", path.display()))),
        },
        Err(error) => Err(error),
    }
}

/// What stands there; whoever may write in the directory chooses what that is.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    files::read(path, CHECKPOINT_BYTES_MAX).map_err(io::Error::other)
}

/// Starts the thread of a place off `worker_cores`.
pub fn spawn(place: Place, progress: Arc<PlaceProgress>, worker_cores: Vec<usize>) -> io::Result<Sender> {
    let shared = Arc::new((Mutex::new(Waiting::default()), Condvar::new()));
    let of_thread = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || {
        crate::affinity::leave(&worker_cores);
        Deliverer { place, progress, shared: of_thread, pause_ms: 0 }.run();
    })?;
    Ok(Sender { shared, thread })
}

impl Sender {
    pub fn send(&self, checkpoint: &Checkpoint, note: &str) {
        let (waiting, woken) = &*self.shared;
        let mut waiting = lock(waiting);
        waiting.checkpoints.retain(|(other, _)| other.origin != checkpoint.origin);
        waiting.checkpoints.push((checkpoint.clone(), note.to_owned()));
        woken.notify_one();
    }

    /// The thread ends when it has delivered what waits, or could not for some seconds.
    pub fn close(&self) {
        let (waiting, woken) = &*self.shared;
        lock(waiting).closed = true;
        woken.notify_one();
    }

    pub fn join(self) {
        let _ = self.thread.join();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Deliverer {
    place: Place,
    progress: Arc<PlaceProgress>,
    shared: Arc<(Mutex<Waiting>, Condvar)>,
    pause_ms: u64,
}

impl Deliverer {
    fn run(mut self) {
        let mut end = None;
        while let Some((checkpoint, note, closed)) = self.next() {
            let outcome = self.place.put(&checkpoint, &note);
            let failed = outcome.is_err();
            self.tell(outcome);
            if !failed {
                self.done(&checkpoint);
                continue;
            }
            if closed && Instant::now() > *end.get_or_insert_with(|| Instant::now() + PATIENCE_AT_END) {
                crate::warning!(
                    "the last checkpoint of the records did not reach {}: the next start sends it again",
                    self.place
                );
                return;
            }
            self.pause(closed);
        }
    }

    /// The oldest that waits; none when it is all over. Stays in its place until it is done.
    fn next(&self) -> Option<(Checkpoint, String, bool)> {
        let (waiting, woken) = &*self.shared;
        let mut waiting = lock(waiting);
        loop {
            if let Some((checkpoint, note)) = waiting.checkpoints.first() {
                return Some((checkpoint.clone(), note.clone(), waiting.closed));
            }
            if waiting.closed {
                return None;
            }
            waiting = woken.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, checkpoint: &Checkpoint) {
        lock(&self.shared.0).checkpoints.retain(|(other, _)| other != checkpoint);
    }

    /// Told once when it begins to fail, and once when it is over.
    fn tell(&mut self, outcome: Result<(), String>) {
        let failure = outcome.as_ref().err().cloned();
        let was_failing = std::mem::replace(&mut *lock(&self.progress.failure), failure).is_some();
        match outcome {
            Ok(()) => {
                self.pause_ms = 0;
                self.progress.success_unix_s.store(clock::unix_s(), Ordering::Relaxed);
                if was_failing {
                    crate::info!("checkpoints of the records reach {} again", self.place);
                }
            }
            Err(error) => {
                self.progress.failures.fetch_add(1, Ordering::Relaxed);
                if !was_failing {
                    crate::warning!(
                        "checkpoints of the records do not reach {}: {error}; it is tried again, until then nothing \
                         outside this gateway vouches for newer records",
                        self.place
                    );
                }
            }
        }
    }

    fn pause(&mut self, closed: bool) {
        let longest = if closed { CHECKPOINT_RETRY_MS_MIN } else { CHECKPOINT_RETRY_MS_MAX };
        self.pause_ms = (self.pause_ms * 2).clamp(CHECKPOINT_RETRY_MS_MIN, longest);
        let until = Instant::now() + Duration::from_millis(self.pause_ms);
        let (waiting, woken) = &*self.shared;
        let mut waiting = lock(waiting);
        // A new checkpoint does not hurry what fails; the end of the process does.
        while waiting.closed == closed || closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = woken.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.pause_ms = 0;
    }
}

#[cfg(test)]
pub(super) fn put_for_test(place: &Place, checkpoint: &Checkpoint, note: &str) -> Result<(), String> {
    place.put(checkpoint, note)
}
