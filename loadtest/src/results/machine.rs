//! What is told of the machine: enough to judge a figure, nothing that names it.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Facts about a machine, from /proc and /sys. No serial number, no host name, no address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Such as `AMD EPYC 9354 32-Core Processor`.
    pub processor: String,
    /// Logical processors that are online.
    pub cores: usize,
    /// Hardware threads of each core, where the kernel tells.
    #[serde(default)]
    pub threads_per_core: Option<usize>,
    /// Such as `Linux 6.18.5 x86_64`.
    pub kernel: String,
    pub memory_bytes: u64,
    /// What it is a guest of, such as `KVM` or `an unknown hypervisor`; `None` on bare metal.
    #[serde(default)]
    pub virtualised: Option<String>,
    /// Frequency governor of the first core; `None` where the kernel shows none.
    #[serde(default)]
    pub governor: Option<String>,
}

impl Machine {
    pub fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// As [`Machine::read`], with /proc and /sys below `root`; what cannot be read is told as `unknown` or absent.
    pub fn read_under(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let line = |path: &str| Some(text(path).trim().to_owned()).filter(|text| !text.is_empty());
        let cpuinfo = text("proc/cpuinfo");
        let release = line("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
        let system = line("proc/sys/kernel/ostype").unwrap_or_else(|| "Linux".to_owned());
        let listed = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        Self {
            processor: processor(&cpuinfo),
            cores: line("sys/devices/system/cpu/online").and_then(|list| count(&list)).unwrap_or(listed),
            threads_per_core: line("sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
                .and_then(|list| count(&list)),
            kernel: format!("{system} {release} {}", std::env::consts::ARCH),
            memory_bytes: memory_bytes(&text("proc/meminfo")),
            virtualised: virtualised(&cpuinfo, line("sys/hypervisor/type"), line("sys/class/dmi/id/sys_vendor")),
            governor: line("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        }
    }
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

/// ARM names no model: implementer and part stand there instead.
fn processor(cpuinfo: &str) -> String {
    if let Some(model) = field(cpuinfo, "model name").filter(|model| !model.is_empty()) {
        return model.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    match (field(cpuinfo, "CPU implementer"), field(cpuinfo, "CPU part")) {
        (Some(implementer), Some(part)) => format!("implementer {implementer}, part {part}"),
        _ => "unknown".to_owned(),
    }
}

fn memory_bytes(meminfo: &str) -> u64 {
    let kib = field(meminfo, "MemTotal").and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

/// Vendors of virtual machines, as DMI names them, and what people call them.
const VENDORS: [(&str, &str); 7] = [
    ("QEMU", "QEMU/KVM"),
    ("Amazon EC2", "Amazon EC2"),
    ("Google", "Google Compute Engine"),
    ("Microsoft Corporation", "Hyper-V"),
    ("VMware, Inc.", "VMware"),
    ("innotek GmbH", "VirtualBox"),
    ("Xen", "Xen"),
];

fn virtualised(cpuinfo: &str, hypervisor: Option<String>, vendor: Option<String>) -> Option<String> {
    let guest = field(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    let vendor = vendor.unwrap_or_default();
    let known = VENDORS.iter().find(|(name, _)| vendor.contains(name)).map(|(_, called)| (*called).to_owned());
    // A vendor alone is no proof: Microsoft and Google build machines of metal, too.
    match (hypervisor, guest) {
        (Some(kind), _) => Some(kind),
        (None, true) => Some(known.unwrap_or_else(|| "an unknown hypervisor".to_owned())),
        (None, false) => None,
    }
}

/// How many numbers a list like `0-3,6` holds.
fn count(list: &str) -> Option<usize> {
    list.split(',').try_fold(0_usize, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Machine, count, virtualised};

    #[test]
    fn this_machine_is_told() {
        let machine = Machine::read();
        assert!(machine.cores >= 1 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
    }

    #[test]
    fn what_is_missing_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::read_under(root.path());
        assert_eq!((machine.processor.as_str(), machine.cores, machine.memory_bytes), ("unknown", 0, 0));
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/cpuinfo"), "processor : 0\nmodel name\t: Some   Model\nprocessor : 1\n")
            .unwrap();
        let machine = Machine::read_under(root.path());
        assert_eq!((machine.processor.as_str(), machine.cores), ("Some Model", 2));
    }

    #[test]
    fn guests_are_told_from_metal() {
        let guest = "flags : fpu hypervisor sse";
        assert_eq!(virtualised(guest, None, Some("QEMU".into())).as_deref(), Some("QEMU/KVM"));
        assert_eq!(virtualised(guest, None, None).as_deref(), Some("an unknown hypervisor"));
        assert_eq!(virtualised("flags : fpu", None, Some("Google".into())), None);
        assert_eq!(virtualised("", Some("xen".into()), None).as_deref(), Some("xen"));
    }

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!(count("0-3,6"), Some(5));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count("x"), None);
    }
}
