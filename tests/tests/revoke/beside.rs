//! Nothing that a release takes holds the list up.

use super::running::{download, end_of};
use super::*;

/// Four releases are in use, each by a download, so that a fifth waits for its place. What is given is done while it does;
/// the digest of the fifth, which serves in the end, and the downloads of whoever is revoked.
fn while_a_release_waits(stage: &Stage, meanwhile: impl FnOnce()) -> (String, Client) {
    let key = |key: &ApiKey| format!("X-API-Key: {}\r\n", key.text);
    let release = |version: u64| {
        let name = format!("reports-{}", version + 10);
        let agent = format!("{{ api_key = [\"{name}\"] }}");
        let policy = stage.policy().agent(&format!("agent-{version}"), &agent, &["open"], &[]);
        stage.world.build(version, &policy.api_key(&ApiKey::new(&name), ""))
    };
    let mut held = Vec::new();
    let of_bot = download(stage.gateway().client(), &key(&stage.key));
    for version in 2..=4 {
        held.push(download(stage.gateway().client(), &key(&stage.other_key)));
        let next = release(version);
        stage.world.publish(version, &next);
        assert!(eventually(SOON, || tests::store::served(stage.gateway()) == next.digest));
    }
    let fifth = release(5);
    stage.world.publish(5, &fifth);
    // By then the thread that follows releases waits for the place, which takes two seconds; on a machine that stood still
    // for so long it has got it, and there is another attempt.
    std::thread::sleep(Duration::from_millis(600));
    meanwhile();
    assert!(eventually(SOON, || tests::store::served(stage.gateway()) == fifth.digest));
    (fifth.digest, of_bot)
}

/// Where in the records the first line stands of which all this is true, once there is one.
fn place_of(stage: &Stage, is: impl Fn(&Value) -> bool) -> usize {
    let place = || {
        let text = stage.gateway().record_text();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
        lines.position(|line| is(&line))
    };
    assert!(eventually(SOON, || place().is_some()), "{}", stage.gateway().record_text());
    place().unwrap()
}

/// When the release of this digest came to serve.
fn activated(stage: &Stage, digest: &str) -> usize {
    place_of(stage, |line| line["adamant.kind"] == "activation" && line["adamant.release"] == digest)
}

/// Whether the list was in force before the release served.
fn a_list_is_first() -> bool {
    let stage = Stage::new();
    // Made before: on a busy machine the command takes longer than the release waits.
    stage.revoke(&["--agent", "bot", "--out", "list.json"]);
    let list = fs::read(stage.world.path("list.json")).unwrap();
    let (fifth, mut revoked) = while_a_release_waits(&stage, || stage.world.replace(&stage.list_path(), &list));
    stage.wait_for_serial(1);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 401);
    let (whole, ended) = end_of(&mut revoked);
    assert!(!whole && ended != tests::client::Ended::Open, "{ended:?}");
    let in_force = place_of(&stage, |line| line["adamant.kind"] == "revocations");
    let activated = activated(&stage, &fifth);
    // The release that was on its way has not written the list away.
    let accepted = || fs::read_to_string(stage.world.path("state/accepted.json")).unwrap();
    let kept = || {
        let accepted: Value = serde_json::from_str(&accepted()).unwrap();
        accepted["accepted"]["revocations"]["production"]["serial"] == 1
    };
    assert!(eventually(SOON, kept), "{}", accepted());
    assert_eq!(fs::read_dir(stage.world.path("state/revocations")).unwrap().count(), 1);
    in_force < activated
}

#[test]
fn a_list_is_in_force_while_a_release_waits_for_its_place() {
    assert!((0..5).any(|_| a_list_is_first()), "the list waited for the release");
}

/// As the list of the channel, that of a client CA; and what it refuses is not said to be the channel's doing.
fn a_crl_is_first() -> bool {
    let mut stage = Stage::with("");
    stage.crl = true;
    let day = Duration::from_secs(86_400);
    stage.world.write("clients.crl", stage.clients.crl(1, &[], day).as_bytes());
    stage.begin();
    stage.revoke(&["--agent", "token-bot"]);
    stage.wait_for_serial(1);
    let mut of_cert = stage.connect(&stage.tls(&stage.cert_bot));
    assert_eq!(of_cert.exchange(get("/x", "")).status, 200);
    let list = stage.clients.crl(2, &[&stage.cert_bot], day);
    let (fifth, _of_bot) = while_a_release_waits(&stage, || stage.world.write("clients.crl", list.as_bytes()));
    let taken =
        place_of(&stage, |line| line["adamant.refresh.of"] == "crl" && line["adamant.refresh.outcome"] == "taken");
    let is_first = taken < activated(&stage, &fifth);
    assert!(of_cert.is_closed_within(SOON));
    is_first
}

#[test]
fn a_crl_is_in_force_while_a_release_waits_for_its_place() {
    assert!((0..5).any(|_| a_crl_is_first()), "the CRL waited for the release");
}

#[test]
fn what_a_crl_refuses_does_not_name_the_channels_list() {
    let mut stage = Stage::with("");
    stage.crl = true;
    let day = Duration::from_secs(86_400);
    stage.world.write("clients.crl", stage.clients.crl(1, &[], day).as_bytes());
    stage.begin();
    stage.revoke(&["--certificate", "cert-bot.pem"]);
    stage.wait_for_serial(1);
    let mut of_other = download(stage.connect(&stage.tls(&stage.cert_other)), "");
    let mut listed = stage.connect(&stage.tls(&stage.cert_bot));
    assert_eq!(listed.exchange(get("/x", "")).status, 401);
    stage.world.write("clients.crl", stage.clients.crl(2, &[&stage.cert_other], day).as_bytes());
    let (whole, _) = end_of(&mut of_other);
    assert!(!whole);
    let refused = || {
        let records = stage.gateway().records().into_iter();
        records.filter(|record| record["adamant.reason"] == "credential-revoked").collect::<Vec<_>>()
    };
    assert!(eventually(SOON, || refused().len() == 2), "{}", stage.gateway().record_text());
    let serials: Vec<_> = refused().iter().map(|record| record["adamant.revocations.serial"].as_u64()).collect();
    assert_eq!(serials, [Some(1), None]);
}

#[test]
fn entries_that_lapsed_are_told_and_not_counted() {
    let stage = Stage::new();
    // The one that lapses comes last: it must be in force before its end.
    stage.revoke(&["--agent", "other"]);
    let soon = policy_release::time::Timestamp::from_seconds(now_s() + 10).unwrap().to_string();
    stage.revoke(&["--agent", "bot", "--until", &soon]);
    stage.wait_for_serial(2);
    assert!(eventually(SOON, || stage.gateway().metric("revocations_lapsed") == 1.0), "{}", told(stage.gateway()));
    assert_eq!(stage.gateway().metric("revocations_entries"), 1.0);
    assert!(eventually(SOON, || stage.outcomes("lapsed").len() == 1), "{}", stage.gateway().record_text());
    assert_eq!(stage.outcomes("lapsed")[0]["adamant.revocations.lapsed"], 1);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 200);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.other_key)).status, 401);
}

/// The list is no part of the release, so nothing follows for what it refused.
#[test]
fn what_a_list_refused_is_not_decided_again() {
    let mut stage = Stage::new();
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 200);
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 401);
    stage.stop();
    let run = |arguments: &[&str]| {
        let (status, stdout, stderr) = gateway::run(arguments, stage.world.home());
        assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout
    };
    let said = run(&["replay", "records.jsonl", "--store", "store"]);
    assert!(said.contains("agent-revoked") && said.contains("no difference"), "{said}");
    let records = fs::read_to_string(stage.world.path("records.jsonl")).unwrap();
    let refused = records.lines().find(|line| line.contains("agent-revoked")).unwrap();
    let id = serde_json::from_str::<Value>(refused).unwrap()["adamant.request_id"].as_str().unwrap().to_owned();
    let said = run(&["explain", "--records", "records.jsonl", "--request-id", &id, "--store", "store"]);
    assert!(said.contains("agent-revoked") && !said.contains("NOT as recorded"), "{said}");
    assert!(said.contains("Agent bot is on revocation list serial 1 of the channel (adamant revoke list)"), "{said}");
    assert!(!said.contains("does not hold"), "{said}");
    // What it would come to by the release alone is no promise.
    let said = run(&["explain", "--request", "GET https://api.test/x", "--agent", "bot", "--store", "store"]);
    assert!(said.contains("permitted") && said.contains("Revocations are not looked at"), "{said}");
}
