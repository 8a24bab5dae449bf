//! Nobody takes a revocation back without the right, or by what he puts into the store.

use tests::store::{END, ISSUED, envelope, root_payload};

use super::*;

/// A list of these entries, signed by these keys.
fn list(channel: &str, policy: &str, serial: u64, expires: &str, entries: &[Value], by: &[u8]) -> Vec<u8> {
    let list = json!({
        "type": "adamant.revocations.v1", "policy_name": policy, "channel": channel, "serial": serial, "issued": ISSUED,
        "expires": expires, "entries": entries,
    });
    envelope("revocations", list.to_string().as_bytes(), by)
}

fn agent(name: &str) -> Value {
    json!({ "agent": name, "since": ISSUED, "why": "test" })
}

/// Refusals by a check so far.
fn refused(stage: &Stage, check: &str) -> usize {
    stage.outcomes("refused").iter().filter(|line| line["adamant.check"] == check).count()
}

#[test]
fn what_is_put_into_the_store_is_refused_and_the_list_stays_in_force() {
    let stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    let path = stage.list_path();
    stage.revoke(&["--agent", "token-bot"]);
    let old = fs::read(&path).unwrap();
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(2);
    let good = fs::read(&path).unwrap();
    let both = [agent("bot"), agent("token-bot")];
    let put = |bytes: &[u8], check: &str| {
        let before = refused(&stage, check);
        stage.world.replace(&path, bytes);
        assert!(eventually(SOON, || refused(&stage, check) > before), "{check}: {:?}", stage.outcomes("refused"));
        assert_eq!(stage.serial(), 2, "{check}");
        assert_eq!(stage.gateway().once(&bot).status, 401, "{check}");
        // On record first, and shown then.
        let shown = || told(stage.gateway())["revocations"]["refusal"]["check"] == check;
        assert!(eventually(SOON, shown), "{}", told(stage.gateway()));
        // Told as gone before the next one comes.
        stage.world.replace(&path, &good);
        assert!(eventually(SOON, || told(stage.gateway())["revocations"]["refusal"].is_null()), "{check}");
    };
    put(&old, "revocations-serial");
    put(b"garbage", "revocations-signatures");
    put(b"", "revocations-signatures");
    put(&list("production", "tests", 3, END, &both, &[4]), "revocations-signatures");
    put(&list("production", "tests", 3, END, &[], &[]), "revocations-signatures");
    put(&list("production", "others", 3, END, &both, &[1]), "revocations-policy");
    put(&list("staging", "tests", 3, END, &both, &[1]), "revocations-channel");
    put(&list("production", "tests", 2, END, &both, &[1]), "revocations-equivocation");
    put(&[b" ".as_slice(), &vec![b'x'; 90 << 20]].concat(), "read");
    // In one step: a list that is gone for a while would be told too.
    let link = stage.world.path("link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    fs::rename(&link, &path).unwrap();
    assert!(eventually(SOON, || refused(&stage, "read") == 2), "{:?}", stage.outcomes("refused"));
    fs::remove_file(&path).unwrap();
    assert!(
        eventually(SOON, || refused(&stage, "read") == 3),
        "a list that is gone is told: {:?}",
        stage.outcomes("refused")
    );
    assert_eq!(stage.gateway().once(&bot).status, 401);
    assert!(eventually(SOON, || stage.gateway().metric("acceptance_refusals_total") >= 11.0));
}

/// Whoever may revoke takes nothing back by what he leaves out, and what he revokes is in force all the same.
#[test]
fn what_a_list_may_not_lift_stays_revoked_beside_what_it_revokes() {
    let mut stage = Stage::new();
    let requests = [stage.with_key(&stage.key), stage.with_key(&stage.other_key)];
    let answers = |stage: &Stage| requests.each_ref().map(|request| stage.gateway().once(request).status);
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    let old = fs::read(stage.list_path()).unwrap();
    let shorter = json!({ "agent": "bot", "since": ISSUED, "until": "2099-01-01T00:00:00Z", "why": "test" });
    for (serial, entries) in [(2, vec![shorter, agent("other")]), (3, vec![agent("other")])] {
        stage.world.replace(&stage.list_path(), &list("production", "tests", serial, END, &entries, &[1]));
        stage.wait_for_serial(serial);
        assert_eq!((answers(&stage), stage.gateway().metric("revocations_entries")), ([401, 401], 2.0));
        let check = || told(stage.gateway())["revocations"]["refusal"]["check"] == "revocations-lifted";
        assert!(eventually(SOON, check), "{}", told(stage.gateway()));
    }
    stage.gateway().tells("agent bot");
    stage.gateway().tells("all else of serial 3 is in force");
    stage.world.replace(&stage.list_path(), &old);
    assert!(eventually(SOON, || refused(&stage, "revocations-serial") == 1), "{:?}", stage.outcomes("refused"));
    stage.restart();
    assert_eq!((answers(&stage), stage.serial()), ([401, 401], 3));
    stage.world.replace(&stage.list_path(), &list("production", "tests", 3, END, &[agent("other")], &[1, 2]));
    assert!(eventually(SOON, || answers(&stage) == [200, 401]), "{}", told(stage.gateway()));
    assert!(
        eventually(SOON, || told(stage.gateway())["revocations"]["refusal"].is_null()),
        "{}",
        told(stage.gateway())
    );
}

#[test]
fn lifting_needs_wider() {
    let stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    stage.revoke(&["--agent", "bot", "--agent", "other"]);
    stage.wait_for_serial(1);
    let (done, said) = stage.try_revoke(&["--agent", "bot", "--lift", "--key", "1.key"]);
    assert!(!done && said.contains("release-wider") && said.contains("nothing was published"), "{said}");
    assert_eq!(stage.gateway().once(&bot).status, 401);
    let (done, said) = stage.try_revoke(&["--agent", "bot", "--lift", "--key", "1.key", "--key", "2.key"]);
    assert!(done && said.contains("lifts") && said.contains("agent bot"), "{said}");
    stage.wait_for_serial(2);
    assert_eq!(stage.gateway().once(&bot).status, 200);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.other_key)).status, 401);
    // Gathered from two people.
    let lift = ["--agent", "other", "--lift", "--out", "lift.json", "--key", "1.key"];
    let (done, said) = stage.try_revoke(&lift);
    assert!(done, "{said}");
    let run = |arguments: &[&str]| gateway::run(arguments, stage.world.home());
    let (status, stdout, stderr) = run(&["revoke", "sign", "lift.json", "--key", "2.key", "--trust-root", "root.json"]);
    assert!(status.success() && stdout.contains("revocation list"), "{stdout}{stderr}");
    let (done, said) = {
        let place = ["--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let (status, stdout, stderr) = run(&[&["revoke", "publish", "lift.json"], &place[..]].concat());
        (status.success(), format!("{stdout}{stderr}"))
    };
    assert!(done, "{said}");
    stage.wait_for_serial(3);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.other_key)).status, 200);
}

#[test]
fn in_force_after_a_restart_whatever_became_of_the_store() {
    let mut stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    fs::remove_file(stage.list_path()).unwrap();
    stage.restart();
    assert_eq!((stage.gateway().once(&bot).status, stage.serial()), (401, 1), "without a list in the store");
    stage.stop();
    fs::remove_dir_all(stage.world.path("store")).unwrap();
    stage.restart();
    assert_eq!(stage.gateway().once(&bot).status, 401, "without a store");
    stage.stop();
    // An older list, from before.
    fs::create_dir_all(stage.list_path().parent().unwrap()).unwrap();
    stage.world.replace(&stage.list_path(), &list("production", "tests", 1, END, &[agent("other")], &[1]));
    stage.restart();
    assert_eq!(stage.gateway().once(&bot).status, 401);
    stage.gateway().tells("revocations-equivocation");
    stage.stop();
    // A state directory that lost it does not start, because somebody would come back.
    for entry in fs::read_dir(stage.world.path("state/revocations")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    stage.restart();
    assert_eq!(stage.gateway().once(&bot).status, 401, "it is in the reserve too");
    stage.stop();
    for folder in ["state/revocations", "state/reserve"] {
        fs::remove_dir_all(stage.world.path(folder)).unwrap();
    }
    let why = stage.world.try_start().err().unwrap();
    assert!(why.contains("revocation list in force") && why.contains("restore the state directory"), "{why}");
}

#[test]
fn what_could_not_be_written_down_at_once_is_later_whatever_the_store_holds_by_then() {
    let mut stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    stage.revoke(&["--agent", "token-bot"]);
    stage.wait_for_serial(1);
    let older = fs::read(stage.list_path()).unwrap();
    let (accepted, aside) = (stage.world.path("state/accepted.json"), stage.world.path("state/aside"));
    let kept = || {
        let accepted: Value = serde_json::from_slice(&fs::read(&accepted).unwrap_or_default()).unwrap_or_default();
        accepted["accepted"]["revocations"]["production"]["serial"].as_u64()
    };
    assert!(eventually(SOON, || kept() == Some(1)), "{:?}", kept());
    // Nothing can take the place of a directory.
    fs::rename(&accepted, &aside).unwrap();
    fs::create_dir(&accepted).unwrap();
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(2);
    assert_eq!(stage.gateway().once(&bot).status, 401, "to deny waits for no medium");
    stage.world.replace(&stage.list_path(), &older);
    assert!(eventually(SOON, || refused(&stage, "revocations-serial") > 0), "{:?}", stage.outcomes("refused"));
    fs::remove_dir(&accepted).unwrap();
    fs::rename(&aside, &accepted).unwrap();
    assert!(eventually(SOON, || kept() == Some(2)), "{:?}", kept());
    stage.restart();
    assert_eq!((stage.gateway().once(&bot).status, stage.serial()), (401, 2));
}

#[test]
fn an_expired_list_is_an_alarm_and_stays_in_force() {
    let stage = Stage::new();
    let bot = stage.with_key(&stage.key);
    let expired = list("production", "tests", 5, "2026-02-01T00:00:00Z", &[agent("bot"), agent("nobody")], &[1]);
    stage.world.replace(&stage.list_path(), &expired);
    stage.wait_for_serial(5);
    assert_eq!(stage.gateway().once(&bot).status, 401);
    assert!(eventually(SOON, || stage.outcomes("expired").len() == 1), "{}", stage.gateway().record_text());
    let metric = |name: &str| stage.gateway().metric(name);
    assert_eq!(
        (metric("revocations_expired"), metric("revocations_entries"), metric("revocations_serial")),
        (1.0, 2.0, 5.0)
    );
    let admin = format!("http://{}", stage.gateway().admin_address());
    let (status, stdout, _) = gateway::run(&["status", &admin], stage.world.home());
    assert!(!status.success() && stdout.contains("revocation list (serial 5) expired"), "{stdout}");
    let accepted = stage.outcomes("accepted");
    assert_eq!((accepted.len(), &accepted[0]["adamant.revocations.unknown"]), (1, &json!(1)), "{accepted:?}");
}

#[test]
fn the_command_says_what_it_does_and_what_is_wrong() {
    let stage = Stage::new();
    let wrong = |arguments: &[&str], part: &str| {
        let (done, said) = stage.try_revoke(&[arguments, &["--key", "1.key"]].concat());
        assert!(!done && said.contains(part), "{arguments:?}: {said}");
        assert!(!stage.list_path().exists(), "{arguments:?}");
    };
    wrong(&["--agent", "bott"], "did you mean \"bot\"?");
    wrong(&["--api-key", "reports-9"], "no API key \"reports-9\"");
    wrong(&["--jti", "crop/1"], "no issuer \"crop\"");
    wrong(&["--kid", "corp/k3"], "did you mean \"k1\"?");
    wrong(&["--kid", "crop/k1"], "no issuer \"crop\"");
    wrong(&["--subject", "https://id.tset/token-bot"], "no issuer \"https://id.tset\"");
    wrong(&["--jti", "corp"], "expected ISSUER/");
    wrong(&["--certificate", "nowhere.pem"], "nowhere.pem");
    wrong(&["--certificate", "root.json"], "expected a certificate");
    wrong(&["--agent", "bot", "--until", "2020-01-01T00:00:00Z"], "in the future");
    wrong(&["--agent", "bot", "--lift"], "is not revoked");
    wrong(&[], "expected what to revoke");
    let (done, said) = stage.try_revoke(&["--agent", "bot", "--key", "2.key"]);
    assert!(!done && said.contains("release-wider") || said.contains("nothing was published"), "{said}");
    let said = stage.revoke(&["--agent", "bot", "--why", "laptop stolen", "--format", "json"]);
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&document["serial"], &document["published"]), (&json!(1), &json!(true)));
    assert_eq!(document["added"][0]["agent"], "bot");
    let said = stage.revoke(&["--renew", "--for", "4w"]);
    assert!(said.contains("serial 2") && said.contains("1 entry"), "{said}");
    // Everybody of the issuer is of a population there, so the release cannot tell a slip from a person.
    let (done, said) = stage.try_revoke(&["--subject", "corp/tokenbot", "--out", "aside.json", "--key", "1.key"]);
    assert!(done && said.contains("warning: subject \"tokenbot\" is not checked"), "{said}");
    let (done, said) = stage.try_revoke(&["--kid", "corp/k3", "--unknown", "--out", "other.json", "--key", "1.key"]);
    assert!(done && !said.contains("warning"), "{said}");
    let run = |arguments: &[&str]| gateway::run(arguments, stage.world.home());
    let place = ["revoke", "list", "--store", "store", "--channel", "production", "--trust-root", "root.json"];
    let (_, stdout, _) = run(&place);
    assert!(stdout.contains("agent bot") && stdout.contains("laptop stolen") && stdout.contains("1 of 1"), "{stdout}");
    let (_, stdout, _) = run(&[&place[..], &["--format", "json"]].concat());
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&document["entries"][0]["why"], &document["signed"]), (&json!("laptop stolen"), &json!(true)));
}

#[test]
fn a_thief_of_the_key_cannot_use_the_serials_up() {
    let last = (1 << 53) - 1;
    let stage = Stage::new();
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    stage
        .world
        .replace(&stage.list_path(), &list("production", "tests", last, END, &[agent("bot"), agent("other")], &[1]));
    stage.wait_for_serial(last);
    let (done, said) = stage.try_revoke(&["--agent", "token-bot", "--key", "1.key"]);
    assert!(!done && said.contains("trust rotate") && said.contains("--serial"), "{said}");
    // Key 3 takes the place of key 1 for role `revocation`.
    let mut root: Value = serde_json::from_slice(&root_payload(2, END, &[1, 2, 3])).unwrap();
    root["roles"]["revocation"]["keys"] = json!([Key::new(3).id()]);
    stage.world.write("3.key", Key::file(3).as_bytes());
    private(&stage.world.path("3.key"));
    fs::create_dir_all(stage.world.path("store/roots")).unwrap();
    stage.world.write("store/roots/2.json", &envelope("trust-root", root.to_string().as_bytes(), &[1, 2]));
    let rooted = || stage.gateway().stderr().contains("trust root version 2 is accepted");
    assert!(eventually(SOON, rooted), "{}", stage.gateway().stderr());
    let (done, said) = stage.try_revoke(&["--agent", "token-bot", "--serial", "2", "--key", "3.key"]);
    assert!(done && said.contains("holds by trust root version 1 alone"), "{said}");
    stage.wait_for_serial(2);
    for (request, why) in [(stage.with_key(&stage.key), "ours"), (stage.with_key(&stage.other_key), "the thief's")] {
        assert_eq!(stage.gateway().once(request).status, 401, "{why} entries are carried on");
    }
    assert_eq!(stage.gateway().once(stage.token(&stage.tokens, "token-bot", "1")).status, 401);
    let (done, said) = stage.try_revoke(&["--agent", "cert-bot", "--serial", "2", "--key", "3.key"]);
    assert!(!done && said.contains("expected a serial of 3"), "{said}");
}
