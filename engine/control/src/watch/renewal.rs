//! Another release takes the place of the present one, whole, while everything serves on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use identity::certificate::{CaSet, ClientCa, RevocationLists};
use identity::token::Issuer;
use policy::model::{Audit, Keys};
use sys::MapSeal;
use tokio::time::Instant;

use super::report::{KeysetMove, take_crl, tell_keyset};
use super::revocation::watched_crls;
use super::{Commit, Watcher, report_origins, resolve_pause};
use crate::activate::{ActivateError, Prepared};
use crate::assemble::keysets;
use crate::assemble::origins::Planned;
use crate::assemble::renew::{Present, Renewed, plan, renew};
use crate::assemble::revocation::Read;
use crate::assemble::{AssembleError, Frozen};
use crate::bounds::{ACTIVATION_LOOK_MS, ACTIVATION_WAIT_MS_MAX};
use crate::moving::Why;
use crate::names::{self, Addresses, Round};
use crate::status::{CrlStatus, KeysetStatus, Status};
use crate::{clock, records};

/// A release that is to serve.
pub struct Renewal {
    pub frozen: Frozen,
    pub commit: Commit,
    pub reply: SyncSender<Result<u64, String>>,
}

/// Why a release does not come to serve; the present one does.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("gateway.toml says activation = \"restart\": restart the gateway to serve the release")]
    Restart,
    #[error(
        "the policy's audit mode is durable, but records go to stdout: name a file under [records] to, and restart"
    )]
    Durable,
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error(transparent)]
    Activate(#[from] ActivateError),
    #[error("the acceptance could not be kept: {0}")]
    Commit(String),
    #[error("the release compiles to another table than before: expected {expected}, found {found}")]
    OtherTable { expected: String, found: String },
}

/// Everything that is ready before the acceptance is kept.
struct Ready {
    frozen: Arc<Frozen>,
    planned: Vec<Planned>,
    round: Round,
    addresses: Addresses,
    renewed: Renewed,
    prepared: Prepared,
}

impl Watcher {
    /// Serves `renewal.frozen` from now on, or says why not.
    pub(super) async fn renew(&mut self, renewal: Renewal) {
        let Renewal { frozen, commit, reply } = renewal;
        let outcome = match self.ready(frozen).await {
            Ok(ready) => match commit().map_err(RenewalError::Commit) {
                Ok(()) => Ok(self.serve(ready)),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.start.status.moving().activations_refused += 1;
        }
        // Whoever asked may have gone.
        let _ = reply.send(outcome.map_err(|error| error.to_string()));
    }

    async fn ready(&mut self, frozen: Frozen) -> Result<Ready, RenewalError> {
        self.look_at_origin_material();
        if self.start.placement.forever {
            return Err(RenewalError::Restart);
        }
        if frozen.policy.audit == Audit::Durable && !self.start.durable_records {
            return Err(RenewalError::Durable);
        }
        let frozen = Arc::new(frozen.place(&self.start.placement)?);
        self.have_assertion_keys(&frozen.policy);
        let looked_up = names::resolve_new(&plan(&frozen, &self.start.material)?, &self.start.addresses);
        let round = self.meanwhile(looked_up).await;
        for (name, why) in &round.failures {
            crate::warning!("the origin name {name} does not resolve yet: {why}");
        }
        self.wait_for_room().await;
        // From here on nothing is waited for: what moved meanwhile is taken as it is now.
        self.look_at_origin_material();
        let planned = plan(&frozen, &self.start.material)?;
        let start = &self.start;
        let mut addresses = start.addresses.clone();
        addresses.extend(round.found.clone());
        addresses.retain(|name, _| planned.iter().flat_map(Planned::names).any(|(used, _)| used == name));
        let present = Present {
            frozen: start.activator.frozen(),
            parts: &start.parts,
            tickets: &start.tickets,
            server_certificates: &start.server_certificates,
        };
        let renewed = renew(&frozen, &start.node, &present, &planned, &addresses, clock::unix_s())?;
        let parts = renewed.parts.clone();
        let prepared = self.start.activator.prepare(Arc::clone(&frozen), parts, clock::unix_ns())?;
        Ok(Ready { frozen, planned, round, addresses, renewed, prepared })
    }

    /// Workers let go of what was replaced within a turn of theirs, unless an exchange still runs on it; after the grace
    /// it runs no longer.
    async fn wait_for_room(&mut self) {
        let until = Instant::now() + Duration::from_millis(ACTIVATION_WAIT_MS_MAX);
        while !self.start.activator.has_room(true, clock::unix_ns()) && Instant::now() < until {
            self.meanwhile(tokio::time::sleep(Duration::from_millis(ACTIVATION_LOOK_MS))).await;
        }
    }

    /// Swaps in what is ready and follows what moves under it.
    fn serve(&mut self, ready: Ready) -> u64 {
        let Ready { frozen, planned, round, addresses, renewed, prepared } = ready;
        let start = &mut self.start;
        let before = Arc::clone(start.activator.frozen());
        let id = start.activator.put(prepared);
        let parts_before = std::mem::replace(&mut start.parts, renewed.parts);
        start.tickets = renewed.tickets;
        start.planned = planned;
        start.addresses = addresses;
        self.changed = false;
        self.crls = watched_crls(&frozen, &start.node);
        self.resolve_at = Instant::now() + resolve_pause(&start.planned, &start.addresses);
        self.tell_keysets(&frozen, &parts_before.issuers);
        self.show(&frozen, renewed.keysets, &round);
        self.follow_keysets(&frozen);
        self.show_crls(&frozen, &renewed.crls, &parts_before.client_cas);
        tell(&self.start.records, id, &before, &frozen);
        id
    }

    fn follow_keysets(&mut self, frozen: &Frozen) {
        let loaded = self.start.status.keysets_loaded();
        self.keysets.follow(frozen, &self.start.node, &self.start.parts.issuers, Why::Release, &loaded);
    }

    /// A keyset that changed in its file and was read by the release first is a rotation like any other.
    fn tell_keysets(&self, frozen: &Frozen, before: &[Arc<Issuer>]) {
        let start = &self.start;
        for (rules, after) in frozen.policy.issuers.iter().zip(&start.parts.issuers) {
            let before = before.iter().find(|of| of.rules().name == rules.name);
            let digest = |of: &Issuer| of.keyset().map(|keyset| keyset.digest());
            let is_same = before.is_some_and(|before| digest(before) == digest(after));
            if is_same || !matches!(rules.keys, Keys::Watch { .. }) {
                continue;
            }
            let (source, status, records) = (keysets::source_of(rules, &start.node), &start.status, &start.records);
            let moved = KeysetMove { issuer: &rules.name, source: &source, why: Why::Release, status, records };
            tell_keyset(&moved, before.map(|of| &**of), after);
        }
    }

    /// Serves the present release from fresh memory.
    pub(super) async fn renew_memory(&mut self) -> Result<u64, String> {
        self.wait_for_room().await;
        self.serve_from_fresh_memory().map_err(|error| error.to_string())
    }

    fn serve_from_fresh_memory(&mut self) -> Result<u64, RenewalError> {
        let start = &mut self.start;
        let before = start.activator.frozen();
        let fresh = Arc::new(before.again(&start.placement)?);
        if fresh.image_sha256 != before.image_sha256 {
            let (expected, found) = (before.table_sha256.clone(), fresh.table_sha256.clone());
            return Err(RenewalError::OtherTable { expected, found });
        }
        let now_unix_ns = clock::unix_ns();
        let prepared = start.activator.prepare(Arc::clone(&fresh), start.parts.clone(), now_unix_ns)?;
        let id = start.activator.put(prepared);
        show_memory(&start.status, &fresh);
        Ok(id)
    }

    /// The status follows the release.
    fn show(&self, frozen: &Frozen, read: BTreeMap<String, KeysetStatus>, round: &Round) {
        let status = &self.start.status;
        let mut moving = status.moving();
        moving.since_unix_s = clock::unix_s();
        moving.activations_alive = self.start.activator.tables_alive();
        let has_keys = |name: &str| frozen.policy.issuers.iter().any(|of| of.name == name && of.keys != Keys::None);
        moving.keysets.retain(|name, _| has_keys(name));
        for (name, next) in read {
            let shown = moving.keysets.entry(name).or_default();
            let version = shown.version + u64::from(shown.thumbprint != next.thumbprint);
            *shown = KeysetStatus { version, failures: shown.failures, ..next };
        }
        moving.origins.retain(|name, _| frozen.policy.origins.iter().any(|origin| origin.name == *name));
        drop(moving);
        show_memory(status, frozen);
        report_origins(status, &self.start.planned, &self.start.addresses, &round.failures);
    }
}

impl Watcher {
    /// The status follows the revocation lists; what the release was the first to read is on record. `before`: the client
    /// CAs that served.
    fn show_crls(&self, frozen: &Frozen, read: &[Option<Read>], before: &CaSet) {
        let (status, records) = (&self.start.status, &self.start.records);
        let has_lists = |name: &str| frozen.policy.client_cas.iter().any(|ca| ca.name == name && ca.crl.is_some());
        status.moving().crls.retain(|name, _| has_lists(name));
        for (rules, read) in frozen.policy.client_cas.iter().zip(read) {
            let Some(read) = read else { continue };
            // Under whatever name.
            let is_in_force = |lists: &Arc<RevocationLists>| lists.digest() == read.lists.digest();
            if !before.cas().iter().filter_map(ClientCa::lists).any(is_in_force) {
                take_crl(status, records, &rules.name, Why::Release, read.status.clone());
                continue;
            }
            let mut moving = status.moving();
            let shown = moving.crls.entry(rules.name.clone()).or_default();
            *shown = CrlStatus { failures: shown.failures + read.status.failures, ..read.status.clone() };
        }
    }
}

/// How the table lies in memory.
pub fn show_memory(status: &Status, frozen: &Frozen) {
    let mut moving = status.moving();
    moving.memory.copies = frozen.tables.count();
    moving.memory.mseal = frozen.tables.iter().all(|table| *table.storage().map_seal() == MapSeal::Sealed);
    drop(moving);
    match frozen.table.storage().map_seal() {
        MapSeal::NotAsked => {}
        MapSeal::Sealed => crate::info!("the mapping of the table is sealed until the process ends (mseal)"),
        MapSeal::Unavailable(why) => crate::warning!(
            "the mapping of the table cannot be sealed (mseal, Linux 6.10): {why}: that it is replaced can only be found"
        ),
    }
}

fn tell(records: &records::Handle, id: u64, before: &Frozen, now: &Frozen) {
    records.event("activation", |line| {
        line.number("adamant.activation", id);
        line.text("adamant.release", now.facts.digest.as_bytes());
        line.number("adamant.release.version", now.facts.version);
        line.text("adamant.release.old", before.facts.digest.as_bytes());
        line.number("adamant.release.version.old", before.facts.version);
        line.text("adamant.table_sha256", now.table_sha256.as_bytes());
    });
    let (version, old) = (now.facts.version, before.facts.version);
    crate::info!(
        "activation {id}: policy \"{}\" version {version} serves, release {}, after version {old}",
        now.facts.policy_name,
        now.facts.digest
    );
}

#[cfg(test)]
mod tests;
