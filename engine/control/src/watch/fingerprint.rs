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
}

impl Watched {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: None, ordered: false }
    }

    /// True on the first call and after every change. Looks before the files are read, so that a change in between is
    /// seen the next time.
    pub fn changed(&mut self) -> bool {
        let now: Vec<Seen> = self.paths.iter().map(|path| seen(path)).collect();
        let changed = self.seen.as_ref() != Some(&now);
        (self.seen, self.ordered) = (Some(now), false);
        changed
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
}
