//! Hash tables of the image: each key stands in one of the two lines that its hash names (cuckoo hashing), so a
//! look-up reads at most two cache lines however full the table is.

use super::CompileError;
use crate::bounds::SEEDS_TRIED_MAX;
use crate::hash::{self, Probe};
use crate::table::format::NONE;

/// Tries with one size before the table grows by an eighth.
const TRIES_PER_SIZE: u64 = 8;

/// Where each key stands.
pub(super) struct Places {
    pub seed: u64,
    pub lines: u32,
    /// Key number or `NONE`, for each place of each line.
    pub keys: Vec<u32>,
}

/// Finds a seed that places all of `count` keys, `per_line` to a line, lines filled to about `percent`.
pub(super) fn search(
    (what, purpose): (&'static str, u64),
    digest: &[u8; 32],
    (count, per_line, percent): (usize, usize, usize),
    hash_of: impl Fn(u64, usize) -> u64,
) -> Result<Places, CompileError> {
    if count == 0 {
        return Ok(Places { seed: hash::seed(digest, purpose, 0), lines: 0, keys: Vec::new() });
    }
    let mut lines = (count * 100).div_ceil(per_line * percent).max(1) as u32;
    let mut hashes = Vec::with_capacity(count);
    for attempt in 0..SEEDS_TRIED_MAX {
        let seed = hash::seed(digest, purpose, attempt);
        hashes.clear();
        hashes.extend((0..count).map(|key| hash_of(seed, key)));
        if let Some(keys) = place(&hashes, lines, per_line) {
            return Ok(Places { seed, lines, keys });
        }
        if attempt % TRIES_PER_SIZE == TRIES_PER_SIZE - 1 {
            lines += lines / 8 + 1;
        }
    }
    Err(CompileError::SeedNotFound { what })
}

/// Moves a key makes others take at most.
const MOVES_MAX: u32 = 500;

fn place(hashes: &[u64], lines: u32, per_line: usize) -> Option<Vec<u32>> {
    let mut keys = vec![NONE; lines as usize * per_line];
    let probe_of = |key: u32| hashes.get(key as usize).map(|hash| Probe::new(*hash, lines));
    for key in 0..hashes.len() as u32 {
        let (mut moving, mut line) = (key, probe_of(key)?.first());
        let mut moves = 0;
        loop {
            let probe = probe_of(moving)?;
            let other = if line == probe.first() { probe.second() } else { probe.first() };
            if put(&mut keys, line, per_line, moving) || put(&mut keys, other, per_line, moving) {
                break;
            }
            if moves == MOVES_MAX {
                return None;
            }
            // Both are full: take the place of one there (a different one each time), which goes to its other line.
            let victim = other as usize * per_line + (key.wrapping_mul(31).wrapping_add(moves)) as usize % per_line;
            std::mem::swap(keys.get_mut(victim)?, &mut moving);
            let probe = probe_of(moving)?;
            line = if other == probe.first() { probe.second() } else { probe.first() };
            moves += 1;
        }
    }
    Some(keys)
}

/// Puts a key into a free place of a line, if there is one.
fn put(keys: &mut [u32], line: u32, per_line: usize, key: u32) -> bool {
    let start = line as usize * per_line;
    let free = keys.get_mut(start..start + per_line).and_then(|places| places.iter_mut().find(|place| **place == NONE));
    free.map(|place| *place = key).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_in_one_of_its_lines() {
        for (count, per_line) in [(1, 8), (5, 4), (1_000, 8), (20_000, 4)] {
            let hash_of = |seed: u64, key: usize| hash::edge(seed, key as u32, b"");
            let places = search(("keys", 0), &[1; 32], (count, per_line, 85), hash_of).unwrap();
            assert_eq!(places.keys.len(), places.lines as usize * per_line);
            let mut seen = vec![false; count];
            for (place, key) in places.keys.iter().enumerate().filter(|(_, key)| **key != NONE) {
                let line = (place / per_line) as u32;
                let probe = Probe::new(hash_of(places.seed, *key as usize), places.lines);
                assert!(probe.lines().any(|expected| expected == line));
                assert!(!std::mem::replace(&mut seen[*key as usize], true));
            }
            assert!(seen.into_iter().all(|seen| seen));
        }
    }

    #[test]
    fn keys_that_no_seed_parts_are_refused() {
        let found = search(("keys", 0), &[0; 32], (17, 8, 85), |_, _| 42);
        assert_eq!(found.err(), Some(CompileError::SeedNotFound { what: "keys" }));
    }
}
