//! Verdicts on exact tokens, per worker: a hit costs one hash and one comparison, no allocation and no signature check.
//!
//! A verdict is kept with the digest of the issuer section and keyset that gave it, and counts only while a fresh
//! verification would select the same section with the same keys. Times are not part of a verdict: the caller asks
//! [`VerifiedToken::check_time`] on each use. Refusals live apart from verified tokens, so garbage displaces garbage.

mod table;

use std::sync::Arc;

use ahash::RandomState;

use super::{Issuer, TokenFault, VerifiedToken};
use table::Table;

/// Sizes of a cache; fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    /// Most verified tokens.
    pub verified_entries_max: usize,
    /// Most bytes of verified tokens with their facts; values are not counted beyond their own size.
    pub verified_bytes_max: usize,
    /// Most refused tokens.
    pub refused_entries_max: usize,
    /// Most bytes of refused tokens.
    pub refused_bytes_max: usize,
}

/// What the cache knows of a token.
#[derive(Debug)]
pub enum Found<'c, V> {
    /// Verified before by the same rules and keys; times are still to be checked. `value` is the caller's.
    Verified {
        token: &'c VerifiedToken,
        value: &'c mut V,
    },
    /// Refused before by the same rules and keys, for good.
    Refused(TokenFault),
    Unknown,
}

/// A bounded cache of verdicts with a value `V` of the caller's beside each verified token.
pub struct Cache<V> {
    hasher: RandomState,
    verified: Table<Verified<V>>,
    refused: Table<Refused>,
}

struct Verified<V> {
    token: VerifiedToken,
    selection: Selection,
    value: V,
}

struct Refused {
    fault: TokenFault,
    /// Over all issuers: any of them could have been the one to accept it.
    stamp: u64,
}

/// Which section accepted a token, and which earlier ones were asked first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Selection {
    digest: [u8; 32],
    earlier: u64,
}

impl<V> Cache<V> {
    /// `seed` is random, once per process, so that nobody outside can choose colliding tokens.
    pub fn new(bounds: CacheBounds, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        Self {
            hasher: RandomState::with_seeds(a, b, c, d),
            verified: Table::new(bounds.verified_entries_max, bounds.verified_bytes_max),
            refused: Table::new(bounds.refused_entries_max, bounds.refused_bytes_max),
        }
    }

    /// Looks up the exact bytes of `token`. An entry of a section that moved in the list follows it.
    pub fn find(&mut self, token: &[u8], issuers: &[Arc<Issuer>]) -> Found<'_, V> {
        let hash = self.hasher.hash_one(token);
        if let Some(entry) = self.verified.find(hash, token) {
            if let Some(position) = current_position(&entry.token, &entry.selection, issuers) {
                entry.token.issuer = position;
                return Found::Verified { token: &entry.token, value: &mut entry.value };
            }
            return Found::Unknown;
        }
        match self.refused.find(hash, token) {
            Some(entry) if entry.stamp == stamp(issuers) => Found::Refused(entry.fault),
            _ => Found::Unknown,
        }
    }

    /// Keeps a verdict of [`super::verify`] for these `issuers`. False if it does not fit the bounds.
    pub fn keep(&mut self, token: &[u8], issuers: &[Arc<Issuer>], verified: VerifiedToken, value: V) -> bool {
        let Some(selection) = selection(verified.issuer, issuers) else {
            return false;
        };
        let hash = self.hasher.hash_one(token);
        let extra_bytes = verified.heap_bytes();
        self.verified.insert(hash, token, extra_bytes, Verified { token: verified, selection, value })
    }

    /// Keeps a refusal by [`super::verify`] for these `issuers`, unless the token may pass later. False if not kept.
    pub fn keep_refused(&mut self, token: &[u8], issuers: &[Arc<Issuer>], fault: TokenFault) -> bool {
        if fault.may_pass_later() {
            return false;
        }
        let hash = self.hasher.hash_one(token);
        self.refused.insert(hash, token, 0, Refused { fault, stamp: stamp(issuers) })
    }

    /// Verified tokens and their bytes now, for metrics.
    pub fn verified_size(&self) -> (usize, usize) {
        self.verified.size()
    }

    /// Refused tokens and their bytes now, for metrics.
    pub fn refused_size(&self) -> (usize, usize) {
        self.refused.size()
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Cache");
        shown.field("verified", &self.verified_size()).field("refused", &self.refused_size()).finish()
    }
}

/// Where the section that accepted the token stands now, if the selection would come out the same.
fn current_position(token: &VerifiedToken, kept: &Selection, issuers: &[Arc<Issuer>]) -> Option<u16> {
    if selection(token.issuer, issuers).as_ref() == Some(kept) {
        return Some(token.issuer);
    }
    let moved = issuers.iter().position(|issuer| issuer.digest == kept.digest)?;
    let moved = u16::try_from(moved).ok()?;
    (selection(moved, issuers).as_ref() == Some(kept)).then_some(moved)
}

fn selection(position: u16, issuers: &[Arc<Issuer>]) -> Option<Selection> {
    let position = usize::from(position);
    let chosen = issuers.get(position)?;
    let asked_first = issuers.iter().take(position).filter(|earlier| earlier.rules.issuer == chosen.rules.issuer);
    Some(Selection { digest: chosen.digest, earlier: mix(asked_first) })
}

fn stamp(issuers: &[Arc<Issuer>]) -> u64 {
    mix(issuers.iter())
}

/// Order-sensitive mix of SHA-256 digests; nobody who sends tokens chooses them.
fn mix<'i>(issuers: impl Iterator<Item = &'i Arc<Issuer>>) -> u64 {
    issuers.fold(0, |mixed: u64, issuer| {
        let head = issuer.digest.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        mixed.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ head
    })
}

#[cfg(test)]
mod tests;
