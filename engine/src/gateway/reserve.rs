//! Room in the state directory that is set aside for the list in force of one kind and channel: what is said below of
//! `reserve/` holds for `reserve-key-sets/` as well. It is written over in
//! place, which needs no room on the medium, before the list is written down as a file: so a medium that is full loses no
//! list.
//!
//! ```text
//! STATE/reserve/<channel>  two slots of equal size. Each is a line of JSON with a digest over itself, and the envelopes behind it
//! ```
//! The slots are written in turn: a line that a power cut tore leaves the other slot. Envelopes that are not whole count for
//! nothing: the list stands there by its digest alone then, as one does that has no room, and a start has to find it
//! elsewhere. A long list is written by its digest first, which takes no time, and then whole into the other slot; the digest
//! alone says that this was not over.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use policy_release::digest::Digest;
use policy_release::envelope::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::accepted::{AcceptedList, make_folder};
use crate::failure::Failure;
use crate::files::{self, Access, Existing, FileFault};

const FORMAT: &str = "adamant.reserve.v1";
/// Bytes of a slot: room for the list and one twice as long, so that the next list finds it too; between these.
const SLOT_BYTES_MIN: usize = 32 << 10;
const SLOT_BYTES_MAX: usize = 8 << 20;
/// Bytes of the line that a slot begins with.
const HEAD_BYTES_MAX: usize = 4 << 10;
/// What a slot begins with that was never written.
const EMPTY: u8 = b' ';
/// From so many bytes on a list is written by its digest first.
const LONG_BYTES: usize = 64 << 10;

/// What was written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// None: no list was in force yet.
    pub list: Option<AcceptedList>,
    /// The envelopes that `list` names, in the same order; none where there is no room for them.
    envelopes: Vec<Vec<u8>>,
    /// The process ended while `list` was being written.
    pub unfinished: bool,
    /// One of the slots is neither empty nor whole: a write was torn, or the file was damaged.
    pub torn: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    head: Head,
    sha256: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "type")]
    format: String,
    /// Of each slot: a file of another length was cut off, or is longer than it was made.
    slot_bytes: usize,
    list: Option<AcceptedList>,
    envelopes: Vec<Part>,
    /// The envelopes are to follow in the other slot.
    unfinished: bool,
}

/// An envelope behind the line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    bytes: usize,
    sha256: Digest,
}

/// Where it is.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
    /// What it is set aside for.
    of: Kind,
    /// Nothing is written.
    read_only: bool,
}

/// The file, as it was found.
struct Slots {
    bytes: Vec<u8>,
    /// The newest, and whether it is the second.
    newest: Option<(Slot, bool)>,
    torn: bool,
}

/// The line of a slot, and its length.
struct Slot {
    head: Head,
    head_bytes: usize,
}

impl Reserved {
    /// Which list it is, in the order in which lists were in force here; 0 for none.
    pub fn turn(&self) -> u64 {
        turn(self.list.as_ref())
    }

    /// The envelope of this digest.
    pub fn envelope(&self, digest: &Digest) -> Option<&[u8]> {
        let mut named = self.list.iter().flat_map(AcceptedList::digests).zip(&self.envelopes);
        named.find(|(of, _)| of == digest).map(|(_, envelope)| &**envelope)
    }
}

fn turn(list: Option<&AcceptedList>) -> u64 {
    list.map_or(0, |list| list.turn)
}

impl Reserve {
    pub const fn new(path: PathBuf, of: Kind, read_only: bool) -> Self {
        Self { path, of, read_only }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; none where no room was ever set aside. A file that is damaged is refused: it may hold the
    /// only word of what is in force.
    pub fn read(&self) -> Result<Option<Reserved>, Failure> {
        let Some(slots) = self.slots()? else { return Ok(None) };
        let (newest, is_second) =
            slots.newest.as_ref().ok_or_else(|| self.damaged("neither of its two slots is whole"))?;
        let (first, second) = slots.bytes.split_at(slots.bytes_each());
        let envelopes = newest.envelopes(if *is_second { second } else { first }).unwrap_or_default();
        let Head { list, unfinished, .. } = &newest.head;
        Ok(Some(Reserved { list: list.clone(), envelopes, unfinished: *unfinished, torn: slots.torn }))
    }

    /// Writes over what was written before the last time, and waits for the medium. Where the list has grown, more room is
    /// set aside first, if there is any.
    pub fn write(&self, list: Option<&AcceptedList>, envelopes: &[&[u8]]) -> Result<(), Failure> {
        if self.read_only {
            return Ok(());
        }
        // One that is not readable now was readable at the start: it is made anew.
        let mut found = self.slots().ok().flatten();
        let is_long = envelopes.iter().map(|envelope| envelope.len()).sum::<usize>() >= LONG_BYTES;
        if let Some(found) = found.as_mut().filter(|_| is_long) {
            self.put(found, list, Stage::Begun)?;
        }
        let bytes_min = slot(SLOT_BYTES_MAX, list, Stage::Over(envelopes))?.len();
        let wanted = bytes_min.saturating_mul(2).next_power_of_two().clamp(SLOT_BYTES_MIN, SLOT_BYTES_MAX);
        let envelopes_in = |bytes_each: usize| if bytes_min <= bytes_each { envelopes } else { &[] };
        if found.as_ref().is_none_or(|found| found.bytes_each() < wanted) {
            let first = slot(wanted, list, Stage::Over(envelopes_in(wanted)))?;
            let Err(failure) = self.make(&first, wanted) else { return Ok(()) };
            if found.is_none() {
                return Err(failure);
            }
            // Perhaps it is there all the same, and not known to be on stable storage.
            found = self.slots().ok().flatten();
        }
        let Some(mut found) = found else { return Err(self.damaged("something else")) };
        let envelopes = envelopes_in(found.bytes_each());
        self.put(&mut found, list, Stage::Over(envelopes))
    }

    /// As a kill leaves it in the middle of [`Reserve::write`].
    #[cfg(test)]
    pub fn begin(&self, list: Option<&AcceptedList>) {
        let mut found = self.slots().unwrap().unwrap();
        self.put(&mut found, list, Stage::Begun).unwrap();
    }

    /// Writes over the older slot.
    fn put(&self, found: &mut Slots, list: Option<&AcceptedList>, stage: Stage<'_, '_>) -> Result<(), Failure> {
        let bytes = slot(found.bytes_each(), list, stage)?;
        if bytes.len() > found.bytes_each() {
            return Err(self.damaged("too little"));
        }
        let is_second = found.newest.as_ref().is_some_and(|(_, is_second)| !is_second);
        let at = if is_second { found.bytes_each() } else { 0 };
        files::overwrite(&self.path, at, &bytes)?;
        found.newest = Slot::read(&bytes).ok().flatten().map(|slot| (slot, is_second));
        Ok(())
    }

    /// Sets room aside: bytes that are written stay the file's own.
    fn make(&self, first: &[u8], bytes_each: usize) -> Result<(), Failure> {
        let mut bytes = first.to_vec();
        bytes.resize(bytes_each * 2, EMPTY);
        let folder = files::parent(&self.path);
        make_folder(folder)?;
        files::write(&self.path, &bytes, Access::OwnerOnly, Existing::Replace)?;
        let state = files::parent(folder);
        files::sync_directory(state).map_err(|error| FileFault::io(state, "written", error).into())
    }

    fn slots(&self) -> Result<Option<Slots>, Failure> {
        if self.path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        let bytes = files::read(&self.path, SLOT_BYTES_MAX * 2).map_err(|fault| self.damaged(&fault.to_string()))?;
        let mut slots = Slots { bytes, newest: None, torn: false };
        let (first, second) = slots.bytes.split_at(slots.bytes_each());
        let mut newest: Option<(Slot, bool)> = None;
        for (bytes, is_second) in [(first, false), (second, true)] {
            let found = Slot::read(bytes).map_err(|found| self.damaged(&format!("format {found:?}")))?;
            let Some(found) = found else {
                slots.torn |= bytes.first().is_none_or(|first| *first != EMPTY);
                continue;
            };
            if found.head.slot_bytes.checked_mul(2) != Some(slots.bytes.len()) {
                return Err(self.damaged(&format!("{} bytes", slots.bytes.len())));
            }
            if newest.as_ref().is_none_or(|(newest, _)| newest.order() <= found.order()) {
                newest = Some((found, is_second));
            }
        }
        slots.newest = newest;
        Ok(Some(slots))
    }

    fn damaged(&self, found: &str) -> Failure {
        let message = format!("expected the room that is set aside for the {} in force, found {found}", self.of);
        Failure::at(&self.path, message).help(format_args!(
            "restore it from a backup of this gateway; or remove it, after a look that the store holds the newest {}: one \
             that could not be written down elsewhere is forgotten with it",
            self.of
        ))
    }
}

impl Slots {
    fn bytes_each(&self) -> usize {
        self.bytes.len() / 2
    }
}

impl Slot {
    /// The line that a slot begins with; none where it is empty or half written. The format of an engine that knows more.
    fn read(bytes: &[u8]) -> Result<Option<Self>, String> {
        let head = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        let Some(head_bytes) = head.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let Some(Ok(value)) = head.get(..head_bytes).map(serde_json::from_slice::<Value>) else { return Ok(None) };
        let format = value.pointer("/head/type").and_then(Value::as_str);
        if let Some(found) = format.filter(|format| *format != FORMAT) {
            return Err(found.chars().take(80).collect());
        }
        let Ok(Sealed { head, sha256 }) = serde_json::from_value(value) else { return Ok(None) };
        let is_whole = serde_json::to_vec(&head).is_ok_and(|bytes| Digest::of(&bytes) == sha256);
        Ok(is_whole.then_some(Self { head, head_bytes: head_bytes + 1 }))
    }

    /// The one that was written later is higher; of one list, that which has it whole, and then that which says that no more
    /// follows.
    fn order(&self) -> (u64, bool, bool) {
        (turn(self.head.list.as_ref()), !self.head.envelopes.is_empty(), !self.head.unfinished)
    }

    /// What stands behind the line of the slot `bytes`; none where it is not what the line says.
    fn envelopes(&self, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut left = bytes.get(self.head_bytes..)?;
        let mut envelopes = Vec::new();
        for part in &self.head.envelopes {
            let (envelope, more) = left.split_at_checked(part.bytes)?;
            if Digest::of(envelope) != part.sha256 {
                return None;
            }
            envelopes.push(envelope.to_vec());
            left = more;
        }
        Some(envelopes)
    }
}

/// How far a list is written.
#[derive(Clone, Copy)]
enum Stage<'e, 'b> {
    Begun,
    /// With these envelopes.
    Over(&'e [&'b [u8]]),
}

/// The bytes of a slot.
fn slot(slot_bytes: usize, list: Option<&AcceptedList>, stage: Stage<'_, '_>) -> Result<Vec<u8>, Failure> {
    let (envelopes, unfinished) = match stage {
        Stage::Begun => (&[][..], true),
        Stage::Over(envelopes) => (envelopes, false),
    };
    let unwritable = |error: serde_json::Error| Failure::new(format_args!("the reserve cannot be written: {error}"));
    let parts = envelopes.iter().map(|envelope| Part { bytes: envelope.len(), sha256: Digest::of(envelope) });
    let (format, list, envelopes_in) = (FORMAT.to_owned(), list.cloned(), parts.collect());
    let head = Head { format, slot_bytes, list, envelopes: envelopes_in, unfinished };
    let sha256 = Digest::of(&serde_json::to_vec(&head).map_err(unwritable)?);
    let mut bytes = serde_json::to_vec(&Sealed { head, sha256 }).map_err(unwritable)?;
    bytes.push(b'\n');
    envelopes.iter().for_each(|envelope| bytes.extend_from_slice(envelope));
    Ok(bytes)
}

#[cfg(test)]
mod tests;
