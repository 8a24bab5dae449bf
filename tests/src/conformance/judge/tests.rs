use super::{AFTER_TARGET, Judgement, Observation, StepSeen, judge};
use crate::client::Ended;
use crate::conformance::corpus::Case;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn after() -> String {
    format!("GET {AFTER_TARGET} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn verdict(sent: &str, received: &str, ended: Ended, origin: &[&str]) -> Judgement {
    let case = Case {
        name: "x/y".into(),
        family: "x".into(),
        expectation: String::new(),
        steps: vec![sent.into()],
        probe: None,
        source_accepts: true,
        source_refuses: false,
    };
    let mut origin: Vec<Vec<u8>> = origin.iter().map(|raw| raw.as_bytes().to_vec()).collect();
    origin.push(after().into_bytes());
    let steps = vec![StepSeen { sent: sent.into(), received: received.into(), ended }];
    judge(&case, &Observation { steps, origin, after_answered: true })
}

fn breaks(judgement: &Judgement, part: &str) -> bool {
    judgement.violations.iter().any(|violation| violation.contains(part))
}

#[test]
fn a_request_passed_on_unchanged_is_well_handled() {
    let sent = "POST http://a/%7Ex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\n\r\n";
    let origin = "POST /~x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let judgement = verdict(sent, OK, Ended::Open, &[origin]);
    assert!(judgement.violations.is_empty(), "{:?}", judgement.violations);
    assert!(!judgement.refused);
}

#[test]
fn a_refusal_closes_and_is_noticed() {
    let sent = "GET / HTTP/1.1\r\n\r\n";
    let judgement = verdict(sent, BAD, Ended::Closed, &[]);
    assert!(judgement.violations.is_empty() && judgement.refused);
    assert!(breaks(&verdict(sent, BAD, Ended::Open, &[]), "stays open"));
}

#[test]
fn both_framings_at_the_origin_are_noticed() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX";
    assert!(breaks(&verdict(sent, OK, Ended::Closed, &[sent]), "not canonical"));
}

#[test]
fn a_smuggled_request_is_noticed() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 42\r\nTransfer-Encoding: chunked\r\n\r\n\
                0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let judgement = verdict(sent, &format!("{OK}{OK}"), Ended::Open, &[&format!("{post}{evil}")]);
    assert!(breaks(&judgement, "2 requests reached"));
    assert!(breaks(&judgement, "nobody sent GET /evil"));
    assert!(breaks(&judgement, "2 responses"));
    assert!(verdict(sent, OK, Ended::Closed, &[post]).violations.is_empty());
    assert!(breaks(&verdict(sent, OK, Ended::Closed, &[evil]), "nobody sent"));
}

#[test]
fn changed_content_and_changed_paths_are_noticed() {
    let sent = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let changed = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    assert!(breaks(&verdict(sent, OK, Ended::Open, &[changed]), "changed content"));
    let moved = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert!(breaks(&verdict(sent, OK, Ended::Open, &[moved]), "nobody sent"));
}

#[test]
fn an_unfinished_request_may_reach_the_origin_only_unfinished() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc";
    let whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert!(verdict(sent, "", Ended::Open, &[sent]).violations.is_empty());
    assert!(breaks(&verdict(sent, OK, Ended::Open, &[whole]), "unfinished request"));
}

#[test]
fn a_poisoned_connection_is_noticed_by_the_request_after_the_case() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let case_seen = verdict(sent, OK, Ended::Open, &[sent]);
    assert!(case_seen.violations.is_empty());
    let steps = vec![StepSeen { sent: sent.into(), received: OK.into(), ended: Ended::Open }];
    let origin = vec![format!("{sent}X{}", after()).into_bytes()];
    let case = Case {
        name: "x/y".into(),
        family: "x".into(),
        expectation: String::new(),
        steps: Vec::new(),
        probe: None,
        source_accepts: false,
        source_refuses: true,
    };
    let judgement = judge(&case, &Observation { steps, origin, after_answered: false });
    assert!(breaks(&judgement, "after the case came 0 times"));
    assert!(breaks(&judgement, "served, and the source says"));
}

#[test]
fn silence_is_noticed_where_a_whole_request_was_sent() {
    assert!(breaks(&verdict("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", Ended::Open, &[]), "no answer"));
    assert!(verdict("GET / HTTP/1.1\r\nHost: a\r\n", "", Ended::Open, &[]).violations.is_empty());
    assert!(breaks(
        &verdict("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", Ended::Open, &[]),
        "unfinished response"
    ));
}
