//! What the gateway shows the server, and whom it believes to be it, moves as well, and is on record.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn told(gateway: &Gateway, file: &str) -> Vec<Value> {
    let of_file = |line: &Value| line["adamant.refresh.source"].as_str().is_some_and(|of| of.ends_with(file));
    gateway.refreshes("origin-credential-access").into_iter().filter(of_file).collect()
}

/// The last line is such a one, and there are `count`.
#[track_caller]
fn tells(gateway: &Gateway, file: &str, count: usize, outcome: &str) -> Value {
    let is_told = || told(gateway, file).len() >= count;
    assert!(eventually(SOON, is_told), "{outcome}: {}", gateway.record_text());
    let mut lines = told(gateway, file);
    let last = lines.pop().unwrap();
    assert_eq!((lines.len() + 1, &last["adamant.refresh.outcome"]), (count, &json!(outcome)), "{last}");
    assert_eq!(last["adamant.refresh.name"], "orders");
    last
}

#[test]
fn another_secret_and_another_ca_are_on_record() {
    let scene = Scene::new(gives("t", &json!(600)));
    assert!(eventually(SOON, || scene.sends("t")));
    let gateway = &scene.gateway;
    // Whole: half of a file would be on record too.
    let put = |name: &str, text: &str| {
        let (path, new) = (gateway.directory().join(name), gateway.directory().join("put.new"));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, path).unwrap();
    };
    assert_eq!(tells(gateway, "client.key", 1, "unchanged")["adamant.refresh.why"], "start");
    put("client.key", "the-next-s3cr3t\n");
    let taken = tells(gateway, "client.key", 2, "taken");
    assert_eq!(taken["adamant.refresh.why"], "changed");
    for thumbprint in ["adamant.refresh.old", "adamant.refresh.new"] {
        assert_eq!(taken[thumbprint].as_str().unwrap().len(), 16, "{taken}");
    }
    put("client.key", "");
    let refused = tells(gateway, "client.key", 3, "refused");
    assert!(refused["error.message"].as_str().unwrap().contains("found nothing"), "{refused}");
    put("client.key", "the-next-s3cr3t");
    tells(gateway, "client.key", 4, "unchanged");

    tells(gateway, "id-ca.pem", 1, "unchanged");
    let next = tests::certificates::Authority::new("next").pem;
    put("id-ca.pem", &format!("{}{next}", scene.issuer.ca));
    let both = tells(gateway, "id-ca.pem", 2, "taken");
    assert_eq!(both["adamant.refresh.overlap"], both["adamant.refresh.old"], "{both}");
    put("id-ca.pem", &next);
    let one = tells(gateway, "id-ca.pem", 3, "taken");
    assert!(
        one["adamant.refresh.overlap_s"].is_u64() && one["adamant.refresh.new"] != both["adamant.refresh.old"],
        "{one}"
    );
    gateway.signal("HUP");
    assert_eq!(tells(gateway, "id-ca.pem", 4, "unchanged")["adamant.refresh.why"], "order");
    shows_none(gateway, &["the-next-s3cr3t", "s3cr3t-of-the-edge"]);
}
