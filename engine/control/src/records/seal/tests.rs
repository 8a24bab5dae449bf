//! Checkpoints reach their places; a place that fails is tried again and delays nothing else.

use std::sync::atomic::Ordering;

use chain::log::Log;

use super::*;

struct Rig {
    directory: tempfile::TempDir,
    sealing: Sealing,
    progress: Arc<Progress>,
    requests: SyncSender<Request>,
    sealer: Sealer,
    log: Log,
}

fn rig(places: impl FnOnce(&Path) -> Vec<Place>) -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let mut sealing = Sealing::with_key(Arc::new(NodeKey::ephemeral().unwrap()));
    sealing.places = places(directory.path());
    sealing.state = Some(directory.path().to_owned());
    let progress = Arc::new(Progress::of(&sealing));
    let target = Target::File(directory.path().join("records"));
    let verifier = Verifier::of_node(*sealing.key.public()).unwrap();
    let log = Log::new(sealing.origin(&verifier, 0), 1);
    let (requests, sealer) = Sealer::spawn(&sealing, verifier, &target, sealing.previous(), &progress, &[]).unwrap();
    Rig { directory, sealing, progress, requests, sealer, log }
}

impl Rig {
    fn seal(&mut self) {
        self.log.seal(&mut b"{\"a\":1}\n".to_vec(), 0, chain::line::Chain::Control);
        let lines = File::options().append(true).create(true).open(self.directory.path().join("records")).unwrap();
        self.requests.send(Request { checkpoint: self.log.checkpoint(), lines }).unwrap();
    }

    fn end(self) -> (tempfile::TempDir, Sealing, Arc<Progress>) {
        drop(self.requests);
        self.sealer.join(Instant::now() + Duration::from_secs(60));
        (self.directory, self.sealing, self.progress)
    }
}

#[test]
fn checkpoints_stand_in_state_beside_the_records_and_outside() {
    let mut rig = rig(|directory| {
        fs_dir(directory, "outside");
        vec![Place::Directory(directory.join("outside"))]
    });
    rig.seal();
    while rig.progress.places[0].success_unix_s.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    rig.seal();
    let origin = rig.log.origin().to_owned();
    let (directory, sealing, progress) = rig.end();
    let verifiers = [Verifier::of_node(*sealing.key.public()).unwrap()];
    let beside = std::fs::read_to_string(directory.path().join("records.checkpoints")).unwrap();
    let notes = chain::checkpoint::split_notes(&beside);
    assert_eq!(notes.len(), 2);
    let (last, _) = Checkpoint::open(notes[1], &verifiers).unwrap();
    assert_eq!((last.origin.as_str(), last.size), (origin.as_str(), 2));
    assert_eq!(sealing.previous().unwrap(), (notes[1].to_owned(), last));
    let outside = directory.path().join("outside").join(place::directory_of(&origin));
    for (note, size) in notes.iter().zip(1..) {
        assert_eq!(std::fs::read_to_string(outside.join(format!("{size:020}.checkpoint"))).unwrap(), *note);
    }
    let told = progress.checkpoint().unwrap();
    assert_eq!((told.origin, told.size), (origin, 2));
    assert_eq!(progress.places[0].failures.load(Ordering::Relaxed), 0);
}

#[test]
fn a_place_that_fails_is_tried_again_and_gets_the_newest() {
    let mut rig = rig(|directory| vec![Place::Directory(directory.join("outside"))]);
    rig.seal();
    while rig.progress.places[0].failures.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    rig.seal();
    fs_dir(rig.directory.path(), "outside");
    let (directory, sealing, progress) = rig.end();
    assert!(progress.places[0].failure().is_none());
    let outside = std::fs::read_dir(directory.path().join("outside")).unwrap().next().unwrap().unwrap().path();
    let names: Vec<_> = std::fs::read_dir(outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("00000000000000000002")), "{names:?}");
    // A damaged state is told and is as good as none.
    std::fs::write(directory.path().join("log.json"), "{}").unwrap();
    assert!(sealing.previous().is_none());
}

#[test]
fn another_checkpoint_of_the_same_size_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Directory(directory.path().to_owned());
    let key = NodeKey::ephemeral().unwrap();
    let verifier = Verifier::of_node(*key.public()).unwrap();
    let put = |root: u8| {
        let checkpoint = Checkpoint { origin: "a/b".to_owned(), size: 3, root: [root; 32], extensions: Vec::new() };
        let note = note::signed(&checkpoint.text(), &verifier, &key.sign(checkpoint.text().as_bytes()).unwrap());
        place::put_for_test(&place, &checkpoint, &note)
    };
    assert!(put(1).is_ok() && put(1).is_ok());
    assert!(put(2).unwrap_err().contains("another checkpoint"));
    // Whoever may write in the directory puts a pipe there, which nobody writes into.
    let path = directory.path().join(place::directory_of("a/b")).join("00000000000000000003.checkpoint");
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::thread::scope(|scope| {
        let putting = scope.spawn(|| put(1));
        let begun = std::time::Instant::now();
        while !putting.is_finished() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // What waits for a writer has one.
        let waited = !putting.is_finished();
        drop(waited.then(|| std::fs::OpenOptions::new().write(true).open(&path)));
        let told = putting.join().unwrap().unwrap_err();
        assert!(!waited && told.contains("expected a file"), "{told}");
    });
}

#[test]
fn half_a_checkpoint_is_not_left_and_nothing_stands_behind_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.checkpoints");
    let note = |size: u64| format!("node/1\n{size}\nroot\n\n\u{2014} node signature\n");
    let text = || std::fs::read_to_string(&path).unwrap();
    append(&path, &note(1)).unwrap();
    append(&path, &note(2)).unwrap();
    let whole = note(1) + &note(2);
    assert_eq!(text(), whole);
    // As a crash leaves it, at each place.
    for left in 1..note(3).len() {
        if !note(3).is_char_boundary(left) {
            continue;
        }
        std::fs::write(&path, whole.clone() + &note(3)[..left]).unwrap();
        append(&path, &note(4)).unwrap();
        assert_eq!(text(), whole.clone() + &note(4), "{left}");
    }
    std::fs::write(&path, &note(3)[..9]).unwrap();
    append(&path, &note(4)).unwrap();
    assert_eq!(text(), note(4));
    // What is no half of a note is not touched.
    let other = "another file\n".repeat(CHECKPOINT_BYTES_MAX);
    std::fs::write(&path, &other).unwrap();
    assert!(append(&path, &note(4)).is_err() && text() == other);
}

/// What a full disk takes of a write is given back.
#[test]
fn a_write_that_fails_leaves_the_checkpoints_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.checkpoints");
    let note = "node/1\n1\nroot\n\n\u{2014} node signature\n";
    append(&path, note).unwrap();
    let script = format!(
        "ulimit -f 1; trap '' XFSZ; exec {:?} --exact records::seal::tests::appends_what_does_not_fit",
        std::env::current_exe().unwrap()
    );
    let mut shell = std::process::Command::new("sh");
    // Its own output goes to a pipe: the bound is for every file, and where this one's goes may be a long one.
    let ended = shell.args(["-c", &script]).env("CHECKPOINTS", &path).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), note);
}

/// In a process that the test above starts, where a file takes a block and no more.
#[test]
fn appends_what_does_not_fit() {
    let Some(path) = std::env::var_os("CHECKPOINTS") else { return };
    assert!(append(Path::new(&path), &"x".repeat(4_096)).is_err());
}

fn fs_dir(directory: &Path, name: &str) {
    std::fs::create_dir(directory.join(name)).unwrap();
}
