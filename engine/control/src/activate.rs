//! Puts activations before the workers, each whole, and keeps them until no worker holds one: workers never free one.

use std::sync::Arc;

use activation::Activation;
use activation::activation::{ListenerTls, Origin};
use activation::bounds::ACTIVATIONS_ALIVE_MAX;
use activation::counters::{Arena, CountersError};
use arc_swap::ArcSwap;
use identity::token::Issuer;

use crate::assemble::Frozen;
use crate::bounds::ACTIVATIONS_OF_TABLE_MAX;
use crate::clock::NS_PER_S;
use crate::memory::Register;
use crate::per_node::PerNode;
use crate::records::{Handle, Names, RecordsError};

/// What moves while a release serves; each part is kept while it does not change.
#[derive(Clone)]
pub struct Parts {
    pub issuers: Vec<Arc<Issuer>>,
    pub origins: Vec<Arc<Origin>>,
    pub listeners: Vec<Option<Arc<ListenerTls>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("the rate counters do not fit: {0}")]
    Counters(#[from] CountersError),
    #[error(
        "{alive} activations are still in use, the oldest is number {oldest} of release {release}, whose exchanges began \
         more than {since_s} s ago: wait until they end, or limit [timeouts] exchange"
    )]
    TooMany { alive: usize, oldest: u64, release: String, since_s: u64 },
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
    alive: Vec<Alive>,
    /// Number of the latest activation that was made, whether it came to serve or not.
    latest: u64,
    /// Counters of the present release wait to be clamped to its numbers, because an older one counts with its own.
    unsettled: bool,
    tables: Register,
}

/// One activation, by NUMA node: the same but for the copy of the table.
struct Alive {
    of_nodes: PerNode<Arc<Activation>>,
    /// When another one took its place.
    replaced_unix_ns: Option<u64>,
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
        let of_nodes = make(&frozen, &arena, parts, 1, now_unix_ns)?;
        records.announce(Names::of(&of_nodes.first, Arc::clone(&frozen.api_key_ids)))?;
        let swaps = of_nodes.map(|first| Arc::new(ArcSwap::new(Arc::clone(first))));
        let alive = vec![Alive { of_nodes, replaced_unix_ns: None }];
        let tables = Register::default();
        tables.add(&frozen);
        Ok(Self { frozen, arena, records, swaps, alive, latest: 1, unsettled: false, tables })
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

    pub fn frozen(&self) -> &Arc<Frozen> {
        &self.frozen
    }

    /// Swaps in an activation of the present release with `parts`; its number. After an error the present one goes on
    /// serving.
    pub fn publish(&mut self, parts: Parts, now_unix_ns: u64) -> Result<u64, ActivateError> {
        let prepared = self.prepare(Arc::clone(&self.frozen), parts, now_unix_ns)?;
        Ok(self.put(prepared, now_unix_ns))
    }

    /// Makes the next activation without showing it to anybody but the audit writer, who must know its names before a
    /// worker can write a record with them. An error leaves everything as it was.
    pub fn prepare(&mut self, frozen: Arc<Frozen>, parts: Parts, now_unix_ns: u64) -> Result<Prepared, ActivateError> {
        self.tidy(now_unix_ns);
        let another_release = !Arc::ptr_eq(&frozen, &self.frozen);
        if let Some(oldest) = self.alive.first().filter(|_| self.is_full(another_release)) {
            return Err(ActivateError::TooMany {
                alive: self.alive.len(),
                oldest: oldest.of_nodes.first.id,
                release: oldest.of_nodes.first.release.digest.clone(),
                since_s: now_unix_ns.saturating_sub(oldest.replaced_unix_ns.unwrap_or(now_unix_ns)) / NS_PER_S,
            });
        }
        // Counted even if it comes to nothing: names once announced belong to this number.
        self.latest += 1;
        let of_nodes = make(&frozen, &self.arena, parts, self.latest, now_unix_ns)?;
        self.records.announce(Names::of(&of_nodes.first, Arc::clone(&frozen.api_key_ids)))?;
        Ok(Prepared { frozen, of_nodes })
    }

    /// Swaps in what was prepared; its number.
    pub fn put(&mut self, prepared: Prepared, now_unix_ns: u64) -> u64 {
        let Prepared { frozen, of_nodes } = prepared;
        for (swap, activation) in self.swaps.iter().zip(of_nodes.iter()) {
            swap.store(Arc::clone(activation));
        }
        if let Some(before) = self.alive.last_mut() {
            before.replaced_unix_ns = Some(now_unix_ns);
        }
        if !Arc::ptr_eq(&self.frozen, &frozen) {
            self.unsettled = true;
            self.tables.add(&frozen);
            self.frozen = frozen;
        }
        self.alive.push(Alive { of_nodes, replaced_unix_ns: None });
        self.latest
    }

    /// Frees the activations that only this list still holds, and clamps counters that they alone kept from it.
    pub fn tidy(&mut self, now_unix_ns: u64) {
        let before = self.alive.len();
        // What serves has a second holder, its swap. One that has none cannot get one again.
        self.alive.retain(|alive| alive.of_nodes.iter().any(|activation| Arc::strong_count(activation) > 1));
        if self.unsettled && self.alive.len() < before {
            if let Some(serving) = self.alive.last().map(|alive| &alive.of_nodes.first) {
                serving.limits.settle(&serving.table, now_unix_ns);
            }
            self.unsettled = self.alive.len() > 1;
        }
    }

    /// Whether a further activation would be one too many.
    pub fn is_full(&self, another_release: bool) -> bool {
        self.alive.len() >= ACTIVATIONS_OF_TABLE_MAX
            || (another_release && self.tables_alive() >= ACTIVATIONS_ALIVE_MAX)
    }

    /// Distinct tables that are in use.
    pub fn tables_alive(&self) -> usize {
        let table = |alive: &Alive| Arc::as_ptr(&alive.of_nodes.first.table);
        let mut tables: Vec<_> = self.alive.iter().map(table).collect();
        tables.sort_unstable();
        tables.dedup();
        tables.len()
    }

    pub fn alive(&self) -> usize {
        self.alive.len()
    }
}

/// The same activation for each copy of the table.
fn make(
    frozen: &Frozen,
    arena: &Arc<Arena>,
    parts: Parts,
    id: u64,
    now_unix_ns: u64,
) -> Result<PerNode<Arc<Activation>>, CountersError> {
    let limits = Arc::new(arena.slots(&frozen.table, now_unix_ns)?);
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
            client_cas: Arc::clone(&frozen.client_cas),
            api_keys: Arc::clone(&frozen.api_keys),
            origins: parts.origins.clone(),
            listeners: parts.listeners.clone(),
        })
    }))
}

#[cfg(test)]
mod tests;
