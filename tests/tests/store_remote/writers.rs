//! Several who write into one store at once: nobody's change is lost, and nobody is told that it was made when it was not.

use tests::kept::{Bao, ETCD_USER, Etcd};
use tests::openbao;

use super::*;

/// Six people point the channel at once, each by one more serial than was there when they looked.
fn race(stage: &Stage) {
    stage.build(1, &["/one"]);
    stage.point(1);
    let outcomes: Vec<(bool, String)> = std::thread::scope(|scope| {
        let point = || stage.try_run(&format!("point {AT} --key 4.key --release 1.json"));
        let all: Vec<_> = (0..6).map(|_| scope.spawn(point)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let won = outcomes.iter().filter(|(good, _)| *good).count();
    let serials: Vec<&str> = outcomes
        .iter()
        .filter(|(good, _)| *good)
        .map(|(_, said)| said.split("serial ").nth(1).unwrap().split_whitespace().next().unwrap())
        .collect();
    let mut told_apart = serials.clone();
    told_apart.sort_unstable();
    told_apart.dedup();
    assert_eq!(told_apart.len(), won, "two wrote the same serial: {serials:?}");
    for (_, said) in outcomes.iter().filter(|(good, _)| !good) {
        assert!(said.contains("meanwhile"), "{said}");
    }
    let shown = stage.run("point show");
    assert!(won >= 1 && shown.contains(&format!("serial {}", won + 1)), "{won} of them, and then {shown}");

    // Two lists at once: each revokes somebody else, and none is forgotten.
    let revoke = |name: &str| loop {
        let (good, said) = stage.try_run(&format!("revoke {AT} --key 1.key --agent {name} --unknown"));
        match good {
            true => return,
            false => assert!(said.contains("meanwhile"), "{said}"),
        }
    };
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            scope.spawn(move || revoke(name));
        }
    });
    let list = stage.run(&format!("revoke list {AT}"));
    for name in ["a", "b", "c", "d"] {
        assert!(list.contains(&format!("agent {name}")), "{list}");
    }
}

#[test]
fn writers_at_etcd_lose_nothing() {
    let Some(etcd) = Etcd::start() else { return };
    let url = format!("etcd+https://127.0.0.1:{}/adamant/race", etcd.port);
    race(&Stage::new(&url, Some(&etcd.ca()), Some(ETCD_USER)));
}

#[test]
fn writers_at_openbao_lose_nothing() {
    let Some(binary) = openbao::binary() else { return };
    let bao = Bao::start(&binary);
    let url = format!("openbao+https://127.0.0.1:{}/kv/adamant/race", bao.port);
    race(&Stage::new(&url, Some(&bao.ca()), Some(&bao.token)));
}
