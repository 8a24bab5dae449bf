//! Whoever can write into the store, and holds at most keys of other roles, fills nothing and takes nothing out.

use super::*;

#[test]
fn forged_old_and_foreign_sets_change_nothing() {
    let mut stage = Stage::new();
    let (key, thief) = (ApiKey::new("ci-1"), ApiKey::new("ci-1"));
    stage.add(&key);
    stage.wait_for_serial(1);
    let first = fs::read(stage.set_path()).unwrap();
    stage.key_set("renew", &[]);
    stage.wait_for_serial(2);
    let good = fs::read(stage.set_path()).unwrap();
    let of = |policy: &str, channel: &str, serial: u64, by: &[u8]| {
        envelope("key-set", &payload([policy, channel], serial, &thief, &fresh()), by)
    };
    let as_pointer = envelope("pointer", &payload(["tests", "production"], 9, &thief, &fresh()), &[3]);
    let cases = [
        (of("tests", "production", 9, &[1, 2, 4]), "key-set-signatures"),
        (of("tests", "production", 9, &[]), "key-set-signatures"),
        (as_pointer, "key-set-signatures"),
        (b"garbage".to_vec(), "key-set-signatures"),
        (of("other", "production", 9, &[3]), "key-set-policy"),
        (of("tests", "staging", 9, &[3]), "key-set-channel"),
        (first, "key-set-serial"),
        (of("tests", "production", 1, &[3]), "key-set-serial"),
        (of("tests", "production", 2, &[3]), "key-set-equivocation"),
    ];
    for (bytes, check) in &cases {
        stage.world.replace(&stage.set_path(), bytes);
        stage.wait_for_refusal(check);
        assert_eq!((stage.status(&key), stage.status(&thief), stage.shown()["serial"].clone()), (200, 401, json!(2)));
    }
    assert!(eventually(SOON, || stage.gateway().metric("key_set_refused") == 1.0));
    stage.gateway().tells("serial 2 stays in force until ");
    let refused = || stage.rotations().into_iter().filter(|of| of["adamant.refresh.outcome"] == "refused").count();
    assert!(eventually(SOON, || refused() >= 5) && refused() <= cases.len(), "{}", refused());
    fs::remove_file(stage.set_path()).unwrap();
    stage.restart();
    assert_eq!((stage.status(&key), stage.status(&thief)), (200, 401), "without one in the store");
    stage.world.replace(&stage.set_path(), &cases[6].0);
    stage.restart();
    assert_eq!((stage.status(&key), stage.shown()["serial"].clone()), (200, json!(2)));
    stage.wait_for_refusal("key-set-serial");
    stage.world.replace(&stage.set_path(), &good);
    assert!(eventually(SOON, || stage.shown()["refusal"].is_null()));
    // What is signed by the role is taken, whoever wrote it.
    stage.world.replace(&stage.set_path(), &of("tests", "production", 3, &[3]));
    stage.wait_for_serial(3);
    assert_eq!((stage.status(&key), stage.status(&thief)), (401, 200));
}

#[test]
fn a_trust_root_without_the_role_lets_nobody_sign() {
    let mut stage = Stage::new();
    let filled = ApiKey::new("ci-2");
    stage.add(&filled);
    stage.wait_for_serial(1);
    assert_eq!(stage.status(&filled), 200);
    let mut root: Value = serde_json::from_slice(&root_payload(2, END, &[1, 2, 3])).unwrap();
    root["roles"].as_object_mut().unwrap().remove("keys");
    stage.world.write("store/roots/2.json", &envelope("trust-root", root.to_string().as_bytes(), &[1, 2]));
    // Until then, key 3 may sign.
    assert!(eventually(SOON, || told(stage.gateway())["trust_root"] == 2));
    let key = ApiKey::new("ci-1");
    let (done, said) = stage.try_key_set("add", &["--id", "ci-1", "--sha256", &key.sha256, "--key", "3.key"]);
    assert!(!done && said.contains("role keys"), "{said}");
    let set = envelope("key-set", &payload(["tests", "production"], 2, &key, &fresh()), &[1, 2, 3, 4]);
    stage.world.replace(&stage.set_path(), &set);
    stage.wait_for_refusal("key-set-signatures");
    let has_none = || stage.shown()["refusal"].to_string().contains("has no key of role keys");
    assert!(eventually(SOON, has_none), "{}", stage.shown());
    assert_eq!(stage.status(&key), 401);
    // Nobody could take the place of what was filled: it is not filled any more, over restarts too.
    assert!(eventually(SOON, || stage.status(&filled) == 401));
    stage.gateway().tells("key set serial 1 is in force no more");
    assert!(eventually(SOON, || stage.rotations().iter().any(|of| of["adamant.refresh.outcome"] == "stale")));
    assert_eq!((stage.shown()["serial"].clone(), stage.shown()["unfilled"].clone()), (json!(0), json!(2)));
    stage.restart();
    assert_eq!([&key, &filled, &stage.fixed].map(|key| stage.status(key)), [401, 401, 200]);
}
