use super::*;

fn accepted() -> Accepted {
    let mut accepted = Accepted::nothing("orders-edge", 1);
    accepted.seen.insert("production".into(), SeenPointer { serial: 7, digest: Digest::of(b"pointer") });
    accepted.release = Some(AcceptedRelease {
        digest: Digest::of(b"release"),
        version: 3,
        root: 1,
        accepted: "2026-01-01T00:00:00Z".parse().unwrap(),
        pointer: Some(AcceptedPointer { channel: "production".into(), root: 1, envelope: "{}".into() }),
    });
    accepted.revocations.insert("production".into(), list(2, b"revocations", None));
    accepted
}

fn list(serial: u64, content: &[u8], whole: Option<&[u8]>) -> AcceptedList {
    AcceptedList {
        serial,
        digest: Digest::of(content),
        root: 1,
        issued: None,
        whole: whole.map(Digest::of),
        turn: serial,
    }
}

#[test]
fn comes_back_as_it_was_written_and_what_is_not_named_goes() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(directory.path());
    assert_eq!(memory.read().unwrap(), None);
    let (kept, digest) = (accepted(), Digest::of(b"release"));
    memory.keep_release(&digest, b"R").unwrap();
    memory.keep_release(&Digest::of(b"older"), b"O").unwrap();
    memory.begin(&kept);
    memory.keep_list(Shelf::Revocations, "production", &list(2, b"older", Some(b"whole")), &[b"O", b"W"]).unwrap();
    assert_eq!(memory.list(Shelf::Revocations, &Digest::of(b"whole")).unwrap(), b"W".to_vec());
    memory.tidy();
    assert_eq!(memory.list(Shelf::Revocations, &Digest::of(b"whole")).unwrap(), b"W".to_vec(), "named beside the list");
    memory.keep_list(Shelf::Revocations, "production", &list(2, b"revocations", None), &[b"L"]).unwrap();
    memory.keep_root(1, b"1").unwrap();
    memory.keep_root(9, b"9").unwrap();
    memory.keep(&kept).unwrap();
    fs::write(directory.path().join(".adamant-XyZ"), b"half").unwrap();
    memory.tidy();
    memory.sweep();
    assert_eq!(memory.read().unwrap(), Some(kept));
    assert_eq!((memory.release(&digest).unwrap(), memory.root(1).unwrap()), (b"R".to_vec(), b"1".to_vec()));
    assert!(memory.release(&Digest::of(b"older")).is_err() && memory.root(9).is_err());
    assert_eq!(memory.list(Shelf::Revocations, &Digest::of(b"revocations")).unwrap(), b"L".to_vec());
    let gone = |gone: &&[u8]| memory.list(Shelf::Revocations, &Digest::of(gone)).is_err();
    assert!([b"older".as_slice(), b"whole"].iter().all(gone));
    assert!(!directory.path().join(".adamant-XyZ").exists());
}

/// A release that was on its way while a list came must not write the older list back.
#[test]
fn who_writes_a_release_takes_back_no_list() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(directory.path());
    let on_its_way = accepted();
    memory.keep(&on_its_way).unwrap();
    let newer = list(3, b"newer", None);
    memory.keep_list(Shelf::Revocations, "production", &newer, &[b"N"]).unwrap();
    memory.keep(&Accepted { version_highest: 4, ..on_its_way }).unwrap();
    memory.tidy();
    let read = memory.read().unwrap().unwrap();
    assert_eq!((read.version_highest, read.revocations.get("production")), (4, Some(&newer)));
    assert_eq!(memory.list(Shelf::Revocations, &newer.digest).unwrap(), b"N".to_vec());
}

/// Every single bit: either it reads as it was written, or not at all.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::new(directory.path());
    memory.keep(&accepted()).unwrap();
    let path = directory.path().join(FILE);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        if let Ok(read) = memory.read() {
            assert_eq!(read, Some(accepted()), "bit {at} of {:?}", String::from_utf8_lossy(&bad));
        }
    }
    for length in 0..good.len() - 1 {
        fs::write(&path, &good[..length]).unwrap();
        let told = format!("{:?}", memory.read().unwrap_err());
        assert!(told.contains("accepted.json") && told.contains("restore"), "{told}");
    }
}

#[test]
fn read_only_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Memory::read_only(directory.path());
    memory.keep(&accepted()).unwrap();
    memory.keep_root(1, b"1").unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
