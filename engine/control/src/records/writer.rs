//! The loop of the audit writer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use activation::bounds::{RECORD_DRAIN_INTERVAL_MS, RECORD_IDLE_INTERVAL_MS_MAX};
use activation::record::Record;
use activation::ring::Next;
use chain::line::Chain;
use chain::log;
use policy::model::Audit;

use super::line::{Lines, Place};
use super::naming::Naming;
use super::sink::{Pending, Sink};
use super::{Message, Progress, RecordsError, WorkerRecords, event_line};
use crate::bounds::{
    RECORDS_BATCH_BYTES_MAX, RECORDS_COMPLAINT_INTERVAL_S, RECORDS_LOSS_INTERVAL_MS, RECORDS_RENAME_CHECK_MS,
    RECORDS_RETRY_MS_MAX, RECORDS_RETRY_MS_MIN,
};
use crate::clock;

mod chained;

pub(super) use chained::Chained;

pub(super) struct Writer {
    sink: Sink,
    pending: Pending,
    pending_lines: u64,
    workers: Vec<Worker>,
    names: Vec<Known>,
    inbox: Receiver<Message>,
    progress: Arc<Progress>,
    format: Lines,
    trouble: Trouble,
    /// Times that every ring was found empty.
    emptied: u64,
    rename_check: Instant,
    loss_check: Instant,
    chained: Chained,
    /// The stop line is chained: nothing may stand behind it but itself again, and whatever does is found by that.
    stopped: bool,
}

struct Worker {
    records: WorkerRecords,
    /// Records taken from the permits ring.
    taken: u64,
    lost_told: (u64, u64),
}

struct Known {
    naming: Box<dyn Naming>,
    /// `emptied` when the activation was found dead.
    dead_at: Option<u64>,
}

/// A medium that takes nothing.
#[derive(Default)]
struct Trouble {
    failures: u64,
    pause_ms: u64,
    next_attempt: Option<Instant>,
    next_complaint: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        sink: Sink,
        workers: Vec<WorkerRecords>,
        inbox: Receiver<Message>,
        progress: Arc<Progress>,
        chained: Chained,
    ) -> Self {
        let worker = |records| Worker { records, taken: 0, lost_told: (0, 0) };
        Self {
            sink,
            pending: Pending::default(),
            pending_lines: 0,
            workers: workers.into_iter().map(worker).collect(),
            names: Vec::new(),
            inbox,
            progress,
            format: Lines::default(),
            trouble: Trouble::default(),
            emptied: 0,
            rename_check: Instant::now(),
            loss_check: Instant::now(),
            chained,
            stopped: false,
        }
    }

    pub(super) fn run(mut self) -> Result<(), RecordsError> {
        let mut deadline = None;
        let mut pause_ms = RECORD_DRAIN_INTERVAL_MS;
        loop {
            let patience = Duration::from_millis(pause_ms);
            if self.stopped {
                std::thread::sleep(patience);
            } else {
                let told = self.take_messages(patience);
                deadline = deadline.or(told);
                self.follow_rename(Instant::now());
            }
            let now = Instant::now();
            let before = self.progress.lines.load(Ordering::Relaxed);
            let done = self.turn();
            if done && self.pending.lines.is_empty() && now >= self.chained.due {
                self.seal();
            }
            // While nothing comes, there is no hurry; the rings hold much more than comes in between.
            let quiet = self.progress.lines.load(Ordering::Relaxed) == before;
            pause_ms = if quiet { (pause_ms * 2).min(RECORD_IDLE_INTERVAL_MS_MAX) } else { RECORD_DRAIN_INTERVAL_MS };
            if !self.stopped {
                self.tell_losses(now, deadline.is_some());
            }
            let Some(deadline) = deadline else { continue };
            if done && !self.stopped {
                self.take_messages(Duration::ZERO);
                // The stop line is a batch of its own: if its sync fails, it alone is written again.
                if self.pending.lines.is_empty() {
                    self.put_stop_line();
                }
            } else if done && self.pending.is_sent() {
                let synced = self.sink.sync();
                self.seal();
                return synced.map_err(|cause| RecordsError::Open { target: self.sink.target().clone(), cause });
            } else if now > deadline {
                return Err(RecordsError::Unfinished { lost: self.count_left() });
            }
        }
    }

    /// Waits at most `patience` for messages; gives the deadline when told to stop.
    fn take_messages(&mut self, patience: Duration) -> Option<Instant> {
        let until = Instant::now() + patience;
        loop {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Activation(naming)) => self.names.push(Known { naming, dead_at: None }),
                Ok(Message::Line(line)) => self.put_line(&line),
                Ok(Message::Reopen) => self.reopen(),
                Ok(Message::Stop { deadline }) => return Some(deadline),
                Err(RecvTimeoutError::Timeout) => return None,
                // Nobody is left to say when: what there is gets written, then it ends.
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    return Some(Instant::now() + Duration::from_secs(1));
                }
            }
        }
    }

    /// Takes and writes until the rings are empty; false when the medium does not take it now. What is not taken
    /// fills the rings, and audit mode `queued` refuses: nothing is dropped here.
    fn turn(&mut self) -> bool {
        loop {
            if !self.deliver() {
                return false;
            }
            let more = self.gather();
            if !more {
                self.emptied += 1;
                return self.deliver();
            }
        }
    }

    /// Formats what the rings hold, at most about a batch; true when more may be there.
    fn gather(&mut self) -> bool {
        let Self { workers, pending, pending_lines, names, progress, format, chained, .. } = self;
        let share = RECORDS_BATCH_BYTES_MAX / workers.len().max(1);
        let mut more = false;
        for (index, worker) in workers.iter_mut().enumerate() {
            let chain = Chain::Worker(u32::try_from(index).unwrap_or(u32::MAX));
            for denials in [false, true] {
                let lines = &mut pending.lines;
                let end = lines.len() + share;
                let take = |bytes: &[u8]| {
                    let Some(record) = Record::decode(bytes) else {
                        Progress::add(&progress.undecodable, 1);
                        return Next::Take;
                    };
                    let place = Place { worker: index, sequence: chained.log.next(index) };
                    // The newest activation first: it is nearly always the one.
                    let known = names.iter().rev().find(|known| known.naming.activation() == record.activation);
                    let names = known.map(|known| known.naming.as_ref() as &dyn Naming);
                    let start = lines.len();
                    format.put(lines, &record, Record::facts(bytes), place, names);
                    chained.log.seal(lines, start, chain);
                    *pending_lines += 1;
                    let full = lines.len() > end;
                    more |= full;
                    if full { Next::Leave } else { Next::Take }
                };
                let reader = &mut worker.records.reader;
                if denials {
                    reader.take_denied(take);
                } else {
                    worker.taken += reader.take_permitted(take);
                }
            }
        }
        more
    }

    /// A line of the gateway itself. Once it stands in `pending` it is chained: it is written as it is, or never.
    fn put_line(&mut self, line: &[u8]) {
        let start = self.pending.lines.len();
        self.pending.lines.extend_from_slice(line);
        self.chained.log.seal(&mut self.pending.lines, start, Chain::Control);
        self.pending_lines += 1;
    }

    /// Writes what is pending and, in audit mode `durable`, brings it to stable storage; false while that fails.
    fn deliver(&mut self) -> bool {
        if self.pending.lines.is_empty() {
            return true;
        }
        if self.trouble.next_attempt.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        if let Err(error) = self.send() {
            self.fail(&error);
            return false;
        }
        self.recover();
        Progress::add(&self.progress.lines, self.pending_lines);
        Progress::add(&self.progress.bytes, self.pending.out().len() as u64);
        self.pending.clear();
        self.pending_lines = 0;
        for worker in &self.workers {
            worker.records.durable.advance_to(worker.taken);
        }
        if Instant::now() >= self.chained.due {
            self.seal();
        }
        let again = std::mem::take(&mut self.chained.again);
        if again > 0 {
            let line = event_line("written-again", clock::unix_ns(), |line| line.number(log::LINES_AGAIN, again));
            self.put_line(&line);
        }
        true
    }

    fn send(&mut self) -> std::io::Result<()> {
        self.sink.send(&mut self.pending)?;
        if !self.names.iter().any(|known| known.naming.audit() == Audit::Durable) {
            return Ok(());
        }
        let synced = self.sink.sync();
        if synced.is_err() {
            self.send_again();
        }
        synced
    }

    /// After a failed sync nothing says what is on the medium: the batch is written again, the same bytes, and a line of
    /// kind `written-again` says so; behind the stop line there is none.
    fn send_again(&mut self) {
        self.pending.restart();
        if !self.stopped {
            self.chained.again += self.pending_lines;
        }
    }

    fn fail(&mut self, error: &std::io::Error) {
        let now = Instant::now();
        Progress::add(&self.progress.write_errors, 1);
        self.progress.failing.store(true, Ordering::Relaxed);
        let trouble = &mut self.trouble;
        trouble.failures += 1;
        trouble.pause_ms = (trouble.pause_ms * 2).clamp(RECORDS_RETRY_MS_MIN, RECORDS_RETRY_MS_MAX);
        trouble.next_attempt = Some(now + Duration::from_millis(trouble.pause_ms));
        if trouble.next_complaint.is_none_or(|at| now >= at) {
            trouble.next_complaint = Some(now + Duration::from_secs(RECORDS_COMPLAINT_INTERVAL_S));
            crate::error!(
                "records cannot be written to {}: {error} (attempt {}): unless it takes them again, audit modes queued \
                 and durable refuse requests when the rings are full",
                self.sink.target(),
                trouble.failures
            );
        }
    }

    fn recover(&mut self) {
        if self.trouble.failures > 0 {
            crate::info!(
                "records are written to {} again (failed attempts: {})",
                self.sink.target(),
                self.trouble.failures
            );
            self.trouble = Trouble::default();
            self.progress.failing.store(false, Ordering::Relaxed);
        }
    }

    fn follow_rename(&mut self, now: Instant) {
        if now.saturating_duration_since(self.rename_check) >= Duration::from_millis(RECORDS_RENAME_CHECK_MS) {
            self.rename_check = now;
            if self.sink.was_renamed() {
                self.reopen();
            }
        }
    }

    /// One line for each worker whose loss counters moved; also forgets activations that are gone.
    fn tell_losses(&mut self, now: Instant, stopping: bool) {
        let due = now.saturating_duration_since(self.loss_check) >= Duration::from_millis(RECORDS_LOSS_INTERVAL_MS);
        if !due && !stopping {
            return;
        }
        self.loss_check = now;
        let mut lines = Vec::new();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let stats = &worker.records.stats;
            let lost = (stats.records_lost.get(), stats.denials_aggregated.get());
            if lost != worker.lost_told {
                worker.lost_told = lost;
                lines.push(event_line("loss", clock::unix_ns(), |line| {
                    line.number("adamant.worker", index as u64);
                    line.number("adamant.records_lost", lost.0);
                    line.number("adamant.denials_aggregated", lost.1);
                }));
            }
        }
        lines.iter().for_each(|line| self.put_line(line));
        self.forget_dead();
    }

    /// A dead activation's last records were pushed before it died: once the rings were empty after that, no more come.
    fn forget_dead(&mut self) {
        let emptied = self.emptied;
        self.names.retain_mut(|known| {
            if known.naming.is_live() {
                return true;
            }
            let dead_at = *known.dead_at.get_or_insert(emptied);
            emptied <= dead_at + 1
        });
    }

    fn put_stop_line(&mut self) {
        let written = self.progress.lines.load(Ordering::Relaxed);
        let line = event_line("stop", clock::unix_ns(), |line| {
            line.number("process.pid", u64::from(std::process::id()));
            line.number("adamant.lines_written", written);
            line.number("adamant.write_errors", self.progress.write_errors.load(Ordering::Relaxed));
        });
        self.put_line(&line);
        self.stopped = true;
    }

    /// Records in the rings and lines not sent, when it is too late for them.
    fn count_left(&mut self) -> u64 {
        let mut left = self.pending_lines;
        for worker in &mut self.workers {
            let reader = &mut worker.records.reader;
            left += reader.take_permitted(|_| Next::Take) + reader.take_denied(|_| Next::Take);
        }
        left
    }
}

#[cfg(test)]
mod tests;
