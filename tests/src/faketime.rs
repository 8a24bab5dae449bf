//! Programs that see another time than there is, by libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that gives a program another clock; none, and said so, where there is none.
pub fn library() -> Option<PathBuf> {
    let places = fs::read_dir("/usr/lib").ok()?.flatten().map(|place| place.path().join("faketime/libfaketime.so.1"));
    let library = places.chain([PathBuf::from("/usr/lib/faketime/libfaketime.so.1")]).find(|path| path.is_file());
    if library.is_none() {
        eprintln!("SKIPPED: no libfaketime to run a program with another clock (package faketime)");
    }
    library
}

/// The program's clock is off by what stands in `file`, like `+44h`, at any moment. What measures lengths of time is right.
pub fn goes_by(command: &mut Command, library: &Path, file: &Path) {
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file).env("FAKETIME_NO_CACHE", "1");
    // Its name in older and newer ones.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
}
