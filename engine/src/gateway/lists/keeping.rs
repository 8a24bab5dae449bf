//! Writes the list in force down, on a thread of its own: a medium may hang, and what is revoked waits for none.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use control::accept::{Check, Refusal};

use super::super::accepted::{AcceptedRevocations, Memory};
use super::super::standing::unkept;
use super::Lists;
use crate::failure::Failure;

/// How soon a list that could not be written is written again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a medium may take before that is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// A list, as it is to be written down.
pub struct Note {
    pub channel: String,
    pub list: AcceptedRevocations,
    /// Its own, and that of all that is revoked where that is more.
    pub envelopes: Vec<Arc<[u8]>>,
}

/// The thread that writes. It has one list at a time: while it does, the next one waits, and the one after that takes its
/// place.
pub struct Writer {
    notes: SyncSender<Note>,
    written: Receiver<(AcceptedRevocations, Result<(), Failure>)>,
    /// Since when it has had one that it has said nothing of yet.
    busy_since: Option<Instant>,
    refusal: Option<Refusal>,
    /// When it is given one next, after one that it could not write.
    again_at: Instant,
}

impl Note {
    pub fn write(&self, memory: &Memory) -> Result<(), Failure> {
        let envelopes: Vec<&[u8]> = self.envelopes.iter().map(|envelope| &**envelope).collect();
        memory.keep_list(&self.channel, &self.list, &envelopes)
    }
}

impl Writer {
    pub fn spawn(
        worker_cores: Vec<usize>,
        write: impl Fn(&Note) -> Result<(), Failure> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (notes, inbox) = sync_channel::<Note>(1);
        let (tell, written) = sync_channel(1);
        std::thread::Builder::new().name("revocations-kept".to_owned()).spawn(move || {
            control::affinity::leave(&worker_cores);
            for note in inbox {
                let outcome = write(&note);
                if tell.send((note.list, outcome)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { notes, written, busy_since: None, refusal: None, again_at: Instant::now() })
    }

    /// Has the list in force of `lists` written down, if it is not yet, without waiting for that; to be called again and
    /// again. Why it cannot be, as far as that is known.
    pub fn keep(&mut self, lists: &mut Lists) -> Result<(), Refusal> {
        if let Ok((list, outcome)) = self.written.try_recv() {
            self.busy_since = None;
            if outcome.is_ok() {
                lists.set_kept(&list);
            } else {
                self.again_at = Instant::now() + AGAIN;
            }
            self.refusal = outcome.err().map(|failure| unkept(&failure));
        }
        if self.busy_since.is_none()
            && Instant::now() >= self.again_at
            && let Some(note) = lists.note()
            && self.notes.try_send(note).is_ok()
        {
            self.busy_since = Some(Instant::now());
        }
        if self.busy_since.is_some_and(|since| since.elapsed() >= PATIENCE) {
            return Err(hangs());
        }
        self.refusal.clone().map_or(Ok(()), Err)
    }

    /// Whether it writes.
    pub fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }
}

fn hangs() -> Refusal {
    let expected = "a state directory that can be written";
    let found = format!("a medium that has not answered for {} s", PATIENCE.as_secs());
    Refusal::new(Check::State, expected, found, "see what is wrong with the medium of the state directory")
}
