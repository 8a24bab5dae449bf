//! Lines stay whole through full disks, renames and crashes.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// Takes `room` bytes, three at a time, then is full.
struct Disk {
    room: usize,
    holds: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let takes = bytes.len().min(3).min(self.room);
        if takes == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.room -= takes;
        self.holds.extend_from_slice(&bytes[..takes]);
        Ok(takes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pending(lines: &str) -> Pending {
    Pending { lines: lines.as_bytes().to_vec(), ..Pending::default() }
}

#[test]
fn a_partial_line_is_continued_when_there_is_room_again() {
    let mut disk = Disk { room: 7, holds: Vec::new() };
    let mut lines = pending("first\nsecond\n");
    assert_eq!(lines.send(&mut disk).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(!lines.is_sent());
    disk.room = 100;
    lines.send(&mut disk).unwrap();
    assert!(lines.is_sent());
    assert_eq!(disk.holds, b"first\nsecond\n");
}

#[test]
fn in_another_file_the_partial_line_stands_whole() {
    let mut full = Disk { room: 8, holds: Vec::new() };
    let mut lines = pending("first\nsecond\n");
    assert!(lines.send(&mut full).is_err());
    lines.rewind_to_line();
    let mut other = Disk { room: 100, holds: Vec::new() };
    lines.send(&mut other).unwrap();
    assert_eq!(other.holds, b"second\n");
}

#[test]
fn a_line_that_lacks_its_newline_alone_is_not_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("records"), directory.path().join("rotated"));
    let mut sink = Sink::open(Target::File(path.clone())).unwrap();
    for rename in [true, false] {
        std::fs::write(&path, "first\nsecond").unwrap();
        let mut lines = Pending { lines: b"first\nsecond\nthird\n".to_vec(), sent: 12, ..Pending::default() };
        if rename {
            std::fs::rename(&path, &rotated).unwrap();
        }
        let next = sink.open_next().unwrap().unwrap();
        assert_eq!(next.is_another, rename);
        sink.switch(next, &mut lines);
        sink.send(&mut lines).unwrap();
        let before = if rename { "" } else { "first\nsecond\n" };
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{before}third\n"));
    }
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "first\nsecond");
}

#[test]
fn a_file_is_private_and_an_incomplete_last_line_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut sink = Sink::open(Target::File(path.clone())).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    sink.send(&mut pending("{\"a\":1}\n{\"b\"")).unwrap();
    drop(sink);
    let mut sink = Sink::open(Target::File(path.clone())).unwrap();
    sink.send(&mut pending("{}\n")).unwrap();
    sink.sync().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\"\n{}\n");
}

#[test]
fn a_rename_is_noticed_and_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("records"), directory.path().join("records.1"));
    let mut sink = Sink::open(Target::File(path.clone())).unwrap();
    sink.send(&mut pending("old\n")).unwrap();
    assert!(!sink.was_renamed());
    std::fs::rename(&path, &rotated).unwrap();
    assert!(sink.was_renamed());
    let next = sink.open_next().unwrap().unwrap();
    assert!(next.is_another);
    sink.switch(next, &mut Pending::default());
    assert!(!sink.open_next().unwrap().unwrap().is_another);
    assert!(!sink.was_renamed());
    sink.send(&mut pending("new\n")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "old\n");
}

#[test]
fn a_file_that_cannot_be_reopened_leaves_the_old_one_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let mut sink = Sink::open(Target::File(inner.join("records"))).unwrap();
    let moved = directory.path().join("moved");
    std::fs::rename(&inner, &moved).unwrap();
    assert!(sink.was_renamed());
    assert!(sink.open_next().is_err());
    sink.send(&mut pending("kept\n")).unwrap();
    assert_eq!(std::fs::read_to_string(moved.join("records")).unwrap(), "kept\n");
}

#[test]
fn a_partial_line_stands_whole_after_the_same_file_was_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut sink = Sink::open(Target::File(path.clone())).unwrap();
    let mut lines = pending("first\nsecond\n");
    std::fs::write(&path, "first\nsec").unwrap();
    lines.sent = 9;
    let next = sink.open_next().unwrap().unwrap();
    sink.switch(next, &mut lines);
    sink.send(&mut lines).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nsec\nsecond\n");
}

#[test]
fn a_file_has_one_writer_through_renames_and_reopenings() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("records"), directory.path().join("records.1"));
    let open = |path: &Path| Sink::open(Target::File(path.to_owned()));
    let refused = |path: &Path| {
        let error = open(path).err().unwrap();
        assert!(error.to_string().contains("another gateway writes its records there"), "{error}");
    };
    let mut sink = open(&path).unwrap();
    refused(&path);
    // Opened again without a rename, it is still held.
    let same = sink.open_next().unwrap().unwrap();
    sink.switch(same, &mut Pending::default());
    refused(&path);
    std::fs::rename(&path, &rotated).unwrap();
    refused(&rotated);
    let next = sink.open_next().unwrap().unwrap();
    sink.switch(next, &mut Pending::default());
    refused(&path);
    drop(open(&rotated).unwrap());
    // What another gateway holds is not taken up.
    std::fs::rename(&path, directory.path().join("records.2")).unwrap();
    let other = open(&path).unwrap();
    assert_eq!(sink.open_next().err().unwrap().kind(), ErrorKind::ResourceBusy);
    drop((sink, other));
    assert!(open(&path).is_ok());
}

/// A mode that lets nobody else in needs no word.
#[test]
fn a_file_that_others_may_read_or_write_is_told() {
    for fine in [0o100600, 0o100400, 0o100700, 0o600] {
        assert_eq!(openness(fine), None, "{fine:o}");
    }
    for (mode, who) in [
        (0o100640, "mode 0640: its group may read it"),
        (0o100620, "mode 0620: its group may write it"),
        (0o100604, "mode 0604: everyone may read it"),
        (0o100644, "mode 0644: its group and everyone may read it"),
        (0o100666, "mode 0666: its group and everyone may read or write it"),
        (0o100602, "mode 0602: everyone may write it"),
    ] {
        let told = openness(mode).unwrap();
        assert!(told.contains(who), "{mode:o}: {told}");
    }
}

/// The lines in a record file.
fn decrypted(path: &Path, identities: &std::sync::Arc<[age_format::Identity]>) -> String {
    let tell = Box::new(|_| {});
    let file = File::open(path).unwrap();
    let mut text = String::new();
    encrypted::Decrypting::new(file, std::sync::Arc::clone(identities), tell).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn encrypted_batches_stand_whole_in_one_file_or_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("records"), directory.path().join("rotated"));
    let identities: std::sync::Arc<[_]> = std::sync::Arc::new([age_format::Identity::generate().unwrap().0]);
    let recipients = [identities[0].recipient()];
    let long = format!("{{\"first\":\"{}\"}}\n", "x".repeat(70_000));
    let lines = format!("{long}{{\"second\":2}}\n");
    let opening = encrypted::opening(&recipients).len();
    let first = {
        let mut out = Vec::new();
        encrypted::encrypt(long.as_bytes(), &recipients, &mut out).unwrap();
        out.len()
    };
    // In the line that opens the file, in a batch, all but its newline, at its end, in the next one, and nothing at all.
    for room in [3, opening + 9, opening + first - 1, opening + first, opening + first + 90, 1 << 20] {
        let mut sink = Sink::open(Target::File(path.clone())).unwrap().encrypting_to(&recipients).unwrap();
        let mut going = pending(&lines);
        going.encrypt(&recipients, &mut sink.opening).unwrap();
        let mut full = Disk { room, holds: Vec::new() };
        assert_eq!(going.send(&mut full).is_ok(), room == 1 << 20);
        sink.output.write_all(&full.holds).unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        let next = sink.open_next().unwrap().unwrap();
        sink.switch(next, &mut going);
        going.lines.extend_from_slice(b"{\"third\":3}\n");
        sink.send(&mut going).unwrap();
        assert!(going.is_sent());
        assert!(encrypted::is_encrypted(&std::fs::read(&path).unwrap()), "it says to whom");
        let both = decrypted(&rotated, &identities) + &decrypted(&path, &identities);
        assert_eq!(both, format!("{lines}{{\"third\":3}}\n"), "room for {room} bytes");
        assert!(!std::fs::read(&path).unwrap().windows(5).any(|part| part == b"third"));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_kill_in_the_middle_of_a_batch_costs_that_batch_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let identities: std::sync::Arc<[_]> = std::sync::Arc::new([age_format::Identity::generate().unwrap().0]);
    let recipients = [identities[0].recipient()];
    let open = || Sink::open(Target::File(path.clone())).unwrap().encrypting_to(&recipients).unwrap();
    open().send(&mut pending("{\"first\":1}\n")).unwrap();
    open().send(&mut pending("{\"second\":2}\n")).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    open().send(&mut pending("{\"third\":3}\n")).unwrap();
    assert_eq!(decrypted(&path, &identities), "{\"first\":1}\n{\"third\":3}\n");
    // The same file, opened again in the middle of a batch: it is ended there, and stands whole behind it.
    let mut sink = open();
    let mut going = pending("{\"fourth\":4}\n");
    going.encrypt(&recipients, &mut sink.opening).unwrap();
    let mut full = Disk { room: going.out().len() - 20, holds: Vec::new() };
    assert!(going.send(&mut full).is_err());
    sink.output.write_all(&full.holds).unwrap();
    let next = sink.open_next().unwrap().unwrap();
    sink.switch(next, &mut going);
    sink.send(&mut going).unwrap();
    assert_eq!(decrypted(&path, &identities), "{\"first\":1}\n{\"third\":3}\n{\"fourth\":4}\n");
}
