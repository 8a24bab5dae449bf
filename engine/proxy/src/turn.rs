//! The turns of a worker. With every message sent at once, its peer wakes up, finds that one message and sleeps again, and
//! does so for the next. A busy worker's messages wait until all tasks that are due have had their turn, and leave in a row;
//! meanwhile others may have become due.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

use monoio::net::UnixStream;

/// A worker is busy when so many exchanges were in flight together within the last tick. Rows of few messages save less
/// than waiting for them costs.
const EXCHANGES_MIN: usize = 24;

/// Who waits for the end of the turn.
#[derive(Default)]
pub struct Turn {
    waiting: RefCell<Vec<Waker>>,
    /// Wakes `run`; none before that runs.
    last: RefCell<Option<Waker>>,
    /// Exchanges in flight, and how many there were at most since the last tick.
    exchanges: Cell<usize>,
    exchanges_most: Cell<usize>,
    busy: Cell<bool>,
}

impl Turn {
    /// Exchanges in flight.
    pub fn exchanges(&self) -> usize {
        self.exchanges.get()
    }

    pub fn exchange_begun(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
        self.exchanges_most.set(self.exchanges_most.get().max(self.exchanges.get()));
    }

    pub fn exchange_ended(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
    }

    /// Finds out whether the worker is busy; called with every tick.
    pub fn tick(&self) {
        self.busy.set(self.exchanges_most.replace(self.exchanges.get()) >= EXCHANGES_MIN);
    }

    /// Goes on once every task that is due has had its turn; at once where there is little to do. May go on sooner. Says
    /// whether it waited.
    pub async fn end(&self) -> bool {
        if !self.busy.get() {
            return false;
        }
        let mut waited = false;
        poll_fn(|context| {
            let last = self.last.borrow();
            match &*last {
                Some(last) if !waited => {
                    waited = true;
                    let mut waiting = self.waiting.borrow_mut();
                    if waiting.is_empty() {
                        // Queued now, it comes behind everything that is due.
                        last.wake_by_ref();
                    }
                    waiting.push(context.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(waited),
            }
        })
        .await
    }

    /// Lets those who wait go on, whenever a turn ends. Goes through the ring before, so that messages without end keep
    /// neither arrivals nor timers waiting.
    pub async fn run(&self) -> Infallible {
        // Without it a row would not go through the ring: then there are none, and every message leaves at once.
        let Ok((always_writable, _peer)) = UnixStream::pair() else { return pending().await };
        loop {
            poll_fn(|context| {
                self.last.replace(Some(context.waker().clone()));
                if self.waiting.borrow().is_empty() { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            let _ = always_writable.writable(false).await;
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::testing::block_on;

    fn running(exchanges: usize) -> Rc<Turn> {
        let turn = Rc::new(Turn::default());
        (0..exchanges).for_each(|_| turn.exchange_begun());
        turn.tick();
        let run = Rc::clone(&turn);
        drop(monoio::spawn(async move { run.run().await }));
        turn
    }

    #[test]
    fn all_have_their_turn_before_one_goes_on() {
        block_on(async {
            let turn = running(EXCHANGES_MIN);
            monoio::time::sleep(Duration::from_millis(1)).await;
            let order = Rc::new(RefCell::new(Vec::new()));
            let tasks = [1, 2, 3].map(|number| {
                let (turn, order) = (Rc::clone(&turn), Rc::clone(&order));
                monoio::spawn(async move {
                    order.borrow_mut().push(number);
                    assert!(turn.end().await);
                    order.borrow_mut().push(number + 10);
                })
            });
            for task in tasks {
                task.await;
            }
            assert_eq!(*order.borrow(), [1, 2, 3, 11, 12, 13]);
        });
    }

    #[test]
    fn nobody_waits_where_there_is_little_to_do() {
        block_on(async {
            let turn = running(EXCHANGES_MIN - 1);
            monoio::time::sleep(Duration::from_millis(1)).await;
            assert!(!turn.end().await);
        });
    }

    #[test]
    fn timers_fire_although_there_is_always_something_to_do() {
        block_on(async {
            let turn = running(EXCHANGES_MIN);
            let busy = Rc::clone(&turn);
            drop(monoio::spawn(async move {
                loop {
                    if !busy.end().await {
                        monoio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }));
            for _ in 0..3 {
                monoio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}
