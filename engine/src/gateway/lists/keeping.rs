//! Writes the list in force down, on a thread of its own: a medium may hang, and what is in force waits for none.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use control::accept::{Check, Refusal};

use super::super::accepted::{AcceptedList, Memory, Shelf};
use super::super::standing::unkept;
use super::{Lists, Tended};
use crate::failure::Failure;

/// How soon a list that could not be written is written again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a medium may take before that is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// A list, as it is to be written down.
pub struct Note {
    pub shelf: Shelf,
    pub channel: String,
    pub turn: u64,
    /// None: there is none yet, and room is set aside for it.
    pub list: Option<AcceptedList>,
    /// Its own, and that of all that holds where that is more.
    pub envelopes: Vec<Arc<[u8]>>,
    /// Into the room that is set aside: at once.
    pub reserve: bool,
    /// As files.
    pub keep: bool,
}

/// What became of it.
pub struct Written {
    pub reserved: Result<(), Failure>,
    pub kept: Result<(), Failure>,
}

/// The thread that writes. It has one list at a time: while it does, the next one waits, and the one after that takes its
/// place.
pub struct Writer {
    notes: SyncSender<Note>,
    written: Receiver<(Note, Written)>,
    /// Turn of the list that it was given last.
    turn: u64,
    /// Since when it has had one that it has said nothing of yet.
    busy_since: Option<Instant>,
    refusal: Option<Refusal>,
    /// When it is given the same one next, after it could not write it.
    again_at: Instant,
}

impl Note {
    /// Into the reserve first, which a medium without room does not refuse; and as files whatever comes of that.
    pub fn write(&self, memory: &Memory) -> Written {
        let envelopes: Vec<&[u8]> = self.envelopes.iter().map(|envelope| &**envelope).collect();
        let reserved = match self.reserve {
            true => memory.reserve(self.shelf, &self.channel).write(self.list.as_ref(), &envelopes),
            false => Ok(()),
        };
        let kept = match self.list.as_ref().filter(|_| self.keep) {
            Some(list) => memory.keep_list(self.shelf, &self.channel, list, &envelopes),
            None => Ok(()),
        };
        Written { reserved, kept }
    }
}

impl Written {
    pub fn refusal(&self) -> Option<Refusal> {
        let failure = self.kept.as_ref().err().or(self.reserved.as_ref().err())?;
        let mut refusal = unkept(failure);
        if self.kept.is_err() && self.reserved.is_err() {
            refusal.remedy = format!("{}: a start would not know this list", refusal.remedy).into_boxed_str();
        }
        Some(refusal)
    }
}

impl Writer {
    /// Of the thread `name`, which says what became of each by `write`.
    pub fn spawn(
        name: String,
        worker_cores: Vec<usize>,
        write: impl Fn(&Note) -> Written + Send + 'static,
    ) -> std::io::Result<Self> {
        let (notes, inbox) = sync_channel::<Note>(1);
        let (tell, written) = sync_channel(1);
        std::thread::Builder::new().name(name).spawn(move || {
            control::affinity::leave(&worker_cores);
            for note in inbox {
                let outcome = write(&note);
                if tell.send((note, outcome)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { notes, written, turn: 0, busy_since: None, refusal: None, again_at: Instant::now() })
    }

    /// Has the list in force of `lists` written down, if it is not yet, without waiting for that; to be called again and
    /// again. Why it cannot be, as far as that is known.
    pub fn keep<L: Tended>(&mut self, lists: &mut Lists<L>) -> Result<(), Refusal> {
        if let Ok((note, written)) = self.written.try_recv() {
            self.busy_since = None;
            lists.take(&note, &written);
            self.refusal = written.refusal();
            if self.refusal.is_some() {
                self.again_at = Instant::now() + AGAIN;
            }
        }
        if self.busy_since.is_none()
            && let Some(note) = lists.note()
            && (note.turn != self.turn || Instant::now() >= self.again_at)
        {
            self.turn = note.turn;
            self.busy_since = self.notes.try_send(note).is_ok().then(Instant::now);
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
