//! Failed identifications per client and in total: asked before any signature work, so that garbage cannot buy CPU.
//!
//! Fixed memory, per worker. A client is an IPv4 address or an IPv6 /64. A client with failures that still count is
//! never forgotten: where its home is full of such clients, further ones share a bucket, so a flood of addresses can
//! only make the limit tighter for strangers, never wider for anybody.

use std::net::IpAddr;

use ahash::RandomState;
use policy::rate::{Gcra, clamped, gcra};
use policy::table::LimitKind;

use crate::bounds::CLOCK_BACK_NS_MAX;

/// Clients that share a home.
const WAYS: usize = 4;

/// What a throttle admits; one GCRA bucket for each client and one for all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleBounds {
    pub per_client: Gcra,
    pub total: Gcra,
    /// Clients counted at the same time; memory is some 40 bytes each, whether used or not.
    pub clients_max: usize,
}

/// Why no credential is looked at now. Both are for the record; the client sees 401 with `Retry-After` if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Throttled {
    #[error("this client has failed too often: retry in {} ms", wait_ns.div_ceil(1_000_000))]
    Client { wait_ns: u64 },
    #[error("all clients together have failed too often: retry in {} ms", wait_ns.div_ceil(1_000_000))]
    Total { wait_ns: u64 },
}

/// Counters of failed identifications of one worker.
pub struct Throttle {
    bounds: ThrottleBounds,
    hasher: RandomState,
    homes: Box<[Home]>,
    total: u64,
}

#[derive(Clone, Copy, Default)]
struct Home {
    clients: [Counted; WAYS],
    /// For clients that found no place.
    shared: u64,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    client: Client,
    /// GCRA state; 0 is a vacant place.
    state: u64,
}

/// A client's prefix: an address for IPv4, /64 for IPv6 (RFC 6177: a site has at least that).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    is_v6: bool,
    prefix: u64,
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { is_v6: false, prefix: u32::from(address).into() },
            IpAddr::V6(address) => Self { is_v6: true, prefix: (u128::from(address) >> 64) as u64 },
        }
    }
}

/// One failure that was counted before it was one; see [`Throttle::give_back`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    client: Client,
    /// It found no place of its own.
    shares: bool,
    /// States of both buckets right after it; 0 where it was not counted there.
    client_state: u64,
    total_state: u64,
}

impl Throttle {
    /// `seed` is random, once per process, so that nobody outside can choose clients with one home.
    pub fn new(bounds: ThrottleBounds, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let homes = bounds.clients_max.div_ceil(WAYS).max(1);
        let hasher = RandomState::with_seeds(a, b, c, d);
        Self { bounds, hasher, homes: vec![Home::default(); homes].into(), total: 0 }
    }

    /// Whether a credential from `client` may be looked at, at `now_ns` since the Unix epoch. Charges nothing.
    pub fn check(&self, client: IpAddr, now_ns: u64) -> Result<(), Throttled> {
        self.check_client(client, now_ns)?;
        let (_, verdict) = gcra(given(self.total, now_ns, self.bounds.total), now_ns, self.bounds.total);
        if !verdict.admitted {
            return Err(Throttled::Total { wait_ns: verdict.wait_ns });
        }
        Ok(())
    }

    /// The same of `client` alone.
    fn check_client(&self, client: IpAddr, now_ns: u64) -> Result<(), Throttled> {
        let client = Client::from(client);
        let home = self.homes.get(self.home(client)).copied().unwrap_or_default();
        let spec = self.bounds.per_client;
        let is_used = |counted: &Counted| given(counted.state, now_ns, spec) > now_ns;
        let known = home.clients.iter().find(|counted| counted.client == client && is_used(counted));
        let state = match known {
            Some(counted) => counted.state,
            None if home.clients.iter().all(is_used) => given(home.shared, now_ns, spec),
            None => 0,
        };
        let (_, verdict) = gcra(state, now_ns, spec);
        if !verdict.admitted {
            return Err(Throttled::Client { wait_ns: verdict.wait_ns });
        }
        Ok(())
    }

    /// Counts one failed identification of `client` at `now_ns` since the Unix epoch.
    pub fn failed(&mut self, client: IpAddr, now_ns: u64) {
        self.charge(client, now_ns);
    }

    /// The same of an identification that may still succeed.
    pub fn charge(&mut self, client: IpAddr, now_ns: u64) -> Charged {
        let client = Client::from(client);
        let mut charged = Charged { client, shares: false, client_state: 0, total_state: 0 };
        let home = self.home(client);
        let Some(home) = self.homes.get_mut(home) else {
            return charged;
        };
        let spec = self.bounds.per_client;
        let is_used = |counted: &Counted| given(counted.state, now_ns, spec) > now_ns;
        let known = home.clients.iter().position(|counted| counted.client == client && is_used(counted));
        // A bucket that is full again says nothing any more: its place is vacant.
        let place = known.or_else(|| home.clients.iter().position(|counted| !is_used(counted)));
        let (state, verdict) = match place.and_then(|place| home.clients.get_mut(place)) {
            Some(counted) => {
                let before = if known.is_some() { counted.state } else { 0 };
                let (state, verdict) = gcra(before, now_ns, spec);
                *counted = Counted { client, state };
                (state, verdict)
            }
            None => {
                let (shared, verdict) = gcra(given(home.shared, now_ns, spec), now_ns, spec);
                home.shared = shared;
                charged.shares = true;
                (shared, verdict)
            }
        };
        // What a client fails beyond its own bound is refused without a look, and must not shut out everybody else.
        if verdict.admitted {
            charged.client_state = state;
            let (total, verdict) = gcra(given(self.total, now_ns, self.bounds.total), now_ns, self.bounds.total);
            self.total = total;
            charged.total_state = if verdict.admitted { total } else { 0 };
        }
        charged
    }

    /// It was none: what of the charge still counts at `now_ns` does not any more.
    pub fn give_back(&mut self, charged: Charged, now_ns: u64) {
        self.give_back_total(charged, now_ns);
        let spec = self.bounds.per_client;
        let home = self.home(charged.client);
        let Some(home) = self.homes.get_mut(home) else { return };
        let own = home.clients.iter_mut().find(|counted| counted.client == charged.client);
        let own = own.map(|counted| &mut counted.state);
        let state = if charged.shares { Some(&mut home.shared) } else { own };
        if let Some(state) = state {
            *state = without(*state, charged.client_state, now_ns, spec);
        }
    }

    /// It was one of this client alone, and does not bear on others.
    pub fn give_back_total(&mut self, charged: Charged, now_ns: u64) {
        self.total = without(self.total, charged.total_state, now_ns, self.bounds.total);
    }

    fn home(&self, client: Client) -> usize {
        (self.hasher.hash_one(client) as usize).checked_rem(self.homes.len()).unwrap_or(0)
    }
}

/// The state of a bucket, as far as a clock that reads `now_ns` can have given it: one that was ahead for a while must shut
/// nobody out until the time that it showed.
fn given(state: u64, now_ns: u64, spec: Gcra) -> u64 {
    if clamped(state, now_ns, CLOCK_BACK_NS_MAX, LimitKind::Gcra(spec)) == state { state } else { 0 }
}

/// `state` without what is left of the charge that made it `after` once: a bucket drains in the order of its charges.
fn without(state: u64, after: u64, now_ns: u64, spec: Gcra) -> u64 {
    let left_ns = after.saturating_sub(now_ns).min(spec.emission_interval_ns);
    if state > now_ns { state.saturating_sub(left_ns) } else { state }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Throttle").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Gcra, Throttle, ThrottleBounds, Throttled};
    use std::net::IpAddr;

    const S: u64 = 1_000_000_000;
    const NOW: u64 = 1_700_000_000 * S;

    fn throttle(clients_max: usize, total_burst: u32) -> Throttle {
        let per_client = Gcra { emission_interval_ns: S, burst: 3 };
        let total = Gcra { emission_interval_ns: S, burst: total_burst };
        Throttle::new(ThrottleBounds { per_client, total, clients_max }, [1, 2, 3, 4])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn failures_until_refused(throttle: &mut Throttle, client: IpAddr, now_ns: u64) -> usize {
        (0..100)
            .take_while(|_| throttle.check(client, now_ns).map(|()| throttle.failed(client, now_ns)).is_ok())
            .count()
    }

    #[test]
    fn a_client_fails_as_often_as_its_bucket_holds_and_recovers() {
        let mut throttle = throttle(64, 1_000);
        assert_eq!(failures_until_refused(&mut throttle, ip("192.0.2.1"), NOW), 3);
        assert_eq!(throttle.check(ip("192.0.2.1"), NOW), Err(Throttled::Client { wait_ns: S }));
        assert!(throttle.check(ip("192.0.2.2"), NOW).is_ok());
        assert!(throttle.check(ip("::ffff:192.0.2.1"), NOW).is_err(), "the same client in mapped form");
        assert!(throttle.check(ip("192.0.2.1"), NOW + S - 1).is_err());
        assert_eq!(failures_until_refused(&mut throttle, ip("192.0.2.1"), NOW + S), 1);
        assert_eq!(failures_until_refused(&mut throttle, ip("192.0.2.1"), NOW + 60 * S), 3);
    }

    #[test]
    fn what_turns_out_to_be_no_failure_is_given_back_as_far_as_it_still_counts() {
        let mut throttle = throttle(64, 4);
        let client = ip("192.0.2.1");
        let charged: Vec<_> = (0..3).map(|_| throttle.charge(client, NOW)).collect();
        assert!(throttle.check(client, NOW).is_err());
        charged.iter().for_each(|charged| throttle.give_back(*charged, NOW));
        assert_eq!(failures_until_refused(&mut throttle, client, NOW), 3);
        // Those are drained when it comes, and it gives back nothing that is not its own.
        let later = NOW + 10 * S;
        let old = throttle.charge(client, NOW + 4 * S);
        assert_eq!(failures_until_refused(&mut throttle, client, later), 3);
        throttle.give_back(old, later);
        assert_eq!(throttle.check(client, later), Err(Throttled::Client { wait_ns: S }));
        // One over its own bound was not counted.
        let over = throttle.charge(client, later);
        throttle.give_back(over, later);
        assert_eq!(throttle.check(client, later), Err(Throttled::Client { wait_ns: S }));
    }

    #[test]
    fn a_failure_can_count_for_its_client_alone() {
        let mut throttle = throttle(64, 2);
        for _ in 0..3 {
            let charged = throttle.charge(ip("192.0.2.1"), NOW);
            throttle.give_back_total(charged, NOW);
        }
        assert!(matches!(throttle.check(ip("192.0.2.1"), NOW), Err(Throttled::Client { .. })));
        assert_eq!(throttle.check(ip("192.0.2.2"), NOW), Ok(()));
    }

    #[test]
    fn an_ipv6_client_is_its_64_bit_prefix() {
        let mut throttle = throttle(64, 1_000);
        assert_eq!(failures_until_refused(&mut throttle, ip("2001:db8::1"), NOW), 3);
        assert!(throttle.check(ip("2001:db8::ffff:1:2:3"), NOW).is_err());
        assert!(throttle.check(ip("2001:db8:0:1::1"), NOW).is_ok());
        // The number of the prefix is that of an IPv4 address, and still another client.
        assert_eq!(failures_until_refused(&mut throttle, ip("::c000:201:0:0:0:0"), NOW), 3);
        assert!(throttle.check(ip("192.0.2.1"), NOW).is_ok());
    }

    #[test]
    fn a_clock_that_was_ahead_shuts_nobody_out() {
        let mut throttle = throttle(1, 5);
        let ahead = NOW + 86_400 * S;
        for last in 0..20_u8 {
            throttle.failed(IpAddr::from([192, 0, 2, last]), ahead);
        }
        for last in [1, 15, 200] {
            assert_eq!(throttle.check(IpAddr::from([192, 0, 2, last]), NOW), Ok(()), "{last}");
        }
        assert_eq!(failures_until_refused(&mut throttle, ip("192.0.2.1"), NOW), 3);
        assert!(throttle.check(ip("192.0.2.1"), NOW - 1_000_000).is_err(), "a small step back forgives nothing");
    }

    #[test]
    fn all_clients_together_are_limited() {
        let mut throttle = throttle(64, 5);
        let failed: usize =
            (0..10_u8).map(|last| failures_until_refused(&mut throttle, IpAddr::from([192, 0, 2, last]), NOW)).sum();
        assert_eq!(failed, 5);
        assert_eq!(throttle.check(ip("198.51.100.1"), NOW), Err(Throttled::Total { wait_ns: S }));
        assert!(throttle.check(ip("198.51.100.1"), NOW + S).is_ok());
    }

    #[test]
    fn clients_beyond_the_memory_share_a_bucket_and_known_ones_stay_limited() {
        let mut throttle = throttle(4, 1_000);
        for last in 0..4_u8 {
            assert_eq!(failures_until_refused(&mut throttle, IpAddr::from([192, 0, 2, last]), NOW), 3);
        }
        let strangers: usize =
            (4..200_u8).map(|last| failures_until_refused(&mut throttle, IpAddr::from([192, 0, 2, last]), NOW)).sum();
        assert_eq!(strangers, 3);
        assert!(throttle.check(ip("192.0.2.0"), NOW).is_err(), "a flood does not free a client");
        assert!(throttle.check(ip("192.0.2.77"), NOW + 60 * S).is_ok());
    }
}
