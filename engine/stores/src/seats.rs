//! Seats at a listener: who says nothing keeps out nobody who comes later, and one client no other.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

use tokio::sync::oneshot;

/// The connections that a listener serves, oldest first. Who comes last always gets a seat.
#[derive(Debug)]
pub struct Seats {
    max: usize,
    taken: VecDeque<Taken>,
}

#[derive(Debug)]
struct Taken {
    client: Option<IpAddr>,
    seat: oneshot::Sender<Infallible>,
}

/// Of one connection, until it is dropped or given to another.
#[derive(Debug)]
pub struct Seat(oneshot::Receiver<Infallible>);

impl Seats {
    pub const fn new(max: usize) -> Self {
        Self { max, taken: VecDeque::new() }
    }

    /// Where none is free, the client that has the most gives up its oldest. A client is an IPv4 address or an IPv6 /64; who
    /// comes without an address (a socket file) is one with all others who do.
    pub fn take(&mut self, from: Option<IpAddr>) -> Seat {
        let client = from.map(client_of);
        if self.taken.len() >= self.max {
            self.taken.retain(|taken| !taken.seat.is_closed());
        }
        if self.taken.len() >= self.max {
            self.free_one(client);
        }
        let (seat, given_away) = oneshot::channel();
        self.taken.push_back(Taken { client, seat });
        Seat(given_away)
    }

    /// For `client`, whose new seat counts already.
    fn free_one(&mut self, client: Option<IpAddr>) {
        let mut held = BTreeMap::from([(client, 1_usize)]);
        for taken in &self.taken {
            *held.entry(taken.client).or_default() += 1;
        }
        let most = self.taken.iter().filter_map(|taken| held.get(&taken.client)).max();
        let oldest = self.taken.iter().position(|taken| held.get(&taken.client) == most);
        drop(oldest.and_then(|oldest| self.taken.remove(oldest)));
    }
}

impl Seat {
    /// What comes of `serving`; none where the seat is given to another before.
    pub async fn hold<T>(self, serving: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = serving => Some(done),
            _ = self.0 => None,
        }
    }
}

/// As limits and records know it: a site has at least a /64 (RFC 6177).
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of those who came in this order have lost their seat.
    fn lost(max: usize, from: &[&str]) -> Vec<usize> {
        let mut seats = Seats::new(max);
        let held: Vec<Seat> = from.iter().map(|from| seats.take(from.parse().ok())).collect();
        let is_lost = |mut seat: Seat| seat.0.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        held.into_iter().enumerate().filter_map(|(at, seat)| is_lost(seat).then_some(at)).collect()
    }

    #[test]
    fn the_oldest_of_who_has_the_most_gives_way() {
        let [a, b, c] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        assert_eq!(lost(3, &[a, b, c]), [0; 0]);
        assert_eq!(lost(3, &["", "", "", "", ""]), [0, 1], "without an address");
        assert_eq!(lost(3, &[a, a, a, a, a]), [0, 1]);
        assert_eq!(lost(3, &[a, b, b, b, b, b]), [1, 2, 3], "never the only one of another");
        assert_eq!(lost(4, &[a, a, b, b, b]), [2], "the new one counts");
        assert_eq!(lost(2, &[a, b, c]), [0], "one each: the oldest of all");
        assert_eq!(lost(1, &[a, b, c]), [0, 1]);
        let [one, same, other] = ["2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1"];
        assert_eq!(lost(3, &[other, one, same, one]), [1], "a /64 is one client");
        assert_eq!(lost(3, &[b, "::ffff:10.0.0.1", a, a]), [1], "an IPv4 address is one, however it is written");
    }

    #[test]
    fn seats_that_were_left_are_free() {
        let mut seats = Seats::new(2);
        let mut first = seats.take(None);
        for _ in 0..10 {
            drop(seats.take(None));
        }
        assert_eq!(first.0.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }
}
