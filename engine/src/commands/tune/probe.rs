//! `adamant tune probe`: what this machine is, to read or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use proxy::probe::measure::{Measured, Ratio, measure};
use serde_json::{Value, json};
use sys::uring::Feature;
use tuning::machine::{Cgroup, Kernel, Machine, Nic, Queue};
use tuning::read::write_list;

use super::{ProbeArgs, ProbeFormat, machine};
use crate::failure::Failure;

/// Entries of the ring that is tried.
const RING_ENTRIES: u32 = 64;

pub fn run(args: &ProbeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let machine = machine()?;
    let ring = Ring::ask();
    let measured = args.measure.then(measure).transpose();
    let measured = measured.map_err(|error| Failure::new(format_args!("nothing could be measured: {error}")))?;
    if args.format == ProbeFormat::Json {
        let mut document = json!({ "machine": machine, "io_uring": ring.json() });
        if let (Some(measured), Some(document)) = (&measured, document.as_object_mut()) {
            document.insert("measured".to_owned(), measured.iter().map(measured_json).collect());
        }
        return Ok(writeln!(out, "{document:#}")?);
    }
    write_processors(out, &machine)?;
    write_limits(out, &machine)?;
    for nic in &machine.nics {
        write_nic(out, nic)?;
    }
    if machine.irqbalance {
        writeln!(out, "irqbalance  runs")?;
    }
    write_kernel(out, &machine.kernel)?;
    ring.write(out)?;
    Ok(measured.map_or(Ok(()), |measured| write_measured(out, &measured))?)
}

fn write_processors(out: &mut dyn Write, machine: &Machine) -> io::Result<()> {
    let cores = machine.processors.iter().map(|processor| processor.core);
    let siblings = grouped(machine.processors.iter().map(|processor| (processor.core, processor.number)));
    let caches = machine.cache_groups();
    writeln!(
        out,
        "processors  {} online, {} physical cores, {} socket(s), {} NUMA node(s), {} last-level cache(s)",
        machine.processors.len(),
        cores.collect::<std::collections::BTreeSet<_>>().len(),
        machine.packages().len(),
        machine.nodes().len(),
        caches.len(),
    )?;
    for (node, numbers) in grouped(machine.processors.iter().map(|processor| (processor.node, processor.number))) {
        writeln!(out, "  node {node:<5}{}", write_list(&numbers))?;
    }
    if caches.len() < siblings.len() {
        writeln!(out, "  caches    {}", lists(caches.into_values()))?;
    }
    if siblings.len() < machine.processors.len() {
        writeln!(out, "  siblings  {}", lists(siblings.into_values()))?;
    }
    let clocks = machine.processors.iter().filter_map(|processor| {
        let driver = processor.frequency_driver.as_deref().unwrap_or("a driver that does not say");
        Some((format!("{} by {driver}", processor.governor.as_deref()?), processor.number))
    });
    let clocks = grouped(clocks);
    if clocks.is_empty() {
        writeln!(out, "  governor  not told")?;
    }
    for (clock, numbers) in clocks {
        writeln!(out, "  governor  {clock} on {}", write_list(&numbers))?;
    }
    Ok(())
}

fn grouped<K: Ord>(pairs: impl Iterator<Item = (K, usize)>) -> BTreeMap<K, Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (key, number) in pairs {
        groups.entry(key).or_default().push(number);
    }
    groups
}

/// `0,16  1,17`.
fn lists(groups: impl Iterator<Item = Vec<usize>>) -> String {
    groups.map(|numbers| write_list(&numbers)).collect::<Vec<_>>().join("  ")
}

fn write_limits(out: &mut dyn Write, machine: &Machine) -> io::Result<()> {
    writeln!(out, "may use     {}", write_list(&machine.allowed))?;
    let mut isolated = or_none(&machine.isolated);
    if !machine.aside.is_empty() {
        isolated.push_str(" (not in the affinity; had by asking, with CPUAffinity= or taskset)");
    }
    writeln!(out, "isolated    {isolated}")?;
    writeln!(out, "nohz_full   {}", or_none(&machine.nohz_full))?;
    let Cgroup { group, cpuset, quota_percent, memory_max, pids_max, controllers_of_v1 } = &machine.cgroup;
    let narrowed = cpuset.as_ref().filter(|cpuset| cpuset.len() < machine.processors.len());
    let limits = [
        narrowed.map(|cpuset| format!("processors {}", write_list(cpuset))),
        quota_percent.map(|percent| format!("{}.{:02} processors' time", percent / 100, percent % 100)),
        memory_max.map(|bytes| format!("{} MiB of memory", bytes >> 20)),
        pids_max.map(|most| format!("{most} processes and threads")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let limits = if limits.is_empty() { "no limits".to_owned() } else { limits.join(", ") };
    writeln!(out, "cgroup      {}: {limits}", group.as_deref().unwrap_or("no cgroup v2"))?;
    if !controllers_of_v1.is_empty() {
        writeln!(out, "  of cgroup v1, and not looked at: {}", controllers_of_v1.join(", "))?;
    }
    let Kernel { descriptors, locked_memory, .. } = &machine.kernel;
    let descriptors =
        descriptors.map_or("not told".to_owned(), |(soft, hard)| format!("{soft} open descriptors (at most {hard})"));
    let locked = locked_memory
        .map_or("no limit of locked memory".to_owned(), |bytes| format!("{} KiB of locked memory", bytes >> 10));
    writeln!(out, "limits      {descriptors}, {locked}")
}

fn or_none(list: &[usize]) -> String {
    if list.is_empty() { "none".to_owned() } else { write_list(list) }
}

fn write_nic(out: &mut dyn Write, nic: &Nic) -> io::Result<()> {
    let state = if nic.up { "up" } else { "down" };
    let speed = nic.speed_mbps.map_or(String::new(), |speed| format!(", {speed} Mbit/s"));
    let node = nic.node.map_or(String::new(), |node| format!(", node {node}"));
    let driver = nic.driver.as_deref().map_or(String::new(), |driver| format!(", {driver}"));
    let (receive, transmit) = (nic.receive.len(), nic.transmit.len());
    writeln!(out, "{:<12}{state}{driver}{speed}{node}, {receive} receive and {transmit} transmit queues", nic.name)?;
    for interrupt in &nic.interrupts {
        let list = write_list(&interrupt.affinity);
        writeln!(out, "  interrupt {} ({}) on {list}", interrupt.number, interrupt.name)?;
    }
    for (what, queues) in [("received packets (RPS)", &nic.receive), ("sent packets (XPS)", &nic.transmit)] {
        write_steering(out, what, queues)?;
    }
    Ok(())
}

/// Queues with the same mask in one line.
fn write_steering(out: &mut dyn Write, what: &str, queues: &[Queue]) -> io::Result<()> {
    let mut masks: BTreeMap<&[usize], Vec<&str>> = BTreeMap::new();
    for queue in queues {
        masks.entry(&queue.steered_to).or_default().push(&queue.name);
    }
    for (mask, names) in masks {
        let names = match names.as_slice() {
            [first, .., last] if names.len() > 4 => format!("{first} to {last}"),
            few => few.join(", "),
        };
        writeln!(out, "  steering of {what}, {names}: {}", or_none(mask))?;
    }
    Ok(())
}

fn write_kernel(out: &mut dyn Write, kernel: &Kernel) -> io::Result<()> {
    writeln!(out, "memory      {} MiB", kernel.memory >> 20)?;
    let reserved = kernel.hugepages.iter().map(|(kib, count)| format!("{count} of {} MiB reserved, ", kib >> 10));
    let transparent = kernel.transparent_hugepages.map_or("not told", |transparent| transparent.word());
    writeln!(out, "huge pages  {}transparent ones: {transparent}", reserved.collect::<String>())?;
    writeln!(out, "kernel      {}", kernel.release.as_deref().unwrap_or("not told"))?;
    for (name, value) in &kernel.sysctls {
        writeln!(out, "  {name} = {value}")?;
    }
    if !kernel.mitigations.is_empty() {
        writeln!(out, "weaknesses of the processor, of which some make system calls dearer")?;
    }
    for (name, state) in &kernel.mitigations {
        writeln!(out, "  {name}: {state}")?;
    }
    Ok(())
}

/// What io_uring can do.
struct Ring {
    /// Why the workers cannot use it.
    refused: Option<String>,
    features: Vec<Feature>,
}

impl Ring {
    fn ask() -> Self {
        let refused = proxy::probe::check_kernel(RING_ENTRIES).err().map(|error| error.to_string());
        Self { refused, features: sys::uring::features().unwrap_or_default() }
    }

    /// Names of features by their state.
    fn states(&self) -> [(&'static str, Vec<&'static str>); 3] {
        let state = |feature: &Feature| match (feature.there, proxy::probe::USED.contains(&feature.name)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
        let of = |wanted| self.features.iter().filter(move |feature| state(feature) == wanted);
        let names = |wanted| of(wanted).map(|feature| feature.name).collect();
        [("used", names(0)), ("there", names(1)), ("missing", names(2))]
    }

    fn json(&self) -> Value {
        let states: serde_json::Map<String, Value> =
            self.states().into_iter().map(|(state, names)| (state.to_owned(), json!(names))).collect();
        json!({ "usable": self.refused.is_none(), "why": self.refused, "features": states })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.refused {
            None => writeln!(out, "io_uring    usable, and of what was tried:")?,
            Some(why) => writeln!(out, "io_uring    not usable: {why}")?,
        }
        for (state, names) in self.states() {
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            writeln!(out, "  {state:<10}{names}")?;
        }
        Ok(())
    }
}

/// Below it a difference is not worth a word.
const SAME: f64 = 0.03;

fn write_measured(out: &mut dyn Write, measured: &[Measured]) -> io::Result<()> {
    writeln!(
        out,
        "waiting     processor time of a message of 900 bytes there and back on loopback, both ends, by that of the workers' own\n            \
         way: the ring tells readiness, recv(2) and send(2) move the bytes (median, and a 95 % interval)"
    )?;
    for of in measured {
        let (connections, us) = (of.connections, of.round_trip_ns as f64 / 1_000.0);
        let noun = if connections == 1 { "connection" } else { "connections" };
        writeln!(out, "  {connections} {noun}: {us:.1} µs a message in {} slices of each way", of.slices)?;
        for (what, ratio) in [("the ring receives", &of.ring_receives), ("the ring sends", &of.ring_sends)] {
            let Ratio { median, low, high } = ratio;
            writeln!(out, "    {what:<18}{median:.2} ({low:.2} to {high:.2}): {}", verdict(ratio))?;
        }
    }
    writeln!(out, "  The workers' way is compiled in: this says what this machine would like better, and sets nothing.")
}

fn verdict(ratio: &Ratio) -> &'static str {
    if ratio.low > 1.0 - SAME && ratio.high < 1.0 + SAME {
        "the same"
    } else if ratio.low > 1.0 {
        "dearer here than the workers' way"
    } else if ratio.high < 1.0 {
        "cheaper here than the workers' way"
    } else {
        "undecided"
    }
}

fn measured_json(of: &Measured) -> Value {
    let ratio = |ratio: &Ratio| json!({ "median": ratio.median, "low": ratio.low, "high": ratio.high });
    json!({
        "connections": of.connections,
        "ring_receives": ratio(&of.ring_receives),
        "ring_sends": ratio(&of.ring_sends),
        "round_trip_ns": of.round_trip_ns,
        "slices": of.slices,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        let of = |low, high| verdict(&Ratio { median: 1.0, low, high });
        assert!(of(1.04, 1.3).starts_with("dearer"));
        assert!(of(0.7, 0.9).starts_with("cheaper") && of(0.96, 0.99).starts_with("cheaper"));
        assert_eq!(of(0.99, 1.02), "the same");
        assert_eq!(of(0.9, 1.1), "undecided");
        assert!(of(1.02, 1.2).starts_with("dearer"));
    }
}
