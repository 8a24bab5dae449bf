//! Fewer workers than there are cores for: which of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Machine;

/// Leaves at most `most` of `workers`, those on `near` nodes first, in as few last-level caches as they fit. With `spread`
/// every near node has its share; without, as few nodes as will do.
pub fn pack(
    machine: &Machine,
    workers: &mut Vec<usize>,
    most: usize,
    (near, spread): (&BTreeSet<usize>, bool),
    reasons: &mut Vec<String>,
) {
    if most >= workers.len() {
        return;
    }
    let (beside, others): (Vec<usize>, Vec<usize>) =
        workers.iter().copied().partition(|worker| near.contains(&machine.node(*worker)));
    let mut chosen = pick(machine, &beside, most.min(beside.len()), spread);
    chosen.extend(pick(machine, &others, most.saturating_sub(beside.len()), false));
    chosen.sort_unstable();
    let (taken, all) = (by_cache(machine, &chosen).len(), machine.cache_groups().len());
    if taken < all {
        reasons.push(format!("the workers share {taken} of {all} last-level caches: what they share stays in them"));
    }
    *workers = chosen;
}

fn pick(machine: &Machine, cores: &[usize], most: usize, spread: bool) -> Vec<usize> {
    let mut nodes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for core in cores.iter().copied() {
        nodes.entry(machine.node(core)).or_default().push(core);
    }
    let nodes: Vec<Vec<usize>> = nodes.into_values().collect();
    let mut chosen = Vec::new();
    if spread {
        for (cores, share) in nodes.iter().zip(shares(&nodes, most)) {
            chosen.extend(fewest(&by_cache(machine, cores), share));
        }
    } else {
        for node in fullest_first(nodes, most) {
            let wanted = most - chosen.len();
            chosen.extend(fewest(&by_cache(machine, &node), wanted));
        }
    }
    chosen
}

/// How many workers each node has: as even as can be.
fn shares(nodes: &[Vec<usize>], most: usize) -> Vec<usize> {
    let mut shares = vec![0; nodes.len()];
    for _ in 0..most {
        let room = shares.iter_mut().zip(nodes).filter(|(share, cores)| **share < cores.len());
        if let Some((share, _)) = room.min_by_key(|(share, _)| **share) {
            *share += 1;
        }
    }
    shares
}

/// The order in which groups are taken for `wanted`: the smallest that is enough, or the largest and so on.
fn fullest_first(mut groups: Vec<Vec<usize>>, wanted: usize) -> Vec<Vec<usize>> {
    let mut ordered = Vec::new();
    let mut missing = wanted;
    while missing > 0 && !groups.is_empty() {
        let enough = (0..groups.len()).filter(|index| groups.get(*index).is_some_and(|group| group.len() >= missing));
        let size = |index: &usize| groups.get(*index).map_or(0, Vec::len);
        let index = enough.min_by_key(size).or_else(|| (0..groups.len()).rev().max_by_key(size)).unwrap_or(0);
        let group = groups.remove(index);
        missing = missing.saturating_sub(group.len());
        ordered.push(group);
    }
    ordered
}

fn fewest(groups: &[Vec<usize>], wanted: usize) -> Vec<usize> {
    fullest_first(groups.to_vec(), wanted).into_iter().flatten().take(wanted).collect()
}

fn by_cache(machine: &Machine, cores: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for core in cores {
        let cache = machine.processor(*core).map_or(*core, |processor| processor.cache);
        groups.entry(cache).or_default().push(*core);
    }
    groups.into_values().collect()
}
