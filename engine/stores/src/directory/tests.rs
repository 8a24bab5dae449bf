//! A store in the hands of somebody else: whatever stands there, nothing outside is read and nothing hangs.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;

fn channel() -> Channel {
    "production".parse().unwrap()
}

fn store() -> (tempfile::TempDir, Directory) {
    let directory = tempfile::tempdir().unwrap();
    for path in ["releases", "roots", "channels/production"] {
        std::fs::create_dir_all(directory.path().join(path)).unwrap();
    }
    let store = Directory::new(directory.path());
    (directory, store)
}

/// As writers do it.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn reads_what_is_there_and_says_what_is_not() {
    let (directory, store) = store();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Missing { .. })));
    std::fs::write(directory.path().join("channels/production/pointer.json"), b"p").unwrap();
    std::fs::write(directory.path().join("roots/2.json"), b"r").unwrap();
    let digest = Digest::of(b"d");
    std::fs::write(directory.path().join(layout::release(&digest)), b"d").unwrap();
    assert_eq!(store.pointer(&channel()).unwrap(), b"p");
    assert_eq!(store.root(2).unwrap(), b"r");
    assert_eq!(store.release(&digest).unwrap(), b"d");
    assert!(store.root(3).unwrap_err().is_passing());
    let nowhere = Directory::new(&directory.path().join("nowhere"));
    let told = nowhere.pointer(&channel()).unwrap_err();
    assert!(matches!(told, StoreFault::Io { .. }) && told.to_string().contains("nowhere"), "{told}");
}

#[test]
fn no_link_is_followed_below_the_store() {
    let (directory, store) = store();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("pointer.json"), b"outside").unwrap();
    let pointer = directory.path().join("channels/production/pointer.json");
    symlink("/etc/passwd", &pointer).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Link { .. })));
    std::fs::remove_file(&pointer).unwrap();
    // Not even to a neighbour in the store.
    std::fs::write(directory.path().join("roots/2.json"), b"r").unwrap();
    symlink("../../roots/2.json", &pointer).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Link { .. })));
    // A directory on the way.
    std::fs::remove_dir_all(directory.path().join("channels/production")).unwrap();
    symlink(outside.path(), directory.path().join("channels/production")).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Link { .. })));
    std::fs::remove_dir(directory.path().join("releases")).unwrap();
    symlink(outside.path(), directory.path().join("releases")).unwrap();
    assert!(matches!(store.release(&Digest::of(b"x")), Err(StoreFault::Link { .. })));
    // The store's own path is the operator's word.
    let link = outside.path().join("store");
    symlink(directory.path(), &link).unwrap();
    assert_eq!(Directory::new(&link).root(2).unwrap(), b"r");
}

#[test]
fn what_is_no_file_is_not_opened() {
    let (directory, store) = store();
    let pointer = directory.path().join("channels/production/pointer.json");
    rustix::fs::mknodat(CWD, &pointer, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::NotFile { found: "a pipe", .. })));
    std::fs::remove_file(&pointer).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&pointer).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::NotFile { found: "a socket", .. })));
    std::fs::remove_file(&pointer).unwrap();
    std::fs::create_dir(&pointer).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::NotFile { found: "a directory", .. })));
    std::fs::remove_dir(&pointer).unwrap();
    std::fs::remove_dir(directory.path().join("channels/production")).unwrap();
    std::fs::write(directory.path().join("channels/production"), b"").unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Io { .. })));
}

#[test]
fn reads_are_bounded() {
    let (directory, store) = store();
    let path = directory.path().join("channels/production/pointer.json");
    let bound = Kind::Pointer.envelope_bytes_max();
    std::fs::write(&path, vec![b' '; bound]).unwrap();
    assert_eq!(store.pointer(&channel()).unwrap().len(), bound);
    std::fs::write(&path, vec![b' '; bound + 1]).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Size { .. })));
    // Sparse: huge, and costs nothing to make.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(store.pointer(&channel()), Err(StoreFault::Size { .. })));
}

#[test]
fn changes_are_seen_and_rest_is_cheap() {
    let (directory, mut store) = store();
    let path = directory.path().join("channels/production/pointer.json");
    let mut is_again = false;
    for number in 1..10 {
        let begun = Instant::now();
        replace(&path, number.to_string().as_bytes());
        assert!(store.changed(&channel(), Followed::Releases));
        // Just written: looked at again, because the clock of the file system may be coarse.
        is_again = store.changed(&channel(), Followed::Releases);
        // A machine that stands still meanwhile says nothing.
        if begun.elapsed() < FRESH / 2 {
            break;
        }
    }
    assert!(is_again);
    std::thread::sleep(FRESH + Duration::from_millis(1_100));
    assert!(store.changed(&channel(), Followed::Releases));
    assert!(!store.changed(&channel(), Followed::Releases) && !store.changed(&channel(), Followed::Releases));
    std::fs::write(directory.path().join("roots/2.json"), b"r").unwrap();
    assert!(store.changed(&channel(), Followed::Releases));
}

/// Each read gives one of the two versions, or says that it has to be tried again.
#[test]
fn a_file_that_changes_while_it_is_read_is_whole_or_not_there() {
    let (directory, store) = store();
    let path = directory.path().join("channels/production/pointer.json");
    let versions = [vec![b'a'; 40_000], vec![b'b'; 70_000]];
    replace(&path, &versions[0]);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, path, versions) = (Arc::clone(&stop), path.clone(), versions.clone());
        move || {
            for turn in (0..1_000).cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                replace(&path, &versions[turn % 2]);
            }
        }
    });
    for _ in 0..2_000 {
        match store.pointer(&channel()) {
            Ok(bytes) => assert!(versions.contains(&bytes)),
            Err(fault) => assert!(fault.is_passing(), "{fault}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}
