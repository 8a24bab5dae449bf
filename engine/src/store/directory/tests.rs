use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use policy_release::digest::Digest;
use policy_release::envelope::Kind;
use stores::{Channel, Location, layout};

use super::super::Store;
use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Directory(directory.path().to_owned())).unwrap();
    (directory, store)
}

fn entries(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn writes_whole_files_and_leaves_nothing_else() {
    let (directory, store) = store();
    let channel: Channel = "production".parse().unwrap();
    assert_eq!((store.pointer(&channel).unwrap(), store.channels().unwrap()), (None, vec![]));
    for text in ["one", "two"] {
        store.lock().unwrap().write(&layout::pointer(&channel), Kind::Pointer, text.as_bytes()).unwrap();
        assert_eq!(store.pointer(&channel).unwrap().unwrap(), text.as_bytes());
    }
    let digest = Digest::of(b"x");
    store.lock().unwrap().write(&layout::release(&digest), Kind::Release, b"x").unwrap();
    fs::write(directory.path().join("releases/.adamant-7"), b"torn").unwrap();
    fs::write(directory.path().join("releases/.gitignore"), b"").unwrap();
    fs::write(directory.path().join("releases/README"), b"").unwrap();
    fs::create_dir(directory.path().join("channels/Not a channel")).unwrap();
    assert_eq!((store.releases().unwrap(), store.channels().unwrap()), (vec![digest], vec![channel]));
    store.lock().unwrap().write(&layout::release(&digest), Kind::Release, b"y").unwrap();
    let left = entries(&directory.path().join("releases"));
    assert_eq!(left, [".gitignore".to_owned(), "README".into(), layout::digest_name(&digest)]);
    assert_eq!(entries(directory.path()), ["channels", "releases"]);
    let mode = fs::metadata(directory.path().join("channels/production/pointer.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn no_link_is_followed_and_nothing_outside_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Files::open(directory.path()).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("2.json"), b"outside").unwrap();
    symlink(outside.path(), directory.path().join("roots")).unwrap();
    let lock = store.lock().unwrap();
    assert!(matches!(lock.write("roots/2.json", b"r"), Err(WriteFault::Link { .. })));
    assert!(matches!(lock.write("roots/3.json", b"r"), Err(WriteFault::Link { .. })));
    fs::create_dir_all(directory.path().join("channels")).unwrap();
    symlink(outside.path(), directory.path().join("channels/production")).unwrap();
    assert!(matches!(lock.write("channels/production/pointer.json", b"p"), Err(WriteFault::Link { .. })));
    fs::create_dir(directory.path().join("releases")).unwrap();
    symlink(outside.path().join("2.json"), directory.path().join("releases/r.json")).unwrap();
    assert!(matches!(lock.write("releases/r.json", b"r"), Err(WriteFault::Link { .. })));
    fs::create_dir(directory.path().join("releases/d.json")).unwrap();
    assert!(matches!(lock.write("releases/d.json", b"r"), Err(WriteFault::NotFile { .. })));
    fs::write(directory.path().join("provenance"), b"").unwrap();
    assert!(matches!(lock.write("provenance/x.json", b"r"), Err(WriteFault::NotDirectory { .. })));
    assert!(lock.write("../x.json", b"r").is_err());
    assert!(matches!(store.names("roots"), Err(WriteFault::Link { .. })));
    assert_eq!(
        (entries(outside.path()), fs::read(outside.path().join("2.json")).unwrap()),
        (vec!["2.json".into()], b"outside".to_vec())
    );
    assert_eq!(entries(&directory.path().join("releases")), ["d.json", "r.json"]);
}

#[test]
fn one_writer_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Files::open(directory.path()).unwrap();
    let other = Files::open(directory.path()).unwrap();
    let lock = store.lock().unwrap();
    assert!(flock(&other.root, FlockOperation::NonBlockingLockExclusive).is_err());
    drop(lock);
    assert!(other.lock().is_ok());
    assert!(matches!(Files::open(&directory.path().join("nowhere")), Err(WriteFault::Open { .. })));
}
