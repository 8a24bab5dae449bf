//! What ends is told before it does: once a distance, in records, on stderr, in metrics and by `adamant status`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::apikey::ApiKey;
use tests::certificates::Authority;
use tests::client::get;
use tests::deployment::Deployment;
use tests::faketime;
use tests::gateway::{self, Gateway};
use tests::issuer::{HttpsIssuer, Reply};
use tests::origin::RecordingOrigin;
use tests::process::eventually;
use tests::store::{World, envelope, root_payload};
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, jwks, now_s};

const DAY_S: u64 = 86_400;
/// It is looked at every 10 s what ends.
const SOON: Duration = Duration::from_secs(60);

/// Seconds since the epoch, some time from now, as RFC 3339.
fn in_seconds(seconds: u64) -> String {
    let out = Command::new("date")
        .args(["-u", "-d", &format!("+{seconds} seconds"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// What was told: of what and at which distance, sorted.
fn told(gateway: &Gateway) -> Vec<(String, u64)> {
    let text = gateway.record_text();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let expiries = lines.filter(|line| line["adamant.kind"] == "expiry");
    let of = |line: Value| {
        let (of, distance_s) = (line["adamant.expiry.of"].as_str()?.to_owned(), &line["adamant.expiry.distance_s"]);
        Some((of, distance_s.as_u64()?))
    };
    let mut told: Vec<_> = expiries.filter_map(of).collect();
    told.sort();
    told
}

fn status(gateway: &Gateway) -> (bool, String) {
    let admin = format!("http://{}", gateway.admin_address());
    let (status, shown, said) = gateway::run(&["status", &admin], gateway.directory());
    (status.success(), shown + &said)
}

fn known_by_key(world: &World, keys: &[(&ApiKey, String)]) -> tests::policy::PolicyText {
    let ids: Vec<_> = keys.iter().map(|(key, _)| key.id.as_str()).collect();
    let policy = world.policy(&["/x"]).agent("ci", &format!("{{ api_key = {ids:?} }}"), &["all"], &[]);
    keys.iter().fold(policy, |policy, (key, more)| policy.api_key(key, more))
}

#[test]
fn everything_that_a_gateway_goes_by_is_told_before_its_end_and_once() {
    let world = World::new("hot");
    let keys = ["near", "far", "never"].map(ApiKey::new);
    let expires = |seconds| format!("expires = {}", in_seconds(seconds));
    let of_keys =
        [(&keys[0], expires(2 * DAY_S)), (&keys[1], expires(50 * DAY_S)), (&keys[2], "# without an end".to_owned())];
    let agents = Authority::new("agents");
    let list = agents.crl(1, &[], Duration::from_secs(7 * DAY_S - 1_800));
    for (name, text) in [("agents.pem", &agents.pem), ("agents.crl", &list)] {
        world.write(name, text.as_bytes());
    }
    let policy = known_by_key(&world, &of_keys)
        .with("[[client_ca]]\nname = \"agents\"\ncertificates = { file = \"agents.pem\" }\ncrl = { watch = \"agents.crl\" }")
        .agent("bot", "{ certificate = \"spiffe://a/b\", ca = \"agents\" }", &["all"], &[]);
    let root = root_payload(1, &in_seconds(20 * DAY_S), &[1, 2, 3]);
    world.write("root.json", &envelope("trust-root", &root, &[1, 2]));
    let built = world.build_until(1, &policy, &in_seconds(5 * DAY_S));
    world.put_release(&built, &[1, 2]);
    // The pointer has been issued long ago.
    world.point_until(1, &built.digest, &in_seconds(13 * DAY_S));
    let mut gateway = world.start();
    // Nothing of the list, which lives for half an hour more than 7 days: they are more than half of its life.
    let expected =
        [("api-key", 3 * DAY_S), ("pointer", 14 * DAY_S), ("release", 7 * DAY_S), ("trust-root", 30 * DAY_S)]
            .map(|(of, distance_s)| (of.to_owned(), distance_s));
    assert!(eventually(SOON, || told(&gateway) == expected), "{:?}", told(&gateway));
    for line in [
        "warning: the API key near ends in less than 3 days, at ",
        "warning: the release version 1 ends in less than 7 days, at ",
        "warning: the pointer of channel production ends in less than 14 days, at ",
        "warning: the trust root version 1 ends in less than 30 days, at ",
    ] {
        gateway.tells(line);
    }
    assert!(!gateway.stderr().contains("API key far") && !gateway.stderr().contains("API key never"));
    let shown = eventually(SOON, || {
        let text = gateway.admin("/metrics").text();
        let row =
            |of: &str, name: &str| text.contains(&format!("expiry_timestamp_seconds{{of=\"{of}\",name=\"{name}\"}} "));
        row("api-key", "near")
            && row("trust-root", "version 1")
            && row("release", "version 1")
            && row("pointer", "production")
    });
    assert!(shown, "{}", gateway.admin("/metrics").text());
    assert!(eventually(SOON, || status(&gateway).0), "{}", status(&gateway).1);
    let (_, shown) = status(&gateway);
    let notes: Vec<_> = shown.lines().filter_map(|line| line.trim().strip_prefix("note: the ")).collect();
    let kinds: Vec<_> = notes.iter().map(|note| note.split(" ends at ").next().unwrap()).collect();
    let sorted = ["API key near", "release version 1", "pointer of channel production", "trust root version 1"];
    assert_eq!(kinds, sorted, "{shown}");
    // Of the same second, or of one after it.
    let is_either = |note: &str, of: [&str; 2]| of.iter().any(|ends| note.ends_with(ends));
    assert!(is_either(notes[0], ["in 2 days", "in 1 day"]), "{shown}");
    assert!(is_either(notes[3], ["in 20 days", "in 19 days"]), "{shown}");

    gateway.restart("TERM");
    assert!(eventually(SOON, || gateway.admin("/metrics").text().contains("{of=\"trust-root\"")));
    assert_eq!(told(&gateway), expected, "not again after a restart");
    // Another pointer has another end, far away: nothing is told of it.
    world.point(2, &built.digest);
    let further = eventually(SOON, || !status(&gateway).1.contains("pointer of channel"));
    assert!(further, "{}", status(&gateway).1);
    assert_eq!(told(&gateway), expected);
}

/// A metric's row of what ends.
fn has_row(gateway: &Gateway, of: &str, name: &str) -> bool {
    let text = gateway.admin("/metrics").text();
    text.lines().any(|line| line.starts_with(&format!("adamant_expiry_timestamp_seconds{{of=\"{of}\",name=\"{name}")))
}

#[test]
fn a_client_ca_and_its_revocation_list_are_told_before_their_ends() {
    let (world, day) = (World::new("hot"), Duration::from_secs(DAY_S));
    let agents = Authority::between("agents CA", 20 * day, 5 * day);
    // Of another CA, whose own certificate lives on.
    let others = Authority::new("others CA");
    for (name, text) in [
        ("agents.pem", &agents.pem),
        ("others.pem", &others.pem),
        ("others.crl", &others.crl_since(1, &[], 20 * day, 5 * day)),
    ] {
        world.write(name, text.as_bytes());
    }
    let known = |name: &str| format!("{{ certificate = \"spiffe://{name}/b\", ca = \"{name}\" }}");
    let policy = world
        .policy(&["/x"])
        .client_ca("agents", "agents.pem")
        .with("[[client_ca]]\nname = \"others\"\ncertificates = { file = \"others.pem\" }\ncrl = { watch = \"others.crl\" }")
        .agent("bot", &known("agents"), &["all"], &[])
        .agent("other", &known("others"), &["all"], &[]);
    world.publish(1, &world.build(1, &policy));
    let mut gateway = world.start();
    let expected = [("client-ca", 7 * DAY_S), ("crl", 7 * DAY_S)].map(|(of, distance_s)| (of.to_owned(), distance_s));
    assert!(eventually(SOON, || told(&gateway) == expected), "{:?}", told(&gateway));
    gateway.tells("warning: the certificate of client CA agents (");
    gateway.tells("warning: the revocation list of client CA others (");
    assert_eq!(gateway.stderr().matches("ends in less than 7 days").count(), 2, "{}", gateway.stderr());
    let shown = eventually(SOON, || has_row(&gateway, "client-ca", "agents (") && has_row(&gateway, "crl", "others ("));
    assert!(shown, "{}", gateway.admin("/metrics").text());
    assert!(eventually(SOON, || status(&gateway).0), "{}", status(&gateway).1);
    let (_, shown) = status(&gateway);
    for note in ["note: the certificate of client CA agents (", "note: the revocation list of client CA others ("] {
        let line = shown.lines().find(|line| line.contains(note)).unwrap_or_else(|| panic!("{note} in {shown}"));
        assert!(line.ends_with("in 5 days") || line.ends_with("in 4 days"), "{line}");
    }
    gateway.restart("TERM");
    assert!(eventually(SOON, || has_row(&gateway, "crl", "others (")));
    // A new list ends later: nothing is told of it, and nothing again of the other.
    world.write("others.crl", others.crl_since(2, &[], day, 40 * day).as_bytes());
    assert!(
        eventually(SOON, || !status(&gateway).1.contains("revocation list of client CA")),
        "{}",
        status(&gateway).1
    );
    assert_eq!(told(&gateway), expected);
}

/// Keys that were fetched count for two days; the issuer is gone, and the clock moves on.
#[test]
fn a_keyset_is_told_before_it_is_too_old() {
    let Some(library) = faketime::library() else { return };
    let (issuer, origin, key) = (HttpsIssuer::start(), RecordingOrigin::start(), TokenKey::generate("ES256", "k1"));
    issuer.say("/keys", Reply::json(&jwks(&[&key])));
    let policy = tests::policy::open_to_all(origin.address())
        .with(&format!(
            "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\nkeys = \
             {{ url = \"{}\", refresh = \"1d\", max_stale = \"2d\", ca = {{ file = \"id-ca.pem\" }} }}",
            issuer.url("/keys")
        ))
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
    let deployment = Deployment::new().file("id-ca.pem", &issuer.ca).file("off", "+0").prepare(&policy.text());
    let off = deployment.directory().join("off");
    let mut command = Command::new(gateway::binary());
    command.args(["run", "gateway.toml", "--print-addresses", "addresses.json"]).stdin(Stdio::null());
    faketime::goes_by(&mut command, &library, &off);
    let gateway = deployment.start(command).unwrap();
    assert!(eventually(SOON, || has_row(&gateway, "keyset", "corp")), "{}", gateway.admin("/metrics").text());
    assert_eq!(told(&gateway), []);
    issuer.go_down();
    // Whole: it is read at any moment.
    std::fs::write(off.with_extension("new"), "+44h").unwrap();
    std::fs::rename(off.with_extension("new"), &off).unwrap();
    let expected = [("keyset".to_owned(), 6 * 3_600)];
    assert!(eventually(2 * SOON, || told(&gateway) == expected), "{:?} {}", told(&gateway), gateway.stderr());
    gateway.tells("warning: the keyset of issuer corp ends in less than 6 hours, at ");
    let mut command = Command::new(gateway::binary());
    command.args(["status", &format!("http://{}", gateway.admin_address())]);
    faketime::goes_by(&mut command, &library, &off);
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let noted = shown.lines().find(|line| line.contains("note: the keyset of issuer corp ends at "));
    assert!(noted.is_some_and(|line| line.ends_with("in 3 hours") || line.ends_with("in 4 hours")), "{shown}");
}

/// A gateway with an API key and a pointer that live for so long from now on; none where they ended before it served.
fn brief(life_s: u64, key: &ApiKey, field: &str) -> Option<(World, Gateway)> {
    let (world, ends_s) = (World::new("hot"), now_s() + life_s);
    let built = world.build(1, &known_by_key(&world, &[(key, format!("expires = {}", in_seconds(life_s)))]));
    world.put_release(&built, &[1, 2]);
    world.point_until(1, &built.digest, &in_seconds(life_s));
    let started = world.try_start();
    let passes = started.as_ref().is_ok_and(|gateway| gateway.once(get("/x", field)).status == 200);
    assert!(passes || now_s() >= ends_s, "not served before its end: {:?}", started.as_ref().err());
    started.ok().filter(|_| passes).map(|gateway| (world, gateway))
}

#[test]
fn the_end_itself_is_told_once_and_by_one_alone() {
    let key = ApiKey::new("brief");
    let field = format!("X-API-Key: {}\r\n", key.text);
    // What ends too soon for a machine that stands still is tried again, to end later.
    let begun = [14, 28, 56].into_iter().find_map(|life_s| brief(life_s, &key, &field));
    let (_world, gateway) = begun.expect("a key that has not ended passes");
    let ended = |of: &str| told(&gateway).contains(&(of.to_owned(), 0));
    assert!(eventually(SOON, || ended("api-key") && ended("pointer")), "{:?}", told(&gateway));
    assert_eq!(gateway.once(get("/x", &field)).status, 401);
    gateway.tells("error: the API key brief ended at ");
    gateway.tells("take it out of the policy, or give it another key");
    // The pointer has an alarm of its own, which says what follows.
    gateway.tells("nothing new is accepted by it");
    assert!(!gateway.stderr().contains("the pointer of channel production ended"), "{}", gateway.stderr());
    let noted = eventually(SOON, || status(&gateway).1.contains("note: the API key brief ended at "));
    let (fine, shown) = status(&gateway);
    assert!(noted && !fine && shown.contains("1 problem"), "the pointer is the problem, the key is none: {shown}");
    assert_eq!(told(&gateway).iter().filter(|(_, distance_s)| *distance_s == 0).count(), 2);
}
