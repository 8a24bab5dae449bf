//! Sets and keys that end.

use super::*;

#[test]
fn past_its_end_the_keys_of_a_set_are_refused_and_it_is_told() {
    let mut stage = Stage::new();
    let key = ApiKey::new("ci-1");
    stage.key_set("add", &["--id", "ci-1", "--sha256", &key.sha256, "--expires", &in_s(11)]);
    stage.wait_for_serial(1);
    assert_eq!(stage.status(&key), 200);
    assert!(eventually(SOON, || stage.status(&key) == 401));
    assert_eq!(stage.reason(&key), "key-set-expired");
    assert_eq!(stage.status(&stage.fixed), 200);
    assert!(eventually(SOON, || stage.gateway().metric("key_set_expired") == 1.0));
    stage.gateway().tells("the key set (serial 1) expired at ");
    assert!(eventually(SOON, || stage.rotations().last().unwrap()["adamant.refresh.outcome"] == "stale"));
    let admin = format!("http://{}", stage.gateway().admin_address());
    let (status, said, _) = gateway::run(&["status", &admin], stage.world.home());
    assert!(!status.success() && said.contains("problem: its key set (serial 1) expired at "), "{said}");
    // A start knows it too.
    stage.restart();
    assert_eq!(stage.reason(&key), "key-set-expired");
    let (status, stdout, stderr) = stage.world.check();
    let said = format!("{stdout}{stderr}");
    assert!(status.success() && said.contains("the key set (serial 1) expired at "), "{said}");
    assert!(said.contains("1 API key of the release has no key (key set serial 1): ci-2"), "{said}");
    let said = stage.key_set("renew", &[]);
    assert!(said.contains("serial 2"), "{said}");
    stage.wait_for_serial(2);
    assert_eq!(stage.status(&key), 200);
    assert!(!stage.world.check().1.contains("expired at"));
}

#[test]
fn a_key_holds_in_its_own_term_alone() {
    let stage = Stage::new();
    let (early, late) = (ApiKey::new("ci-1"), ApiKey::new("ci-2"));
    stage.key_set("add", &["--id", "ci-1", "--sha256", &early.sha256, "--until", &in_s(11)]);
    stage.key_set("add", &["--id", "ci-2", "--sha256", &late.sha256, "--from", &in_s(11)]);
    stage.wait_for_serial(2);
    assert_eq!((stage.status(&early), stage.reason(&late)), (200, "api-key-out-of-term".to_owned()));
    assert!(eventually(SOON, || stage.status(&early) == 401 && stage.status(&late) == 200));
    assert_eq!(stage.reason(&early), "api-key-out-of-term");
    let said = stage.key_set("renew", &[]);
    assert!(said.contains("drops    ci-1"), "{said}");
    stage.wait_for_serial(3);
    assert_eq!(stage.reason(&early), "api-key-invalid");
}

#[test]
fn no_set_holds_for_longer_than_a_year() {
    let stage = Stage::new();
    let key = ApiKey::new("ci-1");
    let (done, said) =
        stage.try_key_set("add", &["--id", "ci-1", "--sha256", &key.sha256, "--for", "367d", "--key", "3.key"]);
    assert!(!done && said.contains("a key set that ends within 366 days of its issue"), "{said}");
    // Whoever has the key of the role can write what he likes.
    let set = |issued_s: u64| {
        let times = [issued_s, issued_s + 366 * 86_400].map(in_s);
        envelope("key-set", &payload(["tests", "production"], 1, &key, &times), &[3])
    };
    stage.world.replace(&stage.set_path(), &set(86_400));
    stage.wait_for_refusal("key-set-life");
    assert_eq!(stage.status(&key), 401);
    stage.world.replace(&stage.set_path(), &set(0));
    stage.wait_for_serial(1);
    assert_eq!(stage.status(&key), 200);
}
