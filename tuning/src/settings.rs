//! What outside of the gateway should be set for a choice of worker processors, what it is now, and why.

use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Nic, Transparent};
use crate::profile::Profile;

mod packets;

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

/// Those that are not as wanted, together where the reason is the same: one line for people, however many interrupts an
/// interface has.
pub fn drifting(settings: &[Setting]) -> Vec<Vec<&Setting>> {
    let mut groups: Vec<Vec<&Setting>> = Vec::new();
    for setting in settings.iter().filter(|setting| setting.drifts()) {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| first.why == setting.why)) {
            Some(group) => group.push(setting),
            None => groups.push(vec![setting]),
        }
    }
    groups
}

/// Every setting for workers on these processors, with interfaces `nics`, that `profile` wants; also those that are
/// right already.
pub fn settings(machine: &Machine, workers: &[usize], nics: &[&Nic], profile: &Profile) -> Vec<Setting> {
    let mut all = Vec::new();
    packets::settings(machine, workers, nics, &mut all);
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
    ("net.ipv4.tcp_syncookies", "1", "a flood of half-open connections must not keep others out"),
    ("net.ipv4.tcp_slow_start_after_idle", "0", "kept connections to origins should not begin slowly after a pause"),
];

/// Local ports that should be there for connections to origins.
const PORTS: (u32, u32) = (10_240, 65_535);

fn kernel(machine: &Machine, all: &mut Vec<Setting>) {
    let mut sysctl = |name: &str, wanted: &dyn Fn(&str) -> String, why: &str| {
        let Some(found) = machine.kernel.sysctls.get(name) else { return };
        all.push(Setting {
            topic: Topic::Kernel,
            what: name.to_owned(),
            wanted: wanted(found),
            found: found.clone(),
            why: why.to_owned(),
            how: sysctl_file(name),
        });
    };
    for (name, least, why) in AT_LEAST {
        let enough = |found: &str| found.parse::<u64>().is_ok_and(|found| found >= *least);
        sysctl(name, &|found| if enough(found) { found.to_owned() } else { least.to_string() }, why);
    }
    for (name, wanted, why) in EXACTLY {
        sysctl(name, &|_| (*wanted).to_owned(), why);
    }
    sysctl(
        "net.ipv4.ip_local_port_range",
        &wider_ports,
        "connections to one origin address are bounded by local ports (keep ports that are listened on out of it with \
         ip_local_reserved_ports)",
    );
    let group = machine.kernel.sysctls.get("kernel.io_uring_group").is_some_and(|group| group != "-1");
    sysctl(
        "kernel.io_uring_disabled",
        &|found| if found == "1" && group { found.to_owned() } else { "0".to_owned() },
        "without io_uring the gateway does not start",
    );
    if machine.nodes().len() > 1 {
        let why = "workers and their memory do not move: looking whether they should costs page faults";
        sysctl("kernel.numa_balancing", &|_| "0".to_owned(), why);
    }
    transparent(machine, all);
    descriptors(machine, all);
}

/// As many ports as found and as wanted.
fn wider_ports(found: &str) -> String {
    let ends =
        found.split_once(' ').and_then(|(low, high)| Some((low.parse::<u32>().ok()?, high.parse::<u32>().ok()?)));
    let (low, high) = ends.unwrap_or(PORTS);
    format!("{} {}", low.min(PORTS.0), high.max(PORTS.1))
}

fn transparent(machine: &Machine, all: &mut Vec<Setting>) {
    let Some(found) = machine.kernel.transparent_hugepages else { return };
    let wanted = if found == Transparent::Always { Transparent::Madvise } else { found };
    all.push(Setting {
        topic: Topic::Kernel,
        what: "transparent huge pages".to_owned(),
        found: found.word().to_owned(),
        wanted: wanted.word().to_owned(),
        why: "compaction stops threads at moments of its own choice, and small buffers swell".to_owned(),
        how: How::File("sys/kernel/mm/transparent_hugepage/enabled".to_owned()),
    });
}

/// Open descriptors that a gateway should be allowed.
const DESCRIPTORS: u64 = 1_048_576;

fn descriptors(machine: &Machine, all: &mut Vec<Setting>) {
    let Some((_, hard)) = machine.kernel.descriptors else { return };
    all.push(Setting {
        topic: Topic::Kernel,
        what: "open descriptors of this process (hard limit)".to_owned(),
        found: hard.to_string(),
        wanted: hard.max(DESCRIPTORS).to_string(),
        why: "each exchange takes two; the gateway lowers its bounds to what is there".to_owned(),
        how: How::Elsewhere("LimitNOFILE= in the unit file, or ulimit -n"),
    });
}
