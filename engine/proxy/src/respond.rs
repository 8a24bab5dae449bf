//! Stage 7: the origin's response on its way to the client, interim ones included.

use std::cell::Cell;
use std::io::{self, IoSlice};

use http1::{ChunkedDecoder, Progress, Relay, ResponseFraming, ResponseHead};
use policy::rate::Verdict;
use policy::reason::Reason;
use policy::table::LimitIndex;

use crate::block::Block;
use crate::content::{Framing, Pace, PumpFault, Reader, Rest, Writer, pump};
use crate::deadline::{Direction, Stage};
use crate::forward::Asking;
use crate::journal::Journal;
use crate::local::{limit_state, stays_open};
use crate::origins::OriginConnection;
use crate::transport::{Interest, Transport, read_some, write_all};
use crate::worker::Worker;

/// Interim responses that one exchange may have.
const INTERIM_RESPONSES_MAX: usize = 16;
/// The gateway's pseudonym in `Via`.
pub const VIA: &[u8] = b"adamant";

/// What both directions of an exchange know of each other.
#[derive(Default)]
pub struct Progressed {
    /// The whole request has been sent.
    pub uploaded: Cell<bool>,
    /// Something of the final response has been sent.
    pub answered: Cell<bool>,
    /// Something of a response has come.
    pub heard: Cell<bool>,
}

/// A response that was relayed whole.
pub struct Relayed {
    pub keep_alive: bool,
    /// The origin's connection is at the start of a new exchange.
    pub reusable: bool,
}

/// One exchange's two connections and what was decided.
pub struct Between<'a, T> {
    pub asking: Asking<'a, T>,
    /// Name of the agent that calls.
    pub agent: Option<&'a str>,
    pub origin: &'a OriginConnection,
    /// The limit with the least left.
    pub tightest: Option<(LimitIndex, Verdict)>,
    pub progressed: &'a Progressed,
}

impl<T: Transport> Between<'_, T> {
    /// Relays the response.
    ///
    /// # Errors
    /// Why it was not relayed whole. Whether the client has seen any of it stands in `progressed`.
    pub async fn relay(&self, reply: &mut ResponseHead, journal: &mut Journal<'_>) -> Result<Relayed, Reason> {
        let (block, filled) = self.final_head(reply).await?;
        self.origin.deadline().pause(Direction::Read);
        journal.record.status = reply.status;
        journal.record.first_byte_us = journal.elapsed_us();
        let head = self.asking.request.head;
        let framing = reply.framing_to(head.version);
        let keep_alive = self.progressed.uploaded.get()
            && framing != ResponseFraming::UntilClose
            && stays_open(self.asking.worker, self.asking.client, Some(head));
        let mut gather = self.asking.worker.blocks.gather();
        let limit = self.tightest.as_ref().and_then(|limit| limit_state(self.asking.activation, limit));
        let relay = Relay {
            client_version: head.version,
            keep_alive,
            request_id: &hex(journal.record.request_id),
            date: &self.asking.worker.date.at(journal.record.time_unix_ns / 1_000_000_000),
            limits: limit.as_slice(),
            via: VIA,
        };
        http1::write_response_head(&block, reply, &relay, &mut gather).map_err(|_| Reason::OriginMalformed)?;
        self.progressed.answered.set(true);
        let pace = Pace {
            deadline: &self.asking.client.deadline,
            stage: Stage::Content,
            limit_ms: self.asking.worker.settings.timeouts.content_idle_ms,
        };
        let (turn, chunked) = (&self.asking.worker.turn, framing == ResponseFraming::Chunked);
        let mut writer = Writer::new(&self.asking.client.transport, pace, turn, gather, chunked);
        writer.drops_trailers = reply.lists_fields();
        let moved = self.content(reply, block, filled, &mut writer).await;
        journal.record.bytes_out = writer.bytes;
        Ok(Relayed { keep_alive, reusable: moved? && reply.keep_alive })
    }

    /// Moves the content; true when nothing but the content came.
    async fn content(
        &self,
        reply: &ResponseHead,
        block: Block,
        filled: usize,
        writer: &mut Writer<'_, T>,
    ) -> Result<bool, Reason> {
        let framing = match reply.framing {
            ResponseFraming::None => Framing::Length(0),
            ResponseFraming::Length(length) => Framing::Length(length),
            ResponseFraming::Chunked => Framing::Chunked(ChunkedDecoder::new()),
            ResponseFraming::UntilClose => Framing::UntilClose,
        };
        let pace = Pace {
            deadline: self.origin.deadline(),
            stage: Stage::OriginContent,
            limit_ms: self.asking.worker.settings.timeouts.content_idle_ms,
        };
        let unread = reply.length..filled;
        let mut reader = Reader::within(self.origin, pace, &self.asking.worker.blocks, block, unread, framing);
        match pump(&mut reader, writer).await {
            Ok(()) => Ok(matches!(reader.rest(), Rest::InBlock(_, rest) if rest.is_empty())),
            Err(PumpFault::Read(_)) => Err(self.origin_gone()),
            Err(PumpFault::Write) => Err(self.client_gone()),
        }
    }

    /// Reads heads until the final one; interim ones are passed on. Gives the block it lies in and how much is filled.
    async fn final_head(&self, reply: &mut ResponseHead) -> Result<(Block, usize), Reason> {
        let bounds = http1::Bounds {
            head_bytes_max: self.asking.worker.settings.bounds.head_bytes_max,
            target_bytes_max: 0,
            fields_max: http1::FIELDS_MAX,
        };
        let (mut block, mut filled) = self.first_bytes().await?;
        let mut interim = 0;
        loop {
            let bytes = block.get(..filled).unwrap_or(&[]);
            let parsed = match bytes {
                [] => Progress::Partial,
                bytes => http1::parse_response(bytes, &bounds, self.asking.request.is_head(), reply)
                    .map_err(|_| Reason::OriginMalformed)?,
            };
            match parsed {
                Progress::Complete if !reply.interim => return Ok((block, filled)),
                Progress::Complete => {
                    interim += 1;
                    if interim > INTERIM_RESPONSES_MAX {
                        return Err(Reason::OriginMalformed);
                    }
                    self.pass_interim(bytes, reply).await?;
                    block.copy_within(reply.length..filled, 0);
                    filled -= reply.length;
                }
                Progress::Partial => {
                    let free = block.get_mut(filled..).unwrap_or(&mut []);
                    if free.is_empty() {
                        return Err(Reason::OriginMalformed);
                    }
                    match read_some(self.origin, free).await {
                        Ok(0) | Err(_) => return Err(self.origin_gone()),
                        Ok(read) => filled += read,
                    }
                    self.progressed.heard.set(true);
                }
            }
        }
    }

    /// Waits for the origin's first bytes; gives a block and how much of it is filled, which may be nothing yet. An exchange
    /// that waits in the ring holds no block.
    async fn first_bytes(&self) -> Result<(Block, usize), Reason> {
        let Worker { turn, blocks, .. } = self.asking.worker;
        if turn.end().await {
            // While the others sent theirs, the origin had time to answer.
            let mut block = blocks.block();
            match self.origin.try_read(&mut block) {
                Ok(0) => return Err(self.origin_gone()),
                Ok(read) => {
                    self.progressed.heard.set(true);
                    return Ok((block, read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.origin_gone()),
            }
        }
        self.origin.ready(Interest::Read).await.map_err(|_| self.origin_gone())?;
        Ok((blocks.block(), 0))
    }

    async fn pass_interim(&self, bytes: &[u8], reply: &ResponseHead) -> Result<(), Reason> {
        let mut gather = self.asking.worker.blocks.gather();
        http1::write_interim_head(bytes, reply, self.asking.request.head.version, &mut gather);
        if gather.is_empty() {
            return Ok(());
        }
        self.asking.client.deadline.set(
            Direction::Write,
            Stage::Content,
            self.asking.worker.settings.timeouts.content_idle_ms,
        );
        let written = write_all(&self.asking.client.transport, &mut [IoSlice::new(&gather)]).await;
        self.asking.client.deadline.pause(Direction::Write);
        written.map_err(|_| self.client_gone())
    }

    /// Why the origin gives nothing any more.
    pub fn origin_gone(&self) -> Reason {
        match self.origin.deadline().expired() {
            Some(stage) => stage.ends_exchange().unwrap_or(Reason::OriginTimeout),
            None => Reason::OriginBroke,
        }
    }

    /// Why the client takes or gives nothing any more.
    pub fn client_gone(&self) -> Reason {
        match self.asking.client.deadline.expired() {
            Some(stage) => stage.ends_exchange().unwrap_or(Reason::ClientTimeout),
            None => Reason::ClientAborted,
        }
    }
}

/// A request id as it stands in fields and records: 32 hexadecimal digits.
pub fn hex(id: u128) -> [u8; 32] {
    let digit = |four: u8| if four < 10 { b'0' + four } else { b'a' + four - 10 };
    let mut text = [b'0'; 32];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(id.to_be_bytes()) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_32_digits() {
        for id in [0, 1, 0xab_cdef, u128::MAX] {
            assert_eq!(std::str::from_utf8(&hex(id)).unwrap(), format!("{id:032x}"));
        }
    }
}
