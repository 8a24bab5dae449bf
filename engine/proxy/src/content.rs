//! Content on its way through: a reader that finds where it ends, a writer that frames it again, and the pump between
//! them. Bounded memory whatever the size; the slower side sets the pace.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::rc::Rc;

use activation::injection::Injection;
use http1::{CHUNK_END, Chunk, ChunkedDecoder, Trailers, parse_trailers, write_chunk_head, write_last_chunk};

use crate::block::{Block, Blocks, Gather};
use crate::deadline::{Deadline, Direction, Stage};
use crate::transport::{Interest, Transport, read_some, write_all};
use crate::turn::Turn;

/// Pieces up to this size are gathered and written together; larger ones go out from where they lie.
const GATHERED_BYTES_MAX: usize = 8 << 10;

/// Blocks that one reader takes before it waits in the ring.
const READS_PER_TURN_MAX: u32 = 8;

/// Where content ends.
#[derive(Clone, Debug)]
pub enum Framing {
    /// This many bytes are left.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

/// Time limit of each wait on one side.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    pub deadline: &'a Deadline,
    pub stage: Stage,
    pub limit_ms: u32,
}

impl Pace<'_> {
    fn restart(&self, direction: Direction) {
        self.deadline.set(direction, self.stage, self.limit_ms);
    }
}

/// Why no more content can be read.
#[derive(Debug)]
pub enum ReadFault {
    /// The peer ended or broke the connection, or was too slow.
    Ended,
    Malformed,
    TooLarge,
}

/// Reads content: first what came with the head, then from the connection.
pub struct Reader<'a, T> {
    transport: &'a T,
    pace: Pace<'a>,
    blocks: &'a Rc<Blocks>,
    /// What is left of the bytes that came with the head.
    first: &'a [u8],
    block: Option<Block>,
    /// Unread bytes of `block`.
    unread: Range<usize>,
    framing: Framing,
    over: bool,
    /// Reads since this reader last waited in the ring.
    reads: u32,
    /// Content bytes read, and how many may be.
    pub bytes: u64,
    bytes_max: u64,
}

/// What a reader has at hand.
pub enum Step<'s> {
    Data(&'s [u8]),
    /// More must come from the peer: `fill`.
    Wait,
    /// The content is over. The trailer section with its final empty line; empty where there is none.
    End(&'s [u8]),
}

/// Bytes after the content: the next request's.
pub enum Rest {
    /// The last so many bytes of what came with the head.
    WithHead(usize),
    InBlock(Block, Range<usize>),
}

impl<'a, T: Transport> Reader<'a, T> {
    /// A reader whose first bytes lie in another block.
    pub fn after(transport: &'a T, pace: Pace<'a>, blocks: &'a Rc<Blocks>, first: &'a [u8], framing: Framing) -> Self {
        Self {
            transport,
            pace,
            blocks,
            first,
            block: None,
            unread: 0..0,
            framing,
            over: false,
            reads: 0,
            bytes: 0,
            bytes_max: u64::MAX,
        }
    }

    /// A reader that takes over the block of the head.
    pub fn within(
        transport: &'a T,
        pace: Pace<'a>,
        blocks: &'a Rc<Blocks>,
        block: Block,
        unread: Range<usize>,
        framing: Framing,
    ) -> Self {
        let block = Some(block);
        Self {
            transport,
            pace,
            blocks,
            first: &[],
            block,
            unread,
            framing,
            over: false,
            reads: 0,
            bytes: 0,
            bytes_max: u64::MAX,
        }
    }

    /// Refuses more than so many bytes; 0 = no bound.
    pub fn bounded(mut self, bytes_max: u64) -> Self {
        self.bytes_max = if bytes_max == 0 { u64::MAX } else { bytes_max };
        self
    }

    /// Whether all content was read.
    pub fn is_over(&self) -> bool {
        self.over || matches!(self.framing, Framing::Length(0))
    }

    /// What follows the content.
    pub fn rest(self) -> Rest {
        match self.block {
            Some(block) if self.first.is_empty() => Rest::InBlock(block, self.unread),
            _ => Rest::WithHead(self.first.len()),
        }
    }

    /// The next piece of what is at hand.
    pub fn step(&mut self) -> Result<Step<'_>, ReadFault> {
        let at_hand = self.at_hand().len();
        let (data, taken) = match &mut self.framing {
            Framing::Length(0) => return Ok(Step::End(&[])),
            _ if self.over => return Ok(Step::End(&[])),
            Framing::Length(_) | Framing::UntilClose if at_hand == 0 => return Ok(Step::Wait),
            Framing::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(at_hand);
                *left -= length as u64;
                (0..length, length)
            }
            Framing::UntilClose => (0..at_hand, at_hand),
            Framing::Chunked(_) => match self.decode()? {
                Chunk::Data(data) => (data.clone(), data.end),
                Chunk::Partial { consumed } => {
                    self.take(consumed);
                    return Ok(Step::Wait);
                }
                Chunk::End { trailers, consumed } => {
                    self.over = true;
                    return Ok(Step::End(self.take(consumed).get(trailers).unwrap_or(&[])));
                }
            },
        };
        self.bytes += data.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(ReadFault::TooLarge);
        }
        Ok(Step::Data(self.take(taken).get(data).unwrap_or(&[])))
    }

    /// Waits for more.
    pub async fn fill(&mut self) -> Result<(), ReadFault> {
        self.pace.restart(Direction::Read);
        self.reads += 1;
        if self.reads > READS_PER_TURN_MAX {
            // A peer that is always faster must not keep the others from their turn.
            self.reads = 0;
            self.transport.ready(Interest::Read).await.map_err(|_| ReadFault::Ended)?;
        }
        let mut block = match self.block.take() {
            Some(block) => block,
            None => self.blocks.block(),
        };
        // What is unread (at most part of a trailer section) moves to the front.
        let kept = if self.first.is_empty() {
            block.copy_within(self.unread.clone(), 0);
            self.unread.len()
        } else {
            let kept = self.first.len().min(block.len());
            if let (Some(to), Some(from)) = (block.get_mut(..kept), self.first.get(..kept)) {
                to.copy_from_slice(from);
            }
            self.first = &[];
            kept
        };
        let free = block.get_mut(kept..).unwrap_or(&mut []);
        let read = if free.is_empty() { Ok(0) } else { read_some(self.transport, free).await };
        self.pace.deadline.pause(Direction::Read);
        self.unread = 0..kept + read.as_ref().map_or(0, |read| *read);
        self.block = Some(block);
        match read {
            Ok(0) if matches!(self.framing, Framing::UntilClose) && self.pace.deadline.expired().is_none() => {
                self.over = true;
                Ok(())
            }
            Ok(0) | Err(_) => Err(ReadFault::Ended),
            Ok(_) => Ok(()),
        }
    }

    fn at_hand(&self) -> &[u8] {
        match &self.block {
            Some(block) if self.first.is_empty() => block.get(self.unread.clone()).unwrap_or(&[]),
            _ => self.first,
        }
    }

    fn decode(&mut self) -> Result<Chunk, ReadFault> {
        let at_hand = match &self.block {
            Some(block) if self.first.is_empty() => block.get(self.unread.clone()).unwrap_or(&[]),
            _ => self.first,
        };
        match &mut self.framing {
            Framing::Chunked(decoder) => decoder.step(at_hand).map_err(|_| ReadFault::Malformed),
            _ => Ok(Chunk::Partial { consumed: 0 }),
        }
    }

    /// Takes `count` bytes of what is at hand.
    fn take(&mut self, count: usize) -> &[u8] {
        match &self.block {
            Some(block) if self.first.is_empty() => {
                let from = self.unread.start;
                let to = (from + count).min(self.unread.end);
                self.unread.start = to;
                block.get(from..to).unwrap_or(&[])
            }
            _ => {
                let (taken, rest) = self.first.split_at_checked(count).unwrap_or((self.first, &[]));
                self.first = rest;
                taken
            }
        }
    }
}

/// Writes content after a head that lies in `gather` already.
pub struct Writer<'a, T> {
    transport: &'a T,
    pace: Pace<'a>,
    turn: &'a Turn,
    gather: Gather,
    chunked: bool,
    /// What no trailer field may be named as.
    pub injected: Option<&'a Injection>,
    /// `Connection` lists fields: no trailer field goes on, which one may always leave out (RFC 9110 §6.5.1).
    pub drops_trailers: bool,
    /// Content bytes written.
    pub bytes: u64,
    /// Something of the message has left.
    pub begun: bool,
}

impl<'a, T: Transport> Writer<'a, T> {
    pub fn new(transport: &'a T, pace: Pace<'a>, turn: &'a Turn, gather: Gather, chunked: bool) -> Self {
        Self { transport, pace, turn, gather, chunked, injected: None, drops_trailers: false, bytes: 0, begun: false }
    }

    /// Sends a piece of content, now or with the next ones.
    pub async fn send(&mut self, data: &[u8]) -> io::Result<()> {
        self.bytes += data.len() as u64;
        if self.chunked {
            write_chunk_head(data.len(), &mut self.gather);
        }
        if self.gather.len() + data.len() <= GATHERED_BYTES_MAX {
            self.gather.extend_from_slice(data);
            if self.chunked {
                self.gather.extend_from_slice(CHUNK_END);
            }
            return Ok(());
        }
        self.pace.restart(Direction::Write);
        self.begun = true;
        let end = if self.chunked { CHUNK_END } else { &[] };
        let sent = match (self.gather.is_empty(), self.chunked) {
            (true, false) => write_all(self.transport, &mut [IoSlice::new(data)]).await,
            _ => {
                let mut pieces = [IoSlice::new(&self.gather), IoSlice::new(data), IoSlice::new(end)];
                write_all(self.transport, &mut pieces).await
            }
        };
        self.pace.deadline.pause(Direction::Write);
        self.gather.clear();
        sent
    }

    /// Sends what was gathered.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.gather.is_empty() {
            return Ok(());
        }
        self.pace.restart(Direction::Write);
        self.begun = true;
        let sent = write_all(self.transport, &mut [IoSlice::new(&self.gather)]).await;
        self.pace.deadline.pause(Direction::Write);
        self.gather.clear();
        sent
    }

    /// Ends the content with the fields of a trailer section (chunked only).
    pub async fn finish(&mut self, section: &[u8]) -> Result<(), PumpFault> {
        if self.chunked {
            let mut trailers = Trailers::default();
            if !section.is_empty() && section != b"\r\n" {
                parse_trailers(section, &mut trailers).map_err(|_| PumpFault::Read(ReadFault::Malformed))?;
                match self.injected {
                    _ if self.drops_trailers => trailers = Trailers::default(),
                    Some(injected) => trailers.withhold(section, &injected.field()),
                    None => {}
                }
            }
            write_last_chunk(section, &trailers, &mut self.gather);
        }
        if !self.begun {
            // A message in one piece, as most are.
            self.turn.end().await;
        }
        self.flush().await.map_err(|_| PumpFault::Write)
    }
}

/// Which side of a pump gave way.
#[derive(Debug)]
pub enum PumpFault {
    Read(ReadFault),
    Write,
}

/// Moves all content from `reader` to `writer`.
pub async fn pump<R: Transport, W: Transport>(
    reader: &mut Reader<'_, R>,
    writer: &mut Writer<'_, W>,
) -> Result<(), PumpFault> {
    loop {
        match reader.step().map_err(PumpFault::Read)? {
            Step::Data(data) => writer.send(data).await.map_err(|_| PumpFault::Write)?,
            Step::End(section) => return writer.finish(section).await,
            Step::Wait => {
                writer.flush().await.map_err(|_| PumpFault::Write)?;
                reader.fill().await.map_err(PumpFault::Read)?;
            }
        }
    }
}
