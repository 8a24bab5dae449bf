//! Machines as they are recorded: /proc and /sys trees of shapes that we do not have.

use std::fs;
use std::path::Path;

use crate::choice::{Choice, Wish, choose};
use crate::machine::Machine;
use crate::read::Root;

/// The shape of a machine: everything else follows.
#[derive(Debug)]
pub struct Shape {
    pub packages: usize,
    pub nodes_per_package: usize,
    pub cores_per_node: usize,
    pub threads: usize,
    /// Cores that share one last-level cache; 0: all of a node.
    pub cores_per_cache: usize,
    /// Name, NUMA node, queues.
    pub nics: &'static [(&'static str, usize, usize)],
    pub allowed: Option<&'static str>,
    pub cpu_max: Option<&'static str>,
    pub isolated: &'static str,
    pub nohz_full: &'static str,
    pub irqbalance: bool,
    pub governor: Option<&'static str>,
}

pub const PLAIN: Shape = Shape {
    packages: 1,
    nodes_per_package: 1,
    cores_per_node: 2,
    threads: 1,
    cores_per_cache: 0,
    nics: &[("eth0", 0, 1)],
    allowed: None,
    cpu_max: None,
    isolated: "",
    nohz_full: "",
    irqbalance: false,
    governor: None,
};

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

impl Shape {
    fn processors(&self) -> usize {
        self.cores() * self.threads
    }

    fn cores(&self) -> usize {
        self.packages * self.nodes_per_package * self.cores_per_node
    }

    /// As servers number them: the first thread of every core, then the second ones.
    pub fn write(&self, root: &Path) {
        let cpu = "sys/devices/system/cpu";
        put(root, &format!("{cpu}/online"), &format!("0-{}", self.processors() - 1));
        put(root, &format!("{cpu}/isolated"), self.isolated);
        put(root, &format!("{cpu}/nohz_full"), self.nohz_full);
        if self.irqbalance {
            put(root, "proc/812/comm", "irqbalance");
        }
        for number in 0..self.processors() {
            let core = number % self.cores();
            let node = core / self.cores_per_node;
            let siblings: Vec<String> = (0..self.threads).map(|t| (core + t * self.cores()).to_string()).collect();
            let at = format!("{cpu}/cpu{number}");
            put(root, &format!("{at}/topology/thread_siblings_list"), &siblings.join(","));
            put(root, &format!("{at}/topology/physical_package_id"), &(node / self.nodes_per_package).to_string());
            put(root, &format!("{at}/node{node}/cpulist"), "");
            put(root, &format!("{at}/cache/index0/level"), "1");
            put(root, &format!("{at}/cache/index0/shared_cpu_list"), &siblings.join(","));
            put(root, &format!("{at}/cache/index3/level"), "3");
            put(root, &format!("{at}/cache/index3/shared_cpu_list"), &self.sharing(core));
            if let Some(governor) = self.governor {
                put(root, &format!("{at}/cpufreq/scaling_governor"), governor);
            }
        }
        let allowed = self.allowed.map_or_else(|| format!("0-{}", self.processors() - 1), str::to_owned);
        put(root, &format!("{cpu}/vulnerabilities/retbleed"), "Mitigation: untrained return thunk");
        put(root, &format!("{cpu}/vulnerabilities/meltdown"), "Not affected");
        put(root, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64");
        put(root, "proc/self/status", &format!("Name:\tx\nCpus_allowed_list:\t{allowed}\nMems_allowed:\t1"));
        put(root, "proc/self/cgroup", "0::/system.slice/adamant.service");
        if let Some(max) = self.cpu_max {
            put(root, "sys/fs/cgroup/system.slice/adamant.service/cpu.max", max);
        }
        self.write_nics(root);
        put(root, "proc/sys/net/core/somaxconn", "128");
        put(root, "proc/sys/kernel/io_uring_disabled", "0");
        put(root, "proc/sys/kernel/numa_balancing", "1");
        put(root, "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
        put(root, "proc/self/limits", "Limit  Soft  Hard  Units\nMax open files            1024     524288    files");
    }

    /// Those that share the last-level cache of a core.
    fn sharing(&self, core: usize) -> String {
        let cores = if self.cores_per_cache == 0 { self.cores_per_node } else { self.cores_per_cache };
        let first = core / cores * cores;
        let of = |thread: usize| {
            let first = first + thread * self.cores();
            format!("{first}-{}", first + cores - 1)
        };
        (0..self.threads).map(of).collect::<Vec<_>>().join(",")
    }

    fn write_nics(&self, root: &Path) {
        let mut interrupts = String::from("           CPU0       CPU1\n");
        for (index, (name, node, queues)) in self.nics.iter().enumerate() {
            let at = format!("sys/class/net/{name}");
            put(root, &format!("{at}/operstate"), "up");
            put(root, &format!("{at}/speed"), "25000");
            put(root, &format!("{at}/device/numa_node"), &node.to_string());
            for queue in 0..*queues {
                let number = 100 + index * 1000 + queue;
                put(root, &format!("{at}/queues/rx-{queue}/rps_cpus"), "0");
                put(root, &format!("{at}/queues/tx-{queue}/xps_cpus"), "0");
                put(root, &format!("{at}/device/msi_irqs/{number}"), "msix");
                put(root, &format!("proc/irq/{number}/smp_affinity_list"), "0");
                interrupts.push_str(&format!(" {number}:   1   0  PCI-MSI {number}-edge      {name}-TxRx-{queue}\n"));
            }
            let config = 99 + index * 1000;
            put(root, &format!("{at}/device/msi_irqs/{config}"), "msix");
            interrupts.push_str(&format!(" {config}:   1   0  PCI-MSI {config}-edge      {name}-config\n"));
        }
        put(root, "proc/interrupts", &interrupts);
    }

    pub fn machine(&self) -> Machine {
        let root = tempfile::tempdir().unwrap();
        self.write(root.path());
        Machine::read(&Root::new(root.path())).unwrap()
    }

    pub fn choice(&self) -> Choice {
        choose(&self.machine(), &Wish::default()).unwrap()
    }
}
