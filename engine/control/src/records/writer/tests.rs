//! Every record comes out, whatever the medium does; marks move only with what was written.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use activation::ring::{DurableMark, RecordWriter, rings};
use activation::stats::WorkerStats;
use chain::log::Log;
use serde_json::Value;

use super::*;
use crate::records::Target;
use crate::records::line::tests::record;
use crate::records::naming::fake::Fake;
use crate::records::seal::Request;

struct Rig {
    requests: Receiver<Request>,
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
    let (seals, requests) = sync_channel(1_000);
    let chained = Chained::new(Log::new("node/now".to_owned(), 1), seals, Duration::from_secs(3_600));
    let writer = Writer::new(sink, vec![records], inbox, Arc::clone(&progress), chained);
    Rig { requests, writer, worker, mark, stats, messages, progress }
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
    // What somebody says while it ends still stands before the stop line.
    rig.messages.send(Message::Line(event_line("activation", 0, |_| {}))).unwrap();
    rig.writer.run().unwrap();
    let lines = lines(&path);
    let kinds: Vec<_> = lines.iter().map(|line| line["adamant.kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"start"));
    assert_eq!(kinds.iter().filter(|kind| **kind == "loss").count(), 1);
    assert!(kinds.contains(&"activation"));
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
    assert_eq!(lines(&rotated)[0]["url.path"], "/old");
    assert_eq!(lines(&path)[0]["adamant.kind"], "continued");
    assert_eq!(lines(&path)[1]["url.path"], "/new");
}

fn verify(rig: &Rig, files: &[&Path]) -> chain::report::Report {
    let held = rig.requests.try_iter().map(|request| chain::verify::Held {
        checkpoint: request.checkpoint,
        signer: "node".to_owned(),
        place: "test".to_owned(),
        outside: true,
    });
    let mut verifier = chain::verify::Verifier::new(held.collect(), chain::verify::Extent::Later);
    for file in files {
        verifier.begin_file(&file.display().to_string());
        std::fs::read_to_string(file).unwrap().lines().for_each(|line| verifier.line(line.as_bytes()));
    }
    verifier.finish()
}

fn start(rig: &mut Rig) {
    let line = event_line("start", 0, |line| line.text(log::ORIGIN, b"node/now"));
    rig.writer.put_line(&line);
}

#[test]
fn every_line_hangs_on_the_one_before_and_checkpoints_cover_what_was_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(&path, 1 << 20);
    start(&mut rig);
    for _ in 0..100 {
        rig.worker.intent(&record(b"/permitted", None)).unwrap();
        rig.worker.denied(&record(b"/denied", None));
    }
    assert!(rig.writer.turn());
    rig.writer.seal();
    let report = verify(&rig, &[&path]);
    assert!(report.intact, "{report:#?}");
    let run = &report.runs[0];
    assert_eq!((run.chains["control"], run.chains["0"], run.unsealed), (1, 200, 0));
    rig.writer.seal();
    assert!(rig.requests.try_recv().is_err(), "nothing new, no checkpoint");
}

#[test]
fn a_full_disk_does_not_fork_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(Path::new("/dev/full"), 1 << 20);
    start(&mut rig);
    for _ in 0..3 {
        rig.worker.intent(&record(b"/a", None)).unwrap();
        rig.writer.trouble.next_attempt = None;
        assert!(!rig.writer.turn());
    }
    assert!(rig.requests.try_recv().is_err(), "what is not delivered is in no checkpoint");
    rig.writer.sink = Sink::open(Target::File(path.clone())).unwrap();
    rig.writer.trouble.next_attempt = None;
    assert!(rig.writer.turn());
    rig.writer.seal();
    let report = verify(&rig, &[&path]);
    assert!(report.intact && report.runs[0].proved.as_ref().unwrap().size == 4, "{report:#?}");
}

#[test]
fn a_batch_that_is_written_again_is_told_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(&path, 1 << 20);
    start(&mut rig);
    rig.worker.intent(&record(b"/a", None)).unwrap();
    rig.writer.gather();
    // As after a sync that failed.
    rig.writer.sink.send(&mut rig.writer.pending).unwrap();
    rig.writer.send_again();
    rig.worker.intent(&record(b"/b", None)).unwrap();
    assert!(rig.writer.turn() && rig.writer.turn());
    rig.writer.seal();
    assert_eq!(lines(&path).len(), 2 + 2 + 1 + 1);
    let report = verify(&rig, &[&path]);
    assert!(report.intact && report.runs[0].lines == 4, "{report:#?}");
}

#[test]
fn the_stop_line_is_a_batch_of_its_own_and_nothing_stands_behind_it_but_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(&path, 1 << 20);
    start(&mut rig);
    assert!(rig.writer.turn());
    rig.writer.put_stop_line();
    // As after a sync that failed.
    rig.writer.sink.send(&mut rig.writer.pending).unwrap();
    rig.writer.send_again();
    assert!(rig.writer.turn());
    rig.writer.seal();
    let kinds: Vec<_> = lines(&path).iter().map(|line| line["adamant.kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["start", "stop", "stop"]);
    let report = verify(&rig, &[&path]);
    assert!(report.intact && report.runs[0].lines == 2, "{report:#?}");
}

#[test]
fn both_files_of_a_rotation_verify_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("records"), directory.path().join("rotated"));
    let mut rig = rig(&path, 1 << 20);
    start(&mut rig);
    rig.worker.intent(&record(b"/old", None)).unwrap();
    assert!(rig.writer.turn());
    std::fs::rename(&path, &rotated).unwrap();
    rig.writer.follow_rename(Instant::now() + Duration::from_millis(RECORDS_RENAME_CHECK_MS));
    rig.worker.intent(&record(b"/new", None)).unwrap();
    assert!(rig.writer.turn());
    rig.writer.seal();
    let requests: Vec<_> = rig.requests.try_iter().map(|request| request.checkpoint).collect();
    assert_eq!(requests.iter().map(|of| of.size).collect::<Vec<_>>(), [1, 3, 5], "at the start, at the rotation, last");
    let kinds =
        |path| lines(path).iter().map(|line| line["adamant.kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(kinds(&rotated), ["start", "exchange", "rotation"]);
    assert_eq!(kinds(&path), ["continued", "exchange"]);
    for files in [&[rotated.as_path(), &path][..], &[&rotated], &[&path]] {
        let report = verify(&rig, files);
        assert!(report.intact, "{report:#?}");
    }
}

/// Lines of the long log: `FULL=1` for the whole of it.
fn long() -> u64 {
    if std::env::var_os("FULL").is_some() { 1_000_000 } else { 100_000 }
}

#[test]
fn a_long_log_verifies_and_each_tampering_in_its_middle_is_found_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let mut rig = rig(&path, 8 << 20);
    rig.writer.names.push(Known { naming: Box::new(Fake), dead_at: None });
    start(&mut rig);
    let begun = Instant::now();
    for number in 0..long() {
        while rig.worker.intent(&record(b"/permitted", None)).is_none() {
            assert!(rig.writer.turn());
        }
        if number % (long() / 10) == 0 {
            assert!(rig.writer.turn());
            rig.writer.seal();
        }
    }
    assert!(rig.writer.turn());
    rig.writer.seal();
    let written = begun.elapsed();
    let held: Vec<_> = rig.requests.try_iter().map(|request| request.checkpoint).collect();
    let verify = |lines: &[&[u8]]| {
        let of = |checkpoint: &chain::checkpoint::Checkpoint| chain::verify::Held {
            checkpoint: checkpoint.clone(),
            signer: "node".to_owned(),
            place: "test".to_owned(),
            outside: true,
        };
        let mut verifier = chain::verify::Verifier::new(held.iter().map(of).collect(), chain::verify::Extent::Whole);
        verifier.begin_file("records");
        lines.iter().for_each(|line| verifier.line(line));
        verifier.finish()
    };
    let text = std::fs::read(&path).unwrap();
    let mut lines: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    let begun = Instant::now();
    let report = verify(&lines);
    let verified = begun.elapsed();
    assert!(report.intact && report.runs[0].unsealed == 0 && report.lines == long() + 1, "{:?}", report.findings);
    println!(
        "{} lines of {} bytes: written in {:.2} s, verified in {:.2} s",
        report.lines,
        text.len() as u64 / report.lines,
        written.as_secs_f64(),
        verified.as_secs_f64()
    );
    let middle = lines.len() / 2;
    let found = |what: &str, lines: &[&[u8]]| {
        let report = verify(lines);
        let mut places = report.findings.iter().filter_map(|of| Some(of.at.as_ref()?.line));
        let expected = middle as u64..=middle as u64 + 2;
        assert!(places.any(|line| expected.contains(&line)), "{what} at {middle}: {:?}", report.findings);
    };
    let whole = lines[middle];
    let mut changed = whole.to_vec();
    changed[whole.len() / 2] ^= 1;
    lines[middle] = &changed;
    found("changed", &lines);
    lines[middle] = whole;
    lines.swap(middle, middle + 1);
    found("swapped", &lines);
    lines.swap(middle, middle + 1);
    lines.insert(middle, whole);
    found("put in twice", &lines);
    lines.remove(middle);
    found("cut off", &lines[..=middle]);
    lines.remove(middle);
    found("removed", &lines);
}
