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
    /// The trust root that was asked for last and was not there; the release that was asked for since the pointer was read:
    /// it may be put right.
    awaited: [Option<String>; 2],
    /// That release was there, and no look has told its state yet.
    is_new: bool,
    look_at: Option<Instant>,
    again_at: Option<Instant>,
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
            let [root, release] = self.awaited.clone();
            changed |= root.is_some_and(|file| self.look(backend, &file, Kind::TrustRoot));
            let is_other = release.is_some_and(|file| self.look(backend, &file, Kind::Release));
            changed |= is_other && !std::mem::take(&mut self.is_new);
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
        let slot = match file.split('/').next() {
            Some(layout::ROOTS) => 0,
            Some(layout::RELEASES) => 1,
            _ => {
                // What it names comes next.
                self.forget(1);
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
        self.is_new = is_there && !compares;
        if !self.is_new {
            let version = outcome.as_ref().ok().map(|(content, version)| match content {
                Some(_) => version.clone(),
                None => Version::absent(),
            });
            self.seen.insert(file.to_owned(), version);
        }
        if let Some(awaited) = self.awaited.get_mut(slot) {
            *awaited = Some(file.to_owned());
        }
    }

    fn forget(&mut self, slot: usize) {
        if let Some(before) = self.awaited.get_mut(slot).and_then(Option::take) {
            self.seen.remove(&before);
        }
    }
}
