//! The audit writer: drains every worker's records, writes them as JSON lines, counts what is lost, and tells workers
//! in audit mode `durable` what is on stable storage. One thread of its own, off the workers' cores.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use activation::ring::{DurableMark, RecordReader};
use activation::stats::WorkerStats;
use age_format::Recipient;
use chain::log::{self, Log};
use chain::note::Verifier;

use crate::bounds::RECORDS_MESSAGES_MAX;
use crate::clock;
use crate::moving::standing::Standing;
use crate::status::CheckpointStatus;

pub mod encrypted;
pub mod json;
pub mod line;
pub mod naming;
pub mod seal;
mod sink;
mod writer;

pub use json::Object;
pub use naming::{Names, Naming};
pub use seal::Sealing;
pub use sink::Target;

/// What the audit writer gets of one worker.
pub struct WorkerRecords {
    pub reader: RecordReader,
    pub stats: Arc<WorkerStats>,
    pub durable: Arc<DurableMark>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("records cannot be written to {target}: {cause}{}", open_hint(.cause))]
    Open { target: Target, cause: std::io::Error },
    #[error("the node key cannot sign records: {0}")]
    Key(String),
    #[error("the audit writer's thread did not start: {0}")]
    Thread(std::io::Error),
    #[error("the audit writer does not keep up: {RECORDS_MESSAGES_MAX} messages wait; look at what takes its output")]
    Behind,
    #[error("the audit writer ended before the gateway did")]
    Gone,
    #[error("the audit writer could not finish before its deadline: {lost} records are lost")]
    Unfinished { lost: u64 },
}

/// What to do about a target that cannot be opened; a lock, and records that are encrypted, say so themselves.
fn open_hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::ResourceBusy | ErrorKind::InvalidData => "",
        _ => ": name a file that this user can create, or \"stdout\"",
    }
}

/// What the writer did so far: written by it, read by the metrics.
#[derive(Debug, Default)]
pub struct Progress {
    pub lines: AtomicU64,
    pub bytes: AtomicU64,
    pub write_errors: AtomicU64,
    /// Bytes that came out of a ring and were no record.
    pub undecodable: AtomicU64,
    /// Whether the last write failed.
    pub failing: AtomicBool,
    /// Of the places outside that checkpoints go to.
    pub places: Vec<Arc<seal::place::PlaceProgress>>,
    checkpoint: Mutex<Option<CheckpointStatus>>,
}

/// Told to the writer by other control threads.
enum Message {
    Activation(Box<dyn Naming>),
    Line(Vec<u8>),
    Reopen,
    Stop { deadline: Instant },
}

/// The running writer.
pub struct Records {
    handle: Handle,
    sealer: seal::Sealer,
    thread: JoinHandle<Result<(), RecordsError>>,
}

/// For the other control threads.
#[derive(Clone)]
pub struct Handle {
    messages: SyncSender<Message>,
    progress: Arc<Progress>,
    beginning: Arc<Beginning>,
    standing: Arc<Mutex<Standing>>,
    workers: usize,
}

/// What the start line says about the log that it begins.
struct Beginning {
    origin: String,
    key: String,
    /// The last checkpoint of the run before.
    previous: Option<String>,
}

/// Whether `target` could be opened for records that are encrypted to `recipients`, as far as that shows without making
/// anything.
pub fn check(target: &Target, recipients: &[Recipient]) -> Result<(), RecordsError> {
    let Target::File(path) = target else { return Ok(()) };
    let found = match path.metadata() {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() && recipients.is_empty() => {
            File::open(path).and_then(|file| encrypted::expect_plain(&file))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => expect_parent(path),
        Err(error) => Err(error),
    };
    found.map_err(|cause| RecordsError::Open { target: target.clone(), cause })
}

fn expect_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.metadata()?.is_dir() { Ok(()) } else { Err(ErrorKind::NotADirectory.into()) }
}

/// Opens the target and starts the writer and what seals its lines off `worker_cores`.
pub fn spawn(
    target: Target,
    workers: Vec<WorkerRecords>,
    worker_cores: Vec<usize>,
    sealing: &Sealing,
) -> Result<Records, RecordsError> {
    let opened = sink::Sink::open(target.clone()).and_then(|sink| sink.encrypting_to(&sealing.recipients));
    let sink = opened.map_err(|cause| RecordsError::Open { target: target.clone(), cause })?;
    let (messages, inbox) = sync_channel(RECORDS_MESSAGES_MAX);
    let progress = Arc::new(Progress::of(sealing));
    let verifier = Verifier::of_node(*sealing.key.public()).map_err(|error| RecordsError::Key(error.to_string()))?;
    let previous = sealing.previous();
    let beginning = Arc::new(Beginning {
        origin: sealing.origin(&verifier, clock::unix_ns()),
        key: sealing.key.public().to_string(),
        previous: previous.as_ref().map(|(_, checkpoint)| log::previous_text(checkpoint)),
    });
    let handle = Handle {
        messages,
        progress: Arc::clone(&progress),
        beginning: Arc::clone(&beginning),
        standing: Arc::new(Mutex::new(Standing::new(clock::unix_ns() / 1_000_000))),
        workers: workers.len(),
    };
    let log = Log::new(beginning.origin.clone(), workers.len());
    let sealer = seal::Sealer::spawn(sealing, verifier, &target, previous, &progress, &worker_cores);
    let (requests, sealer) = sealer.map_err(RecordsError::Thread)?;
    let chained = writer::Chained::new(log, requests, sealing.interval);
    let writer = writer::Writer::new(sink, workers, inbox, Arc::clone(&progress), chained);
    let thread = std::thread::Builder::new()
        .name("records".to_owned())
        .spawn(move || {
            crate::affinity::leave(&worker_cores);
            writer.run()
        })
        .map_err(RecordsError::Thread)?;
    Ok(Records { handle, sealer, thread })
}

impl Records {
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Writes what is left, a last line, and ends. To be called when the workers have ended.
    pub fn stop(self, patience: Duration) -> Result<(), RecordsError> {
        let deadline = Instant::now() + patience;
        let mut stop = Message::Stop { deadline };
        while let Err(TrySendError::Full(back)) = self.handle.messages.try_send(stop) {
            if Instant::now() > deadline {
                return Err(RecordsError::Behind);
            }
            stop = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        // A write that blocks (a pipe nobody reads) must not keep the process.
        while !self.thread.is_finished() {
            if Instant::now() > deadline + Duration::from_secs(1) {
                return Err(RecordsError::Behind);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = self.thread.join().map_err(|_| RecordsError::Gone)?;
        self.sealer.join(deadline + Duration::from_secs(1));
        ended
    }
}

impl Handle {
    /// Names of an activation; to be told before any worker sees it.
    pub fn announce(&self, names: impl Naming + 'static) -> Result<(), RecordsError> {
        self.tell(Message::Activation(Box::new(names)))
    }

    /// The first line of all: what begins here, and the members that `put` adds.
    pub fn start(&self, put: impl FnOnce(&mut Object<'_>)) {
        let beginning = &self.beginning;
        self.event("start", |line| {
            line.text(log::ORIGIN, beginning.origin.as_bytes());
            line.text(log::KEY, beginning.key.as_bytes());
            if let Some(previous) = &beginning.previous {
                line.text(log::PREVIOUS, previous.as_bytes());
            }
            put(line);
        });
    }

    /// A line about the gateway itself: `kind`, and the members that `put` adds. What the record chain says of itself has
    /// kinds of its own, which verifying goes by.
    pub fn event(&self, kind: &str, put: impl FnOnce(&mut Object<'_>)) {
        debug_assert!(!chain::log::KINDS.contains(&kind), "{kind} is the chain's own");
        let line = event_line(kind, clock::unix_ns(), put);
        if let Err(error) = self.tell(Message::Line(line)) {
            crate::error!("a line of kind {kind} is lost: {error}");
        }
    }

    /// Opens the record file again.
    pub fn reopen(&self) {
        if let Err(error) = self.tell(Message::Reopen) {
            crate::error!("the record file is not reopened: {error}");
        }
    }

    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What the rotation log remembers, whoever writes it.
    pub(crate) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workers whose records are written.
    pub fn workers(&self) -> usize {
        self.workers
    }

    fn tell(&self, message: Message) -> Result<(), RecordsError> {
        self.messages.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => RecordsError::Behind,
            TrySendError::Disconnected(_) => RecordsError::Gone,
        })
    }
}

fn event_line(kind: &str, unix_ns: u64, put: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut line = Vec::new();
    let mut object = Object::begin(&mut line);
    line::TimeText::default().put(object.member("time"), unix_ns);
    object.text("adamant.kind", kind.as_bytes());
    put(&mut object);
    object.end();
    line.push(b'\n');
    line
}

impl Progress {
    fn of(sealing: &Sealing) -> Self {
        let named = |place: &seal::Place| seal::place::PlaceProgress { name: place.to_string(), ..Default::default() };
        Self { places: sealing.places.iter().map(|place| Arc::new(named(place))).collect(), ..Self::default() }
    }

    /// The last checkpoint that was signed.
    pub fn checkpoint(&self) -> Option<CheckpointStatus> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell_checkpoint(&self, checkpoint: CheckpointStatus) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
    }

    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub mod testing {
    use std::sync::Arc;

    use super::Sealing;
    use crate::node::NodeKey;

    /// By a key that goes with the test.
    pub fn sealing() -> Sealing {
        Sealing::with_key(Arc::new(NodeKey::ephemeral().unwrap()))
    }
}
