//! Node-local settings of the data plane, read once at start. They can never widen what a policy allows.

use std::net::{IpAddr, SocketAddr};

/// Everything a worker is told besides the activation.
#[derive(Clone, Debug)]
pub struct Settings {
    pub bounds: Bounds,
    pub timeouts: Timeouts,
    pub listeners: Vec<Listener>,
    /// Entries of each worker's ring.
    pub ring_entries: u32,
    /// DPoP proofs must hold a nonce of this gateway (RFC 9449 §9).
    pub dpop_nonce: bool,
}

/// One address that every worker listens on.
#[derive(Clone, Debug)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: bool,
    /// Clients from these networks may say whom they forward for; nobody by default.
    pub trusted_proxies: Vec<Network>,
    /// In which field they say it. The other one is not believed: a proxy that sets one may pass its clients' other on.
    pub client_address: ClientAddress,
    /// Every connection begins with a PROXY protocol v2 header (from a trusted proxy).
    pub proxy_protocol: bool,
}

/// The field in which a trusted proxy says whom it forwards for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// `Forwarded` (RFC 7239).
    #[default]
    Forwarded,
    XForwardedFor,
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix_bits: u8,
}

impl Network {
    /// Whether `address` lies in the network; IPv4-mapped addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => shares_prefix(
                u128::from(network.to_bits()) << 96,
                u128::from(address.to_bits()) << 96,
                self.prefix_bits,
            ),
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                shares_prefix(network.to_bits(), address.to_bits(), self.prefix_bits)
            }
            _ => false,
        }
    }
}

fn shares_prefix(left: u128, right: u128, bits: u8) -> bool {
    bits == 0 || (left ^ right).leading_zeros() >= u32::from(bits)
}

/// Bounds of one worker, unless named otherwise. Each can be set in `gateway.toml` under `[bounds]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A request or response head. At most `BLOCK_BYTES`.
    pub head_bytes_max: usize,
    pub target_bytes_max: usize,
    pub fields_max: usize,
    /// Content of one request; 0 = no bound.
    pub request_content_bytes_max: u64,
    pub connections_max: usize,
    pub exchanges_in_flight_max: usize,
    pub requests_per_connection_max: u64,
    /// Idle connections kept per origin address.
    pub origin_idle_max: usize,
    /// Open connections per origin address.
    pub origin_connections_max: usize,
    pub token_cache_entries_max: usize,
    /// Failed identifications per second and worker, in total, before further ones are refused unchecked.
    pub identification_failures_per_s_max: u32,
    /// The same for one client prefix (IPv4 /32, IPv6 /64).
    pub identification_failures_per_prefix_per_s_max: u32,
    /// DPoP proofs that are remembered so that none passes twice, of all workers together.
    pub dpop_proofs_max: usize,
}

/// Bytes of a pooled block: the largest head, and the largest piece of content moved at once.
pub const BLOCK_BYTES: usize = 64 << 10;

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 << 10,
            target_bytes_max: 8 << 10,
            fields_max: 100,
            request_content_bytes_max: 0,
            connections_max: 50_000,
            exchanges_in_flight_max: 10_000,
            requests_per_connection_max: 1_000_000,
            origin_idle_max: 256,
            origin_connections_max: 4_096,
            token_cache_entries_max: 16_384,
            identification_failures_per_s_max: 2_000,
            identification_failures_per_prefix_per_s_max: 50,
            dpop_proofs_max: 1 << 18,
        }
    }
}

/// Time limits, milliseconds. Each can be set in `gateway.toml` under `[timeouts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub handshake_ms: u32,
    /// From the first byte of a head to its last.
    pub head_ms: u32,
    /// Between two pieces of content, in either direction.
    pub content_idle_ms: u32,
    pub origin_connect_ms: u32,
    /// From the whole request sent to the first byte of the response.
    pub origin_first_byte_ms: u32,
    /// Between two exchanges on a client connection.
    pub idle_ms: u32,
    /// Idle origin connections are closed after this.
    pub origin_idle_ms: u32,
    /// A whole exchange; 0 = no limit.
    pub exchange_ms: u32,
    /// From SIGTERM until what still runs is cut.
    pub drain_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake_ms: 10_000,
            head_ms: 10_000,
            content_idle_ms: 30_000,
            origin_connect_ms: 5_000,
            origin_first_byte_ms: 60_000,
            idle_ms: 60_000,
            origin_idle_ms: 50_000,
            exchange_ms: 0,
            drain_ms: 30_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_shares_their_prefix() {
        let ten = Network { address: "10.0.0.0".parse().unwrap(), prefix_bits: 8 };
        assert!(ten.contains("10.9.9.9".parse().unwrap()));
        assert!(ten.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!ten.contains("11.0.0.0".parse().unwrap()));
        assert!(!ten.contains("::1".parse().unwrap()));
        let all = Network { address: "::".parse().unwrap(), prefix_bits: 0 };
        assert!(all.contains("2001:db8::1".parse().unwrap()) && !all.contains("10.0.0.1".parse().unwrap()));
        let one = Network { address: "2001:db8::1".parse().unwrap(), prefix_bits: 128 };
        assert!(one.contains("2001:db8::1".parse().unwrap()) && !one.contains("2001:db8::2".parse().unwrap()));
    }
}
