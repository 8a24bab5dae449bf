//! What was in force is in force again after a restart, a kill, or on a medium without room; serials never go back.

use super::*;

#[test]
fn a_restart_needs_no_store() {
    let mut stage = Stage::new();
    let key = ApiKey::new("ci-1");
    stage.add(&key);
    stage.wait_for_serial(1);
    assert!(eventually(SOON, || kept(&stage) == Some(1)));
    stage.kill();
    fs::rename(stage.world.path("store"), stage.world.path("aside")).unwrap();
    stage.running = Some(stage.world.start());
    assert_eq!((stage.status(&key), stage.shown()["serial"].clone()), (200, json!(1)));
    let at_start = |of: &Value| of["adamant.refresh.why"] == "start" && of["adamant.refresh.outcome"] == "taken";
    assert!(eventually(SOON, || stage.rotations().iter().any(at_start)), "{:#?}", stage.rotations());
}

fn kept(stage: &Stage) -> Option<u64> {
    let accepted = fs::read(stage.world.path("state/accepted.json")).unwrap();
    let accepted: Value = serde_json::from_slice(&accepted).unwrap();
    accepted["accepted"]["key_sets"]["production"]["serial"].as_u64()
}

#[test]
fn killed_at_any_moment_a_gateway_goes_back_to_no_older_set() {
    let mut stage = Stage::new();
    let keys = [ApiKey::new("ci-1"), ApiKey::new("ci-1")];
    let times = fresh();
    let set = |serial: u64| {
        let payload = payload(["tests", "production"], serial, &keys[(serial % 2) as usize], &times);
        envelope("key-set", &payload, &[3])
    };
    let (mut serial, mut highest) = (0, 0);
    for round in 0..25_u64 {
        for _ in 0..=round % 4 {
            serial += 1;
            stage.world.replace(&stage.set_path(), &set(serial));
            std::thread::sleep(Duration::from_millis(round * 37 % 90));
        }
        // A set is in force before it is written down, which a busy disk holds up: for the last one there is time.
        if round == 24 {
            eventually(SOON, || kept(&stage).unwrap_or(0) > 10);
        }
        highest = kept(&stage).unwrap_or(0).max(highest);
        stage.kill();
        // What the store holds by then is older than anything.
        if round % 5 == 4 {
            stage.world.replace(&stage.set_path(), &set(1));
        }
        stage.running = Some(stage.world.start());
        let shown = || stage.shown()["serial"].as_u64().unwrap();
        let mut now = shown();
        assert!(now >= highest && now <= serial, "from {highest} to {now}: {}", stage.gateway().stderr());
        let held = loop {
            let held = [0, 1].map(|at| stage.status(&keys[at]) == 200);
            // Of one and the same set.
            match shown() {
                same if same == now => break held,
                next => now = next,
            }
        };
        let expected = (now % 2) as usize;
        assert!(held[expected] && !held[1 - expected], "{held:?} at serial {now}");
    }
    assert!(highest > 10, "{highest}");
}

#[test]
fn without_room_on_the_medium_a_set_is_in_force_and_outlives_a_kill() {
    let mut stage = Stage::new();
    let (old, new) = (ApiKey::new("ci-1"), ApiKey::new("ci-1"));
    stage.add(&old);
    stage.wait_for_serial(1);
    assert!(eventually(SOON, || kept(&stage) == Some(1)));
    let before = fs::read(stage.set_path()).unwrap();
    // A file where the sets are kept: none can be, as on a full disk.
    let folder = stage.world.path("state/key-sets");
    fs::rename(&folder, stage.world.path("state/aside")).unwrap();
    fs::write(&folder, b"").unwrap();
    stage.key_set("rotate", &["--id", "ci-1", "--sha256", &new.sha256, "--at-once"]);
    stage.wait_for_serial(2);
    assert_eq!((stage.status(&old), stage.status(&new)), (401, 200));
    stage.wait_for_refusal("state");
    assert_eq!(kept(&stage), Some(1));
    stage.kill();
    stage.world.replace(&stage.set_path(), &before);
    stage.running = Some(stage.world.start());
    assert_eq!((stage.status(&old), stage.status(&new)), (401, 200), "from the reserve");
    fs::remove_file(&folder).unwrap();
    assert!(eventually(SOON, || kept(&stage) == Some(2)));
}
