//! Logs made by hand, replayed with their own release and against candidates.

use policy::model::{LimitKind, Policy};
use policy_release::digest::Digest;

use super::policies::{Shelf, evaluator};
use super::tally::Change;
use super::*;

const DIGEST: Digest = Digest::from_bytes([0xab; 32]);
const MINUTE_NS: u64 = 60_000_000_000;
const NOW_NS: u64 = 1_795_284_454_000_000_000;

/// One agent of anybody, with a bucket of two a minute.
fn policy() -> Policy {
    let text = r#"{"name":"p","audit":"queued","transport":"plain","issuers":[],"client_cas":[],
        "origins":[{"name":"o","addresses":["127.0.0.1:1"],"tls":null,"pass_credentials":false}],
        "routes":[{"name":"all","host":"*","methods":{"only":["GET"]},"path":"/{rest...}","origin":"o",
            "encoded_slash":false,"path_parameters":false}],
        "scopes":[{"name":"s","routes":["all"]}],
        "agents":[{"name":"a","identity":["anonymous"],"scopes":["s"],"limits":[{"name":"minute",
            "kind":{"rate":{"burst":2}},"count":1,"unit":"minute","per":"agent"}]}],"api_keys":[]}"#;
    serde_json::from_str(text).unwrap()
}

fn line(time_unix_ns: u64, method: &str, outcome: &str) -> String {
    let time = line::time_text(time_unix_ns);
    format!(
        r#"{{"time":"{time}","adamant.kind":"exchange","adamant.release":"{DIGEST}","adamant.request_id":"{method}{time_unix_ns}","client.address":"192.0.2.1","url.scheme":"http","http.request.method":"{method}","server.address":"h","url.path":"/x",{outcome}}}"#
    )
}

fn permitted(time_unix_ns: u64, state: u64) -> String {
    let outcome = r#""adamant.decision":"permit","adamant.granted_by":"a","adamant.route":"all","adamant.scope":"s","#;
    let limits =
        format!(r#""adamant.limits_before":[{{"limit":"minute","state":"{state}"}}],"http.response.status_code":200"#);
    line(time_unix_ns, "GET", &format!("{outcome}{limits}"))
}

fn limited(time_unix_ns: u64, state: u64) -> String {
    permitted(time_unix_ns, state)
        .replace("\"permit\"", "\"deny\",\"adamant.reason\":\"limit-exceeded\"")
        .replace(":200", ":429")
}

/// Five requests at once, a second apart: two fit.
fn log() -> String {
    let lines = [
        permitted(NOW_NS, 0),
        permitted(NOW_NS + 1, NOW_NS + MINUTE_NS),
        limited(NOW_NS + 2, NOW_NS + 2 * MINUTE_NS),
        limited(NOW_NS + 3, NOW_NS + 2 * MINUTE_NS),
        line(
            NOW_NS + 4,
            "PUT",
            r#""adamant.decision":"deny","adamant.reason":"credential-missing","http.response.status_code":401"#,
        ),
        line(
            NOW_NS + 5,
            "GET",
            r#""adamant.decision":"deny","adamant.reason":"token-invalid","http.response.status_code":401"#,
        ),
        r#"{"time":"2026-11-21T18:07:34Z","adamant.kind":"start","adamant.version":"0.1.0"}"#.to_owned(),
    ];
    lines.join("\n") + "\n"
}

fn replayed(log: &str, candidate: Option<Policy>) -> Tally {
    let shelf = Shelf::default();
    let own = evaluator(policy(), Some(DIGEST), &shelf).unwrap();
    let candidate = candidate.map(|policy| evaluator(policy, None, &shelf).unwrap());
    let mut replay = Replay::new(Policies::of_one(DIGEST, own, &shelf), candidate);
    replay.read(0, &mut log.as_bytes()).unwrap();
    replay.finish().unwrap();
    replay.tally
}

#[test]
fn a_log_follows_from_its_release() {
    let tally = replayed(&log(), None);
    assert_eq!((tally.differing, tally.status_own()), (0, 0), "{:?}", tally.differing_told);
    assert_eq!((tally.permitted, tally.refused["limit-exceeded"], tally.refused["credential-missing"]), (2, 2, 1));
    assert_eq!((tally.not_decided["token-invalid"], tally.other_kinds["start"]), (1, 1));
}

#[test]
fn whatever_is_changed_in_a_line_is_a_difference() {
    for (from, to) in [
        ("\"permit\"", "\"deny\""),
        ("\"deny\"", "\"permit\""),
        ("limit-exceeded", "scope-missing"),
        (":429", ":403"),
        ("\"adamant.route\":\"all\"", "\"adamant.route\":\"other\""),
        ("\"adamant.scope\":\"s\"", "\"adamant.scope\":\"t\""),
        ("\"adamant.granted_by\":\"a\"", "\"adamant.agent\":\"a\",\"adamant.granted_by\":\"a\""),
        ("\"http.request.method\":\"GET\"", "\"http.request.method\":\"PUT\""),
        ("\"adamant.limits_before\"", "\"adamant.limits\""),
        ("\"limit\":\"minute\"", "\"limit\":\"hour\""),
        (&format!("\"state\":\"{}\"", NOW_NS + 2 * MINUTE_NS), "\"state\":\"0\""),
        ("\"permit\"", "\"perhaps\""),
        ("192.0.2.1", "nowhere"),
        ("\"url.path\"", "\"url.route\""),
    ] {
        let log = log().replacen(from, to, 1);
        let tally = replayed(&log, None);
        assert_eq!((tally.differing, tally.status_own()), (1, 1), "{from} → {to}");
    }
}

#[test]
fn lines_that_are_no_records_are_counted_and_a_torn_one_is_told() {
    let log = format!("{}not json\n\n{{\"adamant.kind\":7}}\n{}\n", log(), "x".repeat(LINE_BYTES_MAX as usize + 5));
    let torn = permitted(NOW_NS, 0);
    let tally = replayed(&format!("{log}{}", &torn[..100]), None);
    assert_eq!((tally.no_records, tally.differing, tally.status_own()), (3, 0, 0));
    let lines: Vec<u64> = tally.no_records_told.iter().map(|(place, _)| place.line).collect();
    assert_eq!((lines, tally.torn), (vec![8, 10, 11], Some(Place { log: 0, line: 12 })));
    let whole = replayed(&format!("{log}{torn}"), None);
    assert_eq!((whole.torn, whole.permitted), (None, 3), "without its newline, but whole");
}

#[test]
fn a_release_that_nobody_has_is_no_success() {
    let log = log().replacen("sha256:abab", "sha256:cdab", 1);
    let tally = replayed(&log, None);
    assert_eq!((tally.missing_releases.len(), tally.differing, tally.status_own()), (1, 0, 1));
}

#[test]
fn the_same_policy_changes_nothing_and_a_new_limit_is_simulated() {
    assert_eq!(replayed(&log(), Some(policy())).status_candidate(), 0);
    let with_burst = |burst: u32| {
        let mut policy = policy();
        policy.agents[0].limits[0].kind = LimitKind::Rate { burst };
        replayed(&log(), Some(policy))
    };
    let wider = with_burst(3);
    assert_eq!((wider.changed(Change::NewlyPermitted), wider.status_candidate()), (1, 11), "the third, not the fourth");
    let narrower = with_burst(1);
    assert_eq!((narrower.changed(Change::NewlyRefused), narrower.status_candidate()), (1, 10));
    let (group, members) = narrower.groups.iter().next().unwrap();
    assert_eq!((&*group.agent, &*group.route, &*group.after), ("nobody", "all", "deny (limit-exceeded)"));
    assert_eq!((members.count, members.first_unix_ns), (1, NOW_NS + 1));
}

#[test]
fn lines_are_put_into_the_order_of_their_decisions() {
    let log = log();
    let mut lines: Vec<&str> = log.lines().collect();
    lines.reverse();
    let mut policy = policy();
    policy.agents[0].limits[0].kind = LimitKind::Rate { burst: 1 };
    let tally = replayed(&(lines.join("\n") + "\n"), Some(policy));
    assert_eq!(tally.groups.values().next().unwrap().first_unix_ns, NOW_NS + 1);
}

#[test]
fn new_rules_change_what_they_should() {
    let mut open = policy();
    open.routes[0].methods = policy::model::Methods::Any;
    let tally = replayed(&log(), Some(open));
    assert_eq!(
        (tally.changed(Change::NewlyPermitted), tally.changed(Change::NewlyRefused)),
        (0, 0),
        "the bucket is empty"
    );
    assert_eq!(tally.groups.keys().next().unwrap().after, "deny (limit-exceeded)");
    let mut none = policy();
    none.agents[0].scopes.clear();
    let tally = replayed(&log(), Some(none));
    assert_eq!(
        (tally.changed(Change::NewlyRefused), tally.changed(Change::Otherwise), tally.status_candidate()),
        (2, 2, 10)
    );
}
