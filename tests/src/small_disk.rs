//! A file system with little room (tmpfs), so that a full disk is a real one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What tmpfs gives and takes at a time.
pub const PAGE: u64 = 4_096;

/// A mounted one; dropping it unmounts it.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many KiB. None, and said so, where this user may not.
    pub fn mount(path: &Path, kib: u32) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={kib}k,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self { path: path.to_owned() });
        }
        eprintln!("SKIPPED: a file system cannot be mounted here (root is needed): {mounted:?}");
        None
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes all room but so many pages.
    pub fn fill_but(&self, pages: u64) {
        let mut file = File::create(self.filler()).unwrap();
        let page = [b'x'; PAGE as usize];
        let mut taken = 0;
        while let Ok(count) = file.write(&page) {
            taken += count as u64;
        }
        file.set_len(taken.saturating_sub(pages * PAGE)).unwrap();
    }

    /// Gives the room back.
    pub fn empty(&self) {
        let _ = fs::remove_file(self.filler());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}
