//! Plans for recorded machines, as an expert would make them.

use std::path::Path;

use crate::choice::{ChoiceError, Wish, choose, nics};
use crate::finding::{Finding, findings};
use crate::machine::{Machine, Nic};
use crate::profile::Profile;
use crate::read::Root;
use crate::settings::{self, How, Setting};

mod property;
mod recorded;

use recorded::{PLAIN, Shape};

fn dedicated(machine: &Machine, workers: &[usize], nics: &[&Nic]) -> Vec<Setting> {
    settings::settings(machine, workers, nics, &Profile::built_in("dedicated").unwrap().unwrap())
}

#[test]
fn a_profile_says_what_is_set_and_how_many_cores_are_taken() {
    let shape = Shape { cores_per_node: 8, ..PLAIN };
    let machine = shape.machine();
    let shared = Profile::built_in("shared").unwrap().unwrap();
    let wish = Wish { workers_percent: Some(shared.workers_percent), ..Wish::default() };
    let choice = choose(&machine, &wish).unwrap();
    assert_eq!((choice.workers, choice.control), (vec![1, 2, 3, 4], vec![0, 5, 6, 7]));
    assert!(settings::settings(&machine, &[1], &nics(&machine, &wish).unwrap(), &shared).is_empty());
}

#[test]
fn a_virtual_machine_with_two_processors() {
    let machine = PLAIN.machine();
    assert_eq!((machine.processors.len(), machine.nodes().len(), machine.packages().len()), (2, 1, 1));
    let [nic] = machine.nics.as_slice() else { panic!("{:?}", machine.nics) };
    assert_eq!(
        (nic.interrupts.len(), nic.interrupts[0].name.as_str(), nic.speed_mbps),
        (1, "eth0-TxRx-0", Some(25_000))
    );
    let choice = PLAIN.choice();
    assert_eq!((choice.workers, choice.control), (vec![1], vec![0]));
    let settings = dedicated(&machine, &[1], &[nic]);
    let of = |what: &str| settings.iter().find(|setting| setting.what.contains(what)).unwrap();
    let interrupt = of("interrupt 100");
    assert_eq!((interrupt.found.as_str(), interrupt.wanted.as_str(), interrupt.drifts()), ("0", "1", true));
    assert_eq!(interrupt.how, How::File("proc/irq/100/smp_affinity_list".to_owned()));
    assert!(!of("(RPS)").drifts());
    assert_eq!(of("net.core.somaxconn").wanted, "4096");
    assert!(!of("kernel.io_uring_disabled").drifts());
    assert_eq!(of("transparent huge pages").wanted, "madvise");
    assert_eq!(of("open descriptors").found, "524288");
    assert!(!settings.iter().any(|setting| setting.what.contains("numa_balancing")), "one node has nothing to balance");
}

#[test]
fn one_socket_with_siblings_gets_a_worker_a_physical_core() {
    let shape =
        Shape { cores_per_node: 16, threads: 2, nics: &[("eth0", 0, 16)], governor: Some("powersave"), ..PLAIN };
    let choice = shape.choice();
    assert_eq!((choice.workers.clone(), choice.control), ((1..16).collect::<Vec<_>>(), vec![0, 16]));
    assert!(choice.reasons[0].contains("16 physical cores have 32 processors"), "{:?}", choice.reasons);
    let machine = shape.machine();
    let settings = dedicated(&machine, &choice.workers, &nics(&machine, &Wish::default()).unwrap());
    let queues = settings.iter().find(|setting| setting.what == "eth0 receive queues").unwrap();
    assert_eq!(queues.how, How::Command("ethtool -L eth0 combined 15".to_owned()));
    // Queue 3 on the core of worker 3; one more queue than workers begins again.
    let interrupt = |number: usize| {
        let what = format!("interrupt {number} (");
        settings.iter().find(|setting| setting.what.starts_with(&what)).unwrap().wanted.clone()
    };
    assert_eq!((interrupt(103), interrupt(115)), ("4".to_owned(), "1".to_owned()));
    let governors = settings.iter().filter(|setting| setting.what.starts_with("frequency governor"));
    assert_eq!(governors.filter(|setting| setting.drifts()).count(), 15);
}

#[test]
fn two_sockets_with_an_interface_each_have_workers_on_both() {
    let shape = Shape { packages: 2, cores_per_node: 64, nics: &[("eth0", 0, 32), ("eth1", 1, 32)], ..PLAIN };
    let choice = shape.choice();
    assert_eq!((choice.workers.len(), choice.control), (120, vec![0, 1, 2, 3, 64, 65, 66, 67]));
    let machine = shape.machine();
    let both = nics(&machine, &Wish::default()).unwrap();
    let settings = dedicated(&machine, &choice.workers, &both);
    for setting in settings.iter().filter(|setting| setting.what.starts_with("interrupt")) {
        let node = machine.node(setting.wanted.parse().unwrap());
        assert_eq!(node, usize::from(setting.what.contains("eth1")), "{setting:?}");
    }
    // 60 workers share 32 queues: software spreads the rest, on each interface's own node.
    let steered = settings.iter().find(|setting| setting.what.starts_with("eth1 rx-0 mask of received")).unwrap();
    let processors = crate::read::parse_mask(&steered.wanted).unwrap();
    assert_eq!(processors, (68..128).collect::<Vec<_>>());
    assert!(settings.iter().any(|setting| setting.what == "kernel.numa_balancing" && setting.drifts()));
}

#[test]
fn the_interface_decides_the_node_unless_told_otherwise() {
    let shape = Shape { packages: 2, nodes_per_package: 4, cores_per_node: 8, nics: &[("eth0", 5, 8)], ..PLAIN };
    let machine = shape.machine();
    let choice = choose(&machine, &Wish::default()).unwrap();
    assert_eq!(choice.workers, (40..48).collect::<Vec<_>>());
    assert_eq!(choice.control.len(), 56);
    assert!(choice.reasons.iter().any(|reason| reason.contains("NUMA node of eth0")), "{:?}", choice.reasons);
    let all = choose(&machine, &Wish { every_node: true, ..Wish::default() }).unwrap();
    assert_eq!((all.workers.len(), all.control), (60, vec![0, 8, 16, 24]));
    let few = choose(&machine, &Wish { workers: Some(2), ..Wish::default() }).unwrap();
    assert_eq!((few.workers, few.control.len()), (vec![40, 41], 62));
    // The interface's own node serves first where others may be used, too.
    let ten = choose(&machine, &Wish { workers: Some(10), every_node: true, ..Wish::default() }).unwrap();
    assert_eq!(ten.workers.iter().filter(|worker| machine.node(**worker) == 5).count(), 8, "{ten:?}");
    let unknown = choose(&machine, &Wish { nic: Some("eth9".into()), ..Wish::default() });
    assert_eq!(unknown, Err(ChoiceError::Nic { found: "eth9".into(), known: vec!["eth0".into()] }));
    assert_eq!(choose(&machine, &Wish { workers: Some(0), ..Wish::default() }), Err(ChoiceError::NoWorker));
}

#[test]
fn a_cgroup_limits_processors_and_time() {
    let shape = Shape { cores_per_node: 16, allowed: Some("4-7"), cpu_max: Some("250000 100000"), ..PLAIN };
    let machine = shape.machine();
    assert_eq!((machine.allowed.clone(), machine.cgroup.quota_percent), (vec![4, 5, 6, 7], Some(250)));
    let choice = choose(&machine, &Wish::default()).unwrap();
    assert_eq!((choice.workers, choice.control), (vec![5, 6], vec![4, 7]));
    assert!(choice.reasons.iter().any(|reason| reason.contains("2.50 processors' time")), "{:?}", choice.reasons);
}

#[test]
fn isolated_cores_are_for_workers() {
    let choice = Shape { cores_per_node: 8, isolated: "4-7", ..PLAIN }.choice();
    assert_eq!((choice.workers, choice.control), (vec![4, 5, 6, 7], vec![0, 1, 2, 3]));
}

#[test]
fn one_core_is_shared() {
    let choice = Shape { cores_per_node: 1, ..PLAIN }.choice();
    assert_eq!((choice.workers, choice.control), (vec![0], vec![0]));
}

#[test]
fn this_machine_can_be_read_and_planned_for() {
    let machine = Machine::read(&Root::machine()).unwrap();
    let choice = choose(&machine, &Wish::default()).unwrap();
    assert!(!choice.workers.is_empty() && !choice.control.is_empty());
    assert!(!dedicated(&machine, &choice.workers, &nics(&machine, &Wish::default()).unwrap()).is_empty());
    assert!(Machine::read(&Root::new(Path::new("/nowhere"))).is_err());
}

/// The kernel puts no process on an isolated core by itself: the affinity leaves them out, and they are for workers all
/// the same.
#[test]
fn isolated_cores_outside_of_the_affinity_are_had_by_asking() {
    let shape = Shape { cores_per_node: 8, isolated: "4-7", allowed: Some("0-3"), ..PLAIN };
    let choice = shape.choice();
    assert_eq!((choice.workers, choice.control), (vec![4, 5, 6, 7], vec![0, 1, 2, 3]));
    assert!(choice.reasons.iter().any(|reason| reason.contains("CPUAffinity=0-7")), "{:?}", choice.reasons);
    // A narrower affinity was set by somebody, and holds.
    let narrower = Shape { allowed: Some("0-2"), ..shape };
    assert_eq!(narrower.choice().workers, [1, 2]);
}

#[test]
fn cores_without_a_tick_are_for_workers() {
    let choice = Shape { cores_per_node: 8, nohz_full: "2-7", ..PLAIN }.choice();
    assert_eq!((choice.workers, choice.control), ((2..8).collect::<Vec<_>>(), vec![0, 1]));
    assert!(choice.reasons.iter().any(|reason| reason.contains("nohz_full=")), "{:?}", choice.reasons);
}

#[test]
fn few_workers_share_few_caches() {
    let shape = Shape { cores_per_node: 16, threads: 2, cores_per_cache: 4, ..PLAIN };
    let machine = shape.machine();
    assert_eq!(machine.cache_groups()[&4], [4, 5, 6, 7, 20, 21, 22, 23]);
    let of = |workers| choose(&machine, &Wish { workers: Some(workers), ..Wish::default() }).unwrap();
    // The first core is left over, so its cache has three: enough for three workers, and four fit into the next one.
    assert_eq!(of(3).workers, [1, 2, 3]);
    assert_eq!(of(4).workers, [4, 5, 6, 7]);
    assert_eq!(of(6).workers, [1, 2, 4, 5, 6, 7]);
    assert!(of(4).reasons.iter().any(|reason| reason.contains("1 of 4 last-level caches")), "{:?}", of(4).reasons);
    assert_eq!(of(4).idle, [20, 21, 22, 23]);
}

#[test]
fn few_workers_are_shared_out_among_interfaces() {
    let shape = Shape { packages: 2, cores_per_node: 8, nics: &[("eth0", 0, 4), ("eth1", 1, 4)], ..PLAIN };
    let few = choose(&shape.machine(), &Wish { workers: Some(4), ..Wish::default() }).unwrap();
    assert_eq!(few.workers, [1, 2, 8, 9]);
    // Without an interface to stand beside, one node is enough.
    let choice =
        choose(&Shape { nics: &[], ..shape }.machine(), &Wish { workers: Some(4), ..Wish::default() }).unwrap();
    assert_eq!(choice.workers, [1, 2, 3, 4]);
}

#[test]
fn what_speaks_against_a_choice_is_found() {
    let shape = Shape { packages: 2, cores_per_node: 4, threads: 2, nics: &[("eth0", 1, 4)], ..PLAIN };
    let machine = shape.machine();
    let of = |workers: &[usize]| findings(&machine, workers, &nics(&machine, &Wish::default()).unwrap());
    assert_eq!(of(&[4, 5, 6]), []);
    assert_eq!(of(&[4, 12]), [Finding::SharedCore { first: 4, second: 12 }]);
    assert_eq!(of(&[0, 4]), [Finding::Far { far: vec![0], nics: "eth0".into(), free: 3 }]);
    // The other node serves when the near one is full.
    assert_eq!(of(&[1, 4, 5, 6]), []);
    assert!(of(&(0..16).collect::<Vec<_>>()).contains(&Finding::NoneLeft));
    let isolated = Shape { cores_per_node: 4, isolated: "2-3", cpu_max: Some("150000 100000"), ..PLAIN }.machine();
    assert_eq!(
        findings(&isolated, &[1, 2], &[]),
        [Finding::NotIsolated { crowded: vec![1], free: vec![3] }, Finding::Quota { workers: 2, percent: 150 }]
    );
}

#[test]
fn packets_leave_where_they_arrive_and_irqbalance_is_told() {
    let shape = Shape { cores_per_node: 4, nics: &[("mgmt0", 0, 2)], irqbalance: true, ..PLAIN };
    let machine = shape.machine();
    let settings = dedicated(&machine, &[1, 2, 3], &nics(&machine, &Wish::default()).unwrap());
    let of = |what: &str| settings.iter().find(|setting| setting.what.contains(what)).unwrap();
    // The interface's own name says nothing about its interrupts.
    assert_eq!((of("interrupt 100").wanted.as_str(), of("interrupt 101").wanted.as_str()), ("1", "2"));
    assert!(!settings.iter().any(|setting| setting.what.contains("config")));
    assert_eq!((of("tx-0 mask").wanted.as_str(), of("tx-1 mask").wanted.as_str()), ("a", "4"));
    assert!(of("irqbalance").drifts());
    let groups = settings::drifting(&settings);
    let packets = groups.iter().filter(|group| group[0].why.contains("on the core of the worker")).count();
    assert_eq!(packets, 1, "together for one reason: {groups:?}");
}

#[test]
fn more_than_enough_is_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    PLAIN.write(root.path());
    std::fs::create_dir_all(root.path().join("proc/sys/net/ipv4")).unwrap();
    for (file, value) in [
        ("proc/sys/net/core/somaxconn", "65535"),
        ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535"),
        ("proc/sys/kernel/io_uring_disabled", "1"),
        ("proc/sys/kernel/io_uring_group", "990"),
    ] {
        std::fs::write(root.path().join(file), format!("{value}\n")).unwrap();
    }
    let machine = Machine::read(&Root::new(root.path())).unwrap();
    for setting in dedicated(&machine, &[1], &[]).iter().filter(|setting| setting.what.contains(['.'])) {
        assert!(!setting.drifts(), "{setting:?}");
    }
}
