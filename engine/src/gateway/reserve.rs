//! Room in the state directory that is set aside for the revocation list in force of one channel. It is written over in
//! place, which needs no room on the medium, before the list is written down as a file: so a medium that is full loses no
//! list.
//!
//! ```text
//! STATE/reserve/<channel>  two slots of equal size: JSON with a digest over itself, filled up with spaces
//! ```
//! The slots are written in turn: one that a power cut tore leaves the other one whole. A list that has no room stands there
//! by its digest alone, and a start has to find it elsewhere.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use policy_release::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::accepted::{AcceptedRevocations, make_folder};
use crate::failure::Failure;
use crate::files::{self, Access, Existing, FileFault};

const FORMAT: &str = "adamant.reserve.v1";
/// Bytes of a slot: room for the list and one twice as long, so that the next list finds it too; between these.
const SLOT_BYTES_MIN: usize = 32 << 10;
const SLOT_BYTES_MAX: usize = 8 << 20;

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    #[serde(rename = "type")]
    format: String,
    /// None: no list was in force yet.
    pub list: Option<AcceptedRevocations>,
    /// The envelopes that `list` names, in the same order; none where there is no room for them.
    envelopes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    reserved: Reserved,
    sha256: Digest,
}

/// Where it is.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
    /// Nothing is written.
    read_only: bool,
}

/// The file, as it was found.
struct Slots {
    bytes_each: usize,
    /// The newest, and whether it is the second.
    newest: Option<(Reserved, bool)>,
}

enum Slot {
    Whole(Reserved),
    /// Empty, or half written.
    None,
    /// Written by an engine that knows more.
    Format(String),
}

impl Reserved {
    pub fn new(list: Option<AcceptedRevocations>, envelopes: &[&[u8]]) -> Self {
        let text = |envelope: &&[u8]| String::from_utf8_lossy(envelope).into_owned();
        Self { format: FORMAT.to_owned(), list, envelopes: envelopes.iter().map(text).collect() }
    }

    /// Which list it is, in the order in which lists were in force here; 0 for none.
    pub fn turn(&self) -> u64 {
        self.list.as_ref().map_or(0, |list| list.turn)
    }

    /// The envelope of this digest.
    pub fn envelope(&self, digest: &Digest) -> Option<&[u8]> {
        let mut named = self.list.iter().flat_map(AcceptedRevocations::digests).zip(&self.envelopes);
        named.find(|(of, _)| of == digest).map(|(_, envelope)| envelope.as_bytes())
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        let unwritable =
            |error: serde_json::Error| Failure::new(format_args!("the reserve cannot be written: {error}"));
        let sha256 = Digest::of(&serde_json::to_vec(self).map_err(unwritable)?);
        serde_json::to_vec(&Sealed { reserved: self.clone(), sha256 }).map_err(unwritable)
    }
}

impl Reserve {
    pub const fn new(path: PathBuf, read_only: bool) -> Self {
        Self { path, read_only }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; none where no room was ever set aside. A file that is damaged is refused: it may hold the
    /// only word of what is revoked.
    pub fn read(&self) -> Result<Option<Reserved>, Failure> {
        let Some(Slots { newest, .. }) = self.slots()? else { return Ok(None) };
        newest.map(|(newest, _)| Some(newest)).ok_or_else(|| self.damaged("neither of its two slots is whole"))
    }

    /// Writes over what was written before the last time, and waits for the medium. Where the list has grown, more room is
    /// set aside first, if there is any.
    pub fn write(&self, list: Option<&AcceptedRevocations>, envelopes: &[&[u8]]) -> Result<(), Failure> {
        if self.read_only {
            return Ok(());
        }
        let by_digest = || Reserved::new(list.cloned(), &[]).to_bytes();
        let mut bytes = Reserved::new(list.cloned(), envelopes).to_bytes()?;
        if bytes.len() > SLOT_BYTES_MAX {
            bytes = by_digest()?;
        }
        let wanted = bytes.len().saturating_mul(2).next_power_of_two().clamp(SLOT_BYTES_MIN, SLOT_BYTES_MAX);
        // One that is not readable now was readable at the start: it is made anew.
        let mut found = self.slots().ok().flatten();
        if found.as_ref().is_none_or(|found| found.bytes_each < wanted) {
            let Err(failure) = self.make(&bytes, wanted) else { return Ok(()) };
            if found.is_none() {
                return Err(failure);
            }
            // Perhaps it is there all the same, and not known to be on stable storage.
            found = self.slots().ok().flatten();
        }
        let Some(Slots { bytes_each, newest }) = found else { return Err(self.damaged("something else")) };
        if bytes.len() > bytes_each {
            bytes = by_digest()?;
        }
        if bytes.len() > bytes_each {
            return Err(self.damaged("too little"));
        }
        bytes.resize(bytes_each, b' ');
        let at = if newest.is_some_and(|(_, is_second)| is_second) { 0 } else { bytes_each };
        Ok(files::overwrite(&self.path, at, &bytes)?)
    }

    /// Sets room aside: bytes that are written stay the file's own.
    fn make(&self, first: &[u8], bytes_each: usize) -> Result<(), Failure> {
        let mut bytes = first.to_vec();
        bytes.resize(bytes_each * 2, b' ');
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
        let bytes_each = bytes.len() / 2;
        let (first, second) = bytes.split_at(bytes_each);
        let mut newest: Option<(Reserved, bool)> = None;
        for (slot, is_second) in [(first, false), (second, true)] {
            match Slot::read(slot) {
                Slot::Whole(found) if newest.as_ref().is_none_or(|(newest, _)| newest.turn() <= found.turn()) => {
                    newest = Some((found, is_second));
                }
                Slot::Whole(_) | Slot::None => {}
                Slot::Format(found) => return Err(self.damaged(&format!("format {found:?}"))),
            }
        }
        Ok(Some(Slots { bytes_each, newest }))
    }

    fn damaged(&self, found: &str) -> Failure {
        let message = format!("expected the room that is set aside for the revocation list in force, found {found}");
        Failure::at(&self.path, message).help(format_args!(
            "restore it from a backup of this gateway; or remove it, after a look that the store holds the newest \
             revocation list: one that could not be written down elsewhere is forgotten with it"
        ))
    }
}

impl Slot {
    fn read(bytes: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Self::None };
        let format = value.pointer("/reserved/type").and_then(Value::as_str);
        if let Some(found) = format.filter(|format| *format != FORMAT) {
            return Self::Format(found.chars().take(80).collect());
        }
        let Ok(Sealed { reserved, sha256 }) = serde_json::from_value(value) else { return Self::None };
        let of = serde_json::to_vec(&reserved).map(|bytes| Digest::of(&bytes));
        if of.is_ok_and(|of| of == sha256) { Self::Whole(reserved) } else { Self::None }
    }
}

#[cfg(test)]
mod tests;
