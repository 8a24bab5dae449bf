//! What the machine is, as the kernel tells it in /proc and /sys.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::read::{ReadError, Root};

mod cgroup;
mod kernel;
mod network;
mod processors;

pub use cgroup::Cgroup;
pub use kernel::{Kernel, Transparent};
pub use network::{Interrupt, Nic, Queue};
pub use processors::read as processors;

/// A machine as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Online, ascending.
    pub processors: Vec<Processor>,
    /// Where this process may run: its affinity, which a cgroup's cpuset limits.
    pub allowed: Vec<usize>,
    /// Isolated ones that are not in the affinity only because no process is put there unless it asks: the unit file or
    /// `taskset` can give them.
    pub aside: Vec<usize>,
    pub cgroup: Cgroup,
    /// Kept free of other tasks by `isolcpus=`.
    pub isolated: Vec<usize>,
    /// Without a timer tick by `nohz_full=`.
    pub nohz_full: Vec<usize>,
    /// Physical or virtual network interfaces that have a device, up or down.
    pub nics: Vec<Nic>,
    pub kernel: Kernel,
    /// A daemon that moves interrupts runs: it undoes what was set.
    pub irqbalance: bool,
}

/// One logical processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Processor {
    pub number: usize,
    /// Socket.
    pub package: usize,
    /// Lowest number among the siblings of its physical core, itself included.
    pub core: usize,
    /// NUMA node.
    pub node: usize,
    /// Lowest number among those that share its last-level cache; its own core where the machine does not tell.
    pub cache: usize,
    /// `performance`, `powersave`, …; none without frequency scaling (virtual machines).
    pub governor: Option<String>,
    /// What sets its clock: `intel_pstate`, `amd-pstate-epp`, `acpi-cpufreq`, …
    pub frequency_driver: Option<String>,
    /// Relative capacity (1024: the fastest); differs on machines with cores of two kinds.
    pub capacity: u64,
}

impl Machine {
    /// Reads this machine's, or a recorded, /proc and /sys.
    ///
    /// # Errors
    /// When the online processors or their siblings cannot be read. Everything else that a machine does not tell is
    /// left out.
    pub fn read(root: &Root) -> Result<Self, ReadError> {
        let processors = processors::read(root)?;
        let numbers: BTreeSet<usize> = processors.iter().map(|processor| processor.number).collect();
        let mut allowed = processors::allowed(root)?.unwrap_or_else(|| numbers.iter().copied().collect());
        allowed.retain(|number| numbers.contains(number));
        let isolated = root.list("sys/devices/system/cpu/isolated")?;
        let cgroup = Cgroup::read(root);
        Ok(Self {
            aside: processors::aside(&numbers, &allowed, &isolated, cgroup.cpuset.as_deref()),
            allowed,
            cgroup,
            isolated,
            nohz_full: processors::nohz_full(root),
            nics: network::read(root),
            kernel: Kernel::read(root),
            irqbalance: network::irqbalance(root),
            processors,
        })
    }

    pub fn processor(&self, number: usize) -> Option<&Processor> {
        self.processors.iter().find(|processor| processor.number == number)
    }

    /// NUMA node of a processor; 0 where it is not known.
    pub fn node(&self, number: usize) -> usize {
        self.processor(number).map_or(0, |processor| processor.node)
    }

    /// Physical cores on which workers may stand: their lowest number, with the numbers that can be had.
    pub fn cores(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut cores: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for processor in self.processors.iter().filter(|processor| self.can_be_had(processor.number)) {
            cores.entry(processor.core).or_default().push(processor.number);
        }
        cores
    }

    /// In the affinity, or aside of it.
    pub fn can_be_had(&self, number: usize) -> bool {
        self.allowed.contains(&number) || self.aside.contains(&number)
    }

    /// Physical core of a processor: the lowest number among its siblings.
    pub fn core(&self, number: usize) -> usize {
        self.processor(number).map_or(number, |processor| processor.core)
    }

    /// Processors by the last-level cache that they share.
    pub fn cache_groups(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for processor in &self.processors {
            groups.entry(processor.cache).or_default().push(processor.number);
        }
        groups
    }

    /// NUMA nodes that have a processor.
    pub fn nodes(&self) -> BTreeSet<usize> {
        self.processors.iter().map(|processor| processor.node).collect()
    }

    pub fn packages(&self) -> BTreeSet<usize> {
        self.processors.iter().map(|processor| processor.package).collect()
    }

    /// Interfaces that carry traffic.
    pub fn nics_up(&self) -> impl Iterator<Item = &Nic> {
        self.nics.iter().filter(|nic| nic.up)
    }
}
