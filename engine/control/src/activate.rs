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
        "{alive} activations are still in use, the oldest is number {oldest}: wait until its exchanges end, or limit \
         [timeouts] exchange"
    )]
    TooMany { alive: usize, oldest: u64 },
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Makes activations of one release, one after the other.
pub struct Activator {
    frozen: Arc<Frozen>,
    arena: Arc<Arena>,
    records: Handle,
    swap: Arc<ArcSwap<Activation>>,
    /// Oldest first; the last one serves.
    alive: Vec<Arc<Activation>>,
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
        let first = make(&frozen, &arena, parts, 1, now_unix_ns)?;
        records.announce(Names::of(&first, Arc::clone(&frozen.api_key_ids)))?;
        let swap = Arc::new(ArcSwap::new(Arc::clone(&first)));
        Ok(Self { frozen, arena, records, swap, alive: vec![first] })
    }

    pub fn swap(&self) -> &Arc<ArcSwap<Activation>> {
        &self.swap
    }

    pub fn frozen(&self) -> &Arc<Frozen> {
        &self.frozen
    }

    /// Swaps in an activation with `parts`; its number. After an error the present one goes on serving.
    pub fn publish(&mut self, parts: Parts, now_unix_ns: u64) -> Result<u64, ActivateError> {
        self.tidy();
        if self.alive.len() >= ACTIVATIONS_OF_TABLE_MAX || self.tables_alive() >= ACTIVATIONS_ALIVE_MAX {
            let oldest = self.alive.first().map_or(0, |activation| activation.id);
            return Err(ActivateError::TooMany { alive: self.alive.len(), oldest });
        }
        let id = self.alive.last().map_or(0, |activation| activation.id) + 1;
        let next = make(&self.frozen, &self.arena, parts, id, now_unix_ns)?;
        // The audit writer must know the names before a worker can write a record with them.
        self.records.announce(Names::of(&next, Arc::clone(&self.frozen.api_key_ids)))?;
        self.swap.store(Arc::clone(&next));
        self.alive.push(next);
        Ok(id)
    }

    /// Frees the activations that only this list still holds.
    pub fn tidy(&mut self) {
        // What serves has a second holder, the swap. One that has none cannot get one again.
        self.alive.retain(|activation| Arc::strong_count(activation) > 1);
    }

    /// Distinct tables that are in use.
    pub fn tables_alive(&self) -> usize {
        let mut tables: Vec<_> = self.alive.iter().map(|activation| Arc::as_ptr(&activation.table)).collect();
        tables.sort_unstable();
        tables.dedup();
        tables.len()
    }

    pub fn alive(&self) -> usize {
        self.alive.len()
    }
}

fn make(
    frozen: &Frozen,
    arena: &Arc<Arena>,
    parts: Parts,
    id: u64,
    now_unix_ns: u64,
) -> Result<Arc<Activation>, CountersError> {
    Ok(Arc::new(Activation {
        id,
        release: frozen.facts.clone(),
        audit: frozen.policy.audit,
        transport: frozen.policy.transport,
        table: Arc::clone(&frozen.table),
        limits: arena.slots(&frozen.table, now_unix_ns)?,
        issuers: parts.issuers,
        client_cas: Arc::clone(&frozen.client_cas),
        api_keys: frozen.api_keys.clone(),
        origins: parts.origins,
        listeners: parts.listeners,
    }))
}

#[cfg(test)]
mod tests;
