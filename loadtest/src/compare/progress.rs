//! What a waiting user sees, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for what runs, and lines for what is to stay.
pub struct Progress {
    bar: Mutex<ProgressBar>,
    shown: Shown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Lines,
    Bar,
}

impl Progress {
    /// A bar on a terminal, lines alone elsewhere.
    pub fn to_stderr() -> Self {
        let shown = if std::io::stderr().is_terminal() { Shown::Bar } else { Shown::Lines };
        Self { bar: Mutex::new(ProgressBar::hidden()), shown }
    }

    /// Nothing at all.
    pub fn hidden() -> Self {
        Self { bar: Mutex::new(ProgressBar::hidden()), shown: Shown::Nothing }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        let line = crate::report::printable(line).into_owned();
        if self.shown != Shown::Nothing {
            self.with(|bar| {
                bar.suspend(|| {
                    let _ = writeln!(std::io::stderr(), "{line}");
                });
            });
        }
    }

    /// Begins a bar of so many steps.
    pub fn begin(&self, what: &str, steps: u64) {
        if self.shown == Shown::Bar {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} (still {eta})  {prefix} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(what.to_owned());
            self.with(|old| {
                old.finish_and_clear();
                *old = bar.clone();
            });
        }
    }

    /// One step further; `what` runs now.
    pub fn step(&self, what: &str) {
        self.with(|bar| {
            bar.set_message(what.to_owned());
            bar.inc(1);
        });
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.with(|bar| bar.finish_and_clear());
    }

    fn with(&self, body: impl FnOnce(&mut ProgressBar)) {
        if let Ok(mut bar) = self.bar.lock() {
            body(&mut bar);
        }
    }
}
