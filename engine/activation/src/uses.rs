//! When credentials were last used: words of seconds that one worker writes and control reads. No lock, no shared line between
//! workers; what a request pays is a store for each credential that it brought.
//!
//! Agents and API keys have their indices in the table, keys of issuers their places in the key sets of an activation: a word
//! each. Certificates have no index: a bounded table of each worker ([`Certificates`]).

mod certificates;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use identity::token::Issuer;
use policy::table::{AgentId, ApiKeyIndex};

pub use certificates::{Certificates, Holder, Place, Sight};

/// Words in a line that no other worker writes to.
const LINE_WORDS: usize = 32;

#[derive(Default)]
#[repr(align(128))]
struct Line([AtomicU32; LINE_WORDS]);

/// So many words for each worker: seconds since the Unix epoch, 0 where there was no use. Enough until the year 2106.
pub struct Words {
    /// Tells them from all others of the process.
    pub id: u32,
    count: usize,
    rows: Box<[Box<[Line]>]>,
}

impl Words {
    pub fn new(id: u32, workers: usize, count: usize) -> Self {
        let row = |_| (0..count.div_ceil(LINE_WORDS)).map(|_| Line::default()).collect();
        Self { id, count, rows: (0..workers).map(row).collect() }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// For worker `worker` alone; one without a row, or a word that is not there, notes nothing.
    pub fn note(&self, worker: usize, index: usize, now_s: u32) {
        let line = self.rows.get(worker).and_then(|row| row.get(index / LINE_WORDS));
        if let Some(word) = line.and_then(|line| line.0.get(index % LINE_WORDS)) {
            word.store(now_s, Ordering::Relaxed);
        }
    }

    /// The latest use that any worker noted.
    pub fn latest(&self, index: usize) -> u32 {
        let words = self.rows.iter().filter_map(|row| row.get(index / LINE_WORDS)?.0.get(index % LINE_WORDS));
        words.map(|word| word.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

/// Where an activation notes uses.
pub struct Uses {
    /// Agents in the order of the table, then API keys. Shared by all activations of the same policy.
    pub of_policy: Arc<Words>,
    agents: usize,
    /// As [`key_names`] has them. Shared by activations with the same names.
    pub of_keys: Arc<Words>,
    /// By issuer: the place of its own word, which those of its keys follow.
    issuers: Box<[u32]>,
}

/// A key of an issuer, by name; the issuer itself where it has none, as for the tokens that it is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName {
    pub issuer: String,
    pub kid: Option<String>,
}

/// What the words of keys stand for, in their order.
pub fn key_names(issuers: &[Arc<Issuer>]) -> Vec<KeyName> {
    let mut names = Vec::new();
    for issuer in issuers {
        let name = |kid: Option<&str>| KeyName { issuer: issuer.rules().name.clone(), kid: kid.map(str::to_owned) };
        names.push(name(None));
        let keys = issuer.keyset().map_or(&[][..], |keyset| keyset.keys());
        names.extend(keys.iter().map(|key| name(key.kid())));
    }
    names
}

impl Uses {
    /// `of_policy` for `agents` agents and then API keys, `of_keys` for the [`key_names`] of `issuers`.
    pub fn new(of_policy: Arc<Words>, agents: usize, of_keys: Arc<Words>, issuers: &[Arc<Issuer>]) -> Self {
        let mut next = 0;
        let places = issuers.iter().map(|issuer| {
            let place = next;
            next += 1 + issuer.keyset().map_or(0, |keyset| keyset.keys().len() as u32);
            place
        });
        Self { of_policy, agents, of_keys, issuers: places.collect() }
    }

    pub fn agent(&self, worker: usize, agent: AgentId, now_s: u32) {
        self.of_policy.note(worker, agent.index(), now_s);
    }

    pub fn api_key(&self, worker: usize, key: ApiKeyIndex, now_s: u32) {
        self.of_policy.note(worker, self.agents + key.index(), now_s);
    }

    /// `place`: what [`Self::place_of_key`] gave under this activation.
    pub fn key(&self, worker: usize, place: u32, now_s: u32) {
        self.of_keys.note(worker, place as usize, now_s);
    }

    /// Where the uses of a key are noted, to be asked once a token; those of its issuer where it has no name.
    pub fn place_of_key(&self, issuers: &[Arc<Issuer>], issuer: u16, kid: Option<&str>) -> u32 {
        let own = self.issuers.get(usize::from(issuer)).copied().unwrap_or(u32::MAX);
        let keys = issuers.get(usize::from(issuer)).and_then(|issuer| issuer.keyset());
        let position = kid.and_then(|kid| keys?.keys().iter().position(|key| key.kid() == Some(kid)));
        position.map_or(own, |position| own.saturating_add(1 + position as u32))
    }
}

#[cfg(test)]
mod tests;
