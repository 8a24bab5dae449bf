//! On which core packets arrive and leave: queues, their interrupts, steering by software.

use super::{How, Setting, Topic};
use crate::machine::{Interrupt, Machine, Nic, Queue};
use crate::read::{write_list, write_mask};

/// Every setting about packets of these interfaces.
pub fn settings(machine: &Machine, workers: &[usize], nics: &[&Nic], all: &mut Vec<Setting>) {
    for nic in nics {
        let near = beside(machine, nic, workers);
        if near.is_empty() {
            continue;
        }
        queues(nic, &near, all);
        for interrupt in &nic.interrupts {
            all.push(pinned(nic, interrupt, &near));
        }
        receive_steering(nic, &near, all);
        transmit_steering(nic, &near, all);
    }
    if machine.irqbalance && all.iter().any(|setting| setting.what.starts_with("interrupt ")) {
        all.push(Setting {
            topic: Topic::Interrupts,
            what: "irqbalance".to_owned(),
            found: "running".to_owned(),
            wanted: "stopped".to_owned(),
            why: "it moves interrupts away from where they were put".to_owned(),
            how: How::Command("systemctl disable --now irqbalance".to_owned()),
        });
    }
}

/// Workers that an interface's queues go to: those of its node if there are any.
fn beside(machine: &Machine, nic: &Nic, workers: &[usize]) -> Vec<usize> {
    let on_node = |worker: &usize| nic.node.is_none_or(|node| machine.node(*worker) == node);
    let near: Vec<usize> = workers.iter().copied().filter(on_node).collect();
    if near.is_empty() { workers.to_vec() } else { near }
}

fn queues(nic: &Nic, near: &[usize], all: &mut Vec<Setting>) {
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
}

/// Queue N on the core of worker N, in both directions; more queues than workers begin again.
fn pinned(nic: &Nic, interrupt: &Interrupt, near: &[usize]) -> Setting {
    let found = write_list(&interrupt.affinity);
    // Where there is one queue, its interrupts need no number.
    let queue = queue_of(&interrupt.name).or_else(|| (nic.receive.len() == 1).then_some(0));
    let core = queue.and_then(|queue| near.get(queue % near.len()));
    Setting {
        topic: Topic::Interrupts,
        what: format!("interrupt {} ({} {})", interrupt.number, nic.name, interrupt.name),
        wanted: core.map_or_else(|| found.clone(), ToString::to_string),
        found,
        why: match core {
            Some(_) => "packets are handled on the core of the worker that reads them".to_owned(),
            None => "its name does not say which queue it is of: left where it is".to_owned(),
        },
        how: How::File(format!("proc/irq/{}/smp_affinity_list", interrupt.number)),
    }
}

/// Fewer queues than workers: software spreads what the hardware cannot.
fn receive_steering(nic: &Nic, near: &[usize], all: &mut Vec<Setting>) {
    let (steer, why): (&[usize], _) = if nic.receive.len() < near.len() {
        (near, "there are fewer queues than workers: software spreads the packets over their cores")
    } else {
        (&[], "each worker has a queue of its own: steering again would cost an interrupt between cores")
    };
    for queue in &nic.receive {
        all.push(steering(nic, queue, "rps_cpus", "received packets (RPS)", steer, why));
    }
}

/// What a worker sends goes by the queue whose interrupt its own core takes. With one queue there is no choice.
fn transmit_steering(nic: &Nic, near: &[usize], all: &mut Vec<Setting>) {
    let queues = nic.transmit.len();
    if queues < 2 {
        return;
    }
    for (index, queue) in nic.transmit.iter().enumerate() {
        let of_queue = near.iter().enumerate().filter(|(worker, _)| worker % queues == index);
        let mut of_queue: Vec<usize> = of_queue.map(|(_, core)| *core).collect();
        if of_queue.is_empty() {
            of_queue.extend(near.get(index % near.len()));
        }
        let why = "a worker sends by the queue whose interrupt its own core takes";
        all.push(steering(nic, queue, "xps_cpus", "sent packets (XPS)", &of_queue, why));
    }
}

fn steering(nic: &Nic, queue: &Queue, file: &str, what: &str, to: &[usize], why: &str) -> Setting {
    Setting {
        topic: Topic::Interrupts,
        what: format!("{} {} mask of {what}", nic.name, queue.name),
        found: write_mask(&queue.steered_to),
        wanted: write_mask(to),
        why: why.to_owned(),
        how: How::File(format!("sys/class/net/{}/queues/{}/{file}", nic.name, queue.name)),
    }
}

/// The number of the queue in the name of an interrupt: `eth0-TxRx-3`, `mlx5_comp3@pci:…`, `virtio2-input.3`.
fn queue_of(name: &str) -> Option<usize> {
    let name = name.split('@').next().unwrap_or(name);
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.get(name.len() - digits..)?.parse().ok()
}
