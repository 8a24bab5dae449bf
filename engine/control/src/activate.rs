//! Puts activations before the workers, each whole, and keeps them until no worker holds one: workers never free one.

use std::sync::Arc;

use activation::Activation;
use activation::activation::{Ended, ListenerTls, Origin};
use activation::bounds::ACTIVATIONS_ALIVE_MAX;
use activation::counters::{Arena, CountersError};
use arc_swap::ArcSwap;
use identity::certificate::CaSet;
use identity::token::Issuer;

use crate::assemble::Frozen;
use crate::bounds::{ACTIVATION_GRACE_NS, ACTIVATIONS_OF_TABLE_MAX};
use crate::key_set::Register as KeySets;
use crate::last_use::Register as Uses;
use crate::memory::Register;
use crate::per_node::PerNode;
use crate::records::{Handle, Names, RecordsError};
use crate::revocations::Register as Revocations;

/// What moves while a release serves; each part is kept while it does not change.
#[derive(Clone)]
pub struct Parts {
    pub issuers: Vec<Arc<Issuer>>,
    /// Those of the release, with the revocation lists in force.
    pub client_cas: Arc<CaSet>,
    pub origins: Vec<Arc<Origin>>,
    pub listeners: Vec<Option<Arc<ListenerTls>>>,
    /// As [`Activation::challenges`].
    pub challenges: Option<Arc<rustls::ServerConfig>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("the rate counters do not fit: {0}")]
    Counters(#[from] CountersError),
    #[error(
        "{alive} activations are still in use, the oldest is number {oldest} of release {release}: the exchanges that \
         hold it are ended, and the new one is tried again"
    )]
    TooMany { alive: usize, oldest: u64, release: String },
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Makes activations, one after the other, of one release and then of another.
pub struct Activator {
    frozen: Arc<Frozen>,
    arena: Arc<Arena>,
    records: Handle,
    swaps: PerNode<Arc<ArcSwap<Activation>>>,
    /// Oldest first; the last one serves.
    alive: Vec<PerNode<Arc<Activation>>>,
    /// Since when a further one finds no place, nanoseconds since the Unix epoch.
    full_since_unix_ns: Option<u64>,
    ended: Arc<Ended>,
    /// Number of the latest activation that was made, whether it came to serve or not.
    latest: u64,
    /// Counters of the present release wait to be clamped to its numbers, because an older one counts with its own.
    unsettled: bool,
    tables: Register,
    revocations: Revocations,
    key_sets: KeySets,
    uses: Uses,
}

/// An activation that no worker sees yet. Dropped, it leaves nothing behind.
pub struct Prepared {
    frozen: Arc<Frozen>,
    of_nodes: PerNode<Arc<Activation>>,
}

impl Activator {
    /// Makes the first activation.
    pub fn start(
        frozen: Arc<Frozen>,
        arena: Arc<Arena>,
        records: Handle,
        parts: Parts,
        now_unix_ns: u64,
    ) -> Result<Self, ActivateError> {
        let ended = Arc::new(Ended::default());
        let (revocations, key_sets) = (Revocations::default(), KeySets::default());
        let uses = Uses::new(records.workers());
        let shared = Shared { ended: &ended, revocations: &revocations, key_sets: &key_sets, uses: &uses };
        let of_nodes = make(&frozen, &arena, parts, 1, shared, now_unix_ns)?;
        records.announce(Names::of(&of_nodes.first, Arc::clone(&frozen.api_key_ids)))?;
        let swaps = of_nodes.map(|first| Arc::new(ArcSwap::new(Arc::clone(first))));
        let tables = Register::default();
        tables.add(&frozen);
        Ok(Self {
            frozen,
            arena,
            records,
            swaps,
            alive: vec![of_nodes],
            full_since_unix_ns: None,
            ended,
            latest: 1,
            unsettled: false,
            tables,
            revocations,
            key_sets,
            uses,
        })
    }

    /// What the workers of the first NUMA node look at: the others see the same, but for the copy of the table.
    pub fn swap(&self) -> &Arc<ArcSwap<Activation>> {
        &self.swaps.first
    }

    /// What the workers of each NUMA node look at, in the order of `Placement::nodes`.
    pub fn swaps(&self) -> &PerNode<Arc<ArcSwap<Activation>>> {
        &self.swaps
    }

    /// Every table that is in use.
    pub fn tables(&self) -> &Register {
        &self.tables
    }

    /// What is revoked, whatever serves.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// What fills the ids that releases leave open, whatever serves.
    pub fn key_sets(&self) -> &KeySets {
        &self.key_sets
    }

    /// What was used, whatever serves.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    pub fn frozen(&self) -> &Arc<Frozen> {
        &self.frozen
    }

    /// Swaps in an activation of the present release with `parts`; its number. After an error the present one goes on
    /// serving.
    pub fn publish(&mut self, parts: Parts, now_unix_ns: u64) -> Result<u64, ActivateError> {
        let prepared = self.prepare(Arc::clone(&self.frozen), parts, now_unix_ns)?;
        Ok(self.put(prepared))
    }

    /// Makes the next activation without showing it to anybody but the audit writer, who must know its names before a
    /// worker can write a record with them. An error leaves everything as it was, but for exchanges that hold up another
    /// release too long.
    pub fn prepare(&mut self, frozen: Arc<Frozen>, parts: Parts, now_unix_ns: u64) -> Result<Prepared, ActivateError> {
        let another_release = !Arc::ptr_eq(&frozen, &self.frozen);
        if !self.has_room(another_release, now_unix_ns)
            && let Some(oldest) = self.alive.first()
        {
            return Err(ActivateError::TooMany {
                alive: self.alive.len(),
                oldest: oldest.first.id,
                release: oldest.first.release.digest.clone(),
            });
        }
        // Counted even if it comes to nothing: names once announced belong to this number.
        self.latest += 1;
        let Self { ended, revocations, key_sets, uses, .. } = &*self;
        let shared = Shared { ended, revocations, key_sets, uses };
        let of_nodes = make(&frozen, &self.arena, parts, self.latest, shared, now_unix_ns)?;
        self.records.announce(Names::of(&of_nodes.first, Arc::clone(&frozen.api_key_ids)))?;
        Ok(Prepared { frozen, of_nodes })
    }

    /// Swaps in what was prepared; its number.
    pub fn put(&mut self, prepared: Prepared) -> u64 {
        let Prepared { frozen, of_nodes } = prepared;
        for (swap, activation) in self.swaps.iter().zip(of_nodes.iter()) {
            swap.store(Arc::clone(activation));
        }
        if !Arc::ptr_eq(&self.frozen, &frozen) {
            self.unsettled = true;
            self.tables.add(&frozen);
            self.frozen = frozen;
        }
        self.alive.push(of_nodes);
        self.latest
    }

    /// Frees the activations that only this list still holds, and clamps counters that they alone kept from it.
    pub fn tidy(&mut self, now_unix_ns: u64) {
        let before = self.alive.len();
        // What serves has a second holder, its swap. One that has none cannot get one again.
        self.alive.retain(|of_nodes| of_nodes.iter().any(|activation| Arc::strong_count(activation) > 1));
        if self.unsettled && self.alive.len() < before {
            if let Some(serving) = self.alive.last().map(|of_nodes| &of_nodes.first) {
                serving.limits.settle(&serving.table, now_unix_ns);
            }
            self.unsettled = self.alive.len() > 1;
        }
    }

    /// Whether there is room for a further activation. Where there has been none for [`ACTIVATION_GRACE_NS`], ends the
    /// exchanges that hold the oldest: nobody can keep out by a slow one the release that removes him.
    pub fn has_room(&mut self, another_release: bool, now_unix_ns: u64) -> bool {
        self.tidy(now_unix_ns);
        if !self.is_full(another_release) {
            self.full_since_unix_ns = None;
            return true;
        }
        // A clock that was put back begins anew.
        let since_unix_ns = self.full_since_unix_ns.map_or(now_unix_ns, |since| since.min(now_unix_ns));
        self.full_since_unix_ns = Some(since_unix_ns);
        if now_unix_ns - since_unix_ns >= ACTIVATION_GRACE_NS {
            self.end_oldest();
        }
        false
    }

    fn is_full(&self, another_release: bool) -> bool {
        self.alive.len() >= ACTIVATIONS_OF_TABLE_MAX
            || (another_release && self.tables_alive() >= ACTIVATIONS_ALIVE_MAX)
    }

    /// Orders the workers to end the exchanges on the oldest activation, or where tables are too many, on all activations
    /// of the oldest table; never on what serves.
    fn end_oldest(&self) {
        let Some((serving, before)) = self.alive.split_last() else { return };
        let Some(oldest) = before.first() else { return };
        let same = |of_nodes: &&PerNode<Arc<Activation>>| Arc::ptr_eq(&of_nodes.first.table, &oldest.first.table);
        let last = match self.tables_alive() >= ACTIVATIONS_ALIVE_MAX {
            true => before.iter().take_while(same).last().unwrap_or(oldest),
            false => oldest,
        };
        let id = last.first.id;
        if id < serving.first.id && self.ended.end_up_to(id) {
            crate::warning!(
                "activation {id} of release {} holds up a further one: the exchanges that still run on it are ended",
                last.first.release.digest
            );
        }
    }

    /// Distinct tables that are in use.
    pub fn tables_alive(&self) -> usize {
        let table = |of_nodes: &PerNode<Arc<Activation>>| Arc::as_ptr(&of_nodes.first.table);
        let mut tables: Vec<_> = self.alive.iter().map(table).collect();
        tables.sort_unstable();
        tables.dedup();
        tables.len()
    }

    pub fn alive(&self) -> usize {
        self.alive.len()
    }
}

/// What all activations of the process share.
#[derive(Clone, Copy)]
struct Shared<'s> {
    ended: &'s Arc<Ended>,
    revocations: &'s Revocations,
    key_sets: &'s KeySets,
    uses: &'s Uses,
}

/// The same activation for each copy of the table.
fn make(
    frozen: &Frozen,
    arena: &Arc<Arena>,
    parts: Parts,
    id: u64,
    shared: Shared<'_>,
    now_unix_ns: u64,
) -> Result<PerNode<Arc<Activation>>, CountersError> {
    let limits = Arc::new(arena.slots(&frozen.table, now_unix_ns)?);
    let (revoked, filled) = (shared.revocations.live_of(frozen), shared.key_sets.live_of(frozen));
    let uses = shared.uses.of(frozen, &parts.issuers);
    Ok(frozen.tables.map(|table| {
        Arc::new(Activation {
            id,
            release: frozen.facts.clone(),
            audit: frozen.policy.audit,
            transport: frozen.policy.transport,
            table: Arc::clone(table),
            table_sha256: frozen.table_sha256.clone(),
            limits: Arc::clone(&limits),
            issuers: parts.issuers.clone(),
            client_cas: Arc::clone(&parts.client_cas),
            api_keys: Arc::clone(&frozen.api_keys),
            origins: parts.origins.clone(),
            listeners: parts.listeners.clone(),
            challenges: parts.challenges.clone(),
            ended: Arc::clone(shared.ended),
            revoked: Arc::clone(&revoked),
            filled: Arc::clone(&filled),
            uses: Arc::clone(&uses),
        })
    }))
}

#[cfg(test)]
mod tests;
