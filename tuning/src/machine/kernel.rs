//! Settings of the kernel that a gateway feels.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::read::Root;

/// Sysctls that are looked at.
pub const SYSCTLS: &[&str] = &[
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_congestion_control",
    "fs.nr_open",
    "fs.file-max",
    "kernel.io_uring_disabled",
    "kernel.io_uring_group",
    "kernel.numa_balancing",
    "vm.swappiness",
];

/// What the kernel is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// `6.12.0`.
    pub release: Option<String>,
    /// Those of [`SYSCTLS`] that this kernel has.
    pub sysctls: BTreeMap<String, String>,
    /// Open descriptors of this process, at most: soft and hard limit.
    pub descriptors: Option<(u64, u64)>,
    /// Locked memory of this process in bytes, at most; none: no limit.
    pub locked_memory: Option<u64>,
    pub transparent_hugepages: Option<Transparent>,
    /// Reserved huge pages, by their size in KiB.
    pub hugepages: BTreeMap<u64, u64>,
    /// What the kernel does against weaknesses of the processor that it has: `retbleed` → `Mitigation: …`. System calls
    /// cost more with some of them.
    pub mitigations: BTreeMap<String, String>,
    /// Bytes of memory.
    pub memory: u64,
}

/// When the kernel uses huge pages by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transparent {
    Always,
    Madvise,
    Never,
}

impl Transparent {
    /// As the kernel writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Madvise => "madvise",
            Self::Never => "never",
        }
    }
}

impl Kernel {
    pub fn read(root: &Root) -> Self {
        let sysctl = |name: &&str| {
            let value = root.text(&format!("proc/sys/{}", name.replace('.', "/")))?;
            Some(((*name).to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        let limit = |name: &str| {
            let limits = root.text("proc/self/limits")?;
            let line = limits.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))?;
            let mut values = line.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(u64::MAX));
            Some((values.next()?, values.next()?))
        };
        let memory = |name: &str| {
            let text = root.text("proc/meminfo")?;
            let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            release: root.text("proc/sys/kernel/osrelease"),
            sysctls: SYSCTLS.iter().filter_map(sysctl).collect(),
            descriptors: limit("Max open files"),
            locked_memory: limit("Max locked memory").map(|(soft, _)| soft).filter(|bytes| *bytes != u64::MAX),
            transparent_hugepages: transparent(root),
            hugepages: hugepages(root),
            mitigations: mitigations(root),
            memory: memory("MemTotal:").unwrap_or(0).saturating_mul(1024),
        }
    }
}

/// `always [madvise] never`.
fn transparent(root: &Root) -> Option<Transparent> {
    let text = root.text("sys/kernel/mm/transparent_hugepage/enabled")?;
    let (_, chosen) = text.split_once('[')?;
    let word = chosen.split_once(']')?.0;
    [Transparent::Always, Transparent::Madvise, Transparent::Never].into_iter().find(|known| known.word() == word)
}

/// `hugepages-2048kB`, each with how many there are.
fn hugepages(root: &Root) -> BTreeMap<u64, u64> {
    let folder = "sys/kernel/mm/hugepages";
    let of = |name: String| {
        let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some((kib, root.number(&format!("{folder}/{name}/nr_hugepages"))?))
    };
    root.names(folder).into_iter().filter_map(of).collect()
}

fn mitigations(root: &Root) -> BTreeMap<String, String> {
    let folder = "sys/devices/system/cpu/vulnerabilities";
    let of = |name: String| {
        let state = root.text(&format!("{folder}/{name}"))?;
        (state != "Not affected").then_some((name, state))
    };
    root.names(folder).into_iter().filter_map(of).collect()
}
