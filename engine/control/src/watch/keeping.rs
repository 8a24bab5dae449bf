//! What of the revocation lists of client CAs is kept for the next start. Always after it is in force: what they revoke must not
//! wait for a disk. What could not be written is tried again with every tick.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use identity::certificate::CaSet;
use policy::model;

use crate::assemble::revocation::kept::{forget_oldest, keep, key};

pub struct Keeping {
    /// None: nothing is kept.
    state: Option<PathBuf>,
    /// By key of a client CA's file.
    of: BTreeMap<String, Written>,
}

#[derive(Default)]
struct Written {
    /// Over the lists that are written; none where nothing is.
    digest: Option<[u8; 32]>,
    /// The last attempt failed, and that was told.
    fails: bool,
}

impl Keeping {
    pub fn new(state: Option<PathBuf>) -> Self {
        Self { state, of: BTreeMap::new() }
    }

    /// Writes what is not written yet of the client CAs in force; `rules` are theirs. Of two that have issuers and file in
    /// common, once.
    pub fn write(&mut self, cas: &CaSet, rules: &[model::ClientCa]) {
        let Some(state) = &self.state else { return };
        let (mut in_force, mut news) = (BTreeSet::new(), false);
        for (ca, rules) in cas.cas().iter().zip(rules) {
            let (Some(lists), Some(crl)) = (ca.lists(), &rules.crl) else { continue };
            let (key, digest) = (key(ca, crl), Some(lists.kept_digest(ca)));
            if !in_force.insert(key.clone()) {
                continue;
            }
            let of = self.of.entry(key.clone()).or_default();
            if of.digest == digest {
                continue;
            }
            match keep(state, &key, &lists.kept(ca)) {
                Ok(()) => {
                    of.digest = digest;
                    news = true;
                    if std::mem::take(&mut of.fails) {
                        crate::info!(
                            "client CA \"{}\": the revocation lists in force are kept in {} again",
                            rules.name,
                            state.display()
                        );
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut of.fails, true) {
                        crate::error!(
                            "client CA \"{}\": the revocation lists in force could not be kept in {}: {error}: after a \
                             restart older ones could be put in their place; it is tried again every second",
                            rules.name,
                            state.display()
                        );
                    }
                }
            }
        }
        self.of.retain(|key, _| in_force.contains(key));
        // Not before all is written: what is in force may be kept by the files of those that are gone alone.
        if news
            && self.of.values().all(|of| !of.fails)
            && let Err(error) = forget_oldest(state, &in_force)
        {
            crate::warning!("{}: old revocation lists could not be removed: {error}", state.display());
        }
    }
}

#[cfg(test)]
mod tests;
