//! A question of the workers to control: are there newer keys of this issuer? One word for all who ask, so that however
//! many there are, there is one answer.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Shared by all workers and control. Closed, nobody is to wait: keys were just looked for, or never move.
#[derive(Debug, Default)]
pub struct Ask {
    open: AtomicBool,
    wanted: AtomicBool,
    answers: AtomicU32,
}

/// A question that was asked; what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    answers: u32,
}

impl Ask {
    /// Asks, where an answer can be expected. For workers; writes what others read only where nobody asked before.
    pub fn ask(&self) -> Option<Asked> {
        if !self.open.load(Ordering::Relaxed) {
            return None;
        }
        // First: an answer that comes in between must be one that is waited for.
        let answers = self.answers.load(Ordering::Acquire);
        if !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Release);
        }
        Some(Asked { answers })
    }

    /// Whether control has looked since.
    pub fn is_answered(&self, asked: Asked) -> bool {
        self.answers.load(Ordering::Acquire) != asked.answers
    }

    /// For control: whether anybody asks. Stays so until it is answered.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// For control: answers all who wait, and takes no question until [`Ask::open`].
    pub fn answer(&self) {
        self.open.store(false, Ordering::Relaxed);
        self.wanted.store(false, Ordering::Relaxed);
        self.answers.fetch_add(1, Ordering::Release);
    }

    /// For control: questions are taken again.
    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ask_one_answers_and_then_nobody_asks_for_a_while() {
        let ask = Ask::default();
        assert_eq!(ask.ask(), None, "nobody looks for keys that never move");
        ask.open();
        assert!(!ask.is_wanted());
        let (one, other) = (ask.ask().unwrap(), ask.ask().unwrap());
        assert!(ask.is_wanted() && !ask.is_answered(one));
        ask.answer();
        assert!(ask.is_answered(one) && ask.is_answered(other) && !ask.is_wanted());
        assert_eq!(ask.ask(), None);
        ask.open();
        assert!(!ask.is_answered(ask.ask().unwrap()));
    }
}
