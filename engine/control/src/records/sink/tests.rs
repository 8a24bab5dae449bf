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
    Pending { lines: lines.as_bytes().to_vec(), sent: 0 }
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
        let mut lines = Pending { lines: b"first\nsecond\nthird\n".to_vec(), sent: 12 };
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
