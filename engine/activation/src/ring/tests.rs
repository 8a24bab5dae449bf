//! Promises are kept, losses are counted.

use super::*;

fn record(path: &[u8]) -> Record<'_> {
    Record { method: b"GET", host: b"h", path, permitted: true, status: 200, ..Record::begin(1, 2, 3) }
}

#[test]
fn a_reservation_is_honoured_whatever_comes_after_it() {
    let stats = Arc::new(WorkerStats::new(0));
    let (mut writer, mut reader) = rings(1024, 256, Arc::clone(&stats));
    let mut reservations = Vec::new();
    while let Some(reservation) = writer.reserve(&record(b"/a")) {
        reservations.push(reservation);
    }
    assert!(reservations.len() > 2);
    // Unreserved records must not eat what was promised.
    writer.permitted(&record(&[b'x'; 600]), None);
    assert_eq!(stats.records_lost.get(), 1);
    let promised = reservations.len();
    let mut with_origin = record(b"/a");
    with_origin.origin = Some("[::1]:80".parse().unwrap());
    for reservation in reservations {
        writer.permitted(&with_origin, Some(reservation));
    }
    assert_eq!(stats.records_lost.get(), 1);
    let mut bytes = Vec::new();
    let mut taken = 0;
    while reader.next_permitted(&mut bytes) {
        assert_eq!(Record::decode(&bytes), Some(with_origin.clone()));
        taken += 1;
    }
    assert_eq!(taken, promised);
}

#[test]
fn denials_without_room_are_counted_and_leave_permits_alone() {
    let stats = Arc::new(WorkerStats::new(0));
    let (mut writer, mut reader) = rings(1024, 256, Arc::clone(&stats));
    for _ in 0..10 {
        writer.denied(&record(b"/a"));
    }
    let lost = stats.denials_aggregated.get();
    assert!(lost > 0 && lost < 10);
    // Still no room: nothing of the count is lost either.
    writer.tell_aggregated(&record(b""));
    writer.tell_aggregated(&record(b""));
    assert!(writer.reserve(&record(b"/a")).is_some());
    let mut bytes = Vec::new();
    let mut taken = 0;
    while reader.next_denied(&mut bytes) {
        taken += 1;
    }
    assert_eq!(taken + lost, 10);
    writer.tell_aggregated(&record(b""));
    writer.tell_aggregated(&record(b""));
    assert!(reader.next_denied(&mut bytes));
    let told = Record::decode(&bytes).unwrap();
    assert_eq!((told.kind, told.count), (Kind::DenialsAggregated, lost));
    assert!(!reader.next_denied(&mut bytes));
}

#[test]
fn records_come_out_whole_wherever_the_ring_wraps() {
    let (mut writer, mut reader) = rings(1024, 256, Arc::new(WorkerStats::new(0)));
    let (mut pushed, mut taken) = (0_u64, 0_u64);
    // Lengths that walk the seam through prefix and record.
    for round in 0..2_000_usize {
        let path = vec![b'p'; round % 37];
        while pushed < taken + 3 {
            writer.permitted(&Record { bytes_in: pushed, ..record(&path) }, None);
            pushed += 1;
        }
        let wanted = 1 + round as u64 % 3;
        let mut seen = 0;
        let told = reader.take_permitted(|bytes| {
            let record = Record::decode(bytes).unwrap();
            assert_eq!(record.bytes_in, taken);
            taken += 1;
            seen += 1;
            if seen < wanted { Next::Take } else { Next::Leave }
        });
        assert_eq!((told, seen), (wanted, wanted));
    }
    assert_eq!(writer.stats.records_lost.get(), 0);
}
