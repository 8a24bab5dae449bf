//! Everything a request is decided with, together: table, counters, keys, trust and origins of one moment.
//!
//! Control builds a new activation and swaps it in whole; a request runs from start to end on the one it began with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use identity::certificate::{CaSet, ServerNames};
use identity::token::Issuer;
use policy::model::{Audit, MinimumTransport};
use policy::table::Table;

use crate::assertion::Assertion;
use crate::counters::Slots;
use crate::filled::Filled;
use crate::injection::Injection;
use crate::live::Live;
use crate::revoked::Revoked;
use crate::uses::Uses;

/// One activation. Immutable; shared by all workers and control.
pub struct Activation {
    /// Counts up by one per activation in this process; stands in records.
    pub id: u64,
    pub release: ReleaseFacts,
    pub audit: Audit,
    pub transport: MinimumTransport,
    pub table: Arc<Table<sys::Image>>,
    /// `sha256:…` over the bytes of the table.
    pub table_sha256: String,
    /// Shared by the copies of the activation that other NUMA nodes have.
    pub limits: Arc<Slots>,
    /// By issuer index of the table.
    pub issuers: Vec<Arc<Issuer>>,
    /// By CA index of the table.
    pub client_cas: Arc<CaSet>,
    /// By API key index of the table.
    pub api_keys: Arc<[ApiKey]>,
    /// By origin index of the table.
    pub origins: Vec<Arc<Origin>>,
    /// By listener index of the gateway configuration; none for a plain listener.
    pub listeners: Vec<Option<Arc<ListenerTls>>>,
    /// What the TLS listeners answer clients with that offer [`ACME_ALPN`] and nothing else; none while no certificate is
    /// ordered that way.
    pub challenges: Option<Arc<rustls::ServerConfig>>,
    /// Shared by all activations of the process.
    pub ended: Arc<Ended>,
    /// Shared by all activations of the table; moves by itself, so that nothing holds it up.
    pub revoked: Arc<Live<Revoked>>,
    /// The keys of the ids that the release leaves open; likewise.
    pub filled: Arc<Live<Filled>>,
    /// Where workers note what was used; shared by the copies of the activation that other NUMA nodes have.
    pub uses: Arc<Uses>,
}

/// What an ACME server offers that looks whether a name is ours (RFC 8737 §3).
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// The order to give old activations up: workers look once a tick, and end the exchanges that still run on them.
#[derive(Debug, Default)]
pub struct Ended {
    up_to: AtomicU64,
}

impl Ended {
    /// Ends activation `id` and all before it, for good. True where that is news.
    pub fn end_up_to(&self, id: u64) -> bool {
        self.up_to.fetch_max(id, Ordering::Release) < id
    }

    /// Number of the latest activation that is ended; 0 while none is.
    pub fn up_to(&self) -> u64 {
        self.up_to.load(Ordering::Acquire)
    }
}

/// Which release this is.
#[derive(Clone, Debug)]
pub struct ReleaseFacts {
    /// `sha256:…` over the payload bytes.
    pub digest: String,
    pub policy_name: String,
    pub version: u64,
    /// Seconds since the Unix epoch.
    pub expires_s: Option<u64>,
    pub signers: Vec<String>,
}

/// A declared API key.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// SHA-256 over the whole key; none: it is in [`Activation::filled`], if anywhere.
    pub sha256: Option<[u8; 32]>,
    /// Seconds since the Unix epoch; not valid from then on.
    pub expires_s: Option<u64>,
}

/// Where a route leads, resolved.
pub struct Origin {
    pub name: String,
    /// Stays the same as long as origin and its trust do, so that pooled connections survive a new activation.
    pub identity: u64,
    /// Digest of all that the release says of it: the same words in another release are the same origin.
    pub section: [u8; 32],
    /// In turn; empty while a name does not resolve.
    pub addresses: Vec<OriginAddress>,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub pass_credentials: bool,
    /// What it gets in place of the agents' credentials. One that is awaited lets nothing through to it, also where it is the
    /// gateway's certificate that is awaited.
    pub injected: Option<Arc<Injection>>,
    /// What it gets to tell what came through the gateway; none where the policy asks for nothing.
    pub assertion: Option<Arc<Assertion>>,
}

#[derive(Clone, Debug)]
pub struct OriginAddress {
    pub socket: SocketAddr,
    /// Name verified in the certificate; used with TLS only.
    pub server_name: Option<rustls::pki_types::ServerName<'static>>,
}

/// TLS of one listener.
pub struct ListenerTls {
    pub config: Arc<rustls::ServerConfig>,
    /// What each of the listener's certificates is good for, for the 421 check.
    pub names: Arc<[ServerNames]>,
}
