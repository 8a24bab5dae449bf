//! Stage 8: the worker pushes a record; the audit writer takes it, formats it, chains it.

use std::hint::black_box;
use std::sync::Arc;

use activation::record::{LimitsBefore, Record, TokenFacts};
use activation::ring::{RecordReader, RecordWriter, rings};
use activation::stats::WorkerStats;
use bench_counts::Stage;
use chain::line::Chain;
use chain::log::Log;
use control::records::Names;
use control::records::line::{Lines, Place};

use crate::gateway::{Gateway, NOW_NS};

/// Lines after which the buffer is emptied, as if it had been written.
const LINES_MAX: usize = 256;

/// How far a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reserved and pushed by the worker.
    Push,
    /// Taken, formatted, hashed into chain and tree by the audit writer.
    Line,
    /// Both.
    Whole,
}

struct Recording {
    part: Part,
    gateway: Gateway,
    writer: RecordWriter,
    reader: RecordReader,
    names: Names,
    format: Lines,
    log: Log,
    lines: Vec<u8>,
    bytes: Vec<u8>,
    sequence: u64,
}

pub fn stage(part: Part) -> Box<dyn Stage> {
    let gateway = Gateway::new("ES256");
    let (writer, reader) = rings(1 << 20, 1 << 16, Arc::new(WorkerStats::new(0)));
    let names = Names::of(&gateway.activation, Arc::new(["bench-1".to_owned()]));
    let mut stage = Recording {
        part,
        gateway,
        writer,
        reader,
        names,
        format: Lines::default(),
        log: Log::new("node/2026-11-22T00:00:00Z".to_owned(), 1),
        lines: Vec::with_capacity(1 << 20),
        bytes: Vec::with_capacity(4 << 10),
        sequence: 0,
    };
    stage.push();
    stage.line();
    Box::new(stage)
}

/// A permitted exchange with a token, a scope and two limits.
pub fn record<'a>(sequence: u64, path: &'a [u8], subject: &'a [u8]) -> Record<'a> {
    let mut limits = LimitsBefore::default();
    limits.push(1_000, NOW_NS);
    limits.push(1_001, NOW_NS + 7);
    Record {
        method: b"GET",
        host: b"api.example",
        path,
        query: Some(b"page=2"),
        permitted: true,
        status: 200,
        agent: Some(500),
        granted_by: Some(500),
        route: Some(42),
        scope: Some(0),
        token: Some(TokenFacts {
            issuer: 0,
            subject,
            kid: Some(b"k"),
            expires_s: 4_000_000_000,
            scopes: None,
            bound: Default::default(),
            introspected: false,
        }),
        limits,
        origin: Some(([127, 0, 0, 1], 9_000).into()),
        bytes_out: 512,
        decided_us: 9,
        first_byte_us: 180,
        total_us: 210,
        ..Record::begin(NOW_NS + sequence * 1_000, u128::from(sequence) << 64 | 7, 1)
    }
}

impl Recording {
    fn push(&mut self) {
        self.sequence += 1;
        let record = record(self.sequence, b"/r000042/12345", b"a0000500");
        let reserved = self.writer.reserve(&record);
        assert!(reserved.is_some(), "the ring is full");
        self.writer.permitted(&record, reserved);
    }

    fn line(&mut self) {
        assert!(self.reader.next_permitted(&mut self.bytes), "a record was pushed");
        let record = Record::decode(&self.bytes).unwrap();
        let (start, place) = (self.lines.len(), Place { worker: 0, sequence: self.sequence });
        self.format.put(&mut self.lines, &record, Record::facts(&self.bytes), place, Some(&self.names));
        self.log.seal(&mut self.lines, start, Chain::Worker(0));
        black_box(&self.lines);
    }
}

impl Stage for Recording {
    fn prepare(&mut self) {
        if self.part == Part::Line {
            self.push();
        }
        if self.part == Part::Push {
            let _ = self.reader.next_permitted(&mut self.bytes);
        }
        if self.sequence.is_multiple_of(LINES_MAX as u64) {
            self.lines.clear();
        }
        black_box(&self.gateway.activation);
    }

    fn run(&mut self) {
        if self.part != Part::Line {
            self.push();
        }
        if self.part != Part::Push {
            self.line();
        }
    }
}
