//! What traffic is like: who calls what, how often by the hour, from where, and what is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::bounds::{HOURS_MAX, PREFIXES_MAX, PROFILE_NAMES_MAX, SILENT_HOURS_MAX};
use super::names::kept;
use super::scan::{Take, Window};
use crate::failure::Failure;
use crate::replay::line::Exchange;

pub const HOUR_NS: u64 = 3_600 * 1_000_000_000;
/// Stands for the clients of a reason together.
pub const ALL_CLIENTS: &str = "all clients together";
/// Denials that found no place of their own.
const OTHER_CLIENTS: &str = "clients beyond the bound";

/// How many there were, and one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Some1 {
    pub count: u64,
    pub first_ns: u64,
    pub last_ns: u64,
    /// Of the first.
    pub request_id: Box<str>,
}

/// Counts by hour since the Unix epoch.
pub type Hours = BTreeMap<u64, Some1>;

/// The traffic of a window. Keys are names in records, each list bounded.
#[derive(Debug, Default)]
pub struct Profile {
    pub exchanges: u64,
    /// All exchanges of the last hours.
    pub hours: Hours,
    /// Agent and route, of what was permitted.
    pub pairs: BTreeMap<(String, String), Some1>,
    pub agents: BTreeMap<String, Hours>,
    /// Reason, and client prefix or [`ALL_CLIENTS`].
    pub denials: BTreeMap<(&'static str, String), Hours>,
    /// Credential, by the client prefixes that it came from.
    pub credentials: BTreeMap<String, BTreeMap<String, Some1>>,
    /// Issuer and key.
    pub kids: BTreeMap<(String, String), Some1>,
    /// Agent and hash of its certificate.
    pub certificates: BTreeMap<(String, String), Some1>,
    /// Names that found no place.
    pub left_out: u64,
}

impl Some1 {
    fn add(&mut self, exchange: &Exchange) {
        let time = exchange.time_unix_ns;
        if self.count == 0 {
            self.request_id = kept(&exchange.request_id).into();
            (self.first_ns, self.last_ns) = (time, time);
        }
        self.count += 1;
        self.first_ns = self.first_ns.min(time);
        self.last_ns = self.last_ns.max(time);
    }
}

/// Counts one under a key, where there is a place.
fn add<K: Ord>(to: &mut BTreeMap<K, Some1>, key: K, keys_max: usize, exchange: &Exchange) -> bool {
    let is_full = to.len() >= keys_max;
    if is_full && !to.contains_key(&key) {
        return false;
    }
    to.entry(key).or_default().add(exchange);
    true
}

/// Counts one in its hour: of more hours than have a place, the last ones stay.
fn add_to_hours(hours: &mut Hours, exchange: &Exchange) {
    let hour = exchange.time_unix_ns / HOUR_NS;
    if hours.len() >= HOURS_MAX && !hours.contains_key(&hour) {
        if hours.first_key_value().is_none_or(|(first, _)| hour < *first) {
            return;
        }
        hours.pop_first();
    }
    hours.entry(hour).or_default().add(exchange);
}

/// The same by the hour.
fn add_hour<K: Ord>(to: &mut BTreeMap<K, Hours>, key: K, exchange: &Exchange) -> bool {
    let is_full = to.len() >= PROFILE_NAMES_MAX;
    if is_full && !to.contains_key(&key) {
        return false;
    }
    add_to_hours(to.entry(key).or_default(), exchange);
    true
}

impl Profile {
    pub fn take(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        let decided = &exchange.decided;
        add_to_hours(&mut self.hours, exchange);
        let mut placed = true;
        if let Some(agent) = decided.agent.as_ref().or(decided.granted_by.as_ref()) {
            placed &= add_hour(&mut self.agents, kept(agent).into_owned(), exchange);
            if let Some(route) = decided.route.as_ref().filter(|_| decided.permitted) {
                let pair = (kept(agent).into_owned(), kept(route).into_owned());
                placed &= add(&mut self.pairs, pair, PROFILE_NAMES_MAX, exchange);
            }
        }
        if let Some(reason) = decided.reason.filter(|_| !decided.permitted) {
            let key = |client: String| (reason.name(), client);
            add_hour(&mut self.denials, key(ALL_CLIENTS.to_owned()), exchange);
            if !add_hour(&mut self.denials, key(prefix(exchange.presented.client)), exchange) {
                add_hour(&mut self.denials, key(OTHER_CLIENTS.to_owned()), exchange);
            }
        }
        if let Some(agent) = &decided.agent {
            placed &= self.credentials(agent, exchange);
        }
        self.left_out += u64::from(!placed);
    }

    fn credentials(&mut self, agent: &str, exchange: &Exchange) -> bool {
        let presented = &exchange.presented;
        let client = prefix(presented.client);
        let mut names = Vec::new();
        names.extend(presented.api_key.as_ref().map(|id| format!("API key {id}")));
        names.extend(presented.token.as_ref().map(|token| format!("token of {} for {}", token.issuer, token.subject)));
        let first = presented.certificate.as_ref().and_then(|certificate| certificate.names.first());
        names.extend(first.map(|name| format!("certificate {name}")));
        let mut placed = true;
        for name in names {
            let name = kept(&name).into_owned();
            if self.credentials.len() >= PROFILE_NAMES_MAX && !self.credentials.contains_key(&name) {
                placed = false;
                continue;
            }
            // One that comes from everywhere is known to: see `PREFIXES_MAX`.
            add(self.credentials.entry(name).or_default(), client.clone(), PREFIXES_MAX, exchange);
        }
        if let (Some(token), Some(kid)) = (&presented.token, &exchange.token_kid) {
            placed &= add(
                &mut self.kids,
                (kept(&token.issuer).into_owned(), kept(kid).into_owned()),
                PROFILE_NAMES_MAX,
                exchange,
            );
        }
        if let Some(hash) = &exchange.certificate_sha256 {
            placed &= add(
                &mut self.certificates,
                (kept(agent).into_owned(), kept(hash).into_owned()),
                PROFILE_NAMES_MAX,
                exchange,
            );
        }
        placed
    }

    /// From its first exchange to its last, without those that a clock that was wrong put far away from most.
    pub fn covered(&self) -> Window {
        let most = self.stretches().max_by_key(|stretch| stretch.count);
        most.map_or(Window { since_ns: 0, until_ns: 0 }, |of| Window {
            since_ns: of.first_ns,
            until_ns: of.last_ns.saturating_add(1),
        })
    }

    /// Exchanges outside of what it covers.
    pub fn astray(&self) -> u64 {
        let all: u64 = self.stretches().map(|stretch| stretch.count).sum();
        all - self.stretches().map(|stretch| stretch.count).max().unwrap_or(0)
    }

    /// Its times, parted where nothing came for longer than is usual.
    fn stretches(&self) -> impl Iterator<Item = Some1> {
        let mut hours = self.hours.iter().peekable();
        std::iter::from_fn(move || {
            let (mut hour, of) = hours.next()?;
            let mut stretch = of.clone();
            while let Some((next, of)) = hours.next_if(|(next, _)| **next - *hour <= SILENT_HOURS_MAX) {
                stretch.count += of.count;
                stretch.last_ns = of.last_ns;
                hour = next;
            }
            Some(stretch)
        })
    }
}

impl Take for Profile {
    fn other_gateway(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        self.take(exchange);
        Ok(())
    }
}

/// One stream of which the part before a time is the baseline.
#[derive(Debug, Default)]
pub struct Split {
    pub at_ns: u64,
    pub before: Profile,
    pub after: Profile,
}

impl Take for Split {
    fn other_gateway(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        let profile = if exchange.time_unix_ns < self.at_ns { &mut self.before } else { &mut self.after };
        profile.take(exchange);
        Ok(())
    }
}

/// The network that a client is in: IPv4 /24, IPv6 /48.
pub fn prefix(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => format!("{}/48", Ipv6Addr::from(u128::from(address) >> 80 << 80)),
    }
}
