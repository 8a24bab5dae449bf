//! What outside of the gateway should be set for a choice of worker processors, what it is now, and why.

use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Nic, Transparent};
use crate::profile::Profile;
use crate::read::{write_list, write_mask};

/// What a setting is about: settings are made by topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// On which core packets arrive: queues, interrupts, steering.
    Interrupts,
    /// Clock frequency of the workers' cores.
    Governor,
    /// Sysctls, huge pages, limits.
    Kernel,
}

/// One setting of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub topic: Topic,
    /// For people: `interrupt 41 (eth0-TxRx-0)`.
    pub what: String,
    pub found: String,
    pub wanted: String,
    pub why: String,
    pub how: How,
}

/// How it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// By writing `wanted` into a file of the kernel's; the path has no leading slash.
    File(String),
    /// By a command that only a person should give.
    Command(String),
    /// In a place that this tool does not know, as it says.
    Elsewhere(&'static str),
}

impl Setting {
    /// Whether the machine is not as it should be.
    pub fn drifts(&self) -> bool {
        self.found != self.wanted
    }
}

/// Every setting for workers on these processors, with interfaces `nics`, that `profile` wants; also those that are
/// right already.
pub fn settings(machine: &Machine, workers: &[usize], nics: &[&Nic], profile: &Profile) -> Vec<Setting> {
    let mut all = Vec::new();
    for nic in nics {
        queues(machine, nic, workers, &mut all);
    }
    governors(machine, workers, &mut all);
    kernel(machine, &mut all);
    all.retain(|setting| profile.topics.contains(&setting.topic));
    for (name, sysctl) in &profile.sysctls {
        let Some(found) = machine.kernel.sysctls.get(name) else { continue };
        all.retain(|setting| setting.what != *name);
        all.push(Setting {
            topic: Topic::Kernel,
            what: name.clone(),
            found: found.clone(),
            wanted: sysctl.value.clone(),
            why: sysctl.why.clone(),
            how: sysctl_file(name),
        });
    }
    all
}

fn sysctl_file(name: &str) -> How {
    How::File(format!("proc/sys/{}", name.replace('.', "/")))
}

/// Workers that an interface's queues go to: those of its node if there are any.
fn beside(machine: &Machine, nic: &Nic, workers: &[usize]) -> Vec<usize> {
    let near: Vec<usize> =
        workers.iter().copied().filter(|worker| nic.node.is_none_or(|node| machine.node(*worker) == node)).collect();
    if near.is_empty() { workers.to_vec() } else { near }
}

fn queues(machine: &Machine, nic: &Nic, workers: &[usize], all: &mut Vec<Setting>) {
    let near = beside(machine, nic, workers);
    if near.is_empty() {
        return;
    }
    let queues = nic.receive.len();
    if queues > near.len() {
        all.push(Setting {
            topic: Topic::Interrupts,
            what: format!("{} receive queues", nic.name),
            found: queues.to_string(),
            wanted: near.len().to_string(),
            why: "a queue for each worker: more of them put two interrupts on one core".to_owned(),
            how: How::Command(format!("ethtool -L {} combined {}", nic.name, near.len())),
        });
    }
    // Each direction in turn: receive and transmit interrupts of one queue go to one core.
    for (index, interrupt) in nic.interrupts.iter().enumerate() {
        let queue = queue_of(&interrupt.name).unwrap_or(index);
        let Some(core) = near.get(queue % near.len()) else { continue };
        all.push(Setting {
            topic: Topic::Interrupts,
            what: format!("interrupt {} ({} {})", interrupt.number, nic.name, interrupt.name),
            found: write_list(&interrupt.affinity),
            wanted: core.to_string(),
            why: "packets are handled on the core of the worker that reads them".to_owned(),
            how: How::File(format!("proc/irq/{}/smp_affinity_list", interrupt.number)),
        });
    }
    // Fewer queues than workers: software spreads what the hardware cannot.
    let steer = if queues < near.len() { near.clone() } else { Vec::new() };
    for queue in &nic.receive {
        all.push(Setting {
            topic: Topic::Interrupts,
            what: format!("{} {} steering (RPS)", nic.name, queue.name),
            found: write_mask(&queue.steered_to),
            wanted: write_mask(&steer),
            why: if steer.is_empty() {
                "each worker has a queue of its own: steering again would cost an interrupt between cores".to_owned()
            } else {
                "there are fewer queues than workers: software spreads the packets over their cores".to_owned()
            },
            how: How::File(format!("sys/class/net/{}/queues/{}/rps_cpus", nic.name, queue.name)),
        });
    }
}

/// The number of the queue in the name of an interrupt: `eth0-TxRx-3`, `mlx5_comp3@pci:…`, `virtio2-input.3`.
fn queue_of(name: &str) -> Option<usize> {
    let name = name.split('@').next().unwrap_or(name);
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.get(name.len() - digits..)?.parse().ok()
}

fn governors(machine: &Machine, workers: &[usize], all: &mut Vec<Setting>) {
    for worker in workers {
        let Some(governor) = machine.processor(*worker).and_then(|processor| processor.governor.clone()) else {
            continue;
        };
        all.push(Setting {
            topic: Topic::Governor,
            what: format!("frequency governor of processor {worker}"),
            found: governor,
            wanted: "performance".to_owned(),
            why: "a clock that has to rise first costs the first requests after a pause".to_owned(),
            how: How::File(format!("sys/devices/system/cpu/cpu{worker}/cpufreq/scaling_governor")),
        });
    }
}

/// At least so much of a number.
const AT_LEAST: &[(&str, u64, &str)] = &[
    ("net.core.somaxconn", 4_096, "connections wait here while every worker is busy; beyond it they are dropped"),
    ("net.ipv4.tcp_max_syn_backlog", 4_096, "half-open connections beyond it fall back to SYN cookies"),
    ("net.core.netdev_max_backlog", 4_096, "packets that software steers wait here"),
    ("fs.nr_open", 1_048_576, "each exchange takes two descriptors"),
];

/// Exactly this.
const EXACTLY: &[(&str, &str, &str)] = &[
    ("kernel.io_uring_disabled", "0", "without io_uring the gateway does not start"),
    ("net.ipv4.tcp_syncookies", "1", "a flood of half-open connections must not keep others out"),
    ("net.ipv4.tcp_slow_start_after_idle", "0", "kept connections to origins should not begin slowly after a pause"),
    ("net.ipv4.ip_local_port_range", "10240 65535", "connections to one origin address are bounded by local ports"),
];

fn kernel(machine: &Machine, all: &mut Vec<Setting>) {
    let kernel = &machine.kernel;
    for (name, least, why) in AT_LEAST {
        let Some(found) = kernel.sysctls.get(*name) else { continue };
        let enough = found.parse::<u64>().is_ok_and(|found| found >= *least);
        let wanted = if enough { found.clone() } else { least.to_string() };
        all.push(Setting {
            topic: Topic::Kernel,
            what: (*name).to_owned(),
            found: found.clone(),
            wanted,
            why: (*why).to_owned(),
            how: sysctl_file(name),
        });
    }
    for (name, wanted, why) in EXACTLY {
        let Some(found) = kernel.sysctls.get(*name) else { continue };
        let (found, wanted) = (found.clone(), (*wanted).to_owned());
        all.push(Setting {
            topic: Topic::Kernel,
            what: (*name).to_owned(),
            found,
            wanted,
            why: (*why).to_owned(),
            how: sysctl_file(name),
        });
    }
    if machine.nodes().len() > 1
        && let Some(found) = kernel.sysctls.get("kernel.numa_balancing")
    {
        all.push(Setting {
            topic: Topic::Kernel,
            what: "kernel.numa_balancing".to_owned(),
            found: found.clone(),
            wanted: "0".to_owned(),
            why: "workers and their memory do not move: looking whether they should costs page faults".to_owned(),
            how: sysctl_file("kernel.numa_balancing"),
        });
    }
    if let Some(found) = kernel.transparent_hugepages {
        let word = match found {
            Transparent::Always => "always",
            Transparent::Madvise => "madvise",
            Transparent::Never => "never",
        };
        let wanted = if found == Transparent::Always { "madvise" } else { word };
        all.push(Setting {
            topic: Topic::Kernel,
            what: "transparent huge pages".to_owned(),
            found: word.to_owned(),
            wanted: wanted.to_owned(),
            why: "compaction stops threads at moments of its own choice, and small buffers swell".to_owned(),
            how: How::File("sys/kernel/mm/transparent_hugepage/enabled".to_owned()),
        });
    }
    if let Some((_, hard)) = kernel.descriptors {
        const DESCRIPTORS: u64 = 1_048_576;
        let wanted = hard.max(DESCRIPTORS);
        all.push(Setting {
            topic: Topic::Kernel,
            what: "open descriptors of this process (hard limit)".to_owned(),
            found: hard.to_string(),
            wanted: wanted.to_string(),
            why: "each exchange takes two; the gateway lowers its bounds to what is there".to_owned(),
            how: How::Elsewhere("LimitNOFILE= in the unit file, or ulimit -n"),
        });
    }
}
