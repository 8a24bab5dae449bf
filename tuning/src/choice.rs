//! Which processors get a worker, which are left to the control threads and the kernel, and why.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::machine::{Machine, Nic};

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
    let mut reasons = Vec::new();
    let mut workers = cores(machine, &mut reasons);
    if workers.is_empty() {
        return Err(ChoiceError::NoProcessor);
    }
    let mut control = Vec::new();
    let mut keep = |workers: &mut Vec<usize>, wanted: &dyn Fn(usize) -> bool, why: String| {
        let (stay, leave): (Vec<usize>, Vec<usize>) = workers.iter().copied().partition(|number| wanted(*number));
        if !stay.is_empty() && !leave.is_empty() {
            reasons.push(why);
            *workers = stay;
            control.extend(leave);
        }
    };
    let capacity = |number: usize| machine.processor(number).map_or(0, |processor| processor.capacity);
    let fastest = workers.iter().map(|number| capacity(*number)).max().unwrap_or(0);
    let fast = |number| capacity(number) * 100 >= fastest * FAST_PERCENT;
    keep(&mut workers, &fast, "cores of the slower kind are left to everything but workers".to_owned());
    let isolated = |number| machine.isolated.contains(&number);
    keep(
        &mut workers,
        &isolated,
        "workers stand on the isolated cores (isolcpus), everything else on the others".into(),
    );
    let near: BTreeSet<usize> = nics.iter().filter_map(|nic| nic.node).collect();
    if !wish.every_node && !near.is_empty() {
        let names: Vec<&str> = nics.iter().map(|nic| nic.name.as_str()).collect();
        let why = format!(
            "workers stand on the NUMA node of {}: from another one each packet crosses the interconnect (--every-node \
             uses all)",
            names.join(" and ")
        );
        keep(&mut workers, &|number| near.contains(&machine.node(number)), why);
    }
    leave_some(&mut workers, &mut control, &mut reasons);
    limit(machine, wish, &mut workers, &mut control, &mut reasons);
    control.sort_unstable();
    Ok(Choice { workers, control, reasons })
}

/// One processor of each physical core: the first that may be used.
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
    if machine.allowed.len() < machine.processors.len() {
        let (allowed, all) = (machine.allowed.len(), machine.processors.len());
        reasons.push(format!("{allowed} of {all} processors may be used (cpuset or affinity)"));
    }
    cores.into_values().filter_map(|numbers| numbers.first().copied()).collect()
}

/// Where every core would have a worker, the first ones are left to everything else: the kernel uses them anyway.
fn leave_some(workers: &mut Vec<usize>, control: &mut Vec<usize>, reasons: &mut Vec<String>) {
    if !control.is_empty() {
        return;
    }
    if let [only] = workers.as_slice() {
        reasons.push("there is one core: worker and control threads share it".to_owned());
        control.push(*only);
        return;
    }
    let left = workers.len().div_ceil(CORES_PER_CONTROL_CORE).min(workers.len() - 1);
    let told = if left == 1 { "the first core is".to_owned() } else { format!("the first {left} cores are") };
    reasons.push(format!("{told} left to control threads, audit writing and the kernel"));
    let rest = workers.split_off(left);
    control.append(workers);
    *workers = rest;
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

/// What the cgroup and the user allow.
fn limit(
    machine: &Machine,
    wish: &Wish,
    workers: &mut Vec<usize>,
    control: &mut Vec<usize>,
    reasons: &mut Vec<String>,
) {
    let mut most = workers.len();
    if let Some(percent) = machine.quota_percent {
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
        let part = (workers.len() * usize::from(percent)).div_ceil(100).max(1);
        if part < most {
            reasons.push(format!("the profile wants workers on {percent} % of the cores"));
            most = part;
        }
    }
    if let Some(wished) = wish.workers.filter(|wished| *wished < most) {
        reasons.push(format!("{wished} workers were asked for"));
        most = wished;
    }
    let freed = workers.split_off(most.min(workers.len()));
    control.extend(freed);
}
