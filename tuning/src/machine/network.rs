//! Network interfaces with their queues and interrupts (Documentation/networking/scaling.rst).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::read::{Root, parse_list, parse_mask};

/// A network interface behind which there is a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nic {
    pub name: String,
    pub up: bool,
    /// NUMA node of its slot; none where the machine does not tell.
    pub node: Option<usize>,
    pub driver: Option<String>,
    /// Mbit/s.
    pub speed_mbps: Option<u64>,
    pub receive: Vec<Queue>,
    pub transmit: Vec<Queue>,
    /// Those of its queues, in their order; configuration and mailbox interrupts are left out.
    pub interrupts: Vec<Interrupt>,
}

/// One queue of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// `rx-0`, `tx-0`.
    pub name: String,
    /// Processors to which software steers its packets (RPS), or which use it to send (XPS); empty: off.
    pub steered_to: Vec<usize>,
}

/// One interrupt of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interrupt {
    pub number: u32,
    /// As in /proc/interrupts.
    pub name: String,
    /// Processors that may take it.
    pub affinity: Vec<usize>,
}

/// Words in the names of interrupts that are not about packets.
const NOT_QUEUES: &[&str] = &["config", "control", "mgmt", "event", "async", "misc", "link", "pages", "cmd", "fdir"];

/// Every interface with a device.
pub fn read(root: &Root) -> Vec<Nic> {
    let names = interrupt_names(root);
    let with_device = |name: &String| root.path(&format!("sys/class/net/{name}/device")).exists();
    root.names("sys/class/net").into_iter().filter(with_device).map(|name| nic(root, name, &names)).collect()
}

fn nic(root: &Root, name: String, names: &BTreeMap<u32, String>) -> Nic {
    let at = format!("sys/class/net/{name}");
    let (mut receive, mut transmit) = (Vec::new(), Vec::new());
    for queue in root.names(&format!("{at}/queues")) {
        let (list, file) =
            if queue.starts_with("rx-") { (&mut receive, "rps_cpus") } else { (&mut transmit, "xps_cpus") };
        let mask = root.text(&format!("{at}/queues/{queue}/{file}"));
        list.push(Queue { name: queue, steered_to: mask.and_then(|mask| parse_mask(&mask)).unwrap_or_default() });
    }
    let driver = std::fs::read_link(root.path(&format!("{at}/device/driver"))).ok();
    Nic {
        up: is_up(root, &at),
        // -1: the slot belongs to no node.
        node: root.number::<i64>(&format!("{at}/device/numa_node")).and_then(|node| usize::try_from(node).ok()),
        driver: driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
        speed_mbps: root.number::<i64>(&format!("{at}/speed")).and_then(|speed| u64::try_from(speed).ok()),
        receive,
        transmit,
        interrupts: interrupts(root, &at, &name, names),
        name,
    }
}

/// Some drivers of virtual machines never say `up`: what has a carrier is.
fn is_up(root: &Root, at: &str) -> bool {
    match root.text(&format!("{at}/operstate")).as_deref() {
        Some("up") => true,
        Some("unknown") => root.number::<u8>(&format!("{at}/carrier")) == Some(1),
        _ => false,
    }
}

/// Whether irqbalance runs.
pub fn irqbalance(root: &Root) -> bool {
    let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let mut processes = root.names("proc").into_iter().filter(is_process);
    processes.any(|process| root.text(&format!("proc/{process}/comm")).as_deref() == Some("irqbalance"))
}

fn interrupts(root: &Root, at: &str, nic: &str, names: &BTreeMap<u32, String>) -> Vec<Interrupt> {
    // A virtio interface hangs below the PCI device that has the interrupts.
    let folders = [format!("{at}/device/msi_irqs"), format!("{at}/device/../msi_irqs")];
    let numbers = folders.iter().map(|folder| root.names(folder)).find(|names| !names.is_empty()).unwrap_or_default();
    let numbers = numbers.iter().filter_map(|number| number.parse::<u32>().ok());
    let of = |number: u32| {
        let name = names.get(&number)?.clone();
        // The interface's own name may hold such a word.
        let lower = name.replace(nic, "").to_lowercase();
        if NOT_QUEUES.iter().any(|word| lower.contains(word)) {
            return None;
        }
        let affinity = root.text(&format!("proc/irq/{number}/smp_affinity_list"));
        Some(Interrupt { number, name, affinity: affinity.and_then(|list| parse_list(&list)).unwrap_or_default() })
    };
    numbers.filter_map(of).collect()
}

/// The last column of /proc/interrupts, by number.
fn interrupt_names(root: &Root) -> BTreeMap<u32, String> {
    let text = root.text("proc/interrupts").unwrap_or_default();
    let line = |line: &str| {
        let (number, rest) = line.trim_start().split_once(':')?;
        Some((number.parse().ok()?, rest.split_whitespace().last()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}
