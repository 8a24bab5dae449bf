//! What is revoked where the gateway goes elsewhere for its release: to a directory while the store is down, as
//! docs/releases.md says, to another channel, or to a file.

use super::*;
use tests::store::{END, envelope, pointer_payload};

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

#[test]
fn what_a_channel_revoked_holds_again_on_another_only_where_that_is_said() {
    let mut stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    let soon = policy_release::time::Timestamp::from_seconds(now_s() + 10).unwrap().to_string();
    stage.revoke(&["--agent", "other", "--until", &soon]);
    stage.revoke(&["--api-key", "reports-1"]);
    stage.wait_for_serial(2);
    let digest = served(stage.gateway());
    assert!(eventually(SOON, || stage.gateway().metric("revocations_lapsed") == 1.0), "{}", told(stage.gateway()));
    stage.stop();
    fs::create_dir(stage.world.path("store/channels/staging")).unwrap();
    let pointer = envelope("pointer", &pointer_payload("tests", "staging", &digest, 1, END), &[4]);
    stage.world.write("store/channels/staging/pointer.json", &pointer);
    fs::copy(stage.world.release_path(&digest), stage.world.path("release.json")).unwrap();
    // Where the state directory has lost the list too, nothing says what it revoked.
    let lost = |lose: bool| {
        let (there, away) = (stage.world.path("state/revocations"), stage.world.path("revocations"));
        let (from, to) = if lose { (there, away) } else { (away, there) };
        fs::rename(from, to).unwrap();
    };
    let staging = "store = \"store\"\nchannel = \"staging\"";
    for (lines, here) in [(staging, "channel staging"), ("release = \"release.json\"", "a release that is a file")] {
        let found = format!(
            "1 entry of the revocation list of channel production (serial 2), which was followed before, is not in force for \
             {here}: API key reports-1"
        );
        stage.world.configure(lines);
        let (status, _, checked) = stage.world.check();
        assert_eq!(status.code(), Some(1), "{checked}");
        for said in [checked, stage.world.try_start().err().unwrap()] {
            assert!(said.contains(&found) && said.contains("without_revocations_of = [\"production\"]"), "{said}");
        }
        stage.world.configure(&format!("{lines}\nwithout_revocations_of = [\"production\"]"));
        let (status, _, said) = stage.world.check();
        assert!(status.success() && said.contains(&format!("warning: {found} (without_rev")), "{said}");
        let gateway = stage.world.start();
        assert_eq!(gateway.once(&bot).status, 200);
        assert_eq!(gateway.stderr().matches(&found).count(), 1, "{}", gateway.stderr());
    }
    lost(true);
    fs::rename(stage.world.path("state/reserve"), stage.world.path("reserve")).unwrap();
    stage.world.configure("release = \"release.json\"");
    let (_, _, said) = stage.world.check();
    assert!(said.contains("cannot be read from the state directory") && said.contains("without_rev"), "{said}");
    fs::rename(stage.world.path("reserve"), stage.world.path("state/reserve")).unwrap();
    lost(false);

    // Revoked there as well, nothing is to be said.
    let place = ["revoke", "--store", "store", "--channel", "staging", "--trust-root", "root.json"];
    let (status, stdout, stderr) =
        gateway::run(&[&place[..], &["--api-key", "reports-1", "--key", "1.key"]].concat(), stage.world.home());
    assert!(status.success(), "{stdout}{stderr}");
    stage.world.configure(staging);
    let gateway = stage.world.start();
    assert_eq!(gateway.once(&bot).status, 401);
    assert!(!gateway.stderr().contains("followed before"), "{}", gateway.stderr());
}
