//! How far a run is, on a terminal only.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn: rarely, for it shares a machine with what is measured.
const REDRAW: Duration = Duration::from_millis(250);

/// Runs `body`, which should take `duration`, under a bar with this title.
pub fn during<T>(title: &str, duration: Duration, body: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return body();
    }
    let total_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(total_ms), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg:24} {bar:40} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(title.to_owned());
    let done = Arc::new(AtomicBool::new(false));
    let drawing = {
        let (bar, done, started) = (bar.clone(), Arc::clone(&done), Instant::now());
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                bar.set_position(u64::try_from(started.elapsed().as_millis()).unwrap_or(total_ms).min(total_ms));
                thread::park_timeout(REDRAW);
            }
        })
    };
    let outcome = body();
    done.store(true, Ordering::Relaxed);
    drawing.thread().unpark();
    let _ = drawing.join();
    bar.finish_and_clear();
    outcome
}
