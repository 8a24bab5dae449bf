//! Reads record files: exchanges of a window in the order of their decisions, and what speaks against the evidence.

use std::io::{BufRead, BufReader};
use std::path::Path;

use chain::log::Told;

use super::bounds::{AHEAD_BYTES_MAX, NAME_BYTES_MAX};
use super::evidence::Evidence;
use super::intents::{Intent, Intents};
use crate::commands::audit::{Identities, RECORD_FILES, Records};
use crate::failure::Failure;
use crate::replay::line::{Exchange, Line, LineFault};
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

    /// Whether any of what lasted from one time to the other, both included, lies in it.
    pub const fn meets(&self, from_ns: u64, to_ns: u64) -> bool {
        from_ns < self.until_ns && to_ns >= self.since_ns
    }

    /// The same of an exchange: what it was permitted was in use until its end.
    pub const fn meets_exchange(&self, exchange: &Exchange) -> bool {
        let ended_ns = if exchange.outlasts_its_record() { u64::MAX } else { exchange.ended_unix_ns() };
        self.meets(exchange.time_unix_ns, ended_ns)
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
pub fn scan(records: Records<'_>, evidence: &mut Evidence, take: &mut dyn Take) -> Result<(), Failure> {
    let mut scan = Scan {
        evidence,
        take,
        order: Order::default(),
        intents: Intents::default(),
        gateway: String::new(),
        is_begun: false,
    };
    for (log, path) in records.files.iter().enumerate() {
        scan.file(log, path, records.identities)?;
    }
    scan.end_gateway()
}

/// Lines of one gateway after the other.
struct Scan<'s> {
    evidence: &'s mut Evidence,
    take: &'s mut dyn Take,
    /// Exchanges of the window, for their order.
    order: Order,
    /// Exchanges that have begun.
    intents: Intents,
    /// Whose lines are read; empty where no line says it.
    gateway: String,
    /// Lines of the present file were taken already.
    is_begun: bool,
}

/// A line that is a record, or says that it is none.
struct Entry {
    place: Place,
    bytes: Vec<u8>,
    line: Result<Line, LineFault>,
}

/// Lines at the beginning of a file before the first one that names their gateway.
#[derive(Default)]
struct Ahead {
    lines: Vec<Entry>,
    bytes: usize,
}

impl Scan<'_> {
    fn file(&mut self, log: usize, path: &Path, identities: &Identities) -> Result<(), Failure> {
        let mut reader = open(path, identities)?;
        self.evidence.begin_file(&name_of(path));
        self.is_begun = false;
        let mut ahead = Some(Ahead::default());
        let mut buffer = Vec::new();
        let (mut records, mut first_fault) = (0_u64, None);
        for number in 1.. {
            let read = read_line(&mut *reader, &mut buffer)
                .map_err(|error| Failure::new(format_args!("{}: cannot be read: {error}", name_of(path))))?;
            let is_torn = match read {
                Read::End => break,
                Read::TooLong => {
                    self.evidence.no_record(format!("line {number} is longer than {LINE_BYTES_MAX} bytes"));
                    continue;
                }
                Read::Torn => true,
                Read::Whole => false,
            };
            if buffer.trim_ascii().is_empty() {
                continue;
            }
            let line = Line::parse(&buffer);
            if is_torn && line.is_err() {
                self.evidence.torn += 1;
                continue;
            }
            match &line {
                Ok(_) => records += 1,
                Err(fault) => {
                    first_fault.get_or_insert_with(|| format!("line {number}: {fault}"));
                }
            }
            let read = Entry { place: Place { log, line: number }, bytes: std::mem::take(&mut buffer), line };
            buffer = self.line(read, &mut ahead)?;
        }
        if let (0, Some(fault)) = (records, first_fault) {
            return Err(Failure::new(format_args!("{}: expected records, found none: {fault}", name_of(path)))
                .help(RECORD_FILES));
        }
        if let Some(ahead) = ahead {
            self.without_name(ahead)?;
        }
        self.evidence.end_file();
        Ok(())
    }

    /// Takes a line, or holds it back while nothing says whose it is. Gives a buffer for the next one.
    fn line(&mut self, read: Entry, ahead: &mut Option<Ahead>) -> Result<Vec<u8>, Failure> {
        if let Some(node) = node_of(&read) {
            // Lines before it are of the same gateway, as far as the file says.
            let held = ahead.take().unwrap_or_default();
            let first = held.lines.first().unwrap_or(&read).place;
            self.turn_to(&node, first)?;
            for line in held.lines {
                self.take_line(line)?;
            }
        }
        let Some(held) = ahead else { return self.take_line(read) };
        held.bytes += read.bytes.len();
        held.lines.push(read);
        if held.bytes > AHEAD_BYTES_MAX
            && let Some(held) = ahead.take()
        {
            self.without_name(held)?;
        }
        Ok(Vec::new())
    }

    /// Lines of which nothing names the gateway: of the one before, where its chain goes on with them; else of one without
    /// a name, which covers for no other.
    fn without_name(&mut self, ahead: Ahead) -> Result<(), Failure> {
        let Some(first) = ahead.lines.first() else { return Ok(()) };
        let gateway = if self.evidence.goes_on(&first.bytes) { self.gateway.clone() } else { String::new() };
        self.turn_to(&gateway, first.place)?;
        for line in ahead.lines {
            self.take_line(line)?;
        }
        Ok(())
    }

    /// The lines that follow, from `place` on, are of this gateway.
    fn turn_to(&mut self, gateway: &str, place: Place) -> Result<(), Failure> {
        let is_other = gateway != self.gateway;
        if is_other {
            self.end_gateway()?;
            self.take.other_gateway()?;
            gateway.clone_into(&mut self.gateway);
        }
        if is_other || !self.is_begun {
            self.evidence.begin_gateway(gateway, self.is_begun.then_some(place.line));
            self.is_begun = true;
        }
        Ok(())
    }

    fn end_gateway(&mut self) -> Result<(), Failure> {
        self.cut_short(u64::MAX)?;
        while let Some(next) = self.order.pop() {
            self.take.exchange(&next)?;
        }
        Ok(())
    }

    /// Takes a line of the present gateway; gives its buffer back.
    fn take_line(&mut self, read: Entry) -> Result<Vec<u8>, Failure> {
        let Entry { place, bytes, line } = read;
        let is_new = self.evidence.chained(&bytes);
        match line {
            Ok(Line::Exchange(exchange)) => {
                self.intents.end(&exchange.request_id);
                self.evidence.exchange(&exchange, is_new);
                if is_new && self.evidence.window.meets_exchange(&exchange) {
                    self.put(place, exchange, bytes.len())?;
                }
            }
            Ok(Line::Other(kind)) => {
                let time_ns = self.evidence.other(&kind, &bytes, is_new);
                match &*kind {
                    "intent" if is_new => self.intent(place, &bytes)?,
                    // Another run: what the one before had begun is over.
                    "start" => self.cut_short(time_ns.unwrap_or(u64::MAX))?,
                    _ => {}
                }
            }
            Err(fault) => self.evidence.no_record(format!("line {}: {fault}", place.line)),
        }
        Ok(bytes)
    }

    fn intent(&mut self, place: Place, line: &[u8]) -> Result<(), Failure> {
        let exchange = match Line::intent(line) {
            Ok(exchange) => exchange,
            Err(fault) => {
                self.evidence.no_record(format!("line {}: {fault}", place.line));
                return Ok(());
            }
        };
        let not_held = self.intents.begin(Intent { place, line_bytes: line.len(), exchange });
        not_held.map_or(Ok(()), |intent| self.used(intent, u64::MAX))
    }

    /// Exchanges that have begun and of which no end was told; they were over at this time, if not before.
    fn cut_short(&mut self, over_ns: u64) -> Result<(), Failure> {
        self.intents.take().into_iter().try_for_each(|intent| self.used(intent, over_ns))
    }

    fn used(&mut self, intent: Intent, over_ns: u64) -> Result<(), Failure> {
        let Intent { place, line_bytes, exchange } = intent;
        if !self.evidence.window.meets(exchange.time_unix_ns, over_ns) {
            return Ok(());
        }
        self.evidence.cut_short += 1;
        self.put(place, exchange, line_bytes)
    }

    fn put(&mut self, place: Place, exchange: Box<Exchange>, line_bytes: usize) -> Result<(), Failure> {
        self.order.push(place, exchange, line_bytes);
        while let Some(next) = self.order.surplus() {
            self.take.exchange(&next)?;
        }
        Ok(())
    }
}

/// The gateway that a line names, in so many bytes as one may have.
fn node_of(read: &Entry) -> Option<String> {
    let Ok(Line::Other(kind)) = &read.line else { return None };
    if !matches!(&**kind, "start" | "continued") {
        return None;
    }
    let (Told::Start { origin, .. } | Told::Continued { origin, .. }) = Told::read(&read.bytes)? else { return None };
    let (node, _) = origin.rsplit_once('/')?;
    (!node.is_empty() && node.len() <= NAME_BYTES_MAX).then(|| node.to_owned())
}

pub fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn open(path: &Path, identities: &Identities) -> Result<Box<dyn BufRead>, Failure> {
    let mut reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(BUFFER_BYTES, identities.open(path)?));
    let name = name_of(path);
    let start = reader.fill_buf().map_err(|error| Failure::new(format_args!("{name}: cannot be read: {error}")))?;
    if start.starts_with(&GZIP) {
        return Err(Failure::new(format_args!("{name}: expected records, found gzip"))
            .help(format_args!("pipe it in: zcat {name} | adamant review - …")));
    }
    Ok(reader)
}
