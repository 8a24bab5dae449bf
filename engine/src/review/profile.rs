//! What traffic is like: who calls what, how often by the hour, from where, and what is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::bounds::{HOURS_MAX, PREFIXES_MAX, PROFILE_NAMES_MAX};
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
    pub first_ns: Option<u64>,
    pub last_ns: Option<u64>,
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
            self.request_id = exchange.request_id.as_str().into();
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

/// The same by the hour.
fn add_hour<K: Ord>(to: &mut BTreeMap<K, Hours>, key: K, exchange: &Exchange) -> bool {
    let is_full = to.len() >= PROFILE_NAMES_MAX;
    if is_full && !to.contains_key(&key) {
        return false;
    }
    add(to.entry(key).or_default(), exchange.time_unix_ns / HOUR_NS, HOURS_MAX, exchange)
}

impl Profile {
    pub fn take(&mut self, exchange: &Exchange) {
        let time = exchange.time_unix_ns;
        self.exchanges += 1;
        self.first_ns = Some(self.first_ns.map_or(time, |first| first.min(time)));
        self.last_ns = Some(self.last_ns.map_or(time, |last| last.max(time)));
        let decided = &exchange.decided;
        let mut placed = true;
        if let Some(agent) = decided.agent.as_ref().or(decided.granted_by.as_ref()) {
            placed &= add_hour(&mut self.agents, agent.clone(), exchange);
            if let Some(route) = decided.route.as_ref().filter(|_| decided.permitted) {
                placed &= add(&mut self.pairs, (agent.clone(), route.clone()), PROFILE_NAMES_MAX, exchange);
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
            if self.credentials.len() >= PROFILE_NAMES_MAX && !self.credentials.contains_key(&name) {
                placed = false;
                continue;
            }
            // One that comes from everywhere is known to: see `PREFIXES_MAX`.
            add(self.credentials.entry(name).or_default(), client.clone(), PREFIXES_MAX, exchange);
        }
        if let (Some(token), Some(kid)) = (&presented.token, &exchange.token_kid) {
            placed &= add(&mut self.kids, (token.issuer.clone(), kid.clone()), PROFILE_NAMES_MAX, exchange);
        }
        if let Some(hash) = &exchange.certificate_sha256 {
            placed &= add(&mut self.certificates, (agent.to_owned(), hash.clone()), PROFILE_NAMES_MAX, exchange);
        }
        placed
    }

    /// From its first exchange to its last.
    pub fn covered(&self) -> Window {
        let since_ns = self.first_ns.unwrap_or(0);
        Window { since_ns, until_ns: self.last_ns.map_or(since_ns, |last| last.saturating_add(1)) }
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
