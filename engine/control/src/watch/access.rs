//! Puts on record that the gateway asks its servers with another token, certificate or CA than before. They are read where they
//! are used; nothing here decides which one is.

use super::Watcher;
use super::fingerprint::Watched;
use crate::assemble::Node;
use crate::assemble::access::Access;
use crate::assemble::material::Salt;
use crate::moving::{Outcome, Rotation};
use crate::records::Handle;

/// The files, in the order of the node.
pub struct Files {
    all: Vec<File>,
    salt: Salt,
}

struct File {
    access: Access,
    watched: Watched,
    /// Thumbprints of what was good last.
    good: Vec<String>,
}

impl Files {
    pub fn new(node: &Node) -> Self {
        let salt = Salt::draw();
        let file = |access: &Access| File {
            watched: Watched::new(access.paper.paths()),
            good: access.paper.thumbprints(&salt).unwrap_or_default(),
            access: access.clone(),
        };
        Self { all: node.access.iter().map(file).collect(), salt }
    }

    pub fn forget(&mut self) {
        self.all.iter_mut().for_each(|file| file.watched.forget());
    }

    fn look(&mut self, records: &Handle) {
        for File { access, watched, good } in &mut self.all {
            let why = watched.why();
            if !watched.changed() {
                continue;
            }
            let (of, name, source) = (access.of, &*access.name, &*access.paper.path().display().to_string());
            let tell = |outcome: Outcome<'_>, old: &[String], new: &[String]| {
                Rotation { of, name, source, why, outcome, old, new }.tell(records);
            };
            match access.paper.thumbprints(&self.salt) {
                Ok(found) if found == *good => tell(Outcome::Unchanged, &[], &[]),
                Ok(found) => {
                    tell(Outcome::Taken, good, &found);
                    crate::info!("{of} \"{name}\": what {source} holds now is used from now on");
                    *good = found;
                }
                Err(fault) => {
                    let told = fault.to_string();
                    if watched.is_news(fault.is_unread(), &told) {
                        tell(Outcome::Refused(&told), &[], &[]);
                        crate::error!("{of} \"{name}\": {told}: nothing can be asked with it");
                    }
                }
            }
        }
    }
}

impl Watcher {
    pub(super) fn look_at_access(&mut self) {
        self.access.look(&self.start.records);
    }
}
