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
