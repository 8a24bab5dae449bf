//! One connection of the recording origin.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use super::{RAW_BYTES_MAX, Recorded, Shared};
use crate::answer::{self, Answer, Content, When};
use crate::content::ContentDecoder;
use crate::stream::{Stream, timed_out};
use crate::wire::{Mode, Parsed, RequestHead, request_head};

/// How often a waiting connection looks whether the origin stops.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a connection ended.
pub(super) enum Fault {
    /// The peer sent what is not one unambiguous request.
    Invalid(String),
    /// It was closed, by whichever side.
    Ended,
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

struct Serving<'s> {
    stream: Stream,
    number: usize,
    shared: &'s Shared,
    received: Vec<u8>,
}

pub(super) fn connection(
    socket: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    number: usize,
    shared: &Shared,
) -> Result<(), Fault> {
    let stream = Stream::accept(socket, tls)?;
    stream.set_read_timeout(LOOK_EVERY)?;
    let mut serving = Serving { stream, number, shared, received: Vec::new() };
    loop {
        let head = serving.head()?;
        if !serving.answer(head)? {
            serving.stream.half_close()?;
            return serving.drain();
        }
    }
}

impl Serving<'_> {
    fn head(&mut self) -> Result<RequestHead, Fault> {
        loop {
            match request_head(&self.received, Mode::Canonical) {
                Parsed::Complete(head) => {
                    self.received.drain(..head.length);
                    return Ok(head);
                }
                Parsed::Partial => self.fill()?,
                Parsed::Invalid(why) => {
                    self.stream
                        .write_all(b"HTTP/1.1 400 Not canonical\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
                    return Err(Fault::Invalid(why));
                }
            }
        }
    }

    /// Answers one request; whether the connection goes on.
    fn answer(&mut self, head: RequestHead) -> Result<bool, Fault> {
        let request = Recorded {
            head: head.clone(),
            content: Vec::new(),
            content_bytes: 0,
            trailers: Vec::new(),
            connection: self.number,
            complete: false,
        };
        let index = {
            let mut journal = self.shared.journal();
            journal.requests.push(request);
            journal.requests.len() - 1
        };
        let script = Arc::clone(&self.shared.script.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = script(&head, index);
        let expects = head.value("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        if answer.when == When::AfterContent {
            if expects && self.received.is_empty() {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            self.content(&head, index)?;
        }
        self.respond(&answer, &head, index)?;
        match answer.when {
            When::AfterContent => {}
            When::AfterHead => self.content(&head, index)?,
            When::InsteadOfContent => return Ok(false),
        }
        Ok(head.keep_alive() && !answer.close && !matches!(answer.content, Content::UntilClose(_)))
    }

    fn content(&mut self, head: &RequestHead, index: usize) -> Result<(), Fault> {
        let pause = *self.shared.read_pause.lock().unwrap_or_else(PoisonError::into_inner);
        let mut decoder = ContentDecoder::new(head.framing, Mode::Canonical);
        while !decoder.is_done() {
            if self.received.is_empty() {
                thread::sleep(pause);
                self.fill()?;
            }
            let mut pieces = Vec::new();
            let used = decoder.push(&self.received, |piece| pieces.extend_from_slice(piece)).map_err(Fault::Invalid)?;
            self.received.drain(..used);
            let mut journal = self.shared.journal();
            let request = &mut journal.requests[index];
            request.content_bytes += pieces.len() as u64;
            let room = RAW_BYTES_MAX.saturating_sub(request.content.len()).min(pieces.len());
            request.content.extend_from_slice(&pieces[..room]);
        }
        let mut journal = self.shared.journal();
        journal.requests[index].trailers = decoder.trailers().to_vec();
        journal.requests[index].complete = true;
        Ok(())
    }

    fn respond(&mut self, answer: &Answer, head: &RequestHead, index: usize) -> Result<(), Fault> {
        thread::sleep(answer.delay);
        match answer.fault {
            answer::Fault::BeforeResponse => return Err(Fault::Ended),
            answer::Fault::Silence => return self.drain().and(Err(Fault::Ended)),
            _ => {}
        }
        let echoed = self.shared.journal().requests[index].content.clone();
        let response_head = answer.head(echoed.len());
        if let Content::Raw(bytes) = &answer.content {
            return Ok(self.stream.write_all(bytes)?);
        }
        if answer.fault == answer::Fault::InHead {
            self.stream.write_all(&response_head[..response_head.len() / 2])?;
            return Err(Fault::Ended);
        }
        self.stream.write_all(&response_head)?;
        if head.method == "HEAD" {
            return Ok(());
        }
        let broken = answer.fault == answer::Fault::InContent;
        match &answer.content {
            Content::Length(bytes) | Content::UntilClose(bytes) => self.piece(bytes, broken)?,
            Content::Echo => self.piece(&echoed, broken)?,
            Content::Filler(length) => self.filler(*length, broken)?,
            Content::Chunked { chunks, trailers, pause } => self.chunks(chunks, trailers, *pause, broken)?,
            Content::None | Content::Raw(_) => {}
        }
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8], broken: bool) -> Result<(), Fault> {
        if broken {
            self.stream.write_all(&bytes[..bytes.len() / 2])?;
            return Err(Fault::Ended);
        }
        Ok(self.stream.write_all(bytes)?)
    }

    fn filler(&mut self, length: u64, broken: bool) -> Result<(), Fault> {
        let block = [b'x'; 65_536];
        let mut left = if broken { length / 2 } else { length };
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            self.stream.write_all(&block[..count])?;
            left -= count as u64;
        }
        if broken { Err(Fault::Ended) } else { Ok(()) }
    }

    fn chunks(
        &mut self,
        chunks: &[Vec<u8>],
        trailers: &[(String, String)],
        pause: Duration,
        broken: bool,
    ) -> Result<(), Fault> {
        for chunk in chunks {
            self.stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            self.piece(chunk, broken)?;
            self.stream.write_all(b"\r\n")?;
            self.stream.flush()?;
            thread::sleep(pause);
        }
        let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Ok(self.stream.write_all(format!("0\r\n{lines}\r\n").as_bytes())?)
    }

    /// Reads and counts what still comes until the peer closes.
    fn drain(&mut self) -> Result<(), Fault> {
        loop {
            self.fill()?;
            self.received.clear();
        }
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Fault::Ended),
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    let mut journal = self.shared.journal();
                    let connection = &mut journal.connections[self.number];
                    connection.raw_bytes += count as u64;
                    let room = RAW_BYTES_MAX.saturating_sub(connection.raw.len()).min(count);
                    connection.raw.extend_from_slice(&buffer[..room]);
                    return Ok(());
                }
                Err(error) if timed_out(&error) && !self.shared.stopping.load(Ordering::SeqCst) => {}
                Err(_) => return Err(Fault::Ended),
            }
        }
    }
}
