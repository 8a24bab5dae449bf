//! What makes a log of the lines: checkpoints over them, and the lines at which it goes from one file to the next.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use chain::log::{self, Log};

use super::{Writer, event_line};
use crate::clock;
use crate::records::seal::Request;

/// The log that the lines make, and when its checkpoints are due.
pub struct Chained {
    pub(super) log: Log,
    requests: SyncSender<Request>,
    interval: Duration,
    pub(super) due: Instant,
    /// Lines under the last checkpoint that was asked for.
    size: u64,
    /// Lines that went out a second time after a failed sync.
    pub(super) again: u64,
}

impl Chained {
    pub fn new(log: Log, requests: SyncSender<Request>, interval: Duration) -> Self {
        Self { log, requests, interval, due: Instant::now(), size: 0, again: 0 }
    }
}

impl Writer {
    /// Asks for a checkpoint over everything so far, which is delivered. One that finds no room is made up for by the
    /// next.
    pub(super) fn seal(&mut self) {
        let chained = &mut self.chained;
        chained.due = Instant::now() + chained.interval;
        if chained.log.size() == chained.size {
            return;
        }
        match self.sink.output() {
            Ok(lines) => {
                let request = Request { checkpoint: chained.log.checkpoint(), lines };
                if chained.requests.try_send(request).is_ok() {
                    chained.size = chained.log.size();
                }
            }
            Err(error) => crate::error!("a checkpoint of the records is left out: {error}"),
        }
    }

    /// Goes on in the file that now stands at the path. A rotation is told twice: by the last line of the old file, and by
    /// the first of the new one, which says where every chain and the tree stand.
    pub(super) fn reopen(&mut self) {
        let next = match self.sink.open_next() {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(error) => return self.fail(&error),
        };
        let rotated = next.is_another;
        if rotated && self.deliver() {
            self.put_line(&event_line("rotation", clock::unix_ns(), |_| {}));
            if self.deliver() {
                self.seal();
            }
        }
        self.sink.switch(next, &mut self.pending);
        if rotated {
            let log = &self.chained.log;
            let line = event_line("continued", clock::unix_ns(), |line| {
                line.text(log::ORIGIN, log.origin().as_bytes());
                line.number(log::SIZE, log.size());
                line.raw(log::FRONTIER, log.frontier_json().as_bytes());
                line.raw(log::CHAINS, log.chains_json().as_bytes());
            });
            self.put_line(&line);
        }
    }
}
