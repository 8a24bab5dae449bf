//! Whoever can write to the store can put anything there: none of it changes a profile, all of it is told.

use serde_json::json;
use tests::store::{END, ISSUED, digest_of, payload_of, pointer_payload};

use super::*;

/// A document of this release, whoever signs it.
fn document(release: &str, serial: u64, expires: &str, gateway: &str) -> Vec<u8> {
    let place = json!({ "gateway": gateway, "gateway_spki_sha256": ["ab".repeat(32)] });
    let document = json!({
        "type": "adamant.profile-document.v1", "policy_name": "tests", "release": release, "serial": serial,
        "issued": ISSUED, "expires": expires, "place": place,
    });
    document.to_string().into_bytes()
}

fn document_path(stage: &Stage, release: &str) -> std::path::PathBuf {
    stage.world.path(&format!("store/profiles/{}.json", release.replace(':', "-")))
}

/// A profile that is followed, and what is in use.
fn followed(stage: &Stage) -> (Gateway, Running, String, Value) {
    let gateway = stage.opened();
    stage.enroll();
    let keeper = stage.follow();
    keeper.says("started", 1);
    let profile = stage.profile();
    let release = profile["granted"]["release"].as_str().unwrap().to_owned();
    (gateway, keeper, release, profile)
}

#[test]
fn documents_that_a_thief_puts_there_are_refused_and_told() {
    let stage = Stage::directory();
    let (_gateway, keeper, release, before) = followed(&stage);
    let path = document_path(&stage, &release);
    let good = fs::read(&path).unwrap();
    let put = |bytes: &[u8], said: &str| {
        stage.world.replace(&path, bytes);
        keeper.says(said, 1);
        assert_eq!(stage.profile(), before, "{said}");
    };
    let rogue = |serial, expires, by: &[u8]| {
        envelope("profile-document", &document(&release, serial, expires, "https://evil.example"), by)
    };
    // By one of two, and by whoever points.
    put(&rogue(9, END, &[1]), "found 1 (owner-1)");
    put(&rogue(9, END, &[4]), "not in this role");
    put(&rogue(9, "2026-02-01T00:00:00Z", &[1, 2]), "expired at 2026-02-01");
    // That one was signed by enough: its serial counts as seen, and the good one is the older one now.
    put(&good, "expected serial 9 or higher, found serial 1");
    put(&rogue(9, END, &[1, 2]), "expected one with serial 9");
    let other = document(&format!("sha256:{}", "0".repeat(64)), 10, END, "https://evil.example");
    put(&envelope("profile-document", &other, &[1, 2]), "expected the profile document of release");
    put(&vec![b' '; 1 << 20], "bytes, found more");
    put(b"{}", "expected a DSSE envelope");
    // A signature over something else of theirs is none here.
    let pointer = pointer_payload("tests", "production", &release, 9, END);
    put(&envelope("pointer", &pointer, &[1, 2, 4]), "expected a profile document, found a pointer");

    // The owners issue the next one: it is taken, and nothing was lost.
    fs::remove_file(&path).unwrap();
    let there = before["gateway"].as_str().unwrap().replace("localhost", "127.0.0.1");
    let issue = format!("profile issue {AT} --gateway {there} --gateway-ca ca/ca.pem --key 1.key --key 2.key");
    stage.run(&format!("{issue} --serial 10"));
    assert!(eventually(SOON, || stage.profile()["gateway"] == there.as_str()), "{:#?}", keeper.lines());
    keeper.end();
}

#[test]
fn pointers_and_releases_that_a_thief_puts_there_are_refused_and_told() {
    let stage = Stage::directory();
    let (_gateway, keeper, release, _) = followed(&stage);
    let first = fs::read(stage.world.pointer_path()).unwrap();
    stage.point(2);
    stage.is_soon_at(2, &keeper);
    let before = stage.profile();
    let put = |bytes: &[u8], said: &str| {
        stage.world.replace(&stage.world.pointer_path(), bytes);
        keeper.says(said, 1);
        assert_eq!(stage.profile(), before, "{said}");
    };
    let pointer =
        |channel: &str, policy: &str, serial, expires| pointer_payload(policy, channel, &release, serial, expires);
    put(&first, "expected serial 2 or higher, found serial 1");
    put(&envelope("pointer", &pointer("production", "tests", 3, END), &[1, 2]), "role pointer");
    put(&envelope("pointer", &pointer("staging", "tests", 3, END), &[4]), "expected channel");
    put(&envelope("pointer", &pointer("production", "others", 3, END), &[4]), "expected policy");
    put(&envelope("pointer", &pointer("production", "tests", 2, END), &[4]), "expected one pointer with serial 2");
    put(&envelope("pointer", &pointer("production", "tests", 3, "2026-02-01T00:00:00Z"), &[4]), "has not expired");
    // What was seen stays seen, over a restart too.
    keeper.end();
    let keeper = stage.follow();
    stage.world.replace(&stage.world.pointer_path(), &first);
    keeper.says("expected serial 3 or higher, found serial 1", 1);

    // A release under the name of another one, one by nobody, and one that is not there.
    let three = stage.build(3, &["orders:read"]);
    let point = |serial, digest: &str| {
        let payload = pointer_payload("tests", "production", digest, serial, END);
        stage.world.replace(&stage.world.pointer_path(), &envelope("pointer", &payload, &[4]));
    };
    point(4, &three.digest);
    keeper.says("is not there", 1);
    let two = fs::read(stage.world.path("2.json")).unwrap();
    stage.world.replace(&stage.world.release_path(&three.digest), &two);
    keeper.says(&format!("found {} under its name", digest_of(&payload_of(&two))), 1);
    stage.world.put_release(&three, &[4]);
    keeper.says("role release-narrower", 1);
    assert_eq!(stage.profile(), before);
    stage.world.put_release(&three, &[1]);
    stage.is_soon_at(3, &keeper);
    keeper.end();
}

#[test]
fn a_way_back_to_another_gateway_needs_more_than_the_pointers_key() {
    let stage = Stage::directory();
    let (gateway, keeper, _, _) = followed(&stage);
    let there = url(&gateway, "127.0.0.1");
    stage.point(2);
    stage.is_soon_at(2, &keeper);
    stage.issue(&there);
    assert!(eventually(SOON, || stage.profile()["gateway"] == there.as_str()), "{:#?}", keeper.lines());
    // What the release grants follows; where credentials go does not.
    stage.run(&format!("rollback {AT} --key 4.key --to previous"));
    stage.is_soon_at(1, &keeper);
    keeper.says("names another gateway or pins", 1);
    assert_eq!(stage.profile()["gateway"], there.as_str());
    // Nor at the next look, when the release is the one in use.
    stage.run(&format!("point {AT} --key 4.key --release current"));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(stage.profile()["gateway"], there.as_str());
    stage.run(&format!("point {AT} --key 4.key --key 1.key --key 2.key --release current"));
    let back = url(&gateway, "localhost");
    assert!(eventually(SOON, || stage.profile()["gateway"] == back.as_str()), "{:#?}", keeper.lines());
    keeper.end();
}

#[test]
fn another_release_of_a_version_that_was_taken_leads_no_agent_elsewhere() {
    let stage = Stage::directory();
    let (_gateway, keeper, _, _) = followed(&stage);
    stage.point(2);
    stage.is_soon_at(2, &keeper);
    let before = stage.profile();
    // Signed for what allows nothing new, with a document of its own: which release of version 2 is it?
    let twin = stage.world.build(2, &stage.policy(&["orders:read"]));
    stage.world.put_release(&twin, &[1]);
    let place = document(&twin.digest, 1, END, "https://evil.example");
    stage.world.replace(&document_path(&stage, &twin.digest), &envelope("profile-document", &place, &[1, 2]));
    let pointer = |serial, by: &[u8]| {
        let payload = pointer_payload("tests", "production", &twin.digest, serial, END);
        stage.world.replace(&stage.world.pointer_path(), &envelope("pointer", &payload, by));
    };
    pointer(9, &[4]);
    keeper.says("names another gateway or pins than the release that was taken", 1);
    assert_eq!(stage.profile()["gateway"], before["gateway"]);
    // Nor at the next look, nor after a restart.
    keeper.end();
    let keeper = stage.follow();
    keeper.says("names another gateway or pins than the release that was taken", 1);
    assert_eq!(stage.profile()["gateway"], before["gateway"]);
    pointer(10, &[1, 2, 4]);
    let reached = eventually(SOON, || stage.profile()["gateway"] == "https://evil.example");
    assert!(reached, "those who may lead back may do so: {:#?}", keeper.lines());
    keeper.end();
}

#[test]
fn an_agent_that_left_the_release_keeps_its_profile_and_is_told() {
    let stage = Stage::directory();
    let (_gateway, keeper, _, before) = followed(&stage);
    stage.build(2, &[]);
    stage.point(2);
    keeper.says("unknown-agent", 1);
    keeper.says("the profile stays as it was", 1);
    assert_eq!(stage.profile(), before);
    // A store that goes away meanwhile is told each time, and what it says is as it was.
    let away = |is_away: bool| {
        let (from, to) = if is_away { ("store", "moved") } else { ("moved", "store") };
        fs::rename(stage.world.path(from), stage.world.path(to)).unwrap();
    };
    for time in 1..=2 {
        away(true);
        keeper.says("cannot be opened", time);
        away(false);
        keeper.says("\"outcome\":\"unchanged\"", time);
    }
    assert_eq!(told(&keeper, "warning").len(), 1, "{:#?}", keeper.lines());
    // Back again, with more: followed.
    stage.build(3, &["orders:read", "reports:read"]);
    stage.point(3);
    stage.is_soon_at(3, &keeper);

    // A store that goes away, and one that is no store any more.
    let before = stage.profile();
    away(true);
    keeper.says("cannot be opened", 3);
    assert_eq!(stage.profile(), before);
    away(false);
    keeper.says("\"outcome\":\"unchanged\"", 3);
    keeper.end();
}
