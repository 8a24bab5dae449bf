//! A state directory in which nothing new can be written: what is revoked stays revoked over a kill, whatever the store
//! holds by then.

use super::*;

/// A file where the lists are kept: none can be, as on a full disk, for whoever runs this.
fn fill(stage: &Stage) {
    let lists = stage.world.path("state/revocations");
    let _ = fs::rename(&lists, stage.world.path("state/aside"));
    fs::write(&lists, b"").unwrap();
}

/// There is room again.
fn empty(stage: &Stage) {
    let (lists, aside) = (stage.world.path("state/revocations"), stage.world.path("state/aside"));
    fs::remove_file(&lists).unwrap();
    let _ = fs::rename(aside, lists);
}

fn reserve(stage: &Stage) -> String {
    String::from_utf8(fs::read(stage.world.path("state/reserve/production")).unwrap()).unwrap()
}

fn kept(stage: &Stage) -> Option<u64> {
    let accepted = fs::read(stage.world.path("state/accepted.json")).unwrap();
    let accepted: Value = serde_json::from_slice(&accepted).unwrap();
    accepted["accepted"]["revocations"]["production"]["serial"].as_u64()
}

/// The list that the store holds is in force and in the reserve, and the gateway is killed. The list before it.
fn killed_without_room(stage: &mut Stage) -> Vec<u8> {
    stage.revoke(&["--agent", "token-bot"]);
    stage.wait_for_serial(1);
    assert!(eventually(SOON, || kept(stage) == Some(1)));
    let before = fs::read(stage.list_path()).unwrap();
    fill(stage);
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(2);
    let refused = || told(stage.gateway())["revocations"]["refusal"]["check"] == "state";
    assert!(eventually(SOON, refused), "{}", told(stage.gateway()));
    assert_eq!(stage.gateway().metric("revocations_refused"), 1.0);
    assert_eq!((reserve(stage).contains("\"serial\":2"), kept(stage)), (true, Some(1)));
    drop(stage.running.take()); // SIGKILL
    before
}

#[test]
fn what_found_no_room_outlives_a_kill_and_the_store() {
    let mut stage = Stage::new();
    assert_eq!(fs::metadata(stage.world.path("state/reserve/production")).unwrap().len(), 64 << 10, "from the start");
    let bot = stage.with_key(&stage.key);
    let before = killed_without_room(&mut stage);
    // Still no room, and an older list; no list; and no store.
    stage.world.replace(&stage.list_path(), &before);
    stage.running = Some(stage.world.start());
    assert_eq!((stage.gateway().once(&bot).status, stage.serial()), (401, 2));
    drop(stage.running.take());
    fs::remove_file(stage.list_path()).unwrap();
    stage.running = Some(stage.world.start());
    assert_eq!(stage.gateway().once(&bot).status, 401);
    drop(stage.running.take());
    fs::rename(stage.world.path("store"), stage.world.path("lost")).unwrap();
    empty(&stage);
    stage.running = Some(stage.world.start());
    assert_eq!(stage.gateway().once(&bot).status, 401);
    assert!(eventually(SOON, || kept(&stage) == Some(2)), "written down as soon as it can be: {:?}", kept(&stage));
}

#[test]
fn room_that_is_damaged_or_lost() {
    let mut stage = Stage::new();
    killed_without_room(&mut stage);
    empty(&stage);
    let good = reserve(&stage);
    stage.world.write("state/reserve/production", b"damaged");
    let why = stage.world.try_start().err().unwrap();
    assert!(why.contains("state/reserve/production") && why.contains("or remove it"), "{why}");
    let rehearsed = gateway::run(&["run", "gateway.toml", "--check"], stage.world.home());
    assert!(!rehearsed.0.success() && rehearsed.2.contains("reserve/production"), "{rehearsed:?}");
    // Half of it is whole: the list before, which is not newer than the one that is kept.
    let (first, second) = good.split_at(good.len() / 2);
    let blank = " ".repeat(first.len());
    let other = if first.contains("\"serial\":2") { format!("{blank}{second}") } else { format!("{first}{blank}") };
    stage.world.write("state/reserve/production", other.as_bytes());
    stage.running = Some(stage.world.start());
    assert_eq!(stage.serial(), 2, "from the store");
    stage.stop();
    // An operator who removes it goes on, with room that is set aside anew.
    fs::remove_file(stage.world.path("state/reserve/production")).unwrap();
    stage.running = Some(stage.world.start());
    assert_eq!(stage.serial(), 2);
    assert!(eventually(SOON, || reserve(&stage).contains("\"serial\":2")), "{}", reserve(&stage));
}
