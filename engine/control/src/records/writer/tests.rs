//! Every record comes out, whatever the medium does; marks move only with what was written.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use activation::ring::{DurableMark, RecordWriter, rings};
use activation::stats::WorkerStats;
use serde_json::Value;

use super::*;
use crate::records::Target;
use crate::records::line::tests::record;
use crate::records::naming::fake::Fake;

struct Rig {
    writer: Writer,
    worker: RecordWriter,
    mark: Arc<DurableMark>,
    stats: Arc<WorkerStats>,
    messages: SyncSender<Message>,
    progress: Arc<Progress>,
}

fn rig(path: &Path, ring_bytes: usize) -> Rig {
    let stats = Arc::new(WorkerStats::new(0));
    let mark = Arc::new(DurableMark::default());
    let (worker, reader) = rings(ring_bytes, ring_bytes, Arc::clone(&stats));
    let (messages, inbox) = sync_channel(16);
    let progress = Arc::new(Progress::default());
    let records = WorkerRecords { reader, stats: Arc::clone(&stats), durable: Arc::clone(&mark) };
    let sink = Sink::open(Target::File(path.to_owned())).unwrap();
    let writer = Writer::new(sink, vec![records], inbox, Arc::clone(&progress));
    Rig { writer, worker, mark, stats, messages, progress }
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn permits_and_denials_come_out_in_sequence_and_the_mark_follows_the_permits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(&path, 1 << 20);
    rig.writer.names.push(Known { naming: Box::new(Fake), dead_at: None });
    for _ in 0..1_000 {
        rig.worker.intent(&record(b"/permitted", None)).unwrap();
        rig.worker.denied(&record(b"/denied", None));
    }
    assert!(rig.writer.turn());
    let lines = lines(&path);
    assert_eq!(lines.len(), 2_000);
    assert!(lines.iter().enumerate().all(|(index, line)| line["adamant.sequence"] == index));
    assert_eq!(lines.iter().filter(|line| line["url.path"] == "/permitted").count(), 1_000);
    assert_eq!(rig.mark.records(), 1_000);
    assert_eq!(rig.progress.lines.load(Ordering::Relaxed), 2_000);
}

#[test]
fn a_full_disk_fills_the_ring_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(Path::new("/dev/full"), 4 << 10);
    let mut pushed = 0;
    // What fits while the disk is full: a first batch, then the ring.
    for _ in 0..2 {
        while rig.worker.intent(&record(b"/a", None)).is_some() {
            pushed += 1;
        }
        assert!(!rig.writer.turn());
    }
    assert!(rig.worker.intent(&record(b"/a", None)).is_none(), "a full ring refuses");
    assert!(rig.progress.failing.load(Ordering::Relaxed));
    assert_eq!(rig.mark.records(), 0);
    rig.writer.sink = Sink::open(Target::File(path.clone())).unwrap();
    rig.writer.trouble.next_attempt = None;
    assert!(rig.writer.turn());
    assert_eq!(lines(&path).len(), pushed);
    assert_eq!(rig.mark.records(), pushed as u64);
    assert!(!rig.progress.failing.load(Ordering::Relaxed));
}

#[test]
fn losses_are_told_once_and_then_the_writer_stops_with_a_last_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(&path, 1 << 10);
    while rig.worker.intent(&record(b"/a", None)).is_some() {}
    rig.worker.permitted(&record(b"/a", None), None);
    assert_eq!(rig.stats.records_lost.get(), 1);
    rig.messages.send(Message::Line(event_line("start", 0, |_| {}))).unwrap();
    rig.messages.send(Message::Stop { deadline: Instant::now() + Duration::from_secs(5) }).unwrap();
    rig.writer.run().unwrap();
    let lines = lines(&path);
    let kinds: Vec<_> = lines.iter().map(|line| line["adamant.kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"start"));
    assert_eq!(kinds.iter().filter(|kind| **kind == "loss").count(), 1);
    assert_eq!(kinds.last(), Some(&"stop"));
    let loss = lines.iter().find(|line| line["adamant.kind"] == "loss").unwrap();
    assert_eq!(loss["adamant.records_lost"], 1);
}

#[test]
fn what_cannot_be_written_by_the_deadline_is_counted() {
    let mut rig = rig(Path::new("/dev/full"), 1 << 10);
    let mut pushed = 0;
    while rig.worker.intent(&record(b"/a", None)).is_some() {
        pushed += 1;
    }
    rig.messages.send(Message::Stop { deadline: Instant::now() }).unwrap();
    match rig.writer.run() {
        Err(RecordsError::Unfinished { lost }) => assert_eq!(lost, pushed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_renamed_file_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("records"), directory.path().join("rotated"));
    let mut rig = rig(&path, 1 << 20);
    rig.worker.intent(&record(b"/old", None)).unwrap();
    assert!(rig.writer.turn());
    std::fs::rename(&path, &rotated).unwrap();
    rig.writer.follow_rename(Instant::now() + Duration::from_millis(RECORDS_RENAME_CHECK_MS));
    rig.worker.intent(&record(b"/new", None)).unwrap();
    assert!(rig.writer.turn());
    assert_eq!(lines(&rotated).last().unwrap()["url.path"], "/old");
    assert_eq!(lines(&path).first().unwrap()["url.path"], "/new");
}
