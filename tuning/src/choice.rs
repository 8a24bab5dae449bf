//! Which processors get a worker, which are left to the control threads and the kernel, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::machine::{Machine, Nic};
use crate::read::write_list;

mod pack;

/// Physical cores for which one is left to the control threads and the kernel: the audit writer needs about a
/// twentieth of what workers need.
const CORES_PER_CONTROL_CORE: usize = 16;
/// Of the fastest processor's capacity, in hundredths: below it a core is of the slower kind.
const FAST_PERCENT: u64 = 80;

/// What the user wants otherwise than it would be chosen.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Workers, at most.
    pub workers: Option<usize>,
    /// Of the cores that could have a worker, in hundredths; all of them without it.
    pub workers_percent: Option<u8>,
    /// The interface that requests come in by; every interface that is up without it.
    pub nic: Option<String>,
    /// Use the cores of every NUMA node, beside an interface or not.
    pub every_node: bool,
}

/// A choice of processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// One worker each, in the order of their workers.
    pub workers: Vec<usize>,
    /// For control threads, the audit writer and the kernel; shared with a worker where there is no other.
    pub control: Vec<usize>,
    /// Siblings of workers' processors: whatever runs there takes from a worker.
    pub idle: Vec<usize>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

/// Why there is no choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error("expected an interface of this machine, found {found:?}: it has {}", known.join(", "))]
    Nic { found: String, known: Vec<String> },
    #[error("this process may run on no online processor: look at its cpuset and affinity")]
    NoProcessor,
    #[error("expected at least 1 worker, found 0")]
    NoWorker,
}

/// Chooses for `machine`: one worker a physical core, beside the interfaces, with cores left for everything else.
pub fn choose(machine: &Machine, wish: &Wish) -> Result<Choice, ChoiceError> {
    if wish.workers == Some(0) {
        return Err(ChoiceError::NoWorker);
    }
    let nics = nics(machine, wish)?;
    let near: BTreeSet<usize> = nics.iter().filter_map(|nic| nic.node).collect();
    let mut reasons = Vec::new();
    let mut workers = cores(machine, &mut reasons);
    if workers.is_empty() {
        return Err(ChoiceError::NoProcessor);
    }
    let all = workers.len();
    suitable(machine, &mut workers, &mut reasons);
    if !wish.every_node {
        let beside = |number: usize| near.contains(&machine.node(number));
        let count = workers.iter().filter(|number| beside(**number)).count();
        let names: Vec<&str> = nics.iter().map(|nic| nic.name.as_str()).collect();
        let why = format!(
            "workers stand on the {count} cores of the NUMA node of {}, {} others are left: from there each packet crosses \
             the interconnect (--every-node uses all)",
            names.join(" and "),
            workers.len() - count
        );
        keep(&mut workers, &mut reasons, &beside, &why);
    }
    if workers.len() == all {
        leave_some(machine, &mut workers, &mut reasons);
    }
    let most = limit(machine, wish, workers.len(), &mut reasons);
    // Each interface has workers of its own; without that, few nodes and few caches.
    let spread = near.len() > 1 && !wish.every_node;
    pack::pack(machine, &mut workers, most, (&near, spread), &mut reasons);
    Ok(complete(machine, workers, reasons))
}

/// One processor of each physical core.
fn cores(machine: &Machine, reasons: &mut Vec<String>) -> Vec<usize> {
    let cores = machine.cores();
    let usable: usize = cores.values().map(Vec::len).sum();
    if usable > cores.len() {
        reasons.push(format!(
            "{} physical cores have {usable} processors: one worker a core, because siblings share one core's units and \
             caches",
            cores.len()
        ));
    }
    if usable < machine.processors.len() {
        reasons.push(format!("{usable} of {} processors may be used (cpuset or affinity)", machine.processors.len()));
    }
    if !machine.aside.is_empty() {
        let list = write_list(&machine.aside);
        reasons.push(format!(
            "processors {list} are isolated: a process has them only when it is put there, so start the gateway with \
             CPUAffinity={} in its unit, or taskset -c",
            write_list(&[machine.allowed.as_slice(), machine.aside.as_slice()].concat())
        ));
    }
    candidates(machine)
}

/// The processor of each physical core that a worker would have: an isolated one before its siblings.
pub(crate) fn candidates(machine: &Machine) -> Vec<usize> {
    let of = |numbers: Vec<usize>| {
        let isolated = numbers.iter().find(|number| machine.isolated.contains(number));
        isolated.or(numbers.first()).copied()
    };
    machine.cores().into_values().filter_map(of).collect()
}

/// Leaves the cores that are fast, isolated, without a tick: those of them that there are.
pub(crate) fn suitable(machine: &Machine, workers: &mut Vec<usize>, reasons: &mut Vec<String>) {
    let capacity = |number: usize| machine.processor(number).map_or(0, |processor| processor.capacity);
    let fastest = workers.iter().map(|number| capacity(*number)).max().unwrap_or(0);
    let fast = |number| capacity(number) * 100 >= fastest * FAST_PERCENT;
    keep(workers, reasons, &fast, "cores of the slower kind are left to everything but workers");
    for (list, name) in [(&machine.isolated, "isolcpus"), (&machine.nohz_full, "nohz_full")] {
        let why = format!("workers stand on the cores of {name}=, everything else on the others");
        keep(workers, reasons, &|number| list.contains(&number), &why);
    }
}

/// Leaves those that are wanted, if any is and not all are.
fn keep(workers: &mut Vec<usize>, reasons: &mut Vec<String>, wanted: &dyn Fn(usize) -> bool, why: &str) {
    let stay: Vec<usize> = workers.iter().copied().filter(|number| wanted(*number)).collect();
    if !stay.is_empty() && stay.len() < workers.len() {
        reasons.push(why.to_owned());
        *workers = stay;
    }
}

/// Of so many cores, those that are left to everything but workers.
pub(crate) fn left_over(cores: usize) -> usize {
    cores.div_ceil(CORES_PER_CONTROL_CORE)
}

/// Where every core would have a worker, some are left to everything else: the fullest node gives first, and of it the
/// first core, which the kernel uses anyway.
fn leave_some(machine: &Machine, workers: &mut Vec<usize>, reasons: &mut Vec<String>) {
    if workers.len() < 2 {
        reasons.push("there is one core: worker and control threads share it".to_owned());
        return;
    }
    let mut nodes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for worker in workers.iter().rev() {
        nodes.entry(machine.node(*worker)).or_default().push(*worker);
    }
    let mut left = Vec::new();
    for _ in 0..left_over(workers.len()) {
        let fullest = nodes.iter_mut().rev().max_by_key(|(_, cores)| cores.len());
        left.extend(fullest.and_then(|(_, cores)| cores.pop()));
    }
    workers.retain(|worker| !left.contains(worker));
    left.sort_unstable();
    let (cores, are) = if left.len() == 1 { ("core of processor", "is") } else { ("cores of processors", "are") };
    let list = write_list(&left);
    reasons.push(format!("the {cores} {list} {are} left to control threads, audit writing and the kernel"));
}

/// The interfaces that requests come in by.
pub fn nics<'m>(machine: &'m Machine, wish: &Wish) -> Result<Vec<&'m Nic>, ChoiceError> {
    let Some(name) = &wish.nic else { return Ok(machine.nics_up().collect()) };
    match machine.nics.iter().find(|nic| nic.name == *name) {
        Some(nic) => Ok(vec![nic]),
        None => {
            let known = machine.nics.iter().map(|nic| nic.name.clone()).collect();
            Err(ChoiceError::Nic { found: name.clone(), known })
        }
    }
}

/// How many workers the cgroup and the user allow.
fn limit(machine: &Machine, wish: &Wish, cores: usize, reasons: &mut Vec<String>) -> usize {
    let mut most = cores;
    if let Some(percent) = machine.cgroup.quota_percent {
        let whole = usize::try_from(percent / 100).unwrap_or(usize::MAX).max(1);
        if whole < most {
            reasons.push(format!(
                "the cgroup allows {}.{:02} processors' time (cpu.max): more workers would be stopped in turns",
                percent / 100,
                percent % 100
            ));
            most = whole;
        }
    }
    if let Some(percent) = wish.workers_percent.filter(|percent| *percent < 100) {
        let part = (cores * usize::from(percent)).div_ceil(100).max(1);
        if part < most {
            reasons.push(format!("the profile wants workers on {percent} % of the cores"));
            most = part;
        }
    }
    if let Some(wished) = wish.workers.filter(|wished| *wished < most) {
        let noun = if wished == 1 { "worker was" } else { "workers were" };
        reasons.push(format!("{wished} {noun} asked for"));
        most = wished;
    }
    most
}

/// Says where everything else stands: on cores without a worker, or beside the workers where there is no other.
fn complete(machine: &Machine, workers: Vec<usize>, reasons: Vec<String>) -> Choice {
    let of_workers: BTreeSet<usize> = workers.iter().map(|worker| machine.core(*worker)).collect();
    let numbers = machine.processors.iter().map(|processor| processor.number);
    let others = numbers.filter(|number| machine.can_be_had(*number) && !workers.contains(number));
    let (idle, control): (Vec<usize>, Vec<usize>) =
        others.partition(|number| of_workers.contains(&machine.core(*number)));
    // Isolated ones are for nobody who does not ask.
    let usual: Vec<usize> = control.iter().copied().filter(|number| machine.allowed.contains(number)).collect();
    let control = if usual.is_empty() { control } else { usual };
    match (control.is_empty(), idle.is_empty()) {
        (true, true) => Choice { control: workers.clone(), workers, idle, reasons },
        (true, false) => Choice { workers, control: idle, idle: Vec::new(), reasons },
        _ => Choice { workers, control, idle, reasons },
    }
}
