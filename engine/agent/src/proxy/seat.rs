//! Which connections of local programs count: those that have shown that they may use the proxy keep their seats, and strangers
//! take none of those.

use std::sync::Arc;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, watch};

/// Of one connection.
pub struct Known {
    seats: Arc<Semaphore>,
    seat: OnceCell<Option<OwnedSemaphorePermit>>,
    is_known: watch::Sender<bool>,
}

impl Known {
    pub fn new(seats: Arc<Semaphore>) -> Self {
        Self { seats, seat: OnceCell::new(), is_known: watch::Sender::new(false) }
    }

    /// Where there is no secret to show.
    pub fn at_once(seat: OwnedSemaphorePermit) -> Self {
        let seats = Arc::clone(seat.semaphore());
        Self { seats, seat: OnceCell::new_with(Some(Some(seat))), is_known: watch::Sender::new(true) }
    }

    /// Takes a seat, once there is one, if it has none yet; it is no stranger from the beginning of that on.
    pub async fn take_seat(&self) {
        self.is_known.send_replace(true);
        let seat = || async { Arc::clone(&self.seats).acquire_owned().await.ok() };
        self.seat.get_or_init(seat).await;
    }

    /// Until it is known.
    pub async fn wait(&self) {
        let _ = self.is_known.subscribe().wait_for(|is_known| *is_known).await;
    }
}
