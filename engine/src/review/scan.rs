//! Reads record files: exchanges of a window in the order of their decisions, and what speaks against the evidence.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use chain::log::Told;

use super::bounds::NAME_BYTES_MAX;
use super::evidence::Evidence;
use crate::commands::audit::open_records;
use crate::failure::Failure;
use crate::replay::line::{Exchange, Line};
use crate::replay::order::Order;
use crate::replay::tally::Place;
use crate::replay::{LINE_BYTES_MAX, Read, read_line};

/// Bytes that are read from a file at once.
const BUFFER_BYTES: usize = 1 << 18;
/// What gzip begins with (RFC 1952 §2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// From, and until: nanoseconds since the Unix epoch; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub since_ns: u64,
    pub until_ns: u64,
}

impl Window {
    pub const ALL: Self = Self { since_ns: 0, until_ns: u64::MAX };

    pub const fn holds(&self, time_ns: u64) -> bool {
        self.since_ns <= time_ns && time_ns < self.until_ns
    }
}

/// What is done with the exchanges of one file after the other.
pub trait Take {
    /// Exchanges that follow are of another gateway than those before: its counters are others.
    fn other_gateway(&mut self) -> Result<(), Failure>;

    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Failure>;
}

/// Reads all files, in their order.
///
/// # Errors
/// A file that cannot be read, or is none of records; and what `take` says.
pub fn scan(files: &[PathBuf], evidence: &mut Evidence, take: &mut dyn Take) -> Result<(), Failure> {
    let mut waiting = Ordered { order: Order::default(), window: evidence.window };
    let mut gateway = None;
    for (log, path) in files.iter().enumerate() {
        let mut reader = open(path)?;
        evidence.begin_file(&name_of(path));
        let mut buffer = Vec::new();
        for number in 1.. {
            let place = Place { log, line: number };
            let read = read_line(&mut *reader, &mut buffer)
                .map_err(|error| Failure::new(format_args!("{}: cannot be read: {error}", name_of(path))))?;
            if number == 1 {
                let node = node_of(&buffer);
                if node.is_some() && node != gateway {
                    waiting.drain(take)?;
                    if gateway.is_some() {
                        take.other_gateway()?;
                    }
                    gateway.clone_from(&node);
                }
                evidence.begin_gateway(gateway.as_deref());
            }
            match read {
                Read::End => break,
                Read::TooLong => evidence.no_record(format!("line {number} is longer than {LINE_BYTES_MAX} bytes")),
                Read::Torn if Line::parse(&buffer).is_err() => evidence.torn += 1,
                Read::Torn | Read::Whole => waiting.line(place, &buffer, evidence, take)?,
            }
        }
        evidence.end_file();
    }
    waiting.drain(take)
}

/// The exchanges of the window in their order.
struct Ordered {
    order: Order,
    window: Window,
}

impl Ordered {
    fn line(&mut self, place: Place, line: &[u8], evidence: &mut Evidence, take: &mut dyn Take) -> Result<(), Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let is_new = evidence.chained(line);
        match Line::parse(line) {
            Ok(Line::Exchange(exchange)) => {
                evidence.exchange(&exchange);
                if is_new && self.window.holds(exchange.time_unix_ns) {
                    self.order.push(place, exchange, line.len());
                }
            }
            Ok(Line::Other(kind)) => evidence.other(&kind, line),
            Err(fault) => evidence.no_record(format!("line {}: {fault}", place.line)),
        }
        while let Some(next) = self.order.surplus() {
            take.exchange(&next)?;
        }
        Ok(())
    }

    fn drain(&mut self, take: &mut dyn Take) -> Result<(), Failure> {
        while let Some(next) = self.order.pop() {
            take.exchange(&next)?;
        }
        Ok(())
    }
}

/// The gateway that a file's first line names, in so many bytes as one may have.
fn node_of(line: &[u8]) -> Option<String> {
    match Told::read(line)? {
        Told::Start { origin, .. } | Told::Continued { origin, .. } => {
            let node = origin.rsplit_once('/').map_or("", |(node, _)| node);
            (node.len() <= NAME_BYTES_MAX).then(|| node.to_owned())
        }
        _ => None,
    }
}

pub fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let mut reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin()))
    } else {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, open_records(path)?))
    };
    let name = name_of(path);
    let start = reader.fill_buf().map_err(|error| Failure::new(format_args!("{name}: cannot be read: {error}")))?;
    if start.starts_with(&GZIP) {
        return Err(Failure::new(format_args!("{name}: expected records, found gzip"))
            .help(format_args!("pipe it in: zcat {name} | adamant review - …")));
    }
    Ok(reader)
}
