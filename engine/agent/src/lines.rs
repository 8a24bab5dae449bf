//! Lines on their way to whoever reads them, who may be slow, or have gone: a thread of its own writes them, and nothing else
//! waits for that. A line that finds no room, or cannot be written, is lost and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::bounds::{RUN_LINES_END_MS, RUN_LINES_MAX};
use crate::fault::Fault;

pub struct Lines {
    queue: SyncSender<String>,
    /// Closed once all is written.
    written: Receiver<()>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    /// Each is given to `write`, in a thread of its own.
    pub fn to(mut write: impl FnMut(&str) -> io::Result<()> + Send + 'static) -> Result<Self, Fault> {
        let (queue, lines) = sync_channel::<String>(RUN_LINES_MAX);
        let (writing, written) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let of_thread = Arc::clone(&lost);
        let run = move || {
            let _writing: SyncSender<()> = writing;
            for line in lines {
                if write(&line).is_err() {
                    of_thread.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(run);
        thread.map_err(|error| Fault::new(format_args!("the thread that writes the log cannot start: {error}")))?;
        Ok(Self { queue, written, lost })
    }

    /// A line more. It is not waited for.
    pub fn say(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were lost.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Leaves what is still on its way a little time.
    pub fn end(self) {
        drop(self.queue);
        let _ = self.written.recv_timeout(Duration::from_millis(RUN_LINES_END_MS));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Mutex;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn whoever_does_not_read_holds_nothing_up_and_costs_the_lines_that_find_no_room() {
        let (let_go, held) = mpsc::channel::<()>();
        let told = Arc::new(Mutex::new(Vec::new()));
        let of_thread = Arc::clone(&told);
        let (taken, is_taken) = mpsc::channel();
        let lines = Lines::to(move |line| {
            let _ = taken.send(());
            let _ = held.recv();
            of_thread.lock().unwrap().push(line.to_owned());
            if line == "1" { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        });
        let (lines, begun) = (lines.unwrap(), Instant::now());
        let lost = lines.lost();
        lines.say("0".to_owned());
        // The thread has taken it, and waits with it.
        is_taken.recv().unwrap();
        for number in 1..RUN_LINES_MAX + 11 {
            lines.say(number.to_string());
        }
        assert_eq!(lost.load(Ordering::Relaxed), 10);
        assert!(begun.elapsed() < Duration::from_secs(60));
        // Read after all: what is there comes in its order, and what cannot be written counts too.
        drop(let_go);
        // The end leaves no more than a little time.
        while told.lock().unwrap().len() <= RUN_LINES_MAX && begun.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(5));
        }
        lines.end();
        assert_eq!(lost.load(Ordering::Relaxed), 11);
        let told = told.lock().unwrap();
        assert!(told.len() == RUN_LINES_MAX + 1 && told.iter().enumerate().all(|(at, line)| *line == at.to_string()));
    }

    #[test]
    fn at_the_end_nobody_is_waited_for_long() {
        let (_let_go, held) = mpsc::channel::<()>();
        let lines = Lines::to(move |_| held.recv().map_err(io::Error::other)).unwrap();
        lines.say("never read".to_owned());
        let begun = Instant::now();
        lines.end();
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(RUN_LINES_END_MS) && took < Duration::from_secs(60), "{took:?}");
    }
}
