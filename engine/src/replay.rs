//! Recorded decisions made again: with the release that made them, or with a candidate.
//!
//! A record file is streamed; what is kept is bounded by the policies, the counters of a candidate, and a window of
//! lines that puts exchanges into the order in which they were decided.

pub mod compare;
pub mod json;
pub mod line;
pub mod order;
pub mod policies;
pub mod simulate;
pub mod tally;
pub mod text;

use std::io::{self, BufRead};

use policy_evaluate::{Evaluator, Recorded};

use compare::{Standing, differences, standing};
use line::{Exchange, Line, LineFault};
use order::Order;
use policies::Policies;
use simulate::Candidate;
use tally::{Place, Tally};

use crate::failure::Failure;

/// Bytes of one line; a longer one is no record.
pub const LINE_BYTES_MAX: u64 = 1 << 20;

/// A replay that runs.
pub struct Replay<'s> {
    policies: Policies<'s>,
    candidate: Option<Candidate<'s>>,
    waiting: Order,
    pub tally: Tally,
}

impl<'s> Replay<'s> {
    /// `candidate`: what is replayed against; none replays every line with its own release.
    pub fn new(policies: Policies<'s>, candidate: Option<Evaluator<'s>>) -> Self {
        let candidate = candidate.map(Candidate::new);
        Self { policies, candidate, waiting: Order::default(), tally: Tally::default() }
    }

    /// Takes all lines of one log in. `log` is its number.
    pub fn read(&mut self, log: usize, from: &mut dyn BufRead) -> Result<(), Failure> {
        let mut buffer = Vec::new();
        for number in 1.. {
            let place = Place { log, line: number };
            match read_line(from, &mut buffer) {
                Ok(Read::End) => break,
                Ok(Read::Whole) => self.take(place, &buffer)?,
                Ok(Read::TooLong) => self.tally.no_record(place, format!("longer than {LINE_BYTES_MAX} bytes")),
                Ok(Read::Torn) => match Line::parse(&buffer) {
                    Ok(_) => self.take(place, &buffer)?,
                    Err(_) => self.tally.torn = Some(place),
                },
                Err(error) => return Err(Failure::new(format_args!("the log cannot be read: {error}"))),
            }
        }
        Ok(())
    }

    /// Decides what still waits. To be called after the last log.
    pub fn finish(&mut self) -> Result<(), Failure> {
        while let Some(next) = self.waiting.pop() {
            self.against(&next)?;
        }
        if let Some(candidate) = &self.candidate {
            self.tally.notes.extend(candidate.notes());
        }
        Ok(())
    }

    fn take(&mut self, place: Place, line: &[u8]) -> Result<(), Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let exchange = match Line::parse(line) {
            Ok(Line::Exchange(exchange)) => exchange,
            Ok(Line::Other(kind)) => {
                self.tally.other(kind);
                return Ok(());
            }
            Err(fault @ LineFault::NoRecord(_)) => {
                self.tally.no_record(place, fault.to_string());
                return Ok(());
            }
            // It says that it is an exchange, and no gateway wrote it.
            Err(fault) => {
                self.tally.unreadable(place, fault.to_string());
                return Ok(());
            }
        };
        self.tally.exchange(&exchange);
        if self.candidate.is_none() {
            return self.with_own(place, &exchange);
        }
        self.waiting.push(place, exchange, line.len());
        while let Some(next) = self.waiting.surplus() {
            self.against(&next)?;
        }
        Ok(())
    }

    /// The same decision by the release that made it.
    fn with_own(&mut self, place: Place, exchange: &Exchange) -> Result<(), Failure> {
        let standing = standing(exchange);
        if let Standing::NotDecided(why) = standing {
            self.tally.not_decided(why);
            return Ok(());
        }
        let Some(digest) = exchange.release else {
            self.tally.unnamed += 1;
            return Ok(());
        };
        let Some(own) = self.policies.of(&digest)? else {
            self.tally.missing_releases.add(digest);
            return Ok(());
        };
        let mut recorded = Recorded::new(exchange.limits.clone());
        let found = own.decide(&exchange.presented, &exchange.request, exchange.time_unix_ns, &mut recorded);
        let differences = differences(exchange, &found, &recorded, standing);
        self.tally.decided(place, exchange, standing, differences);
        Ok(())
    }

    /// The decision of the candidate.
    fn against(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        let Some(candidate) = &mut self.candidate else { return Ok(()) };
        let standing = standing(exchange);
        if let Standing::NotDecided(why) = standing {
            self.tally.not_decided(why);
            return Ok(());
        }
        let own = match &exchange.release {
            Some(digest) => self.policies.of(digest)?,
            None => None,
        };
        match candidate.decide(exchange, own) {
            Ok(found) => self.tally.compared(exchange, standing, &found),
            Err(why) => self.tally.unclear(why),
        }
        Ok(())
    }
}

/// What was read.
pub enum Read {
    Whole,
    /// Without a newline at its end: the last one.
    Torn,
    TooLong,
    End,
}

/// Reads the next line into `into`, without its newline.
pub fn read_line(from: &mut dyn BufRead, into: &mut Vec<u8>) -> io::Result<Read> {
    into.clear();
    let read = io::Read::take(&mut *from, LINE_BYTES_MAX).read_until(b'\n', into)?;
    match into.pop_if(|last| *last == b'\n') {
        Some(_) => Ok(Read::Whole),
        None if read == 0 => Ok(Read::End),
        None if read as u64 == LINE_BYTES_MAX => {
            skip_line(from)?;
            Ok(Read::TooLong)
        }
        None => Ok(Read::Torn),
    }
}

fn skip_line(from: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let available = from.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        let newline = available.iter().position(|byte| *byte == b'\n');
        let length = newline.map_or(available.len(), |at| at + 1);
        from.consume(length);
        if newline.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
