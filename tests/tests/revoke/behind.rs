//! Somebody who may write to the store puts an older list back: the next revocation is in force all the same.

use std::os::unix::fs::PermissionsExt;

use super::*;
use tests::store::{END, ISSUED, Key, envelope, pointer_payload};

fn list(channel: &str, policy: &str, serial: u64, agent: &str) -> Vec<u8> {
    let payload = json!({
        "type": "adamant.revocations.v1", "policy_name": policy, "channel": channel, "serial": serial, "issued": ISSUED,
        "expires": END, "entries": [{ "agent": agent, "since": ISSUED, "why": "test" }],
    });
    envelope("revocations", payload.to_string().as_bytes(), &[1])
}

#[test]
fn an_older_list_in_the_store_does_not_switch_the_kill_switch_off() {
    let stage = Stage::new();
    let (bot, other) = (stage.with_key(&stage.key), stage.with_key(&stage.other_key));
    stage.revoke(&["--agent", "token-other"]);
    let first = fs::read(stage.list_path()).unwrap();
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(2);

    stage.world.replace(&stage.list_path(), &first);
    // What helps is told with its serial, to whoever has nothing but the gateway.
    stage.gateway().tells("adamant revoke --renew --serial 3");
    let said = stage.revoke(&["--agent", "other"]);
    for part in ["warning: the store has an older revocation list (serial 1, made ", "has serial 2, made ", "serial 3"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("unless they have a revocation list with a higher serial"), "{said}");
    stage.wait_for_serial(3);
    assert_eq!((stage.gateway().once(&bot).status, stage.gateway().once(&other).status), (401, 401));

    // What is no list, and none at all, are no reason to begin anew either.
    stage.world.replace(&stage.list_path(), b"garbage");
    let said = stage.revoke(&["--agent", "cert-other"]);
    assert!(said.contains("the revocation list in the store is not believed") && said.contains("4 entries"), "{said}");
    stage.wait_for_serial(4);
    fs::remove_file(stage.list_path()).unwrap();
    let said = stage.revoke(&["--renew"]);
    assert!(said.contains("the store has no revocation list any more") && said.contains("4 entries"), "{said}");
    stage.wait_for_serial(5);

    // Two with one serial: what either revokes is in the next one.
    stage.world.replace(&stage.list_path(), &list("production", "tests", 5, "cert-bot"));
    let said = stage.revoke(&["--renew"]);
    assert!(said.contains("the store has another revocation list (serial 5") && said.contains("5 entries"), "{said}");
    stage.wait_for_serial(6);

    stage.wait_for_serial(6);
    // Who looks hears of it too, and no script takes it for a list of nothing.
    for older in [Some(first.as_slice()), Some(b"garbage"), None] {
        match older {
            Some(older) => stage.world.replace(&stage.list_path(), older),
            None => fs::remove_file(stage.list_path()).unwrap(),
        }
        let place = ["revoke", "list", "--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let (status, stdout, stderr) = gateway::run(&place, stage.world.home());
        let newest = "the newest that was seen from here has serial 6, made ";
        assert!(!status.success() && stderr.contains(newest) && stderr.contains("adamant revoke publish "), "{stderr}");
        assert!(!stdout.contains("nothing is revoked"), "{stdout}");
        let (status, stdout, stderr) = gateway::run(&[&place[..], &["--format", "json"]].concat(), stage.world.home());
        assert!(!status.success() && stderr.contains(newest), "{stdout}{stderr}");
        if older == Some(b"garbage") {
            continue;
        }
        let document: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(document["serial"], if older.is_some() { json!(1) } else { Value::Null }, "{document}");
        assert!(document["behind"]["told"].as_str().unwrap().contains(newest), "{document}");
        // What does not look at what was seen says so.
        let (status, stdout, _) = gateway::run(&place[..6], stage.world.home());
        let as_far = older.is_some() || stdout.contains("as far as the store tells");
        assert!(status.success() && as_far, "{stdout}");
    }

    // Where nothing is remembered, the store alone tells, and no more is claimed.
    stage.world.replace(&stage.list_path(), &first);
    let said = stage.revoke(&["--renew", "--memory", "nothing"]);
    assert!(!said.contains("warning") && said.contains("serial 2"), "{said}");
    assert!(stage.world.path("nothing/lists").is_dir());
    let (done, said) = stage.try_revoke(&["--renew", "--memory", "root.json", "--key", "1.key"]);
    assert!(done && said.contains("warning: root.json: expected a directory for --memory"), "{said}");
    let refused = || told(stage.gateway())["revocations"]["refusal"]["check"] == "revocations-serial";
    assert!(eventually(SOON, refused), "{}", told(stage.gateway()));
    assert_eq!(stage.serial(), 6);
}

/// The one file of the signers' memory, in folders of its owner alone.
fn remembered(stage: &Stage) -> PathBuf {
    let (mut folders, mut files) = (vec![stage.world.path(".state")], Vec::new());
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn what_is_remembered_is_for_its_owner_alone() {
    let stage = Stage::new();
    stage.revoke(&["--agent", "bot"]);
    let file = &remembered(&stage);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(file).unwrap(), fs::read(stage.list_path()).unwrap());
    // Nothing there is believed for standing there, and that it is damaged is told.
    let unsigned = json!({ "payload": "", "payloadType": "x", "signatures": [] });
    fs::write(file, unsigned.to_string()).unwrap();
    let said = stage.revoke(&["--renew"]);
    assert!(said.contains(" is damaged: ") && said.contains("serial 2"), "{said}");
}

/// Everything in a copy without some of its signatures is valid too.
#[test]
fn a_copy_with_fewer_signatures_is_not_remembered_in_the_place_of_a_better_one() {
    let stage = Stage::new();
    let of_wider = Key::new(2);
    fs::write(stage.world.path("2.key"), Key::file(2)).unwrap();
    fs::set_permissions(stage.world.path("2.key"), fs::Permissions::from_mode(0o600)).unwrap();
    stage.revoke(&["--agent", "bot", "--key", "2.key"]);
    let whole = fs::read_to_string(stage.list_path()).unwrap();
    assert!(whole.contains(&of_wider.id()), "both signed");
    let remembered = || fs::read_to_string(remembered(&stage)).unwrap();
    assert_eq!(remembered(), whole);
    let stripped = envelope("revocations", &tests::store::payload_of(whole.as_bytes()), &[1]);
    stage.world.replace(&stage.list_path(), &stripped);
    stage.revoke(&["--renew", "--out", "next.json"]);
    assert_eq!(remembered(), whole);
    // The other way round it is.
    fs::write(self::remembered(&stage), stripped).unwrap();
    stage.world.replace(&stage.list_path(), whole.as_bytes());
    stage.revoke(&["--renew", "--out", "after.json"]);
    assert_eq!(remembered(), whole);
}

#[test]
fn a_list_of_another_channel_or_policy_is_not_shown_as_this_ones() {
    let stage = Stage::new();
    fs::create_dir_all(stage.list_path().parent().unwrap()).unwrap();
    for (bytes, why) in [
        (list("staging", "tests", 3, "bot"), "it is of channel \"staging\""),
        (list("production", "others", 3, "bot"), "it is of policy \"others\", and the channel is of \"tests\""),
    ] {
        stage.world.replace(&stage.list_path(), &bytes);
        let place = ["revoke", "list", "--store", "store", "--channel", "production"];
        for more in [&[][..], &["--trust-root", "root.json"], &["--format", "json"]] {
            let (status, stdout, stderr) = gateway::run(&[&place[..], more].concat(), stage.world.home());
            assert!(!status.success() && stderr.contains(why), "{stdout}{stderr}");
        }
        let (done, said) = stage.try_revoke(&["--agent", "other", "--key", "1.key"]);
        assert!(!done && said.contains("is not believed") && said.contains(why), "{said}");
    }
}

#[test]
fn a_list_of_another_policy_is_not_published() {
    let stage = Stage::new();
    let publish = || {
        let place = ["--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let (status, stdout, stderr) =
            gateway::run(&[&["revoke", "publish", "wrong.json"], &place[..]].concat(), stage.world.home());
        (status.success(), stdout + &stderr)
    };
    let wrong = "it is of policy \"others\", and the channel is of \"tests\"; nothing was published";
    stage.world.write("wrong.json", &list("production", "others", 1, "bot"));
    let (done, said) = publish();
    assert!(!done && said.contains(&format!("wrong.json: {wrong}")) && said.contains("hint: each policy"), "{said}");
    assert!(!stage.list_path().exists());
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    let good = fs::read(stage.list_path()).unwrap();
    stage.world.write("wrong.json", &list("production", "others", 2, "bot"));
    let refused = || {
        let (done, said) = publish();
        assert!(!done && said.contains(wrong) && fs::read(stage.list_path()).unwrap() == good, "{said}");
    };
    refused();
    // The list tells it too.
    fs::remove_file(stage.world.pointer_path()).unwrap();
    refused();
    let (_, said, _) = gateway::run(&["revoke", "sign", "wrong.json", "--key", "1.key"], stage.world.home());
    assert!(said.contains("policy others, channel production, serial 2, 1 entry, until"), "{said}");
}

/// What was seen from here goes by trust root and channel, and each policy has channels of its own.
#[test]
fn another_policy_of_the_same_channel_is_told_with_what_to_do() {
    let stage = Stage::new();
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    fs::create_dir(stage.world.path("second")).unwrap();
    let revoke = |store: &str, more: &[&str]| {
        let place = ["revoke", "--store", store, "--channel", "production", "--trust-root", "root.json"];
        let what = ["--agent", "bot", "--unknown", "--key", "1.key"];
        let (status, stdout, stderr) = gateway::run(&[&place, &what[..], more].concat(), stage.world.home());
        (status.success(), stdout + &stderr)
    };
    let (done, said) = revoke("second", &["--policy", "others"]);
    let parts =
        ["channel production is of policy \"tests\", and --policy says \"others\"", "seen from here last", "--memory"];
    assert!(!done && parts.iter().all(|part| said.contains(part)), "{said}");
    let (done, said) = revoke("second", &["--policy", "others", "--memory", "of-second"]);
    assert!(done && said.contains("serial 1"), "{said}");

    // A pointer of another policy that somebody put into the store: no gateway takes what goes by it.
    let pointer = pointer_payload("others", "production", &served(stage.gateway()), 2, END);
    stage.world.replace(&stage.world.pointer_path(), &envelope("pointer", &pointer, &[4]));
    let (_, said) = revoke("store", &["--out", "next.json"]);
    let told = "the pointer of channel production is of policy \"others\", and the revocation list that was seen from here \
                last is of \"tests\"";
    assert!(said.contains(told), "{said}");

    // The kill switch works all the same for whoever names the policy, with what was revoked before; it asks who does not.
    let (done, said) = revoke("store", &[]);
    assert!(
        !done && said.contains("is not believed") && said.contains("--policy tests goes on from the revocation list"),
        "{said}"
    );
    let (done, said) = revoke("store", &["--serial", "2"]);
    assert!(!done && said.contains("--policy NAME says for which"), "{said}");
    let set_aside = "and a revocation list of \"tests\" is known: the pointer is not gone by";
    let (done, said) = revoke("store", &["--policy", "tests"]);
    assert!(done && said.contains(set_aside) && said.contains("serial 2"), "{said}");
    assert!(said.contains("names are not checked: the pointer is of another policy"), "{said}");
    assert!(said.contains("  policy   tests") && said.contains("that serve policy tests have it in force"), "{said}");
    stage.wait_for_serial(2);
    let (done, said) = revoke("store", &["--policy", "tests", "--out", "third.json"]);
    assert!(done, "{said}");
    let place = ["--store", "store", "--channel", "production", "--trust-root", "root.json"];
    let (status, _, said) =
        gateway::run(&[&["revoke", "publish", "third.json"], &place[..]].concat(), stage.world.home());
    assert!(status.success() && said.contains(set_aside), "{said}");
    stage.wait_for_serial(3);
}

/// No list is known that could tell it either.
#[test]
fn a_first_list_where_the_pointer_is_of_another_policy_is_for_the_policy_that_is_named() {
    let stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    let good = fs::read(stage.world.pointer_path()).unwrap();
    let pointer = pointer_payload("others", "production", &served(stage.gateway()), 2, END);
    stage.world.replace(&stage.world.pointer_path(), &envelope("pointer", &pointer, &[4]));
    let revoke = |more: &[&str]| stage.try_revoke(&[&["--agent", "bot", "--key", "1.key"], more].concat());
    // Who names no policy is told which one it is.
    let (done, said) = revoke(&["--out", "of-others.json"]);
    assert!(done && said.contains("  policy   others"), "{said}");
    let (done, said) = revoke(&["--policy", "tests"]);
    assert!(!done && said.contains("if it is the pointer that is the wrong one: --other-policy"), "{said}");
    let (done, said) = revoke(&["--policy", "tests", "--other-policy", "--out", "of-tests.json"]);
    assert!(done && said.contains("this is for \"tests\": the pointer is not gone by"), "{said}");

    let place = ["--store", "store", "--channel", "production", "--trust-root", "root.json"];
    let publish = |more: &[&str]| {
        let (status, stdout, stderr) =
            gateway::run(&[&["revoke", "publish"], more, &place[..]].concat(), stage.world.home());
        (status.success(), stdout + &stderr)
    };
    let (done, said) = publish(&["of-tests.json"]);
    assert!(!done && said.contains("nothing was published") && said.contains("--other-policy"), "{said}");
    assert!(!stage.list_path().exists());
    let (done, said) = publish(&["of-tests.json", "--other-policy"]);
    assert!(done && said.contains("  policy   tests"), "{said}");
    stage.wait_for_serial(1);
    assert_eq!(stage.gateway().once(&bot).status, 401);

    // The other way round: a list takes the place of no other policy's, unless that one is said to be wrong.
    let (done, said) = publish(&["of-others.json"]);
    let told = "the revocation list of channel production is of policy \"tests\", and this one of \"others\"; nothing was published";
    assert!(!done && said.contains(told), "{said}");
    let (done, said) = publish(&["of-others.json", "--other-policy"]);
    assert!(done, "{said}");
    stage.world.replace(&stage.world.pointer_path(), &good);
    stage.gateway().tells("one of policy \"others\"");
    let (done, said) = revoke(&["--policy", "tests"]);
    assert!(done && said.contains("it is of policy \"others\", and the channel is of \"tests\""), "{said}");
    assert!(said.contains("  policy   tests") && !said.contains("the pointer of channel"), "{said}");
    stage.wait_for_serial(2);

    // Nor does it wait where the pointer is gone or garbled beside a list of another policy, and nothing is remembered.
    for (serial, pointer) in [(3, None), (4, Some(b"garbage"))] {
        match pointer {
            Some(garbage) => stage.world.replace(&stage.world.pointer_path(), garbage),
            None => fs::remove_file(stage.world.pointer_path()).unwrap(),
        }
        stage.world.replace(&stage.list_path(), &list("production", "others", 1, "bot"));
        let number = serial.to_string();
        let tests = ["--policy", "tests", "--other-policy", "--unknown", "--memory", &format!("memory-{serial}")];
        let (done, said) = revoke(&tests);
        assert!(!done && said.contains("give --policy NAME, a --serial above that in force"), "{said}");
        let (done, said) = revoke(&[&tests[..], &["--serial", &number]].concat());
        assert!(done && said.contains("  policy   tests"), "{said}");
        stage.wait_for_serial(serial);
    }
}

/// What is told of a release is not told of a list beside it.
#[test]
fn a_list_that_a_start_refuses_is_not_told_as_taken() {
    let mut stage = Stage::new();
    stage.stop();
    fs::create_dir_all(stage.list_path().parent().unwrap()).unwrap();
    stage.world.replace(&stage.list_path(), &list("production", "others", 3, "bot"));
    stage.restart();
    let shown = || told(stage.gateway());
    let settled = || shown()["refusal"].is_null() && shown()["revocations"]["refusal"]["check"] == "revocations-policy";
    assert!(eventually(SOON, settled), "{}", shown());
    let said = stage.gateway().stderr();
    assert!(said.contains("one of policy \"others\"") && !said.contains("refused any more"), "{said}");
    fs::remove_file(stage.list_path()).unwrap();
    stage.gateway().tells("the revocation list is not refused any more");
    assert!(!stage.gateway().stderr().contains("release is refused any more"), "{}", stage.gateway().stderr());
}

#[test]
fn a_list_alone_that_is_missing_is_not_called_the_release() {
    let mut stage = Stage::new();
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    stage.stop();
    fs::remove_file(stage.list_path()).unwrap();
    let (status, stdout, stderr) = stage.world.check();
    assert!(status.success() && stdout.contains("is not the release, but a list beside it"), "{stdout}{stderr}");
}
