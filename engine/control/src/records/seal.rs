//! Seals the records: brings them to stable storage, signs the root over them, keeps the checkpoint in the state
//! directory and beside the records, and hands it to the places outside. A thread of its own: the audit writer never
//! waits for a disk, a key or a network on account of a checkpoint.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use age_format::Recipient;
use chain::bounds::CHECKPOINT_BYTES_MAX;
use chain::checkpoint::Checkpoint;
use chain::note::{self, Note, Verifier};
use serde_json::{Value, json};

use super::{Progress, Target};
use crate::bounds::{CHECKPOINT_INTERVAL_MS, CHECKPOINTS_QUEUED_MAX};
use crate::clock;
use crate::node::NodeKey;
use crate::status::CheckpointStatus;

pub mod place;
pub mod witness;

pub use place::Place;

/// File in the state directory with the last checkpoint.
const STATE_FILE: &str = "log.json";
const STATE_BYTES_MAX: usize = 1 << 20;
const STATE_FORMAT: &str = "adamant.log.v1";
/// What the name of the record file ends in for its checkpoints.
const BESIDE: &str = ".checkpoints";

/// How records are sealed.
#[derive(Clone)]
pub struct Sealing {
    pub key: Arc<NodeKey>,
    pub interval: Duration,
    /// Outside the gateway.
    pub places: Vec<Place>,
    /// The state directory; none where nothing outlives the process.
    pub state: Option<PathBuf>,
    /// To whom records are encrypted in their file; to nobody: they are plain.
    pub recipients: Vec<Recipient>,
}

/// Asked of the sealing thread.
pub struct Request {
    pub checkpoint: Checkpoint,
    /// The file that holds the last of the lines.
    pub lines: File,
}

/// The running thread.
pub struct Sealer {
    thread: JoinHandle<()>,
}

struct Sealed {
    key: Arc<NodeKey>,
    verifier: Verifier,
    state: Option<PathBuf>,
    /// Of the record file.
    beside: Option<PathBuf>,
    senders: Vec<place::Sender>,
    progress: Arc<Progress>,
    /// Whether the last attempt failed: told once.
    failing: bool,
}

impl Sealing {
    /// Without state and places outside.
    pub fn with_key(key: Arc<NodeKey>) -> Self {
        let interval = Duration::from_millis(CHECKPOINT_INTERVAL_MS);
        Self { key, interval, places: Vec::new(), state: None, recipients: Vec::new() }
    }

    /// The origin of a log that begins now.
    pub(super) fn origin(&self, verifier: &Verifier, unix_ns: u64) -> String {
        let mut time = Vec::new();
        super::line::TimeText::default().put(&mut time, unix_ns);
        format!("{}/{}", verifier.name(), String::from_utf8_lossy(&time).trim_matches('"'))
    }

    /// The signed last checkpoint of the run before; what is damaged is told, and as good as none.
    pub(super) fn previous(&self) -> Option<(String, Checkpoint)> {
        let path = self.state.as_ref()?.join(STATE_FILE);
        let read = read_state(&path);
        read.unwrap_or_else(|why| {
            crate::warning!(
                "{}: {why}; the records of this run do not name the run before: keep the file if you verify them",
                path.display()
            );
            None
        })
    }
}

fn read_state(path: &Path) -> Result<Option<(String, Checkpoint)>, String> {
    let bytes = match crate::assemble::files::read(path, STATE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(crate::assemble::files::FileError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    let state: Value = serde_json::from_slice(&bytes).map_err(|error| format!("expected JSON: {error}"))?;
    if state.get("type").and_then(Value::as_str) != Some(STATE_FORMAT) {
        return Err(format!("expected type {STATE_FORMAT:?}"));
    }
    let text = state.get("checkpoint").and_then(Value::as_str).ok_or("expected a checkpoint, found none")?;
    let note = Note::parse(text).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text).map_err(|error| error.to_string())?;
    Ok(Some((text.to_owned(), checkpoint)))
}

/// The name of the file with the checkpoints of a record file.
pub fn beside(records: &Path) -> PathBuf {
    let mut name = records.as_os_str().to_owned();
    name.push(BESIDE);
    PathBuf::from(name)
}

impl Sealer {
    /// Starts the threads off `worker_cores`. Places get the last checkpoint of the run before at once: they may not
    /// have it.
    pub(super) fn spawn(
        sealing: &Sealing,
        verifier: Verifier,
        target: &Target,
        previous: Option<(String, Checkpoint)>,
        progress: &Arc<Progress>,
        worker_cores: &[usize],
    ) -> io::Result<(SyncSender<Request>, Self)> {
        let mut senders = Vec::new();
        for (place, progress) in sealing.places.iter().zip(&progress.places) {
            senders.push(place::spawn(place.clone(), Arc::clone(progress), worker_cores.to_vec())?);
        }
        if let Some((note, checkpoint)) = previous {
            senders.iter().for_each(|sender| sender.send(&checkpoint, &note));
        }
        let sealed = Sealed {
            key: Arc::clone(&sealing.key),
            verifier,
            state: sealing.state.clone(),
            beside: match target {
                Target::File(path) => Some(beside(path)),
                Target::Stdout => None,
            },
            senders,
            progress: Arc::clone(progress),
            failing: false,
        };
        let (sender, inbox) = sync_channel(CHECKPOINTS_QUEUED_MAX);
        let cores = worker_cores.to_vec();
        let thread = std::thread::Builder::new().name("seals".to_owned()).spawn(move || {
            crate::affinity::leave(&cores);
            sealed.run(&inbox);
        })?;
        Ok((sender, Self { thread }))
    }

    /// Waits until the last checkpoint is where it belongs, or the deadline passed; its sender must be gone.
    pub(super) fn join(self, deadline: Instant) {
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                crate::warning!("the last checkpoint is not delivered everywhere; the next start sends it again");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.thread.join();
    }
}

impl Sealed {
    fn run(mut self, inbox: &Receiver<Request>) {
        while let Ok(request) = inbox.recv() {
            let outcome = self.seal(&request);
            match outcome {
                Err(error) if !self.failing => {
                    self.failing = true;
                    crate::error!("records are not sealed: {error}; it is tried again with every checkpoint");
                }
                Ok(()) if self.failing => {
                    self.failing = false;
                    crate::info!("records are sealed again");
                }
                _ => {}
            }
        }
        self.senders.iter().for_each(place::Sender::close);
        self.senders.into_iter().for_each(place::Sender::join);
    }

    /// What is signed must outlive a crash of the machine: otherwise the crash would look like a removal.
    fn seal(&mut self, request: &Request) -> Result<(), String> {
        sync(&request.lines).map_err(|error| format!("what they were written to is not stable: {error}"))?;
        let text = request.checkpoint.text();
        let signature =
            self.key.sign(text.as_bytes()).map_err(|error| format!("the node key does not sign: {error}"))?;
        let note = note::signed(&text, &self.verifier, &signature);
        for sender in &self.senders {
            sender.send(&request.checkpoint, &note);
        }
        let kept = self.keep(&note);
        self.progress.tell_checkpoint(CheckpointStatus {
            origin: request.checkpoint.origin.clone(),
            size: request.checkpoint.size,
            root: chain::base64(&request.checkpoint.root),
            made_unix_s: clock::unix_s(),
        });
        kept
    }

    fn keep(&self, note: &str) -> Result<(), String> {
        let mut failed = Vec::new();
        if let Some(state) = &self.state {
            let text = json!({ "type": STATE_FORMAT, "checkpoint": note }).to_string() + "\n";
            if let Err(error) = crate::atomic::write(state, STATE_FILE, text.as_bytes(), 0o600) {
                failed.push(format!("{} cannot be written: {error}", state.join(STATE_FILE).display()));
            }
        }
        if let Some(beside) = &self.beside
            && let Err(error) = append(beside, note)
        {
            failed.push(format!("{} cannot be written: {error}", beside.display()));
        }
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}

/// A pipe or terminal has no stable storage: what it took counts.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

/// In one write; opened each time, so that it may be moved away. Nothing is written behind half a note, and none is left:
/// it and the next one would be one that is damaged.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return file.write_all(note.as_bytes());
    }
    let length = cut_to_whole_notes(&mut file)?;
    file.write_all(note.as_bytes()).inspect_err(|_| {
        // What it leaves where this fails too is cut off next time.
        let _ = file.set_len(length);
    })
}

/// Cuts off what a crash left behind the last whole note, which is less than one; gives the length.
fn cut_to_whole_notes(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(CHECKPOINT_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::with_capacity(CHECKPOINT_BYTES_MAX);
    file.take(CHECKPOINT_BYTES_MAX as u64).read_to_end(&mut tail)?;
    let whole = chain::checkpoint::whole_notes(&tail);
    if whole == 0 && start > 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected checkpoints, found something else at its end",
        ));
    }
    let whole = start + whole as u64;
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
