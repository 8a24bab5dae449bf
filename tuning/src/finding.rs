//! What speaks against workers on the processors that somebody chose. The gateway starts all the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::choice::{candidates, left_over, suitable};
use crate::machine::{Machine, Nic};
use crate::read::write_list;

/// What speaks against a choice of processors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("workers on processors {first} and {second} share one physical core: name one of them")]
    SharedCore { first: usize, second: usize },
    #[error("every processor has a worker: leave one to the control threads and the kernel, or expect late timers")]
    NoneLeft,
    #[error(
        "workers on processors {} are not on the NUMA node of {nics}, where {free} cores are free: each packet crosses \
         the interconnect",
        write_list(far)
    )]
    Far { far: Vec<usize>, nics: String, free: usize },
    #[error(
        "workers on processors {} share theirs with other tasks: {} are isolated and free",
        write_list(crowded),
        write_list(free)
    )]
    NotIsolated { crowded: Vec<usize>, free: Vec<usize> },
    #[error(
        "{workers} workers, but the cgroup allows {}.{:02} processors' time (cpu.max): they are stopped in turns",
        percent / 100, percent % 100
    )]
    Quota { workers: usize, percent: u64 },
}

/// What speaks against workers on these processors, for requests that come in by `nics`.
pub fn findings(machine: &Machine, workers: &[usize], nics: &[&Nic]) -> Vec<Finding> {
    let mut findings = shared(machine, workers);
    // Where there are two, the control threads share one with a worker either way.
    let all = || machine.processors.iter().all(|processor| workers.contains(&processor.number));
    if machine.processors.len() > 2 && all() {
        findings.push(Finding::NoneLeft);
    }
    findings.extend(far(machine, workers, nics));
    findings.extend(not_isolated(machine, workers));
    if let Some(percent) =
        machine.cgroup.quota_percent.filter(|percent| workers.len() as u64 * 100 > (*percent).max(100))
    {
        findings.push(Finding::Quota { workers: workers.len(), percent });
    }
    findings
}

fn shared(machine: &Machine, workers: &[usize]) -> Vec<Finding> {
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for second in workers.iter().copied() {
        match taken.get(&machine.core(second)) {
            Some(first) => findings.push(Finding::SharedCore { first: *first, second }),
            None => drop(taken.insert(machine.core(second), second)),
        }
    }
    findings
}

/// Workers on other nodes while those of the interfaces have more free cores than are left on purpose.
fn far(machine: &Machine, workers: &[usize], nics: &[&Nic]) -> Option<Finding> {
    let near: BTreeSet<usize> = nics.iter().filter_map(|nic| nic.node).collect();
    let on_near = |number: &usize| near.contains(&machine.node(*number));
    let far: Vec<usize> = workers.iter().copied().filter(|worker| !on_near(worker)).collect();
    let mut cores = candidates(machine);
    suitable(machine, &mut cores, &mut Vec::new());
    cores.retain(on_near);
    let taken: BTreeSet<usize> = workers.iter().map(|worker| machine.core(*worker)).collect();
    let free = cores.iter().filter(|number| !taken.contains(&machine.core(**number))).count();
    let names: Vec<&str> = nics.iter().map(|nic| nic.name.as_str()).collect();
    (!far.is_empty() && free > left_over(cores.len())).then(|| Finding::Far { far, nics: names.join(" and "), free })
}

fn not_isolated(machine: &Machine, workers: &[usize]) -> Option<Finding> {
    let crowded: Vec<usize> = workers.iter().copied().filter(|worker| !machine.isolated.contains(worker)).collect();
    let taken: BTreeSet<usize> = workers.iter().map(|worker| machine.core(*worker)).collect();
    let free: Vec<usize> = machine
        .isolated
        .iter()
        .copied()
        .filter(|number| machine.can_be_had(*number) && !taken.contains(&machine.core(*number)))
        .collect();
    (!crowded.is_empty() && !free.is_empty()).then_some(Finding::NotIsolated { crowded, free })
}
