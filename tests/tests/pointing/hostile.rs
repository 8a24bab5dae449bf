//! Stores that somebody else has written to.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use tests::certificates::Authority;
use tests::gateway;
use tests::policy::PolicyText;
use tests::store::{CHANNEL, Key, World, envelope};

use super::*;

#[test]
fn a_store_in_the_hands_of_somebody_else() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key --serial 7"));
    let (good, digest) = (desk.read(POINTER), pointer_digest(&desk, "1.json"));
    let renew = format!("point {AT} --release {digest} --key alice.key");

    // A pointer that carol made, one that is torn, one of another channel or kind, one with a flipped bit.
    desk.good(&format!("trust init --key carol=carol.pub --threshold 1 --expires {END} -o carols.json"));
    desk.good("trust sign carols.json --key carol.key");
    desk.good("release sign 1.json --key carol.key -o by-carol.json");
    fs::create_dir(desk.path("carols")).unwrap();
    let of_carol = "--store carols --channel production --trust-root carols.json";
    desk.good(&format!(
        "point {of_carol} --release by-carol.json --key carol.key --serial 9000000000000000 --serial-jump"
    ));
    let forged = desk.read("carols/channels/production/pointer.json");
    let other_channel = AT.replace("production", "staging");
    desk.good(&format!("point {other_channel} --release 1.json --key alice.key"));
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let staging = desk.read("store/channels/staging/pointer.json");
    for bad in [&forged[..], &good[..good.len() / 2], b"", &staging, &desk.read("root.json"), &flipped] {
        desk.write(POINTER, bad);
        let said = desk.bad(&renew);
        assert_says(&said, &["is not believed", "--serial"]);
        assert_eq!(desk.read(POINTER), bad);
        assert_says(&desk.bad(&format!("rollback {AT} --to previous --key alice.key")), &["not"]);
    }
    let said = desk.good(&format!("{renew} --serial 8"));
    assert_says(&said, &["warning: the pointer of channel production is not believed and is replaced", "serial 8"]);

    // A damaged release, and another one under its name.
    let whole = desk.read(&file_of(&digest));
    desk.write(&file_of(&digest), &whole[..whole.len() - 9]);
    assert_says(&desk.bad(&renew), &["releases/sha256-", "DSSE envelope"]);
    let said = desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    assert_says(&said, &["warning: ", "damaged and is replaced by yours"]);
    assert_eq!(desk.read(&file_of(&digest)), desk.read("1.json"));
    release(&desk, 2, 1, "alice.key bob.key");
    desk.write(&file_of(&digest), desk.read("2.json"));
    assert_says(&desk.bad(&renew), &["expected the release sha256:", "under its name"]);
    desk.write(&file_of(&digest), &whole);

    // A successor of the trust root that carol crowned herself with.
    fs::create_dir(desk.path("store/roots")).unwrap();
    desk.good("trust rotate carols.json carol=bob.pub -o carols-2.json");
    desk.good("trust sign carols-2.json --after carols.json --key carol.key --key bob.key");
    fs::copy(desk.path("carols-2.json"), desk.path("store/roots/2.json")).unwrap();
    assert_says(&desk.good(&renew), &["warning: ", "roots/2.json is passed over", "the one before"]);
}

#[test]
fn no_path_leads_out_of_the_store() {
    let desk = office();
    for channel in ["..", "../production", "a/b", "/etc", "Production", "-x", ""] {
        let line =
            format!("point --store store --channel={channel} --trust-root root.json --release 1.json --key alice.key");
        let (code, _, said) = desk.run(&line);
        assert!(code == 2 && said.contains("expected a channel"), "{channel}: {said}");
    }
    for digest in ["sha256:../../../etc/passwd", "sha256:", &format!("sha256:{}", "A".repeat(64))] {
        let (code, _, said) = desk.run(&format!("point {AT} --release {digest} --key alice.key"));
        assert!(code == 2 && said.contains("64 lower-case hex digits"), "{digest}: {said}");
    }
    assert_eq!(desk.all("store"), []);
    fs::create_dir(desk.path("elsewhere")).unwrap();
    for link in ["releases", "channels", "channels/production", POINTER.trim_start_matches("store/")] {
        let path = desk.path("store").join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(desk.path("elsewhere"), &path).unwrap();
        assert_says(
            &desk.bad(&format!("point {AT} --release 1.json --key alice.key")),
            &["symbolic link", "take it away"],
        );
        assert_eq!(desk.all("elsewhere"), [], "{link}");
        fs::remove_file(path).unwrap();
        fs::remove_dir_all(desk.path("store")).unwrap();
        fs::create_dir(desk.path("store")).unwrap();
    }
    // A pipe would keep a careless reader waiting for ever.
    fs::create_dir_all(desk.path("store/channels/production")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(desk.path(POINTER)).status().unwrap();
    assert!(made.success());
    assert_says(
        &desk.bad(&format!("point {AT} --release 1.json --key alice.key")),
        &["expected a regular file", "pipe"],
    );
    assert_says(&desk.bad("point show --store store"), &["1 channel cannot be read"]);
    assert_says(
        &desk
            .bad(&format!("point {} --release 1.json --key alice.key", AT.replace("--store store", "--store nowhere"))),
        &["nowhere", "mkdir"],
    );
}

/// What every gateway would refuse for what stands in it is not published in the first place, whoever signed.
#[test]
fn a_release_that_no_gateway_could_serve_is_not_pointed_at() {
    let world = World::new("hot");
    world.write("ca.pem", Authority::new("callers").pem.as_bytes());
    let good = world.build(1, &world.policy(&["/one"]).client_ca("callers", "ca.pem"));
    world.write("4.key", Key::file(4).as_bytes());
    fs::set_permissions(world.path("4.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let point = |payload: &[u8]| {
        world.write("release.json", &envelope("release", payload, &[1, 2]));
        let line = format!(
            "point --store store --channel {CHANNEL} --trust-root root.json --key 4.key --release release.json"
        );
        let (status, said, complained) = gateway::run(&line.split(' ').collect::<Vec<_>>(), world.home());
        (status.success(), said + &complained)
    };
    let whole: Value = serde_json::from_slice(&good.payload).unwrap();
    for (what, instead) in [("certificates", json!("")), ("certificates", json!("junk")), ("name", json!("z"))] {
        let mut bad = whole.clone();
        match what {
            "name" => bad["policy"]["routes"][0]["origin"] = instead,
            _ => bad["policy"]["client_cas"][0][what] = instead,
        }
        let (done, said) = point(bad.to_string().as_bytes());
        assert!(!done && !world.pointer_path().exists(), "{bad}: {said}");
        assert_says(&said, &["gateways would refuse this release at the check release-table", "nothing was published"]);
        // Before anybody signs it, too.
        let line = "release verify release.json --trust-root root.json";
        let (status, said, complained) = gateway::run(&line.split(' ').collect::<Vec<_>>(), world.home());
        assert!(!status.success(), "{said}");
        assert_says(&complained, &["release.json", "gateways would refuse this release at the check release-table"]);
    }
    let (done, said) = point(&good.payload);
    assert!(done && world.pointer_path().exists(), "{said}");
}

/// A certificate that stands where a CA belongs is found before anything is built.
#[test]
fn what_no_gateway_could_serve_is_not_built() {
    let desk = Desk::new();
    desk.write("leaf.pem", Authority::new("callers").spiffe("spiffe://x/bot").certificate);
    desk.write("policy.toml", PolicyText::new().client_ca("callers", "leaf.pem").text());
    let build = "release build policy.toml --version 1 --expires 2100-01-01T00:00:00Z --out release.json";
    for line in ["check policy.toml", "test policy.toml", build] {
        assert_says(&desk.bad(line), &["policy.toml", "callers", "basic constraints do not say that it is a CA"]);
    }
    assert!(!desk.path("release.json").exists());
}

#[test]
fn a_version_that_no_gateway_took_is_none_to_count_on_from() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    // It takes rights away, so one may sign it; its version is too far above for that.
    release(&desk, 1_000_002, 1, "alice.key");
    let said = desk.good(&format!("point {AT} --release 1000002.json --key alice.key --below-threshold"));
    assert_says(&said, &["its version is more than 1000000 above 1", "gateways would not take this release"]);
    // The next one is compared with what gateways have, as they do.
    release(&desk, 1_000_003, 1, "alice.key");
    let (code, said, told) = desk.run(&format!("point {AT} --release 1000003.json --key alice.key"));
    assert_eq!(code, 1, "{said}{told}");
    assert_says(&said, &["its version is more than 1000000 above 1", "compared with version 1 (sha256:"]);
    assert_says(&told, &["release-wider has 1 of 2 signatures (alice)", "nothing was published"]);
}
