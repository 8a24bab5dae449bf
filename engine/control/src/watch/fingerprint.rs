//! Whether files changed since they were last looked at, without reading them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::moving::Why;

/// What tells one state of a file from another: device, inode, size, modification and change time.
type Seen = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// Files that are read together.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Option<Vec<Seen>>,
    ordered: bool,
    /// Any could not be read at the last look.
    is_unread: bool,
    /// What was wrong at the last look, and at the one before it where nothing has changed since.
    faults: Vec<String>,
    told: Vec<String>,
    /// When something of what was read begins to count, seconds since the Unix epoch.
    due_s: Option<u64>,
}

impl Watched {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: None, ordered: false, is_unread: false, faults: Vec::new(), told: Vec::new(), due_s: None }
    }

    /// True on the first call, after every change, and as long as any could not be read. Looks before the files are read, so
    /// that a change in between is seen the next time.
    pub fn changed(&mut self) -> bool {
        let now: Vec<Seen> = self.paths.iter().map(|path| seen(path)).collect();
        let changed = self.seen.as_ref() != Some(&now);
        (self.seen, self.ordered) = (Some(now), false);
        self.told = std::mem::take(&mut self.faults);
        if changed {
            self.told.clear();
        }
        changed | std::mem::take(&mut self.is_unread)
    }

    /// Whether it is to be told why what is there is not taken: once, until something changes. Where it could not be read
    /// (`is_unread`), the next `changed` is true, as nothing of the files shows when that is over.
    pub fn is_news(&mut self, is_unread: bool, why: &str) -> bool {
        self.is_unread |= is_unread;
        self.faults.push(why.to_owned());
        !self.told.iter().any(|told| told == why)
    }

    /// What was read has something that counts from `due_s` on (seconds since the Unix epoch).
    pub const fn is_due_at(&mut self, due_s: Option<u64>) {
        self.due_s = due_s;
    }

    /// Makes the next `changed` true where what was read has something that counts by now.
    pub fn wake(&mut self, now_s: u64) {
        self.is_unread |= self.due_s.take_if(|due_s| *due_s <= now_s).is_some();
    }

    /// Makes the next `changed` true.
    pub fn forget(&mut self) {
        (self.seen, self.ordered) = (None, true);
    }

    /// Why the next `changed` is true, if it is.
    pub fn why(&self) -> Why {
        match (self.ordered, &self.seen) {
            (true, _) => Why::Order,
            (false, None) => Why::Start,
            (false, Some(_)) => Why::Changed,
        }
    }
}

fn seen(path: &Path) -> Seen {
    let of = std::fs::metadata(path).ok()?;
    Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_renames_and_removals_are_changes() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&path, b"1").unwrap();
        let mut watched = Watched::new(vec![path.clone()]);
        assert!(watched.changed() && !watched.changed());
        std::fs::write(&path, b"22").unwrap();
        assert!(watched.changed() && !watched.changed());
        std::fs::write(&other, b"33").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(watched.changed() && !watched.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(watched.changed() && !watched.changed());
        watched.forget();
        assert!(watched.changed());
    }

    #[test]
    fn what_counts_later_is_read_again_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, b"1").unwrap();
        let mut watched = Watched::new(vec![path]);
        let mut changed = |now_s| {
            watched.wake(now_s);
            let changed = watched.changed();
            if changed && now_s < 5 {
                watched.is_due_at(Some(5));
            }
            changed
        };
        assert_eq!([1, 2, 4, 5, 6].map(&mut changed), [true, false, false, true, false]);
    }

    #[test]
    fn what_could_not_be_read_is_read_again_and_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, b"1").unwrap();
        let mut watched = Watched::new(vec![path.clone()]);
        assert!(watched.changed() && watched.is_news(true, "a fault"));
        assert!(watched.changed() && !watched.is_news(true, "a fault"), "read again, and known");
        assert!(watched.changed() && watched.is_news(true, "another"));
        assert_eq!(watched.why(), Why::Changed);
        std::fs::write(&path, b"22").unwrap();
        assert!(watched.changed() && watched.is_news(true, "another"), "of another file it is news");
        assert!(watched.changed() && !watched.is_news(true, "another"));
        watched.forget();
        assert!(watched.changed() && watched.is_news(true, "another"), "whoever asks is told");
        assert!(watched.changed(), "this time it is read");
        assert!(!watched.changed());
        std::fs::write(&path, b"333").unwrap();
        assert!(watched.changed() && watched.is_news(false, "no good"));
        assert!(!watched.changed(), "what was read and is no good stays so until it changes");
        std::fs::write(&path, b"4444").unwrap();
        assert!(watched.changed() && watched.is_news(true, "a fault") && watched.is_news(false, "no good"));
        assert!(watched.changed() && !watched.is_news(false, "no good"), "known beside one that is read again");
        assert!(!watched.changed());
    }
}
