//! Machines as they are recorded: /proc and /sys trees of shapes that we do not have.

use std::fs;
use std::path::Path;

use super::*;
use crate::choice::{Choice, ChoiceError, Wish, choose, nics};
use crate::profile::Profile;
use crate::settings::{How, Setting};

/// The shape of a machine: everything else follows.
struct Shape {
    packages: usize,
    nodes_per_package: usize,
    cores_per_node: usize,
    threads: usize,
    /// Name, NUMA node, queues.
    nics: &'static [(&'static str, usize, usize)],
    allowed: Option<&'static str>,
    cpu_max: Option<&'static str>,
    isolated: &'static str,
    governor: Option<&'static str>,
}

const PLAIN: Shape = Shape {
    packages: 1,
    nodes_per_package: 1,
    cores_per_node: 2,
    threads: 1,
    nics: &[("eth0", 0, 1)],
    allowed: None,
    cpu_max: None,
    isolated: "",
    governor: None,
};

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

impl Shape {
    fn processors(&self) -> usize {
        self.cores() * self.threads
    }

    fn cores(&self) -> usize {
        self.packages * self.nodes_per_package * self.cores_per_node
    }

    /// As servers number them: the first thread of every core, then the second ones.
    fn write(&self, root: &Path) {
        let cpu = "sys/devices/system/cpu";
        put(root, &format!("{cpu}/online"), &format!("0-{}", self.processors() - 1));
        put(root, &format!("{cpu}/isolated"), self.isolated);
        for number in 0..self.processors() {
            let core = number % self.cores();
            let node = core / self.cores_per_node;
            let siblings: Vec<String> = (0..self.threads).map(|t| (core + t * self.cores()).to_string()).collect();
            let at = format!("{cpu}/cpu{number}");
            put(root, &format!("{at}/topology/thread_siblings_list"), &siblings.join(","));
            put(root, &format!("{at}/topology/physical_package_id"), &(node / self.nodes_per_package).to_string());
            put(root, &format!("{at}/node{node}/cpulist"), "");
            put(root, &format!("{at}/cache/index0/level"), "1");
            put(root, &format!("{at}/cache/index0/shared_cpu_list"), &siblings.join(","));
            let first = node * self.cores_per_node;
            put(root, &format!("{at}/cache/index3/level"), "3");
            let last = first + self.cores_per_node - 1;
            put(root, &format!("{at}/cache/index3/shared_cpu_list"), &format!("{first}-{last}"));
            if let Some(governor) = self.governor {
                put(root, &format!("{at}/cpufreq/scaling_governor"), governor);
            }
        }
        let allowed = self.allowed.map_or_else(|| format!("0-{}", self.processors() - 1), str::to_owned);
        put(root, "proc/self/status", &format!("Name:\tx\nCpus_allowed_list:\t{allowed}\nMems_allowed:\t1"));
        put(root, "proc/self/cgroup", "0::/system.slice/adamant.service");
        if let Some(max) = self.cpu_max {
            put(root, "sys/fs/cgroup/system.slice/adamant.service/cpu.max", max);
        }
        self.write_nics(root);
        put(root, "proc/sys/net/core/somaxconn", "128");
        put(root, "proc/sys/kernel/io_uring_disabled", "0");
        put(root, "proc/sys/kernel/numa_balancing", "1");
        put(root, "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
        put(root, "proc/self/limits", "Limit  Soft  Hard  Units\nMax open files            1024     524288    files");
    }

    fn write_nics(&self, root: &Path) {
        let mut interrupts = String::from("           CPU0       CPU1\n");
        for (index, (name, node, queues)) in self.nics.iter().enumerate() {
            let at = format!("sys/class/net/{name}");
            put(root, &format!("{at}/operstate"), "up");
            put(root, &format!("{at}/speed"), "25000");
            put(root, &format!("{at}/device/numa_node"), &node.to_string());
            for queue in 0..*queues {
                let number = 100 + index * 1000 + queue;
                put(root, &format!("{at}/queues/rx-{queue}/rps_cpus"), "0");
                put(root, &format!("{at}/queues/tx-{queue}/xps_cpus"), "0");
                put(root, &format!("{at}/device/msi_irqs/{number}"), "msix");
                put(root, &format!("proc/irq/{number}/smp_affinity_list"), "0");
                interrupts.push_str(&format!(" {number}:   1   0  PCI-MSI {number}-edge      {name}-TxRx-{queue}\n"));
            }
            let config = 99 + index * 1000;
            put(root, &format!("{at}/device/msi_irqs/{config}"), "msix");
            interrupts.push_str(&format!(" {config}:   1   0  PCI-MSI {config}-edge      {name}-config\n"));
        }
        put(root, "proc/interrupts", &interrupts);
    }

    fn machine(&self) -> Machine {
        let root = tempfile::tempdir().unwrap();
        self.write(root.path());
        Machine::read(&Root::new(root.path())).unwrap()
    }

    fn choice(&self) -> Choice {
        choose(&self.machine(), &Wish::default()).unwrap()
    }
}

fn settings(machine: &Machine, workers: &[usize], nics: &[&Nic]) -> Vec<Setting> {
    crate::settings::settings(machine, workers, nics, &Profile::built_in("dedicated").unwrap().unwrap())
}

#[test]
fn a_profile_says_what_is_set_and_how_many_cores_are_taken() {
    let shape = Shape { cores_per_node: 8, ..PLAIN };
    let machine = shape.machine();
    let shared = Profile::built_in("shared").unwrap().unwrap();
    let wish = Wish { workers_percent: Some(shared.workers_percent), ..Wish::default() };
    let choice = choose(&machine, &wish).unwrap();
    assert_eq!((choice.workers, choice.control), (vec![1, 2, 3, 4], vec![0, 5, 6, 7]));
    assert!(crate::settings::settings(&machine, &[1], &nics(&machine, &wish).unwrap(), &shared).is_empty());
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
    let settings = settings(&machine, &[1], &[nic]);
    let of = |what: &str| settings.iter().find(|setting| setting.what.contains(what)).unwrap();
    let interrupt = of("interrupt 100");
    assert_eq!((interrupt.found.as_str(), interrupt.wanted.as_str(), interrupt.drifts()), ("0", "1", true));
    assert_eq!(interrupt.how, How::File("proc/irq/100/smp_affinity_list".to_owned()));
    assert!(!of("steering").drifts());
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
    assert_eq!((choice.workers.clone(), choice.control), ((1..16).collect::<Vec<_>>(), vec![0]));
    assert!(choice.reasons[0].contains("16 physical cores have 32 processors"), "{:?}", choice.reasons);
    let machine = shape.machine();
    let settings = settings(&machine, &choice.workers, &nics(&machine, &Wish::default()).unwrap());
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
    assert_eq!((choice.workers.len(), choice.control), (120, (0..8).collect::<Vec<_>>()));
    let machine = shape.machine();
    let both = nics(&machine, &Wish::default()).unwrap();
    let settings = settings(&machine, &choice.workers, &both);
    for setting in settings.iter().filter(|setting| setting.what.starts_with("interrupt")) {
        let node = machine.node(setting.wanted.parse().unwrap());
        assert_eq!(node, usize::from(setting.what.contains("eth1")), "{setting:?}");
    }
    // 56 and 64 workers share 32 queues each: software spreads the rest, on each interface's own node.
    let steered = settings.iter().find(|setting| setting.what.starts_with("eth1 rx-0 steering")).unwrap();
    let processors = crate::read::parse_mask(&steered.wanted).unwrap();
    assert_eq!(processors, (64..128).collect::<Vec<_>>());
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
    assert_eq!((all.workers.len(), all.control), (60, vec![0, 1, 2, 3]));
    let few = choose(&machine, &Wish { workers: Some(2), ..Wish::default() }).unwrap();
    assert_eq!((few.workers, few.control.len()), (vec![40, 41], 62));
    let unknown = choose(&machine, &Wish { nic: Some("eth9".into()), ..Wish::default() });
    assert_eq!(unknown, Err(ChoiceError::Nic { found: "eth9".into(), known: vec!["eth0".into()] }));
    assert_eq!(choose(&machine, &Wish { workers: Some(0), ..Wish::default() }), Err(ChoiceError::NoWorker));
}

#[test]
fn a_cgroup_limits_processors_and_time() {
    let shape = Shape { cores_per_node: 16, allowed: Some("4-7"), cpu_max: Some("250000 100000"), ..PLAIN };
    let machine = shape.machine();
    assert_eq!((machine.allowed.clone(), machine.quota_percent), (vec![4, 5, 6, 7], Some(250)));
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
    assert!(!settings(&machine, &choice.workers, &nics(&machine, &Wish::default()).unwrap()).is_empty());
    assert!(Machine::read(&Root::new(Path::new("/nowhere"))).is_err());
}
