//! Which copy of the table each worker reads: one a NUMA node that has workers.

use std::collections::BTreeMap;

use control::assemble::Placement;
use tuning::read::Root;

/// Where the copies lie, and who reads which.
pub struct Copies {
    pub placement: Placement,
    /// By core: position among the placement's nodes.
    of_cores: BTreeMap<usize, usize>,
}

impl Copies {
    /// For workers on `cores`. `hot`: activations take each other's place, so no mapping is for ever.
    pub fn plan(cores: &[Option<usize>], hot: bool) -> Self {
        let processors = tuning::machine::processors(&Root::machine()).unwrap_or_default();
        let nodes: BTreeMap<usize, u32> = processors
            .iter()
            .filter_map(|processor| Some((processor.number, u32::try_from(processor.node).ok()?)))
            .collect();
        // Where all memory is near, no copy has to be.
        let several = nodes.values().any(|node| nodes.values().next() != Some(node));
        let node = |core| nodes.get(&core).copied().filter(|_| several);
        Self::of_nodes(cores.iter().flatten().map(|core| (*core, node(*core))), hot)
    }

    fn of_nodes(cores: impl Iterator<Item = (usize, Option<u32>)>, hot: bool) -> Self {
        let nodes: BTreeMap<usize, u32> = cores.filter_map(|(core, node)| Some((core, node?))).collect();
        let mut distinct: Vec<u32> = nodes.values().copied().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let position = |node: &u32| distinct.iter().position(|other| other == node).unwrap_or_default();
        let of_cores = nodes.iter().map(|(core, node)| (*core, position(node))).collect();
        Self { placement: Placement { nodes: distinct, forever: !hot }, of_cores }
    }

    /// The copy for a worker on `core`.
    pub fn of_worker(&self, core: Option<usize>) -> usize {
        core.and_then(|core| self.of_cores.get(&core).copied()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_read_the_copy_of_their_own_node() {
        let machine = [(0, Some(0)), (1, Some(4)), (2, Some(4)), (3, None)];
        let copies = Copies::of_nodes(machine.into_iter(), true);
        assert_eq!(copies.placement.nodes, [0, 4]);
        assert!(!copies.placement.forever);
        assert_eq!([Some(0), Some(1), Some(2), Some(3), None].map(|core| copies.of_worker(core)), [0, 1, 1, 0, 0]);
        assert!(Copies::of_nodes([].into_iter(), false).placement.forever);
    }
}
