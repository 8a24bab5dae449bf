//! The keys of role `keys` are replaced: what is filled stays filled until a new set comes or the old one ends.

use super::*;

#[test]
fn the_set_in_force_outlives_the_keys_that_signed_it() {
    let mut stage = Stage::new();
    let key = ApiKey::new("ci-1");
    stage.add(&key);
    stage.wait_for_serial(1);
    let mut root: Value = serde_json::from_slice(&root_payload(2, END, &[1, 2, 3])).unwrap();
    root["roles"]["keys"] = json!({ "keys": [Key::new(2).id()], "threshold": 1 });
    stage.world.write("root-2.json", &envelope("trust-root", root.to_string().as_bytes(), &[1, 2]));
    let publish = ["trust", "publish", "root-2.json", "--trust-root", "root.json", "--store", "store"];
    let (status, _, said) = gateway::run(&publish, stage.world.home());
    assert!(status.success(), "{said}");
    assert!(said.contains("the key set of channel production holds by older keys alone"), "{said}");
    assert!(said.contains("adamant key-set renew --carry-on"), "{said}");

    // Told as an alarm, and nobody who calls notices.
    stage.wait_for_refusal("key-set-signatures");
    assert_eq!((stage.status(&key), stage.shown()["serial"].clone()), (200, json!(1)));
    stage.gateway().tells("serial 1 of the key set of channel production");
    stage.restart();
    assert_eq!((stage.status(&key), stage.shown()["serial"].clone()), (200, json!(1)));
    stage.wait_for_refusal("key-set-signatures");
    // The keys that left sign nothing more.
    let other = ApiKey::new("ci-2");
    let add = ["--id", "ci-2", "--sha256", &other.sha256];
    let (done, said) = stage.try_key_set("add", &[&add[..], &["--key", "3.key", "--carry-on"]].concat());
    assert!(!done && said.contains("role keys"), "{said}");
    // Nobody signs unseen what a thief may have put in.
    let (done, said) = stage.try_key_set("add", &[&add[..], &["--key", "2.key"]].concat());
    assert!(!done && said.contains("--carry-on"), "{said}");
    let (done, said) = stage.try_key_set("add", &[&add[..], &["--key", "2.key", "--carry-on"]].concat());
    assert!(done, "{said}");
    stage.wait_for_serial(2);
    assert!(eventually(SOON, || stage.shown()["refusal"].is_null()));
    assert_eq!((stage.status(&key), stage.status(&other)), (200, 200));
}

/// Keys 2 and 3 sign sets, each alone. Key 3 took out what key 2 had put in, and then leaves the role.
#[test]
fn what_a_signer_took_out_does_not_come_back_when_he_leaves() {
    let mut stage = Stage::new();
    let root = |version: u64, numbers: &[u8]| {
        let mut root: Value = serde_json::from_slice(&root_payload(version, END, &[1, 2, 3])).unwrap();
        let mut ids: Vec<_> = numbers.iter().map(|number| Key::new(*number).id()).collect();
        ids.sort();
        root["roles"]["keys"] = json!({ "keys": ids, "threshold": 1 });
        stage.world.write(
            &format!("store/roots/{version}.json"),
            &envelope("trust-root", root.to_string().as_bytes(), &[1, 2]),
        );
    };
    root(2, &[2, 3]);
    assert!(eventually(SOON, || told(stage.gateway())["trust_root"] == 2));
    let (leaked, kept) = (ApiKey::new("ci-1"), ApiKey::new("ci-2"));
    stage.key_set("add", &["--id", "ci-2", "--sha256", &kept.sha256]);
    let add = ["--id", "ci-1", "--sha256", &leaked.sha256, "--key", "2.key"];
    assert!(stage.try_key_set("add", &add).0);
    stage.wait_for_serial(2);
    assert_eq!((stage.status(&leaked), stage.status(&kept)), (200, 200));
    let old = fs::read(stage.set_path()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    stage.key_set("remove", &["--id", "ci-1"]);
    stage.wait_for_serial(3);
    root(3, &[2]);
    assert!(eventually(SOON, || told(stage.gateway())["trust_root"] == 3));
    stage.wait_for_refusal("key-set-signatures");
    for _ in 0..2 {
        stage.world.replace(&stage.set_path(), &old);
        stage.wait_for_refusal("key-set-serial");
        assert_eq!((stage.status(&leaked), stage.status(&kept)), (401, 200));
        stage.restart();
    }
    let (done, said) = stage.try_key_set("remove", &["--id", "ci-1", "--key", "2.key"]);
    assert!(done, "{said}");
    stage.wait_for_serial(3);
    assert!(eventually(SOON, || stage.shown()["refusal"].is_null()));
    assert_eq!((stage.status(&leaked), stage.status(&kept)), (401, 200));
}
