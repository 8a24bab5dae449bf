//! When a file on a server is looked at, and when it is read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use policy_release::envelope::Kind;

use super::backend::{Backend, Version};
use crate::{StoreFault, layout};

/// Between two looks at what is followed. With the caller's own interval a change is seen within 0.75 s.
const LOOK_MS: u64 = 400;
/// Between two looks at what is not there yet, and two attempts at what cannot be read.
const AGAIN_MS: u64 = 1_000;

/// What was seen of the files of a store.
#[derive(Default)]
pub struct Watching {
    /// None: it could not be told, or what was read there was no file.
    seen: BTreeMap<String, Option<Version>>,
    /// The trust root that was asked for last and was not there; the release, and the profile document, that were asked for
    /// since the pointer was read: they may be put right.
    awaited: [Option<Awaited>; 3],
    look_at: Option<Instant>,
    again_at: Option<Instant>,
}

struct Awaited {
    file: String,
    kind: Kind,
    /// It was there, and no look has told its state yet.
    is_new: bool,
}

impl Watching {
    /// Whether `file`, or one that is awaited, is to be read: it is in another state than before, its state cannot be told, or
    /// it could not be read.
    pub fn changed(&mut self, backend: &mut dyn Backend, file: &str, kind: Kind) -> bool {
        let now = Instant::now();
        if self.look_at.is_some_and(|at| now < at) {
            return false;
        }
        let mut changed = self.look(backend, file, kind);
        if self.again_at.is_none_or(|at| now >= at) {
            let mut awaited = std::mem::take(&mut self.awaited);
            for of in awaited.iter_mut().flatten() {
                changed |= self.look(backend, &of.file, of.kind) && !std::mem::take(&mut of.is_new);
            }
            self.awaited = awaited;
            changed |= self.seen.values().any(Option::is_none);
            self.again_at = Some(Instant::now() + Duration::from_millis(AGAIN_MS));
        }
        let pause = if backend.waits() { 0 } else { LOOK_MS };
        self.look_at = Some(Instant::now() + Duration::from_millis(pause));
        changed
    }

    /// Whether a file is in another state than before.
    fn look(&mut self, backend: &mut dyn Backend, file: &str, kind: Kind) -> bool {
        let found = backend.look(file, kind.envelope_bytes_max()).ok();
        let is_other = found.is_some() && self.seen.get(file) != Some(&found);
        let is_first = !self.seen.contains_key(file);
        self.seen.insert(file.to_owned(), found);
        is_other || is_first
    }

    /// What came of a read; `compares`: the version is one that looks give.
    pub fn was_read(&mut self, file: &str, outcome: &Result<(Option<Vec<u8>>, Version), StoreFault>, compares: bool) {
        let (slot, kind) = match file.split('/').next() {
            Some(layout::ROOTS) => (0, Kind::TrustRoot),
            Some(layout::RELEASES) => (1, Kind::Release),
            Some(layout::PROFILES) => (2, Kind::ProfileDocument),
            _ => {
                // What it names comes next.
                self.forget(1);
                self.forget(2);
                if outcome.is_err() || compares {
                    let version = outcome.as_ref().ok().map(|(_, version)| version.clone());
                    self.seen.insert(file.to_owned(), version);
                }
                return;
            }
        };
        self.forget(slot);
        let is_there = matches!(outcome, Ok((Some(_), _)));
        if is_there && slot == 0 {
            return;
        }
        let is_new = is_there && !compares;
        if !is_new {
            let version = outcome.as_ref().ok().map(|(content, version)| match content {
                Some(_) => version.clone(),
                None => Version::absent(),
            });
            self.seen.insert(file.to_owned(), version);
        }
        if let Some(awaited) = self.awaited.get_mut(slot) {
            *awaited = Some(Awaited { file: file.to_owned(), kind, is_new });
        }
    }

    /// The state that an awaited file was in before it was read.
    pub fn was_looked_at(&mut self, file: String, version: Option<Version>) {
        if let Some(of) = self.awaited.iter_mut().flatten().find(|of| of.file == file) {
            of.is_new = false;
        }
        self.seen.insert(file, version);
    }

    fn forget(&mut self, slot: usize) {
        if let Some(before) = self.awaited.get_mut(slot).and_then(Option::take) {
            self.seen.remove(&before.file);
        }
    }
}
