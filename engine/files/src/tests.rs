use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn writes_whole_with_modes_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    write(&path, b"one", Access::OwnerOnly, Existing::Refuse).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
    assert!(matches!(write(&path, b"two", Access::Everyone, Existing::Refuse), Err(FileFault::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"one");
    write(&path, b"two", Access::OwnerOnly, Existing::Replace).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(matches!(
        write(directory.path(), b"", Access::Everyone, Existing::Replace),
        Err(FileFault::NotFile { .. })
    ));
    let nowhere = directory.path().join("no/such");
    let [first, second] = [(); 2].map(|()| write(&nowhere, b"", Access::Everyone, Existing::Replace).unwrap_err());
    assert!(matches!(first, FileFault::Io { .. }) && !first.to_string().contains(UNFINISHED), "{first}");
    assert_eq!(first.to_string(), second.to_string());
}

#[test]
fn writes_over_what_is_there_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    assert!(matches!(overwrite(&path, 0, b"x"), Err(FileFault::Io { action: "written", .. })));
    write(&path, b"one two", Access::OwnerOnly, Existing::Refuse).unwrap();
    overwrite(&path, 4, b"TWO").unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one TWO".to_vec(), 0o600));
}

#[test]
fn what_is_staged_and_not_put_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, b"one", Access::Everyone, Existing::Refuse).unwrap();
    drop(stage(&path, b"two", Access::Everyone, Existing::Replace).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_process_left_is_removed_once_nobody_is_at_work_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(UNFINISHED_S_MAX);
    for (name, is_old) in [(".adamant-old", true), (".adamant-new", false), ("key", true)] {
        let file = File::create(directory.path().join(name)).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    remove_unfinished(directory.path());
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".adamant-new", "key"]);
    remove_unfinished(&directory.path().join("no such"));
}

#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, b"one").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(matches!(write(&link, b"two", Access::Everyone, Existing::Refuse), Err(FileFault::Exists { .. })));
    write(&link, b"two", Access::Everyone, Existing::Replace).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    assert!(link.symlink_metadata().unwrap().is_symlink());
}

#[test]
fn a_link_that_others_may_have_put_is_replaced_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, b"one").unwrap();
    for target in [file.as_path(), directory.path(), Path::new("/nowhere/at/all")] {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        write(&link, b"two", Access::Everyone, Existing::ReplaceLink).unwrap();
        assert!(link.symlink_metadata().unwrap().is_file(), "{}", target.display());
        assert_eq!((fs::read(&file).unwrap(), fs::read(&link).unwrap()), (b"one".to_vec(), b"two".to_vec()));
    }
}

#[test]
fn reads_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, &[b'x'; 10], Access::Everyone, Existing::Refuse).unwrap();
    assert_eq!(read(&path, 10).unwrap().len(), 10);
    assert!(matches!(read(&path, 9), Err(FileFault::Size { expected: 9, .. })));
    assert!(matches!(read_secret(&path, 9), Err(FileFault::Size { .. })));
    assert_eq!(read_secret(&path, 10).unwrap().exposed, Some(Exposed::Mode(0o644)));
    let refused = read_private(&path, 10).unwrap_err();
    assert!(matches!(refused, FileFault::Exposed { exposed: Exposed::Mode(0o644), .. }), "{refused}");
    assert!(refused.help().unwrap().contains("chmod 600 "), "{refused}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(read_private(&path, 10).unwrap().len(), 10);
    assert!(matches!(read(directory.path(), 9), Err(FileFault::NotFile { .. })));
    assert!(matches!(read(Path::new("/dev/zero"), 9), Err(FileFault::NotFile { .. })));
}

#[test]
fn a_pipe_is_told_and_not_waited_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(read(&path, 9), Err(FileFault::NotFile { .. })));
    assert!(matches!(read_secret(&path, 9), Err(FileFault::NotFile { .. })));
}

#[test]
fn a_secret_is_open_to_its_owner_and_whom_its_mode_lets_in() {
    let (own, root, other) = (1_000, 0, 1_001);
    assert_eq!([exposed_to(own, 0o600, own), exposed_to(root, 0o400, own)], [None, None]);
    assert_eq!(exposed_to(own, 0o640, own), Some(Exposed::Mode(0o640)));
    assert_eq!(exposed_to(other, 0o600, own), Some(Exposed::Owner(other)));
    // Not even root takes what another user can change under its hands.
    assert_eq!(exposed_to(other, 0o600, root), Some(Exposed::Owner(other)));
}

#[test]
fn who_listens_is_seen_also_where_nobody_accepts() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    assert!(!is_listened_on(&path));
    let listener = UnixListener::bind(&path).unwrap();
    assert!(is_listened_on(&path));
    // Somebody whose places are all taken.
    rustix::net::listen(&listener, 0).unwrap();
    let waiting: Vec<_> = (0..4).filter(|_| is_listened_on(&path)).map(|_| connect_at_once(&path)).collect();
    assert_eq!(waiting.len(), 4);
    drop(listener);
    assert!(UnixStream::connect(&path).is_err() && !is_listened_on(&path));
}

/// Held open; none where there is no place.
fn connect_at_once(path: &Path) -> Option<rustix::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).is_ok().then_some(socket)
}

#[test]
fn a_lock_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(open_lock(&path).unwrap().unwrap());
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(open_lock(&path).unwrap().unwrap());
    assert_eq!(mode(), 0o600);
    assert!(open_lock(directory.path()).is_err() || open_lock(directory.path()).unwrap().is_none());
}
