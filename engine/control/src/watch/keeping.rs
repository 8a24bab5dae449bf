//! What of the revocation lists of client CAs is kept for the next start. Always after it is in force: what they revoke must not
//! wait for a disk. What could not be written is tried again with every tick.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use identity::certificate::{CaSet, RevocationLists};

use crate::assemble::revocation::{keep, keep_proven};

pub struct Keeping {
    /// None: nothing is kept.
    state: Option<PathBuf>,
    /// By client CA.
    of: BTreeMap<String, Kept>,
}

#[derive(Default)]
struct Kept {
    /// The file of lists that was taken last, where it is not written yet.
    file: Option<Vec<u8>>,
    /// Over what is written of those that chains have proven.
    proven: Option<[u8; 32]>,
    /// The last attempt failed, and that was told.
    fails: bool,
}

impl Keeping {
    pub fn new(state: Option<PathBuf>) -> Self {
        Self { state, of: BTreeMap::new() }
    }

    /// `file` is what the lists of a client CA were read from that are in force, or will be at once. It is written with the
    /// next [`Keeping::write`].
    pub fn note(&mut self, ca: &str, file: Vec<u8>) {
        if self.state.is_some() {
            self.of.entry(ca.to_owned()).or_default().file = Some(file);
        }
    }

    /// Writes what is not written yet of the client CAs in force.
    pub fn write(&mut self, cas: &CaSet) {
        let Some(state) = &self.state else { return };
        self.of.retain(|name, _| cas.cas().iter().any(|ca| ca.name() == name));
        for ca in cas.cas() {
            let Some(lists) = ca.lists() else { continue };
            let (name, kept) = (ca.name(), self.of.entry(ca.name().to_owned()).or_default());
            let written = kept.write(state, name, lists);
            let failed = std::mem::replace(&mut kept.fails, written.is_err());
            match written {
                Ok(()) if failed => {
                    crate::info!(
                        "client CA \"{name}\": the revocation lists in force are kept in {} again",
                        state.display()
                    );
                }
                Err(error) if !failed => crate::error!(
                    "client CA \"{name}\": the revocation lists in force could not be kept in {}: {error}: after a restart \
                     older ones could be put in their place; it is tried again every second",
                    state.display()
                ),
                Ok(()) | Err(_) => {}
            }
        }
    }
}

impl Kept {
    /// The proven ones first: a new file may leave out what only the old one holds until then.
    fn write(&mut self, state: &Path, ca: &str, lists: &RevocationLists) -> io::Result<()> {
        let proven = lists.proven_digest();
        if proven != self.proven {
            keep_proven(state, ca, &lists.proven_der())?;
            self.proven = proven;
        }
        if let Some(file) = &self.file {
            keep(state, ca, file)?;
            self.file = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
