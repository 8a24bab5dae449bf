//! The store is down while somebody must be revoked: a directory on the gateway takes its place, as docs/releases.md says.

use super::*;

const AT: [&str; 4] = ["--channel", "production", "--trust-root", "root.json"];

#[test]
fn while_the_store_is_down_a_directory_takes_its_place() {
    let mut stage = Stage::new();
    let (bot, other) = (stage.with_key(&stage.key), stage.with_key(&stage.other_key));
    stage.revoke(&["--agent", "other"]);
    stage.wait_for_serial(1);
    let serves = told(stage.gateway())["release"].clone();
    let [store, away] = ["store", "away"].map(|name| stage.world.path(name));
    fs::rename(&store, &away).unwrap();
    assert!(!stage.try_revoke(&["--agent", "bot", "--key", "1.key"]).0);

    // Whoever revokes has the newest list in the memory of signers.
    let run = |arguments: &[&str]| {
        let (status, stdout, stderr) = gateway::run(&[arguments, &AT].concat(), stage.world.home());
        assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout + &stderr
    };
    fs::create_dir(stage.world.path("emergency")).unwrap();
    let said =
        run(&["revoke", "--store", "emergency", "--policy", "tests", "--agent", "bot", "--unknown", "--key", "1.key"]);
    assert!(said.contains("serial 2") && said.contains("2 entries"), "{said}");
    stage.world.configure("store = \"emergency\"\nchannel = \"production\"\nactivation = \"hot\"");
    stage.restart();
    let refused = |stage: &Stage| [&bot, &other].map(|request| stage.gateway().once(request).status) == [401, 401];
    assert!(eventually(SOON, || refused(&stage)), "{}", stage.gateway().stderr());
    stage.wait_for_serial(2);
    assert_eq!(told(stage.gateway())["release"], serves);

    // The store is back: it takes that list, and the gateway goes on with it.
    fs::rename(&away, &store).unwrap();
    let run = |arguments: &[&str]| {
        let (status, stdout, stderr) = gateway::run(&[arguments, &AT].concat(), stage.world.home());
        assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
    };
    run(&["revoke", "publish", "emergency/channels/production/revocations.json", "--store", "store"]);
    stage.world.configure("store = \"store\"\nchannel = \"production\"\nactivation = \"hot\"");
    stage.restart();
    assert!(refused(&stage));
    let shown = || told(stage.gateway())["revocations"].clone();
    assert!(eventually(SOON, || shown()["serial"] == 2 && shown()["refusal"].is_null()), "{}", shown());
}
