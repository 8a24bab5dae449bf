//! Somebody who may write to the store puts an older set back: no routine command signs again what was taken out.

use super::*;

fn set(channel: &str, policy: &str, key: &ApiKey) -> Vec<u8> {
    let payload = payload([policy, channel], 9, key, &fresh());
    envelope("key-set", &payload, &[3])
}

#[test]
fn a_leaked_key_does_not_come_back_with_an_older_set() {
    let stage = Stage::new();
    let (leaked, new) = (ApiKey::new("ci-1"), ApiKey::new("ci-1"));
    stage.add(&leaked);
    stage.wait_for_serial(1);
    let first = fs::read(stage.set_path()).unwrap();
    stage.key_set("rotate", &["--id", "ci-1", "--sha256", &new.sha256, "--at-once"]);
    stage.wait_for_serial(2);

    stage.world.replace(&stage.set_path(), &first);
    stage.gateway().tells("adamant key-set renew --serial 3");
    for _ in 0..2 {
        let (done, said) = stage.try_key_set("renew", &["--key", "3.key"]);
        let parts =
            ["the store has an older key set (serial 1, made ", "has serial 2", "key-set publish ", "--carry-on"];
        assert!(!done && parts.iter().all(|part| said.contains(part)), "{said}");
        assert_eq!(fs::read(stage.set_path()).unwrap(), first);
    }
    // What is remembered goes back, and is gone on from.
    let (_, said) = stage.try_key_set("renew", &["--key", "3.key"]);
    let (_, after) = said.split_once("key-set publish ").unwrap();
    let (done, said) = stage.try_key_set("publish", &[after.split_once(' ').unwrap().0]);
    assert!(done, "{said}");
    assert!(eventually(SOON, || stage.shown()["refusal"].is_null()), "{}", told(stage.gateway()));
    let said = stage.key_set("renew", &[]);
    let kept = format!("keeps    ci-1 {}", &new.sha256[..12]);
    assert!(said.contains("from     serial 2, made ") && said.contains(&kept), "{said}");
    stage.wait_for_serial(3);
    assert_eq!((stage.status(&leaked), stage.status(&new)), (401, 200));

    stage.world.replace(&stage.set_path(), &first);
    let (done, said) = stage.try_key_set("show", &[]);
    assert!(!done && said.contains("has serial 3") && said.contains("adamant key-set publish "), "{said}");
    let said = stage.key_set("renew", &["--carry-on"]);
    assert!(said.contains("serial 4") && !said.contains(&leaked.sha256[..12]), "{said}");
    stage.wait_for_serial(4);
    assert_eq!((stage.status(&leaked), stage.status(&new)), (401, 200));
}

#[test]
fn a_set_of_another_channel_or_policy_is_called_what_it_is() {
    let stage = Stage::new();
    let key = ApiKey::new("ci-1");
    fs::create_dir_all(stage.set_path().parent().unwrap()).unwrap();
    for (bytes, why) in [
        (set("staging", "tests", &key), "it is of channel \"staging\""),
        (set("production", "others", &key), "it is of policy \"others\", and the channel is of \"tests\""),
    ] {
        stage.world.replace(&stage.set_path(), &bytes);
        let rotate = ["--id", "ci-1", "--sha256", &key.sha256, "--key", "3.key"];
        for (command, arguments) in [("show", &[][..]), ("renew", &rotate[4..]), ("rotate", &rotate[..])] {
            let (done, said) = stage.try_key_set(command, arguments);
            assert!(!done && said.contains(why), "{command}: {said}");
        }
    }
    fs::remove_file(stage.set_path()).unwrap();
    stage.world.write("set.json", &set("production", "others", &key));
    let (done, said) = stage.try_key_set("publish", &["set.json"]);
    let why = "set.json: it is of policy \"others\", and the channel is of \"tests\"; nothing was published";
    assert!(!done && said.contains(why) && !stage.set_path().exists(), "{said}");
}
