//! What holds of every plan, whatever the machine.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::dedicated;
use super::recorded::{PLAIN, Shape};
use crate::choice::{Choice, Wish, choose, nics};
use crate::finding::findings;
use crate::machine::{Machine, Nic};
use crate::read::parse_list;
use crate::settings::How;

const NICS: &[&[(&str, usize, usize)]] = &[
    &[],
    &[("eth0", 0, 1)],
    &[("eth0", 0, 4)],
    &[("eth0", 1, 16)],
    &[("eth0", 0, 8), ("eth1", 1, 8)],
    &[("eth0", 3, 64), ("eth1", 0, 2)],
];
const ALLOWED: &[Option<&str>] = &[None, Some("0"), Some("0-1"), Some("1-3,6")];
const QUOTAS: &[Option<&str>] = &[None, Some("max 100000"), Some("50000 100000"), Some("250000 100000")];

fn shapes() -> impl Strategy<Value = Shape> {
    let counts = (1..=2_usize, 1..=3_usize, 0..=2_u32, 1..=2_usize, 0..=2_u32);
    let others = (0..NICS.len(), 0..ALLOWED.len(), 0..QUOTAS.len(), prop_oneof![Just(""), Just("1"), Just("2-3")]);
    (counts, others).prop_map(|((packages, nodes, cores, threads, caches), (nics, allowed, quota, isolated))| Shape {
        packages,
        nodes_per_package: nodes,
        cores_per_node: 1 << cores,
        threads,
        cores_per_cache: 1 << cores.min(caches),
        nics: NICS[nics],
        allowed: ALLOWED[allowed],
        cpu_max: QUOTAS[quota],
        isolated,
        ..PLAIN
    })
}

fn wishes() -> impl Strategy<Value = Wish> {
    let percent = prop_oneof![Just(None), (1..=100_u8).prop_map(Some)];
    let workers = prop_oneof![Just(None), (1..=9_usize).prop_map(Some)];
    (workers, percent, any::<bool>()).prop_map(|(workers, workers_percent, every_node)| Wish {
        workers,
        workers_percent,
        every_node,
        nic: None,
    })
}

/// Workers, the control threads and what is left idle.
fn check_places(machine: &Machine, wish: &Wish, choice: &Choice) {
    let cores: BTreeSet<usize> = choice.workers.iter().map(|worker| machine.core(*worker)).collect();
    assert_eq!(cores.len(), choice.workers.len(), "two workers on one core: {choice:?}");
    for number in choice.workers.iter().chain(&choice.control).chain(&choice.idle) {
        assert!(machine.can_be_had(*number), "{number} cannot be had: {choice:?}");
    }
    assert!(!choice.workers.is_empty() && !choice.control.is_empty(), "{choice:?}");
    assert!(wish.workers.is_none_or(|most| choice.workers.len() <= most), "{choice:?}");
    let quota = machine.cgroup.quota_percent.map_or(usize::MAX, |percent| usize::try_from(percent / 100).unwrap());
    assert!(choice.workers.len() <= quota.max(1), "{choice:?}");
    if machine.cores().len() > 1 {
        let shared = choice.control.iter().find(|number| cores.contains(&machine.core(**number)));
        assert_eq!(shared, None, "{choice:?}");
    }
}

/// Every interrupt of an interface lands on a worker's core, or is left where it is.
fn check_interrupts(machine: &Machine, choice: &Choice, nics: &[&Nic]) {
    for setting in dedicated(machine, &choice.workers, nics) {
        let How::File(file) = &setting.how else { continue };
        if !file.starts_with("proc/irq/") {
            continue;
        }
        let to = parse_list(&setting.wanted).unwrap();
        assert!(!setting.drifts() || matches!(to.as_slice(), [one] if choice.workers.contains(one)), "{setting:?}");
        assert!(!setting.why.is_empty());
        let nic = nics.iter().find(|nic| setting.what.contains(&format!("({} ", nic.name))).unwrap();
        let near = |number: &usize| nic.node.is_none_or(|node| machine.node(*number) == node);
        if choice.workers.iter().any(near) {
            assert!(to.iter().all(near), "beside its interface where there are workers: {setting:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_holds_to_its_rules(shape in shapes(), wish in wishes()) {
        let machine = shape.machine();
        let Ok(choice) = choose(&machine, &wish) else {
            prop_assert!(machine.cores().is_empty());
            return Ok(());
        };
        let nics = nics(&machine, &wish).unwrap();
        check_places(&machine, &wish, &choice);
        check_interrupts(&machine, &choice, &nics);
    }

    /// The start of a gateway and `tune check` find nothing against what was planned.
    #[test]
    fn nothing_speaks_against_a_plan(shape in shapes()) {
        let machine = shape.machine();
        let Ok(choice) = choose(&machine, &Wish::default()) else { return Ok(()) };
        let nics = nics(&machine, &Wish::default()).unwrap();
        prop_assert_eq!(findings(&machine, &choice.workers, &nics), []);
    }
}
